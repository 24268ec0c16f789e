"""What a Python of this machine sees: its packages, and what each of them asks for."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from lls_provider.runtime.hiding import recorded_modules

if TYPE_CHECKING:
    from pathlib import Path

_LIST = (
    "import importlib.metadata as m, json; "
    "found = ((d.metadata, d) for d in m.distributions()); "
    # what a broken uninstallation left has no name
    "print(json.dumps("
    "[[t['Name'], d.version, d.requires or [], d.read_text('RECORD') or '', "
    "d.read_text('top_level.txt') or ''] for t, d in found if t and t['Name']]))"
)
_SECONDS = 60


@dataclass(frozen=True, slots=True)
class Installed:
    """Versions, requirements and modules by normalised name.

    ``unreadable`` says what was passed over and why.
    """

    pins: Mapping[str, str]
    requires: Mapping[str, tuple[str, ...]]
    modules: Mapping[str, frozenset[str]]  # the outermost
    unreadable: tuple[str, ...] = ()


def read_installed(python: Path) -> Installed:
    """Ask ``python`` itself. Raises OSError, SubprocessError or ValueError when it cannot say."""
    done = subprocess.run(
        [str(python), "-P", "-c", _LIST],  # -P: the current folder is not its packages
        capture_output=True,
        stdin=subprocess.DEVNULL,
        check=True,
        timeout=_SECONDS,
    )
    pins: dict[str, str] = {}
    requires: dict[str, tuple[str, ...]] = {}
    modules: dict[str, frozenset[str]] = {}
    unreadable: list[str] = []
    for named, version, asked, record, top in json.loads(done.stdout):
        name = canonicalize_name(named)
        try:
            read = str(Version(version or ""))
        except InvalidVersion:
            unreadable.append(f"{name}: its version is {version!r}")
            continue
        pins.setdefault(name, read)  # Python's first
        requires.setdefault(name, tuple(asked))
        modules.setdefault(name, recorded_modules(record, top))
    return Installed(pins, requires, modules, tuple(unreadable))
