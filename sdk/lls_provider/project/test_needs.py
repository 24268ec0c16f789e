"""What a project's tests import and their environment lacks, and where the project names it."""

from __future__ import annotations

import ast
import json
import os
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

_FILES = 500  # that are looked into, at the most
_FIND = (
    "import importlib.util, json, sys; "
    "named = json.loads(sys.argv[1]); "
    "print(json.dumps([it for it in named if importlib.util.find_spec(it) is None]))"
)


def missing_imports(python: Path, root: Path) -> list[str]:
    """The modules that the tests below ``root`` import and ``python`` does not find, sorted.

    Empty when that cannot be told.
    """
    files = list(_test_files(root))
    beside = {path.stem for path in files} | {path.parent.name for path in files}
    wanted = {name for path in files for name in _imported(path)} - beside
    try:
        done = subprocess.run(
            [str(python), "-I", "-c", _FIND, json.dumps(sorted(wanted))],
            capture_output=True,
            check=True,
            timeout=60,
        )
        found: list[str] = json.loads(done.stdout)
    except (OSError, ValueError, subprocess.SubprocessError):
        return []
    return found


def advice(missing: Sequence[str], others: Mapping[str, Sequence[str]]) -> str:
    """What to write so that tests get the modules ``missing``; empty when none is.

    ``others`` are the requirements of what is not installed for tests, by ``group NAME`` or
    ``extra NAME``.
    """
    for module in missing:
        for place, requirements in others.items():
            named = next((it for it in requirements if _may_bring(it, module)), None)
            if named is None:
                continue
            kind, _, name = place.partition(" ")
            include = (
                f'test = [{{ include-group = "{name}" }}]'
                if kind == "group"
                else f'test = ["{named}"]'
            )
            return (
                f"The tests import {module}, which stands in the {kind} {name}; for tests the "
                f"group test is installed. Write `{include}` into [dependency-groups], or add "
                f"'{named}' to the group test that is there."
            )
    if missing:
        return (
            f"The tests import {', '.join(missing)}, which nothing brings. Add what does to the "
            "group test in [dependency-groups]."
        )
    return ""


def _may_bring(requirement: str, module: str) -> bool:
    """Whether a package of that name is likely to have the module: ``pytest-httpx``, ``PyYAML``."""
    try:
        name = canonicalize_name(Requirement(requirement).name)
    except InvalidRequirement:
        return False
    wanted = canonicalize_name(module)
    return wanted == name or wanted in {name.removeprefix("py"), name.removeprefix("python-")}


def _test_files(root: Path) -> Iterator[Path]:
    found = 0
    for folder, names, files in os.walk(root):
        names[:] = sorted(it for it in names if not it.startswith(".") and it != "node_modules")
        for name in sorted(files):
            path = Path(folder, name)
            if name == "conftest.py" or (name.startswith("test_") and name.endswith(".py")):
                found += 1
                if found > _FILES:
                    return
                yield path


def _imported(path: Path) -> Iterator[str]:
    """The top-level modules that a file imports at its own top level."""
    try:
        tree = ast.parse(path.read_bytes())
    except (OSError, SyntaxError, ValueError, RecursionError, MemoryError):
        return
    for node in tree.body:
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.module.partition(".")[0]
