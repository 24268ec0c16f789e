"""What stands in front of the standard library or of the server once it is installed.

python-packages comes first on the server's path, so a module there is found by everybody who
imports that name. These are warnings, for where the server is known by the names of its packages
only; where its modules are known, `hiding` decides.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lls_provider.runtime.conflict import shown_versions

if TYPE_CHECKING:
    from lls_provider.runtime.conflict import Source
    from lls_provider.runtime.wheel import Wheel

# public modules that a minor version of Python 3 no longer has, and that it has first
_GONE = {
    12: "asynchat asyncore distutils imp smtpd",
    13: "aifc audioop cgi cgitb chunk crypt imghdr lib2to3 mailcap msilib nis nntplib ossaudiodev "
    "pipes sndhdr spwd sunau telnetlib uu xdrlib",
}
_NEW = {14: "annotationlib compression"}
_AT_START = {"sitecustomize", "usercustomize"}  # of `site`
_TESTS = "test"  # Python does not count its own tests as a module; a `test` hides them all the same


@dataclass(frozen=True, slots=True)
class Behind:
    """A module of the server, and the distribution there that has it."""

    distribution: str
    version: str


def standard_library(minor: int) -> frozenset[str]:
    """The top-level modules of CPython ``3.minor``, whichever Python runs."""
    names = {*sys.stdlib_module_names, _TESTS}
    for first, gone in _GONE.items():
        names = names - {*gone.split()} if minor >= first else names | {*gone.split()}
    for first, new in _NEW.items():
        names = names | {*new.split()} if minor >= first else names - {*new.split()}
    return frozenset(names)


def front_modules(wheel: Wheel) -> set[str]:
    """The modules that a wheel puts in front of those behind it on the path.

    A folder without ``__init__`` hides nothing: Python takes it as a part of a namespace, and
    only when there is no module of that name further behind.
    """
    found = set()
    for file in wheel.files:
        first, _, rest = file.path.partition("/")
        if "/" in rest:
            continue
        stem, _, ending = (rest or first).partition(".")
        if not (ending in ("py", "so") or ending.endswith(".so")):
            continue
        if not rest:
            found.add(stem)
        elif stem == "__init__" and first.isidentifier():
            found.add(first)
    return found


def assumed_modules(sources: Iterable[Source]) -> dict[str, Behind]:
    """The modules that the server is assumed to have, as far as names of distributions tell."""
    found = {}
    for source in sources:
        for name, versions in (source.provided or {}).items():
            found[name.replace("-", "_")] = Behind(name, shown_versions(versions))
    return found


def warnings(wheels: Iterable[Wheel], minor: int, server: Mapping[str, Behind]) -> Iterator[str]:
    """One warning a wheel and what it hides; ``server`` are the server's modules by name."""
    versions = {behind.distribution: behind.version for behind in server.values()}
    standard = standard_library(minor)
    for wheel in wheels:
        named = f"{wheel.name} {wheel.version}"
        front = front_modules(wheel)
        hidden = sorted(front & standard)
        if hidden:
            yield f"{named} puts {_list(hidden)} in front of the standard library's"
        for module in sorted(front & _AT_START):
            yield f"{named} brings '{module}', which the server's Python runs at its start"
        there = versions.get(wheel.name)
        if there is not None and there != str(wheel.version):
            yield f"{named} stands in front of the server's {wheel.name} {there}"
        for module in sorted(front & server.keys()):
            behind = server[module]
            if behind.distribution != wheel.name:
                yield (
                    f"{named} puts '{module}' in front of that of the server's "
                    f"{behind.distribution} {behind.version}"
                )


def _list(names: Iterable[str]) -> str:
    return ", ".join(f"'{name}'" for name in names)
