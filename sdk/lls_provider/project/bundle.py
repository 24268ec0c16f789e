"""Turns a project into a bundle: its wheel, the closure beyond the distribution, the tree."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from lls_provider.bundle.locking import Locking
from lls_provider.bundle.options import BundleOptions
from lls_provider.bundle.writable import writable_target
from lls_provider.errors import Code, SdkError
from lls_provider.progress import SILENT, Progress

if TYPE_CHECKING:
    from lls_provider.bundle.ahead import Ahead
    from lls_provider.bundle.read import Bundle
    from lls_provider.contract.models import ProviderPackage
    from lls_provider.project.settings import Settings
    from lls_provider.runtime.wheel import Wheel
    from lls_provider.wheels.interpreter import Interpreter
    from lls_provider.wheels.lockfile import LockFile


def bundle_project(
    settings: Settings,
    outs: Mapping[str, Path],
    options: BundleOptions = BundleOptions(),  # noqa: B008 - frozen
    *,
    meanwhile: Callable[[], object] = lambda: None,
    progress: Progress = SILENT,
) -> list[Bundle]:
    """Build and resolve a project once; fetch and assemble its bundle for each machine in ``outs``.

    ``meanwhile`` is called while the build backend works. Raises SdkError MODULE_MISSING when the
    wheel lacks the provider's module, WHEEL_INCOMPATIBLE when it is compiled and another machine
    is asked for, TARGET_EXISTS before any work, LOCK_STALE, and what building, resolving,
    locking, fetching and assembling raise.
    """
    from lls_provider.bundle.locked import build_requires, sources_digest
    from lls_provider.bundle.waiting import started
    from lls_provider.project.sources import uv_sources
    from lls_provider.wheels.build import scratch
    from lls_provider.wheels.fetch import require_portable, telling_damage

    for out in outs.values():
        writable_target(out)
    locking = Locking.of(options.lock, options.locked)
    servers, interpreter = locking.servers(
        options.distributions,
        options.python or settings.python,
        progress,
        settings.lowest_python,
        base=settings.root,
    )
    trial = options.trial and replace(options.trial, environment=settings.up.env)
    with scratch("project") as folder, started(servers, trial, outs) as trial:
        sources = sources_digest(uv_sources(settings.root, settings.pyproject.data))
        build = build_requires(settings.pyproject.data)
        backend = locking.backend(build, interpreter, settings.root)
        ahead: list[Ahead] = []

        # another process builds the wheel: time for what does not need it
        def prepared() -> None:
            ahead.append(_prepared(locking.file, interpreter, outs))
            meanwhile()

        wheel = build_own_wheel(settings, folder, interpreter, progress, backend, prepared)
        from lls_provider.bundle.gather import gather, normalized
        from lls_provider.bundle.machines import assemble_each
        from lls_provider.bundle.trial import try_beside
        from lls_provider.bundle.wanted import Wanted

        require_portable(wheel.path, outs)
        wanted = Wanted(
            requirement(wheel, settings.root if sources else None),
            wheel,
            interpreter,
            servers,
            options.overrides,
            normalized(options.bundle),
            machines=tuple(outs),
            base=settings.root,
            sources=sources,
            build=build,
            locked=locking.file,
            ahead=ahead[0],
        )
        gathered = {}
        for machine in outs:
            try:
                found = gather(replace(wanted, machine=machine), progress)
            except SdkError as error:
                if error.code is Code.RESOLUTION_FAILED:
                    error.where = settings.dependency_named_in(error.why)
                raise
            gathered[machine] = found
        package = metadata(settings, version=str(wheel.version))
        machine = wanted.machine if wanted.machine in gathered else next(iter(gathered))
        tried = None
        with telling_damage(pair for it in gathered.values() for pair in it.fetched):
            if trial is not None and servers:
                tried = try_beside(
                    servers,
                    [wheel.path, *gathered[machine].wheels],
                    package,
                    trial,
                    machine=machine,
                    overrides=options.overrides,
                    read=(wheel, *gathered[machine].read),
                    where=settings.where("module"),
                    progress=progress,
                )
            made = assemble_each(wanted, gathered, outs, package, tried, progress)
        locking.write(wanted, found, progress, backend)
        return made


def _prepared(locked: LockFile | None, interpreter: Interpreter, outs: Mapping[str, Path]) -> Ahead:
    """What is known of the lock's wheels; what comes after the own wheel is imported and made."""
    from lls_provider.bundle import gather, machines, trial, zipapp  # noqa: F401
    from lls_provider.bundle.ahead import Ahead, read_ahead
    from lls_provider.contract import emit  # noqa: F401

    zipapp.zipapp_path()
    return read_ahead(locked, interpreter, outs) if locked is not None else Ahead()


def build_own_wheel(
    settings: Settings,
    folder: Path,
    interpreter: Interpreter,
    progress: Progress,
    backend: Sequence[str] | None = None,
    meanwhile: Callable[[], object] | None = None,
) -> Wheel:
    """Build the project's wheel into ``folder`` and check that the provider is in it.

    ``backend`` are the versions to build it with; ``meanwhile`` is called while it works. Raises
    SdkError MODULE_MISSING, or what building and reading a wheel raise.
    """
    from lls_provider.runtime.wheel import read_wheel
    from lls_provider.wheels.build import build_wheel

    wheel = read_wheel(
        build_wheel(
            settings.root,
            folder,
            interpreter=interpreter,
            pins=backend,
            meanwhile=meanwhile,
            progress=progress,
        )
    )
    package = settings.module.replace(".", "/")
    entries = {f"{package}/provider.py", f"{package}/provider/__init__.py"}
    if not entries & {file.path for file in wheel.files}:
        raise SdkError(
            Code.MODULE_MISSING,
            f"The wheel of {settings.name} does not hold {package}/provider.py",
            why="The project has it, but the build backend leaves it out. The wheel holds:\n"
            + "\n".join(f"  {name}" for name in sorted(wheel.top_levels)),
            where=settings.where("module"),
            resolution=_ignored(settings, package)
            or "Name the package for the build backend, for hatchling: "
            f'[tool.hatch.build.targets.wheel] packages = ["src/{package.partition("/")[0]}"].',
        )
    return wheel


def _ignored(settings: Settings, package: str) -> str:
    """What to do where a line of .gitignore hides the provider from the build backend."""
    from lls_provider.project.ignored import hidden_by

    found = next(
        (
            (path, line)
            for folder in ("src/", "")
            if (settings.root / (path := f"{folder}{package}")).exists()
            and (line := hidden_by(settings.root, f"{path}/provider.py")) is not None
        ),
        None,
    )
    if found is None:
        return ""
    path, line = found
    return (
        f"Remove the line that hides it from git, {line}: build backends such as hatchling leave "
        "out what git ignores. Or, for hatchling, name it all the same: "
        f'[tool.hatch.build.targets.wheel] artifacts = ["{path}"].'
    )


def requirement(wheel: Wheel, source: Path | None = None) -> str:
    """The requirement that only this wheel satisfies, or the folder that it was built from.

    From the folder uv reads ``[tool.uv.sources]`` too, which a wheel does not have.
    """
    return f"{wheel.name} @ {(source or wheel.path).absolute().as_uri()}"


def metadata(settings: Settings, *, version: str) -> ProviderPackage:
    """The metadata that settings make, still without the paths of wheels."""
    from lls_provider.contract.models import ProviderPackage

    return ProviderPackage(
        name=settings.name,
        version=version,
        vendor=settings.vendor,
        description=settings.description,
        maintainer=settings.maintainer,
        package_name=settings.module,
        provider_type=settings.provider_type,
        api=settings.api,
        wheel_path="",
    )
