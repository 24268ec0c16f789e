"""Where uv takes build requirements from: ``[tool.uv.sources]`` of the project that is built.

uv reads that table from a project alone, so such requirements become a project of their own.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

OWN_NAME = "build-system"
"""The name of the project that `sourced` makes, for uv's explanations."""


def sourced(requires: Sequence[str], root: Path) -> dict[str, Any] | None:
    """A ``pyproject.toml`` that depends on ``requires``; None where no source names any of them.

    ``root`` is the folder of the project that is built; its workspace's sources hold too. The
    paths in the result are absolute.
    """
    names = {canonicalize_name(Requirement(it).name) for it in requires}
    sources: dict[str, Any] = {}
    indexes: list[Any] = []
    for folder, table in reversed(list(_uv_tables(root))):
        for name, told in _dict(table.get("sources")).items():
            if canonicalize_name(name) in names:
                sources[name] = _absolute_source(told, folder, name)
        found = table.get("index")
        indexes = [*(_absolute_index(it, folder) for it in _list(found)), *indexes]
    if not sources:
        return None
    return {
        "project": {"name": OWN_NAME, "version": "0", "dependencies": list(requires)},
        "tool": {"uv": {"sources": sources, "index": indexes}},
    }


def _uv_tables(root: Path) -> Iterator[tuple[Path, Mapping[str, Any]]]:
    """``[tool.uv]`` of a project, and of the workspace that it is in, with their folders."""
    yield root, _uv_table(root)
    for folder in root.absolute().parents:
        if "workspace" in (table := _uv_table(folder)):
            yield folder, table
            return


def _uv_table(folder: Path) -> Mapping[str, Any]:
    return _dict(_dict(_pyproject(folder).get("tool")).get("uv"))


def _pyproject(folder: Path) -> Mapping[str, Any]:
    try:
        return tomllib.loads((folder / "pyproject.toml").read_text("utf-8"))
    except (OSError, ValueError):
        return {}  # uv and `build` say themselves what is wrong with it


def _absolute_source(told: Any, folder: Path, name: str) -> Any:
    """A source, or a list of them, whose path does not depend on the folder it is told in."""
    if isinstance(told, list):
        return [_absolute_source(it, folder, name) for it in told]
    source = dict(_dict(told))
    if isinstance(source.get("path"), str):
        source["path"] = str(folder.absolute() / source["path"])
    elif source.get("workspace") is True and (member := _member(folder, name)) is not None:
        del source["workspace"]
        source["path"] = str(member)
    return source


def _member(folder: Path, name: str) -> Path | None:
    """The folder of a workspace's member, or of its root; None where there is none of the name."""
    for root, table in _uv_tables(folder):
        members = _list(_dict(table.get("workspace")).get("members"))
        for place in (root, *(it for pattern in members for it in sorted(root.glob(pattern)))):
            project = _dict(_pyproject(place).get("project")).get("name")
            if isinstance(project, str) and canonicalize_name(project) == canonicalize_name(name):
                return place.absolute()
    return None


def _absolute_index(told: Any, folder: Path) -> Any:
    index = dict(_dict(told))
    if isinstance(index.get("url"), str) and "://" not in index["url"]:
        index["url"] = str(folder.absolute() / index["url"])
    return index


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _dict(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
