"""Reads what an implementation left on a volume, whatever it is.

No link is followed, nothing but regular files is opened, and there are limits: a volume may hold
pipes, loops of links, directories without end, or may be gone. Links and pipes are passed over.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from packaging.utils import canonicalize_name

from lls_provider.contract.names import CRD_CONFIG_FILE, SPEC_FILE, VolumeTree
from lls_provider.untrusted import one_line

ENTRIES_LIMIT = 5_000
FILE_LIMIT = 1 << 20
_DEPTH_LIMIT = 40
_FLAGS = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY
# the paths that vectors name, relative to the volume
_TREE = VolumeTree(Path())
PACKAGES = _TREE.python_packages.as_posix()
METADATA = _TREE.metadata.as_posix()
BASE_CONFIG = _TREE.base_config.as_posix()
RUN_YAML = (_TREE.config / "run.yaml").as_posix()
_PUBLIC = re.compile(
    rf"{PACKAGES}/.*|{re.escape(_TREE.installed_packages.as_posix())}|"
    rf"{METADATA}/[^/]+/({re.escape(SPEC_FILE)}|{re.escape(CRD_CONFIG_FILE)})"
)


@dataclass(frozen=True, slots=True)
class VolumeState:
    """The regular files by their path, and what could not be read."""

    files: Mapping[str, bytes] = field(default_factory=dict)
    problems: tuple[str, ...] = ()

    def text(self, path: str) -> str | None:
        """A file as text; None if there is none."""
        data = self.files.get(path)
        return None if data is None else data.decode("utf-8", "replace")

    def public(self) -> dict[str, bytes]:
        """What the contract knows of the volume; bytecode and an installer's own files are not."""
        return {
            path: data
            for path, data in self.files.items()
            if _PUBLIC.fullmatch(path) and "/__pycache__/" not in path and not path.endswith(".pyc")
        }

    def distributions(self) -> dict[str, str]:
        """The versions of the distributions in python-packages, by their normalised name."""
        found: dict[str, str] = {}
        for path in sorted(self.files):
            match = re.fullmatch(rf"{PACKAGES}/([^/]+?)-([^/-]+)\.dist-info/METADATA", path)
            if match:
                name, version = canonicalize_name(match[1]), match[2]
                found[name] = f"{found[name]} and {version}" if name in found else version
        return dict(sorted(found.items()))


def read_volume(root: Path) -> VolumeState:
    """Read a volume; never raises for what is there."""
    files: dict[str, bytes] = {}
    problems: list[str] = []
    pending = [("", 0)]
    seen = 0
    while pending:
        folder, depth = pending.pop()
        try:
            with os.scandir(root / folder) as entries:
                for entry in entries:
                    seen += 1
                    if seen > ENTRIES_LIMIT:
                        problems.append(f"more than {ENTRIES_LIMIT:,} files and directories")
                        return VolumeState(files, tuple(problems))
                    path = f"{folder}/{entry.name}" if folder else entry.name
                    if entry.is_dir(follow_symlinks=False):
                        if depth < _DEPTH_LIMIT:
                            pending.append((path, depth + 1))
                        else:
                            problems.append(f"{one_line(path)}: too deep")
                    elif entry.is_file(follow_symlinks=False):
                        files[path] = _read(root / path, path, problems)
        except OSError as error:
            problems.append(f"{one_line(folder or 'the volume')}: {error.strerror}")
    return VolumeState(files, tuple(problems))


def _read(path: Path, name: str, problems: list[str]) -> bytes:
    """The file's beginning, up to one byte beyond the limit."""
    try:
        with os.fdopen(os.open(path, _FLAGS), "rb") as stream:
            return stream.read(FILE_LIMIT + 1)
    except OSError as error:  # forbidden, or replaced meanwhile
        problems.append(f"{one_line(name)}: {error.strerror}")
        return b""
