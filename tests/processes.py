"""What tests ask of processes that they did not start themselves."""

from __future__ import annotations

from pathlib import Path


def runs(pid: int) -> bool:
    """Whether a process has not ended; nobody may have asked for the status of one that has."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False
