"""Symbolic links in a source tree: build backends follow them, so whoever looks there does too."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

NO_SOURCE = frozenset({"build", "dist", "node_modules", "site-packages", "venv"})
"""Names of folders that hold no source of a project."""


def is_link_loop(link: Path) -> bool:
    """Whether a link leads to a folder that holds it: whoever follows it finds no end."""
    return Path(os.path.realpath(link.parent)).is_relative_to(os.path.realpath(link))


def dead_links(root: Path) -> Iterator[Path]:
    """The links below a folder that lead nowhere, or only to themselves."""
    return (link for link in _links(root) if not os.path.exists(link))  # noqa: PTH110 - never raises


def endless_links(root: Path) -> Iterator[Path]:
    """The links below a folder that lead around themselves from inside a package or ``src``."""
    for link in _links(root):
        inside = link.parent == root / "src" or (link.parent / "__init__.py").is_file()
        if inside and os.path.isdir(link) and is_link_loop(link):  # noqa: PTH112 - never raises
            yield link


def _links(root: Path) -> Iterator[Path]:
    for folder, folders, files in os.walk(root):
        folders[:] = [
            name for name in sorted(folders) if not name.startswith(".") and name not in NO_SOURCE
        ]
        for name in (*folders, *sorted(files)):
            if os.path.islink(place := Path(folder, name)):  # noqa: PTH114 - never raises
                yield place
