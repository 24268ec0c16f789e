"""Finds out what the provider in a project is: module, API, type, and the servers that load it.

The project's wheel is built and its ``get_provider_spec()`` is called beside each server that it
seems to be for. What cannot be run is read without running it (`static_spec`), and why it was not
run is in the result: nothing here is an error of the project as long as it can be read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from lls_provider.bundle import static_spec
from lls_provider.bundle.bundle import BundleRequest
from lls_provider.bundle.lock import build_requires, sources_digest
from lls_provider.bundle.published import SpecFlags, choose_spec
from lls_provider.bundle.static_spec import StaticSpec
from lls_provider.errors import Code, ExitStatus, SdkError, Where
from lls_provider.progress import SILENT, Progress
from lls_provider.project.bundle import project_requirement, uv_sources
from lls_provider.project.modules import find_module, provider_file, provider_modules
from lls_provider.system.cache import scratch
from lls_provider.wheels.interpreter import find_interpreter
from lls_provider.wheels.loading import load_distributions
from lls_provider.wheels.resolve import newest_version
from lls_provider.wheels.servers import LINES, line_named, read_profiles

if TYPE_CHECKING:
    from lls_provider.project.pyproject import PyProject
    from lls_provider.runtime.preflight.probe_client import ProbeResult
    from lls_provider.runtime.wheelfile.wheel import Wheel
    from lls_provider.wheels.distribution import Distribution
    from lls_provider.wheels.interpreter import Interpreter
    from lls_provider.wheels.loading import Loader

Choose = Callable[[Sequence[StaticSpec]], StaticSpec]
GIVEN = "given on the command line"
"""How what the caller knew was found."""
_SPEC = (
    "servers import PACKAGE.provider and call its get_provider_spec() (contract section 1), which "
    "returns api, provider_type, module and config_class."
)


@dataclass(frozen=True, slots=True)
class DiscoveryOptions:
    """What the caller knows already; ``static`` runs nothing. ``choose`` is asked about several."""

    flags: SpecFlags = SpecFlags()  # noqa: RUF009 - frozen
    distributions: tuple[str, ...] = ()
    python: str | None = None
    static: bool = False
    choose: Choose | None = None
    load: Loader = load_distributions


@dataclass(frozen=True, slots=True)
class Discovery:
    """What was found: the spec and how, the servers that loaded it, and what was not found out.

    ``vendor`` is the author or maintainer that the wheel names, if it could be built. ``schema`` is
    that of the config class. ``notes`` are sentences for the author.
    """

    spec: StaticSpec
    how: str
    distributions: tuple[str, ...] = ()
    loaded: bool = False
    vendor: str | None = None
    schema: Mapping[str, Any] | None = None
    notes: tuple[str, ...] = ()


@dataclass(slots=True)
class _Findings:
    """What is known of each module; if it is not ``complete``, there may be more specs."""

    specs: dict[StaticSpec, str] = field(default_factory=dict)  # how each was found
    loaded: dict[StaticSpec, list[str]] = field(default_factory=dict)
    asked: set[str] = field(default_factory=set)  # the modules that answered
    complete: bool = True
    unread: list[str] = field(default_factory=list)  # why a module was not run, or not read
    notes: list[str] = field(default_factory=list)

    def add(self, specs: Iterable[StaticSpec], how: str) -> None:
        for spec in specs:
            self.specs.setdefault(spec, how)

    def only_by_running(self, module: str) -> None:
        self.complete = False
        self.unread.append(f"{module} makes specs that can only be known by running it")


def discover(
    root: Path,
    pyproject: PyProject,
    options: DiscoveryOptions = DiscoveryOptions(),
    progress: Progress = SILENT,
) -> Discovery:
    """Find the provider of the project in ``root``.

    Raises SdkError MODULE_MISSING if it has none, USAGE if it has several and none is chosen, and
    what building its wheel raises for an error of the project.
    """
    if options.static:
        return _read(root, options, ["Nothing was run (--static)."])
    lowest = pyproject.lowest_python
    with scratch("init") as directory:
        try:
            wheel, interpreter = _wheel(root, directory, options.python, lowest, progress)
        except SdkError as error:
            if error.status is not ExitStatus.ENVIRONMENT:
                raise
            note = (
                f"Its wheel could not be built here: {_short(error)} `lls-provider doctor` says "
                "what this machine lacks. Then remove the table and run this command again."
            )
            return _read(root, options, [note])
        run = _Run(root, pyproject, wheel, interpreter, lowest, options, progress)
        return run.discovery()


def _wheel(
    root: Path,
    directory: Path,
    python: str | None,
    lowest: tuple[int, int],
    progress: Progress,
) -> tuple[Wheel, Interpreter]:
    from lls_provider.runtime.wheelfile.wheel import read_wheel
    from lls_provider.wheels.pep517 import build_wheel

    minimum = max(lowest, *(line.python for line in LINES))
    interpreter = find_interpreter(minimum=minimum, explicit=python)
    path = build_wheel(root, directory, interpreter=interpreter, progress=progress)
    return read_wheel(path), interpreter


@dataclass(frozen=True, slots=True)
class _Answers:
    """What modules said beside one server; not ``complete`` without what they require."""

    results: Mapping[str, ProbeResult]
    complete: bool = True


@dataclass(frozen=True, slots=True)
class _Run:
    root: Path
    pyproject: PyProject
    wheel: Wheel
    interpreter: Interpreter
    lowest: tuple[int, int]
    options: DiscoveryOptions
    progress: Progress

    def discovery(self) -> Discovery:
        """Ask the provider beside each candidate; read what could not be asked."""
        own, flags = self.wheel.path, self.options.flags
        modules = static_spec.provider_modules(own)
        if flags.module is not None and flags.module not in modules:
            raise _no_provider(self.root, modules, flags.module, static_spec.directory_specs(own))
        if not modules:
            raise _no_provider(self.root, (), None, static_spec.directory_specs(own))
        asked = (flags.module,) if flags.module else modules
        found = _Findings()
        candidates = self._candidates(found)
        schemas: dict[tuple[str, str], Mapping[str, Any]] = {}
        for named in candidates:
            answers = self._ask(named, asked, found)
            for module, result in answers.results.items():
                self._note(named, module, result, found, complete=answers.complete)
                if result.config_schema is not None and result.specs:
                    schemas.setdefault(
                        (module, result.specs[0].provider_type), result.config_schema
                    )
        static = static_spec.static_specs(own)
        unreadable = static_spec.unreadable_modules(own)
        for module in (it for it in asked if it not in found.asked):
            read = [spec for spec in static if spec.module == module]
            found.add(read, f"read in {module.replace('.', '/')}/provider.py")
            if not read or module in unreadable:
                found.only_by_running(module)
        spec = _chosen(found, own, self.options)
        servers = found.loaded.get(spec, [])
        return Discovery(
            spec,
            found.specs.get(spec, GIVEN),
            tuple(servers or candidates[:1]),
            bool(servers),
            static_spec.declared_vendor(own),
            schemas.get((spec.module, spec.provider_type)),
            tuple(found.notes),
        )

    def _candidates(self, found: _Findings) -> list[str]:
        """Return the servers to try: those that the code imports or requires, else all."""
        if self.options.distributions:
            return list(self.options.distributions)
        imported = static_spec.imported_modules(self.wheel.path)
        bounds = {
            canonicalize_name(it.name): it.specifier
            for it in self.wheel.requires
            if it.marker is None
        }
        meant = [
            line
            for line in LINES
            if {line.module, line.api_package} & imported
            or {line.name, canonicalize_name(line.api_package)} & set(bounds)
        ]
        candidates = []
        for line in meant or LINES:
            names = (canonicalize_name(line.name), canonicalize_name(line.api_package))
            first, second = (bounds.get(name, SpecifierSet()) for name in names)
            specifier = first & second  # both have the versions of the server
            named = _profile(line.name, specifier) or self._older(line.name, specifier, found)
            candidates += [named] if named else []
        return candidates

    def _older(self, name: str, specifier: SpecifierSet, found: _Findings) -> str | None:
        """Return the newest version that the provider's bounds allow, which no profile has."""
        version = newest_version(f"{name}{specifier}", interpreter=self.interpreter, base=self.root)
        if version is None:
            found.notes.append(f"It requires {name}{specifier}, of which no version was found.")
            return None
        found.notes.append(
            f"It requires {name}{specifier}, so it is for {name}=={version}; a newer server may "
            "need a change of the provider."
        )
        return f"{name}=={version}"

    def _ask(self, named: str, modules: Sequence[str], found: _Findings) -> _Answers:
        """Return what the modules say beside a server; empty, with a note, if that failed."""
        from lls_provider.bundle.server_constraints import server_environment_of
        from lls_provider.bundle.trial import Trial, load_provider

        try:
            (server,) = self.options.load(
                [named], python=self.options.python, at_least=self.lowest, progress=self.progress
            )
            environment = server_environment_of(server, self.progress)
            if environment is None:
                found.notes.append(f"It was not tried beside {named}: see the warning above.")
                return _Answers({})
            wheels = self._required(server, found)
            self.progress.step(f"loading {', '.join(modules)} beside {named}")
            answers = load_provider(
                environment,
                [self.wheel.path, *(wheels or ())],
                modules,
                Trial(),
                provider_type=self.options.flags.provider_type,
            )
            return _Answers(answers, complete=wheels is not None)
        except SdkError as error:
            found.notes.append(f"It was not tried beside {named}: {_short(error)}")
            return _Answers({})

    def _required(self, server: Distribution, found: _Findings) -> tuple[Path, ...] | None:
        """Return the wheels that the provider requires; None, with a note, if none satisfy it.

        Many a provider.py imports little, and answers without them.
        """
        from lls_provider.bundle.closure import collect_wheels

        sources = sources_digest(uv_sources(self.root, self.pyproject.data))
        request = BundleRequest(
            project_requirement(self.wheel, self.root if sources else None),
            self.wheel,
            server.interpreter,
            (server,),
            base=self.root,
            sources=sources,
            build=build_requires(self.pyproject.data),
        )
        try:
            return collect_wheels(request, self.progress, hints=False).wheels
        except SdkError as error:
            if error.code is not Code.RESOLUTION_FAILED:
                raise
            found.notes.append(f"Its requirements do not fit {server.label}: {_short(error)}")
            return None

    def _note(
        self, named: str, module: str, result: ProbeResult, found: _Findings, *, complete: bool
    ) -> None:
        """Record what one module said beside one server, with all that it requires if complete."""
        specs = [
            StaticSpec(module, spec.api, spec.provider_type, spec.module) for spec in result.specs
        ]
        if result.failure is not None:
            why = f"{module} does not load beside {named}: {result.failure.reason}"
            if complete:  # else a note says why it cannot load
                found.notes.append(f"{why} {result.failure.way}".rstrip())
            if not specs:
                found.unread.append(why)
            return
        without = "" if complete else ", without what it requires"
        found.add(specs, f"get_provider_spec() beside {named}{without}")
        found.asked.add(module)
        for spec in specs if complete else ():
            found.loaded.setdefault(spec, []).append(named)


def _chosen(found: _Findings, own: Path, options: DiscoveryOptions) -> StaticSpec:
    """Return the one spec that the flags leave, or that is chosen of several."""
    try:
        return choose_spec(
            found.specs, own, options.flags, complete=found.complete, unread=found.unread
        )
    except SdkError as error:
        detail = error.detail
        if not isinstance(detail, static_spec.SpecChoice) or options.choose is None:
            # a module that does not load is among the reasons already
            more = [note for note in found.notes if note not in found.unread]
            error.why = "\n".join([error.why, *more])
            raise
        return options.choose(detail.specs)


def _profile(name: str, specifier: SpecifierSet) -> str | None:
    """Return the newest supported version of a server that satisfies bounds, as a requirement."""
    fitting = [
        (Requirement(profile.requirement), profile.requirement)
        for profile in read_profiles()
        if (line := line_named(Requirement(profile.requirement).name)) and line.name == name
    ]
    return next(
        (
            text
            for requirement, text in reversed(fitting)
            if all(specifier.contains(it.version, prereleases=True) for it in requirement.specifier)
        ),
        None,
    )


def _read(root: Path, options: DiscoveryOptions, notes: Sequence[str]) -> Discovery:
    """Find the provider without running or building anything."""
    flags = options.flags
    modules = provider_modules(root)
    if not modules or (flags.module is not None and flags.module not in modules):
        raise _no_provider(root, modules, flags.module, ())
    found = _Findings()
    for module in (flags.module,) if flags.module else modules:
        directory = find_module(root, module)
        assert directory is not None  # noqa: S101 - it was found above
        file = provider_file(directory)
        assert file is not None  # noqa: S101
        specs, more = static_spec.specs_of_source(module, file.read_bytes())
        found.add(specs, f"read in {file.relative_to(root)}")
        if more:
            found.only_by_running(module)
    spec = _chosen(found, root, options)
    return Discovery(
        spec,
        found.specs.get(spec, GIVEN),
        options.distributions,
        notes=tuple(notes),
    )


def _no_provider(
    root: Path, modules: Sequence[str], module: str | None, files: Sequence[str]
) -> SdkError:
    if modules:
        what, why = (
            f"{root} has no module {module}.provider",
            "It has: " + ", ".join(f"{it}.provider" for it in modules),
        )
        resolution = "Name the package that holds provider.py with --module."
    else:
        what, why = f"{root} has no package with provider.py", _SPEC[0].upper() + _SPEC[1:]
        resolution = "Write a module provider.py into the provider's package; `lls-provider new` "
        resolution += "makes a project that shows one. If it is there, have the build backend "
        resolution += "include it."
        if files:
            why += f"\nIt has {', '.join(files[:3])}, which only a server's external_providers_dir "
            why += "reads: its get_provider_spec() would return what such a file says."
    return SdkError(
        Code.MODULE_MISSING, what, why=why, where=Where(file=str(root)), resolution=resolution
    )


def _short(error: SdkError) -> str:
    """Return an error as one sentence of a note."""
    first = error.why.strip().splitlines()[0] if error.why.strip() else ""
    if first.endswith(":"):
        first = ""  # it introduces a list
    return f"{error.what}. {first}".strip()
