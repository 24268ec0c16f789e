"""What a source tree holds for its build: sources of build requirements, and symbolic links.

uv reads ``[tool.uv.sources]`` from a project alone, so build requirements with sources become a
project of their own. Build backends follow links, so whoever looks into a source tree does too.
"""

from __future__ import annotations

import os
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

    ``root`` is the directory of the project that is built; its workspace's sources hold too. The
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
    """``[tool.uv]`` of a project, and of the workspace that it is in, with their directories."""
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
    """A source, or a list of them, whose path does not depend on the directory it is given in."""
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
    """The directory of a workspace's member, or of its root; None if no member has the name."""
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


NO_SOURCE = frozenset({"build", "dist", "node_modules", "site-packages", "venv"})
"""Names of directories that hold no source of a project."""


def is_link_loop(link: Path) -> bool:
    """Whether a link leads to a directory that holds it: whoever follows it finds no end."""
    return Path(os.path.realpath(link.parent)).is_relative_to(os.path.realpath(link))


def dead_links(root: Path) -> Iterator[Path]:
    """The links below a directory that lead nowhere, or only to themselves."""
    return (link for link in _links(root) if not os.path.exists(link))  # noqa: PTH110 - never raises


def endless_links(root: Path) -> Iterator[Path]:
    """The links below a directory that lead around themselves from inside a package or ``src``."""
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
