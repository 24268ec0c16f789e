"""The house as a graph: no import circles, and one name means one thing."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator, Mapping
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

pytestmark = pytest.mark.unmeasured

SDK = Path(__file__).parents[2] / "sdk"
ROOT = "lls_provider"


def _name(path: Path) -> str:
    parts = path.relative_to(SDK).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def _trees() -> Mapping[str, ast.Module]:
    return {_name(path): ast.parse(path.read_text("utf-8")) for path in SDK.rglob("*.py")}


def _imports(tree: ast.Module, modules: frozenset[str]) -> Iterator[str]:
    """Every module that is imported, in functions and for type checkers too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module in modules:
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                yield full if full in modules else node.module
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in modules)


def _graph(trees: Mapping[str, ast.Module]) -> dict[str, set[str]]:
    modules = frozenset(trees)
    return {name: set(_imports(tree, modules)) - {name} for name, tree in trees.items()}


def test_there_is_no_import_circle() -> None:
    # the root package names the public API, and loads a name only when a user requires it
    inside = {name: tree for name, tree in _trees().items() if name != ROOT}
    TopologicalSorter(_graph(inside)).prepare()


def test_nothing_inside_uses_the_public_api() -> None:
    used = {
        alias.name
        for tree in _trees().values()
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module == ROOT
        for alias in node.names
        if f"{ROOT}.{alias.name}" not in _trees()
    }
    assert used == {"__version__"}


def test_a_circle_would_be_found() -> None:
    first = "def f():\n    from b import g\n"
    second = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from a import f\n"
    trees = {"a": ast.parse(first), "b": ast.parse(second)}
    with pytest.raises(CycleError):
        TopologicalSorter(_graph(trees)).prepare()


def test_a_public_class_name_is_unique() -> None:
    found = defaultdict(list)
    for name, tree in _trees().items():
        for node in tree.body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                found[node.name].append(name)
    assert {name: places for name, places in found.items() if len(places) > 1} == {}
