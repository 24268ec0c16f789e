"""Which modules of a provider would hide one of the server's (contract decision 14).

What a provider brings comes first on the server's path. A package without ``__init__``, or with
one that only declares a namespace, is a part of a namespace and hides nothing itself: then the
modules inside are compared, at any depth.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lls_provider.runtime.namespaces import declares_namespace
from lls_provider.runtime.shadowing import Behind, standard_library

if TYPE_CHECKING:
    from lls_provider.runtime.wheel import Wheel

ServerModules = Mapping[str, Sequence[Behind]]
"""The outermost modules of a server, each with the distributions there that have it."""

# what packages ship beside their modules by mistake, and nobody imports
_STRAY = {
    *("__init__", "__main__", "conftest", "setup", "test", "testing", "tests", "integration_tests"),
    *("benchmark", "benchmarks", "doc", "docs", "example", "examples", "samples", "scripts"),
}
# modules of Python that no server needs, and argparse 1.4.0 of PyPI, which serves as well
_SPARE = {
    *("antigravity", "argparse", "idlelib", "lib2to3", "this", "tkinter", "turtle", "turtledemo"),
}


@dataclass(frozen=True, slots=True)
class Front:
    """A distribution that a provider brings: its files, and how to read one of them."""

    name: str  # normalised
    version: str
    paths: Collection[str]  # relative to site-packages
    read: Callable[[str], bytes]


@dataclass(frozen=True, slots=True)
class Hidden:
    """A module of the server, or of Python where ``behind`` is None, that is not found any more."""

    front: Front
    module: str
    behind: Behind | None

    def __str__(self) -> str:
        named = f"{self.front.name} {self.front.version} puts '{self.module}' in front of"
        if self.behind is None:
            return f"{named} the standard library's"
        return f"{named} that of the server's {self.behind.distribution} {self.behind.version}"


RESOLUTION = (
    "Rename the module, or leave the package out of the provider's dependencies: the server would "
    "import it in place of its own."
)


def outermost(paths: Iterable[str], namespaces: Collection[str] = ()) -> frozenset[str]:
    """The modules and packages of a distribution that are in no package of it, with dots.

    ``namespaces`` are the packages whose ``__init__`` declares them to be one.
    """
    split = [path.split("/") for path in paths if path.endswith((".py", ".so"))]
    files = [(*folders, file.partition(".")[0]) for *folders, file in split]
    packages = {file[:-1] for file in files if file[-1] == "__init__" and len(file) > 1}
    packages -= {tuple(name.split(".")) for name in namespaces}
    found = set()
    for file in files:
        inside = (file[:end] for end in range(1, len(file)) if file[:end] in packages)
        module = next(inside, file)
        if all(part.isidentifier() for part in module) and module[-1] != "__init__":
            found.add(".".join(module))
    return frozenset(name for name in found if name.partition(".")[0] not in _STRAY)


def recorded_modules(record: str, top_level: str = "") -> frozenset[str]:
    """The outermost modules of an installed distribution, from the text of its RECORD.

    Where it has none, they are those of its ``top_level.txt``.
    """
    if not record:
        return frozenset(top_level.split())
    try:
        return outermost(row[0] for row in csv.reader(io.StringIO(record, newline="")) if row)
    except csv.Error:
        return frozenset()


def server_modules(found: Iterable[tuple[str, str, Iterable[str]]]) -> dict[str, list[Behind]]:
    """The modules of distributions, each a normalised name, a version and its modules."""
    modules: dict[str, list[Behind]] = {}
    for name, version, names in found:
        for module in names:
            if module.partition(".")[0] not in _STRAY:
                modules.setdefault(module, []).append(Behind(name, version))
    return modules


def hidden(fronts: Sequence[Front], server: ServerModules, minor: int) -> Iterator[Hidden]:
    """What the server would not find any more, with Python ``3.minor``.

    The same distribution in front of the server's is bundled on purpose.
    """
    standard = standard_library(minor) - _SPARE
    brought = {front.name for front in fronts}
    for front in fronts:
        yield from _hidden(front, server, standard, brought)


def front_of(wheel: Wheel) -> Front:
    """A wheel as it will be installed."""
    return Front(
        wheel.name, str(wheel.version), [file.path for file in wheel.files], _reader(wheel)
    )


def _hidden(
    front: Front, server: ServerModules, standard: Collection[str], brought: Collection[str]
) -> Iterator[Hidden]:
    namespaces: set[str] = set()
    while True:
        modules = outermost(front.paths, namespaces)
        found = {
            module: behind
            for module in modules
            if (behind := _behind(module, server, brought)) is not None
        }
        declared = {it for it in found if _declares(front, it)}
        if not declared:
            break
        namespaces |= declared
    for module in sorted(modules):
        if module in standard:
            yield Hidden(front, module, None)
        elif module in found:
            yield Hidden(front, module, found[module])


def _behind(module: str, server: ServerModules, brought: Collection[str]) -> Behind | None:
    """Whose modules a module hides: those of its name, and those in a namespace of its name."""
    for name in (module, *(it for it in server if it.startswith(f"{module}."))):
        there = server.get(name, ())
        if there and not any(it.distribution in brought for it in there):
            return there[0]
    return None


def _declares(front: Front, module: str) -> bool:
    path = f"{module.replace('.', '/')}/__init__.py"
    return path in front.paths and declares_namespace(front.read(path))


def _reader(wheel: Wheel) -> Callable[[str], bytes]:
    def read(path: str) -> bytes:
        import zipfile

        try:
            with zipfile.ZipFile(wheel.path) as archive:
                return archive.read(path)
        except (KeyError, OSError, ValueError, zipfile.BadZipFile):
            return b""  # below .data: a namespace is not declared there

    return read
