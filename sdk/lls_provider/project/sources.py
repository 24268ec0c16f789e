"""Where uv takes a project's dependencies from: ``[tool.uv.sources]``."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lls_provider.project.pyproject import FILE


def uv_sources(root: Path, pyproject: Mapping[str, Any]) -> dict[str, Any]:
    """The sources of the project in ``root``: its own, and those that its workspace adds.

    uv lets ``[tool.uv.sources]`` of a workspace's root hold for every member
    (https://docs.astral.sh/uv/concepts/projects/workspaces/). Without them a member's name would
    be looked for in the index, where it can be anybody's.
    """
    return {**_table(_workspace(root), "sources"), **_table(pyproject, "sources")}


def _workspace(root: Path) -> Mapping[str, Any]:
    """The ``pyproject.toml`` of the nearest workspace above a project."""
    for folder in root.absolute().parents:
        try:
            found = tomllib.loads((folder / FILE).read_text("utf-8"))
        except (OSError, ValueError):
            continue  # uv itself says what is wrong with it
        if "workspace" in _table(found):
            return found
    return {}


def _table(pyproject: Mapping[str, Any], key: str | None = None) -> Mapping[str, Any]:
    """The table ``[tool.uv]``, or one in it; empty where there is none."""
    found: Any = pyproject
    for step in ("tool", "uv", *([key] if key else [])):
        found = found.get(step) if isinstance(found, dict) else None
    return found if isinstance(found, dict) else {}
