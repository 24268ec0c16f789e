"""What the user's environment says: the home folder, and switches that are variables."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path


def user_home() -> Path:
    """The user's home folder; ``/`` for a user id without account, as container runtimes say."""
    try:
        return Path.home()
    except RuntimeError:
        return Path("/")


def is_enabled(environ: Mapping[str, str], name: str) -> bool:
    """Whether a variable that is a switch is on, by the words that uv knows."""
    return environ.get(name, "").lower() in {"1", "true", "yes", "on", "t", "y"}
