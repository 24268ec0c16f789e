"""Turns a project into a bundle: builds its wheel, collects its closure, assembles the tree."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lls_provider.bundle.assemble import writable_target
from lls_provider.bundle.bundle import BundleOptions
from lls_provider.bundle.lock import LockMode
from lls_provider.bundle.static_spec import ENTRIES
from lls_provider.errors import Code, SdkError
from lls_provider.progress import SILENT, Progress
from lls_provider.project.load_failure import located_in_source
from lls_provider.project.modules import ignoring_rule
from lls_provider.project.places import dependency_named_in
from lls_provider.project.pyproject import FILE
from lls_provider.project.toml_values import table_at

if TYPE_CHECKING:
    from lls_provider.bundle.bundle import Bundle, PrefetchedWheels
    from lls_provider.contract.models import ProviderPackage
    from lls_provider.project.settings import Settings
    from lls_provider.runtime.wheelfile.wheel import Wheel
    from lls_provider.wheels.interpreter import Interpreter
    from lls_provider.wheels.lock import LockFile

_UV = ("tool", "uv")


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
    provider's module is not in the wheel, WHEEL_INCOMPATIBLE when it is compiled and another
    machine is requested, TARGET_EXISTS before any work, LOCK_STALE, and what building, resolving,
    locking, fetching and assembling raise.
    """
    from lls_provider.bundle.lock import build_requires, sources_digest
    from lls_provider.bundle.trial import probe_pool
    from lls_provider.system.cache import scratch
    from lls_provider.wheels.fetch import reporting_damage
    from lls_provider.wheels.pep517 import require_portable

    for out in outs.values():
        writable_target(out)
    locking = LockMode.of(options.lock, options.locked)
    servers, interpreter = locking.servers(
        options.distributions,
        options.python or settings.python,
        progress,
        settings.lowest_python,
        base=settings.root,
    )
    trial = options.trial and replace(options.trial, environment=settings.up.env)
    with scratch("project") as directory, probe_pool(servers, trial, outs) as trial:
        sources = sources_digest(uv_sources(settings.root, settings.pyproject.data))
        build = build_requires(settings.pyproject.data)
        backend = locking.backend(build, interpreter, settings.root)
        prefetched: list[PrefetchedWheels] = []

        # runs while another process builds the wheel
        def prepared() -> None:
            prefetched.append(_prepared(locking.file, interpreter, outs))
            meanwhile()

        wheel = build_own_wheel(settings, directory, interpreter, progress, backend, prepared)
        from lls_provider.bundle.assemble import assemble_each
        from lls_provider.bundle.bundle import BundleRequest
        from lls_provider.bundle.closure import collect_wheels, normalized_requirement
        from lls_provider.bundle.trial import try_provider

        require_portable(wheel.path, outs)
        request = BundleRequest(
            project_requirement(wheel, settings.root if sources else None),
            wheel,
            interpreter,
            servers,
            options.overrides,
            normalized_requirement(options.bundle),
            machines=tuple(outs),
            base=settings.root,
            sources=sources,
            build=build,
            locked=locking.file,
            prefetched=prefetched[0],
        )
        collected = {}
        for machine in outs:
            try:
                found = collect_wheels(replace(request, machine=machine), progress)
            except SdkError as error:
                if error.code is Code.RESOLUTION_FAILED:
                    error.where = dependency_named_in(settings, error.why)
                raise
            collected[machine] = found
        package = project_metadata(settings, version=str(wheel.version))
        machine = request.machine if request.machine in collected else next(iter(collected))
        result = None
        with reporting_damage(pair for it in collected.values() for pair in it.fetched):
            if trial is not None and servers:
                with located_in_source(settings):
                    result = try_provider(
                        servers,
                        [wheel.path, *collected[machine].wheels],
                        package,
                        trial,
                        machine=machine,
                        overrides=options.overrides,
                        read=(wheel, *collected[machine].read),
                        where=settings.where("module"),
                        progress=progress,
                    )
            bundles = assemble_each(request, collected, outs, package, result, progress)
        locking.write(request, found, progress, backend)
        return bundles


def _prepared(
    locked: LockFile | None, interpreter: Interpreter, outs: Mapping[str, Path]
) -> PrefetchedWheels:
    """Prefetch the wheels of the lock; import what the steps after the build need."""
    from lls_provider.bundle import assemble, closure, trial, zipapp  # noqa: F401
    from lls_provider.bundle.bundle import PrefetchedWheels
    from lls_provider.bundle.closure import prefetch_wheels
    from lls_provider.contract import yaml_text  # noqa: F401

    zipapp.zipapp_path()
    return prefetch_wheels(locked, interpreter, outs) if locked is not None else PrefetchedWheels()


def build_own_wheel(
    settings: Settings,
    directory: Path,
    interpreter: Interpreter,
    progress: Progress,
    backend: Sequence[str] | None = None,
    meanwhile: Callable[[], object] | None = None,
) -> Wheel:
    """Build the project's wheel into ``directory`` and check that the provider is in it.

    ``backend`` are the versions to build it with; ``meanwhile`` is called while it works. Raises
    SdkError MODULE_MISSING, or what building and reading a wheel raise.
    """
    from lls_provider.runtime.wheelfile.wheel import read_wheel
    from lls_provider.wheels.pep517 import build_wheel

    wheel = read_wheel(
        build_wheel(
            settings.root,
            directory,
            interpreter=interpreter,
            pins=backend,
            meanwhile=meanwhile,
            progress=progress,
        )
    )
    package = settings.module.replace(".", "/")
    if not {f"{package}/{entry}" for entry in ENTRIES} & {file.path for file in wheel.files}:
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
    """Return the resolution if a line of .gitignore hides the provider from the build backend."""
    found = next(
        (
            (path, line)
            for directory in ("src/", "")
            if (settings.root / (path := f"{directory}{package}")).exists()
            and (line := ignoring_rule(settings.root, f"{path}/provider.py")) is not None
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


def project_requirement(wheel: Wheel, source: Path | None = None) -> str:
    """Return a requirement on this wheel by URL, or on the directory that it was built from.

    From the directory, uv also reads ``[tool.uv.sources]``, which a wheel does not have.
    """
    return f"{wheel.name} @ {(source or wheel.path).absolute().as_uri()}"


def project_metadata(settings: Settings, *, version: str) -> ProviderPackage:
    """Return the metadata that the settings define, without the paths of wheels."""
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


def uv_sources(root: Path, pyproject: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``[tool.uv.sources]`` of the project in ``root`` and of its workspace.

    uv applies the sources of a workspace's root to every member
    (https://docs.astral.sh/uv/concepts/projects/workspaces/). Without them a member's name would be
    looked up in the index, where anyone can own it.
    """
    return {
        **table_at(_workspace(root), *_UV, "sources"),
        **table_at(pyproject, *_UV, "sources"),
    }


def _workspace(root: Path) -> Mapping[str, Any]:
    """Return the ``pyproject.toml`` of the nearest workspace above a project."""
    for directory in root.absolute().parents:
        try:
            found = tomllib.loads((directory / FILE).read_text("utf-8"))
        except (OSError, ValueError):
            continue  # uv reports what is wrong with it
        if "workspace" in table_at(found, *_UV):
            return found
    return {}
