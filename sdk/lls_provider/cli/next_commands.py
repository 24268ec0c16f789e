"""The commands that follow one that made or changed a project, to copy."""

from __future__ import annotations

import shlex
from pathlib import Path

_OPTIONS = {
    "build": ("--base", "scratch", "--output", "oci:image"),  # needs no registry
    "up": ("--check",),
}


def next_commands(project: Path, *names: str) -> list[str]:
    """Return a line for each command that is named, on the project."""
    return [
        shlex.join(["lls-provider", name, *_OPTIONS.get(name, ()), str(project)]) for name in names
    ]
