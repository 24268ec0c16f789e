"""Finds a provider's module in its source tree, without importing anything.

A .gitignore may hide a module from build backends: `ignoring_rule` finds that line.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from lls_provider.bundle.static_spec import ENTRIES
from lls_provider.errors import SdkError
from lls_provider.system.cache import scratch
from lls_provider.system.git import git
from lls_provider.wheels.pep517 import NO_SOURCE, is_link_loop

_DEPTH = 5
_NOT_SOURCE = NO_SOURCE | {"test", "tests"}


def find_module(root: Path, module: str) -> Path | None:
    """The directory of a package in any layout of a source tree: flat, ``src`` or deeper.

    Hidden directories, environments and build output are not searched. Links are followed, as by
    build backends.
    """
    parts = module.split(".")
    for directory in _directories(root):
        candidate = directory.joinpath(*parts)
        if candidate.is_dir():
            return candidate
    return None


def provider_file(package: Path) -> Path | None:
    """The file of the module that servers import (contract section 1); None if it is not there."""
    files = (package / entry for entry in ENTRIES)
    return next((it for it in files if it.is_file()), None)


def provider_modules(root: Path) -> list[str]:
    """The packages of a source tree that have a ``provider.py``, as import paths."""
    found = set()
    for directory in _directories(root):
        if directory != root and provider_file(directory) is not None:
            found.add(".".join(_import_path(root, directory)))
    return sorted(found)


def _import_path(root: Path, package: Path) -> list[str]:
    """The names from the outermost directory that is itself a package.

    A namespace package has no ``__init__.py``, so ``src/acme/echo`` counts from below ``src``.
    """
    parts = list(package.relative_to(root).parts)
    outer = [root.joinpath(*parts[: length + 1]) for length in range(len(parts))]
    first = next(
        (index for index, path in enumerate(outer) if (path / "__init__.py").is_file()),
        len(parts) - 1,
    )
    return parts[first:] if parts[0] != "src" else parts[1:]


def _directories(root: Path) -> Iterator[Path]:
    """Yield the directory and those below it that could hold source, the nearest first."""
    level, followed = [root], set[str]()
    for _ in range(_DEPTH):
        yield from level
        level = [child for directory in level for child in _children(directory, followed)]


def _children(directory: Path, followed: set[str]) -> list[Path]:
    """Return the subdirectories; ``followed`` holds the targets of links: each counts once."""
    try:
        with os.scandir(directory) as entries:
            return sorted(
                Path(entry.path)
                for entry in entries
                if _is_directory(entry)
                and not entry.name.startswith((".", "__"))
                and entry.name not in _NOT_SOURCE
                and not os.path.exists(f"{entry.path}/pyvenv.cfg")  # noqa: PTH110 - never raises
                and (not entry.is_symlink() or _is_new(Path(entry.path), followed))
            )
    except OSError:
        return []


def _is_directory(entry: os.DirEntry[str]) -> bool:
    """Whether it is a directory or a link to one; False for a link that cannot be followed."""
    if entry.is_symlink():
        return os.path.isdir(entry.path)  # noqa: PTH112 - never raises
    return entry.is_dir(follow_symlinks=False)


def _is_new(link: Path, followed: set[str]) -> bool:
    end = os.path.realpath(link)
    if end in followed or is_link_loop(link):
        return False
    followed.add(end)
    return True


def ignoring_rule(root: Path, path: str) -> str | None:
    """Return the rule that hides ``path`` below ``root``, as ``.gitignore:LINE: PATTERN``.

    None if there is no such rule, or no git. The project need not be a repository: hatchling reads
    .gitignore in any directory. Raises what `scratch` raises.
    """
    with scratch("git") as directory:
        place = (f"--git-dir={directory}", f"--work-tree={root.absolute()}")
        doing = "looking for the rule that ignores a file"
        try:
            git(*place, "init", "--quiet", directory=root, doing=doing)
            found = git(
                *(*place, "check-ignore", "--no-index", "--verbose", "-z", "--stdin"),
                directory=root,
                doing=doing,
                stdin=path.encode(),
            )
        except SdkError:
            return None
    source, line, pattern, _, *_ = found.decode(errors="replace").split("\0")
    return f"{source}:{line}: {pattern}"
