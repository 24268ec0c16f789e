"""Which modules of a provider would shadow the standard library's or the server's (decision 14).

python-packages comes first on the server's path, so a module there is found by everything that
imports its name. A package without ``__init__``, or with one that only declares a namespace, is a
part of a namespace and hides nothing itself: then the modules inside are compared, at any depth.
If only the names of the server's packages are known, the installer warns.
"""

from __future__ import annotations

import csv
import io
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from packaging.utils import canonicalize_name

from lls_provider.runtime.install.conflict import shown_versions
from lls_provider.runtime.wheelfile.wheel import declares_namespace

if TYPE_CHECKING:
    from lls_provider.runtime.install.conflict import Source
    from lls_provider.runtime.volume.installed import ProviderRecord
    from lls_provider.runtime.wheelfile.wheel import Wheel


# public modules that minor versions of Python 3 have removed and added
_GONE = {
    12: "asynchat asyncore distutils imp smtpd",
    13: "aifc audioop cgi cgitb chunk crypt imghdr lib2to3 mailcap msilib nis nntplib ossaudiodev "
    "pipes sndhdr spwd sunau telnetlib uu xdrlib",
}
_NEW = {14: "annotationlib compression"}
_AT_START = {"sitecustomize", "usercustomize"}  # imported by `site`
_TESTS = "test"  # not in the list of modules, but a `test` of ours would hide it


@dataclass(frozen=True, slots=True)
class ServerModuleNames:
    """The server's distribution that has a module."""

    distribution: str
    version: str


def standard_library(minor: int) -> frozenset[str]:
    """The top-level modules of CPython ``3.minor``, whichever Python is running."""
    names = {*sys.stdlib_module_names, _TESTS}
    for first, gone in _GONE.items():
        names = names - {*gone.split()} if minor >= first else names | {*gone.split()}
    for first, new in _NEW.items():
        names = names | {*new.split()} if minor >= first else names - {*new.split()}
    return frozenset(names)


def front_modules(wheel: Wheel) -> set[str]:
    """The modules that a wheel puts in front of those behind it on the path.

    A directory without ``__init__`` hides nothing: Python takes it as a part of a namespace, and
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


def assumed_modules(sources: Iterable[Source]) -> dict[str, ServerModuleNames]:
    """The modules that the server is assumed to have, as far as names of distributions say."""
    found = {}
    for source in sources:
        for name, versions in (source.provided or {}).items():
            found[name.replace("-", "_")] = ServerModuleNames(name, shown_versions(versions))
    return found


def shadowing_warnings(
    wheels: Iterable[Wheel], minor: int, server: Mapping[str, ServerModuleNames]
) -> Iterator[str]:
    """A warning for each thing that a wheel hides; ``server`` are the server's modules by name."""
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
            yield f"{named} shadows the server's {wheel.name} {there}"
        for module in sorted(front & server.keys()):
            behind = server[module]
            if behind.distribution != wheel.name:
                yield (
                    f"{named} puts '{module}' in front of that of the server's "
                    f"{behind.distribution} {behind.version}"
                )


def _list(names: Iterable[str]) -> str:
    return ", ".join(f"'{name}'" for name in names)


ServerModules = Mapping[str, Sequence[ServerModuleNames]]
"""The outermost modules of a server, each with the distributions there that have it."""

# what packages ship beside their modules by mistake, and nothing imports
_STRAY = {
    *("__init__", "__main__", "conftest", "setup", "test", "testing", "tests", "integration_tests"),
    *("benchmark", "benchmarks", "doc", "docs", "example", "examples", "samples", "scripts"),
}
# modules of Python that no server needs, and argparse, for which PyPI's 1.4.0 works as well
_SPARE = {
    *("antigravity", "argparse", "idlelib", "lib2to3", "this", "tkinter", "turtle", "turtledemo"),
}


@dataclass(frozen=True, slots=True)
class ShadowingModules:
    """A distribution of a provider: its files, and how to read one of them."""

    name: str  # normalised
    version: str
    paths: Collection[str]  # relative to site-packages
    read: Callable[[str], bytes]


@dataclass(frozen=True, slots=True)
class HiddenModule:
    """A module of the server, or of Python if ``behind`` is None, that is no longer found."""

    front: ShadowingModules
    module: str
    behind: ServerModuleNames | None

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
    """The modules and packages of a distribution that are not inside a package of it, dotted.

    ``namespaces`` are the packages whose ``__init__`` declares a namespace.
    """
    split = [path.split("/") for path in paths if path.endswith((".py", ".so"))]
    files = [(*directories, file.partition(".")[0]) for *directories, file in split]
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

    Without one, they are those of its ``top_level.txt``.
    """
    if not record:
        return frozenset(top_level.split())
    try:
        return outermost(row[0] for row in csv.reader(io.StringIO(record, newline="")) if row)
    except csv.Error:
        return frozenset()


def server_modules(
    found: Iterable[tuple[str, str, Iterable[str]]],
) -> dict[str, list[ServerModuleNames]]:
    """The modules of distributions, each a normalised name, a version and its modules."""
    modules: dict[str, list[ServerModuleNames]] = {}
    for name, version, names in found:
        for module in names:
            if module.partition(".")[0] not in _STRAY:
                modules.setdefault(module, []).append(ServerModuleNames(name, version))
    return modules


def hidden_modules(
    fronts: Sequence[ShadowingModules], server: ServerModules, minor: int
) -> Iterator[HiddenModule]:
    """The modules that the server would no longer find, with Python ``3.minor``.

    A distribution in front of the server's own copy is bundled on purpose.
    """
    standard = standard_library(minor) - _SPARE
    bundled = {front.name for front in fronts}
    for front in fronts:
        yield from _hidden(front, server, standard, bundled)


InstalledModules = Sequence[tuple["ProviderRecord", Sequence[ShadowingModules]]]
"""Each installed provider with its distributions."""


def installed_modules(records: Iterable[ProviderRecord], packages: Path) -> InstalledModules:
    """The modules of providers in the directory ``packages``, as their RECORD files list them."""
    return [(record, list(_fronts(record, packages))) for record in records]


def hidden_modules_of(
    installed: InstalledModules, server: ServerModules, minor: int
) -> Iterator[tuple[ProviderRecord, list[HiddenModule]]]:
    """The modules of ``server`` that each provider hides, for the providers that hide any."""
    found = list(
        hidden_modules([front for _, fronts in installed for front in fronts], server, minor)
    )
    for record, fronts in installed:
        own = [it for it in found if it.front in fronts]
        if own:
            yield record, own


def shadowing_modules(wheel: Wheel) -> ShadowingModules:
    """A wheel as it will be installed."""
    return ShadowingModules(
        wheel.name, str(wheel.version), [file.path for file in wheel.files], _reader(wheel)
    )


def _fronts(record: ProviderRecord, packages: Path) -> Iterator[ShadowingModules]:
    from lls_provider.runtime.volume.installed import read_regular
    from lls_provider.runtime.volume.volume import recorded_files

    for package in record.packages:
        paths = recorded_files(packages / package.dist_info)
        yield ShadowingModules(
            canonicalize_name(package.name),
            package.version,
            paths,
            lambda path: read_regular(packages / path) or b"",
        )


def _hidden(
    front: ShadowingModules,
    server: ServerModules,
    standard: Collection[str],
    bundled: Collection[str],
) -> Iterator[HiddenModule]:
    namespaces: set[str] = set()
    while True:
        modules = outermost(front.paths, namespaces)
        found = {
            module: behind
            for module in modules
            if (behind := _behind(module, server, bundled)) is not None
        }
        declared = {it for it in found if _declares(front, it)}
        if not declared:
            break
        namespaces |= declared
    for module in sorted(modules):
        if module in standard:
            yield HiddenModule(front, module, None)
        elif module in found:
            yield HiddenModule(front, module, found[module])


def _behind(
    module: str, server: ServerModules, bundled: Collection[str]
) -> ServerModuleNames | None:
    """The distribution whose module is hidden: one of this name, or in a namespace of this name."""
    for name in (module, *(it for it in server if it.startswith(f"{module}."))):
        there = server.get(name, ())
        if there and not any(it.distribution in bundled for it in there):
            return there[0]
    return None


def _declares(front: ShadowingModules, module: str) -> bool:
    path = f"{module.replace('.', '/')}/__init__.py"
    return path in front.paths and declares_namespace(front.read(path))


def _reader(wheel: Wheel) -> Callable[[str], bytes]:
    def read(path: str) -> bytes:
        import zipfile

        try:
            with zipfile.ZipFile(wheel.path) as archive:
                return archive.read(path)
        except (KeyError, OSError, ValueError, zipfile.BadZipFile):
            return b""  # below .data, where no namespace is declared

    return read
