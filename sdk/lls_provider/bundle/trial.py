"""Loads a provider as a server would, before its image is made: what resolves may not import.

The environment is the distribution's packages with the bundle's wheels in front of them, as in a
Pod (contract section 2). The same run returns the JSON Schema of the config class. Processes that
import a server's API are started while the provider is still being built.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from packaging.utils import canonicalize_name, parse_wheel_filename

from lls_provider.bundle.server_constraints import (
    describe_conflict,
    hiding_error,
    modules_of,
    rejection,
    rejections,
    replaced,
    server_environment_of,
    unsatisfied,
    with_requirements,
)
from lls_provider.errors import Code, SdkError, Where
from lls_provider.progress import SILENT, Progress
from lls_provider.runtime.install.shadowing import hidden_modules, shadowing_modules
from lls_provider.runtime.preflight.probe_client import (
    PooledProbe,
    ProbeFailure,
    ProbeRequest,
    ProbeResult,
    pooled_probe,
    probe_all,
)
from lls_provider.runtime.target_python import target_python
from lls_provider.runtime.wheelfile.wheel import read_wheel
from lls_provider.system.cache import scratch
from lls_provider.wheels.environment import existing_environment
from lls_provider.wheels.servers import line_of_module
from lls_provider.wheels.uv import run_uv

if TYPE_CHECKING:
    from lls_provider.contract.models import ProviderPackage
    from lls_provider.runtime.install.shadowing import ShadowingModules
    from lls_provider.runtime.wheelfile.wheel import Wheel
    from lls_provider.wheels.distribution import Distribution
    from lls_provider.wheels.environment import Environment


# a Python needs these variables of this machine to start; the others could leak into an image
_KEPT = ("PATH", "LD_LIBRARY_PATH")
_FIXED = {"LC_ALL": "C.UTF-8", "PYTHONHASHSEED": "0", "TZ": "UTC"}
CORRECT_PROVIDER = "Correct the provider; the cause is shown above."
"""What to do about a provider that does not load, if nothing more is known."""


class TrialProcess(NamedTuple):
    """A process that waits to load a provider, and its home directory."""

    probe: PooledProbe
    home: Path


@dataclass(frozen=True, slots=True)
class Trial:
    """How a build tries its provider.

    ``allow_failure`` is the reason to build an image although the provider does not load;
    ``environment`` are variables that it needs; ``waiting`` are processes in the environments of
    servers, by the servers' labels.
    """

    allow_failure: str | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    waiting: Mapping[str, TrialProcess] = field(default_factory=dict, repr=False, compare=False)


@contextlib.contextmanager
def probe_pool(
    servers: Sequence[Distribution], trial: Trial | None, machines: Collection[str]
) -> Iterator[Trial | None]:
    """The trial with a waiting process for each server; all end with the block.

    A server without an environment in the cache gets none, and there is none at all if no image is
    for this machine. Measured by benchmarks/tricks.py: without it a build beside a server takes
    1.31 times as long.
    """
    if trial is None or os.uname().machine not in machines:
        yield trial
        return
    with contextlib.ExitStack() as stack:
        waiting = {}
        for server in servers:
            environment = existing_environment(server)
            if environment is None or server.line is None:
                continue
            home = stack.enter_context(scratch("home"))
            with contextlib.suppress(SdkError):  # the trial itself reports what is wrong
                probe = pooled_probe(
                    environment.python,
                    [server.line.api_package],
                    env=trial_environment(home, trial),
                    keep_bytecode=server.environment is None,  # then it is in our cache
                )
                waiting[server.label] = TrialProcess(stack.enter_context(probe), home)
        yield replace(trial, waiting=waiting)


def trial_environment(home: Path, trial: Trial) -> dict[str, str]:
    """The variables that a provider is tried with."""
    kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
    return {**kept, **_FIXED, "HOME": str(home), **trial.environment}


@dataclass(frozen=True, slots=True)
class TrialResult:
    """What a trial found: the schema of the config class, and why a failure was allowed."""

    schema: dict[str, Any] | None = None
    not_loaded: str | None = None


@dataclass(frozen=True, slots=True)
class LoadFailure:
    """The detail of an SdkError: the failure of a trial, and the wheels that were tried."""

    failure: ProbeFailure
    wheels: tuple[Path, ...]


def try_provider(
    servers: Sequence[Distribution],
    wheels: Sequence[Path],
    metadata: ProviderPackage,
    trial: Trial,
    *,
    machine: str,
    overrides: Sequence[str] = (),
    read: Iterable[Wheel] = (),
    known: ProbeResult | None = None,
    published: bool = False,
    where: Where = Where(),  # noqa: B008 - frozen
    progress: Progress = SILENT,
) -> TrialResult:
    """Load the provider of ``wheels`` beside each of the servers; the first reports the schema.

    ``read`` are wheels that need not be read again; ``known`` is the result that `load_provider`
    already has from the first server. With ``published`` the reader of an error cannot change the
    provider.

    What cannot be tried (wheels for another machine, packages of a server that no index has) is
    a warning. Raises SdkError VALIDATION_FAILED if the provider does not load or does not match
    ``metadata``, MODULE_HIDDEN if one of its modules would hide the server's, DEPENDENCY_CONFLICT
    if a server does not have all that it needs, or if the server's packages do not accept those
    that would shadow theirs; but none of these with ``trial.allow_failure``. Raises what `run_uv`
    raises.
    """
    schemas = []
    before = {wheel.path: wheel for wheel in read}
    try:
        for server in servers:
            _require_accepted(server, wheels, machine, overrides, where, progress)
        found = [before.get(wheel) or read_wheel(wheel) for wheel in wheels]
        fronts = [shadowing_modules(wheel) for wheel in found]
        if machine != os.uname().machine:
            for server in servers:
                _require_unhidden(server, None, fronts, where)
            progress.warn(
                f"not tried: an image for {machine} cannot be loaded on this {os.uname().machine}; "
                "build on that machine, or for both, to see it load and to store its config schema"
            )
            return TrialResult()
        for server in servers:
            _require_closed(server, found, metadata, machine, overrides, where)
            environment = server_environment_of(server, progress)
            _require_unhidden(server, environment, fronts, where)
            result = known if server is servers[0] else None
            if result is None and environment is not None:
                result = _probe(environment, server, wheels, metadata, trial, progress)
            if result is not None:
                _require_loaded(result, server, wheels, metadata, where, published=published)
                schemas += [result.config_schema] if result.config_schema is not None else []
    except SdkError as error:
        allowed = (Code.VALIDATION_FAILED, Code.DEPENDENCY_CONFLICT, Code.MODULE_HIDDEN)
        if trial.allow_failure is None or error.code not in allowed:
            raise
        first = error.why.splitlines()[0] if error.why else ""
        progress.warn(f"{error.what}: {first} (failure allowed: {trial.allow_failure})")
        return TrialResult(not_loaded=trial.allow_failure)
    return TrialResult(schemas[0] if schemas else None)


def load_provider(
    environment: Environment,
    wheels: Sequence[Path],
    modules: Sequence[str],
    trial: Trial,
    *,
    provider_type: str | None = None,
) -> dict[str, ProbeResult]:
    """The probe's result for each module, loaded beside a server with ``wheels`` first on the path.

    One process loads them all, since modules of one package import the same packages, which can
    take seconds. If a module ends the process, another one loads those after it.
    """
    waiting = trial.waiting.get(environment.distribution.label)
    with scratch("trial") as directory:
        packages, home = directory / "packages", directory / "home"
        home.mkdir()
        run_uv(
            [
                *("pip", "install", "--quiet", "--offline", "--no-index", "--no-deps"),
                *("--python", str(environment.python), "--target", str(packages)),
                *(str(wheel) for wheel in wheels),
            ],
            doing="unpacking the provider beside the server",
        )
        requests = [ProbeRequest(module, provider_type, schema=True) for module in modules]
        pooled = waiting.probe.ask(requests, packages) if waiting is not None else None
        answers = list(pooled or ())
        # if a module ended the process, those after it have no answer yet
        while len(answers) < len(requests):
            env = trial_environment(home, trial)
            rest = requests[len(answers) :]
            answers += probe_all(environment.python, rest, path=[packages], env=env)
        homes = [home, *([waiting.home] if waiting is not None else ())]
        return {
            module: _portable(answer, packages, homes)
            for module, answer in zip(modules, answers, strict=True)
        }


def _portable(result: ProbeResult, packages: Path, homes: Iterable[Path]) -> ProbeResult:
    """The result without the temporary directories of this run."""
    schema, failure = result.config_schema, result.failure
    if schema is not None:
        text = json.dumps(schema)
        for home in homes:
            text = text.replace(json.dumps(str(home))[1:-1], "~")
        schema = json.loads(text)
    if failure is not None:
        failure = replace(
            failure,
            **{
                name: getattr(failure, name).replace(f"{packages}/", "")
                for name in ("reason", "traceback", "output", "way")
            },
        )
    return replace(result, config_schema=schema, failure=failure)


def _probe(
    environment: Environment,
    server: Distribution,
    wheels: Sequence[Path],
    metadata: ProviderPackage,
    trial: Trial,
    progress: Progress,
) -> ProbeResult:
    module = metadata.package_name
    progress.step(f"loading {module} beside {server.label}")
    return load_provider(
        environment, wheels, [module], trial, provider_type=metadata.provider_type
    )[module]


def _require_loaded(
    result: ProbeResult,
    server: Distribution,
    wheels: Sequence[Path],
    metadata: ProviderPackage,
    where: Where,
    *,
    published: bool,
) -> None:
    if result.failure is not None:
        failure, module = result.failure, metadata.package_name
        way = load_resolution(failure, module, server, wheels, published=published)
        raise SdkError(
            Code.VALIDATION_FAILED,
            f"{metadata.package_name} does not load beside {server.label}",
            why=f"{failure.reason}\n\n{failure.details}".rstrip(),
            where=where,
            resolution=f"{way} To build the image all the same, use --allow-failure REASON.",
            detail=LoadFailure(failure, tuple(wheels)),
        )
    spec = result.spec(metadata.provider_type)
    for name, stated, found in (
        ("providerType", metadata.provider_type, spec.provider_type if spec else ""),
        ("api", metadata.api, spec.api if spec else ""),
    ):
        if stated != found:
            raise SdkError(
                Code.VALIDATION_FAILED,
                f"{metadata.package_name} does not match its metadata",
                why=f"{name} is '{stated}' in the metadata, but '{found}' in "
                f"get_provider_spec(), called beside {server.label}.",
                where=where,
                resolution="Correct --api and --provider-type, or leave them out."
                if published
                else "Make both say the same.",
            )


def _require_accepted(
    server: Distribution,
    wheels: Sequence[Path],
    machine: str,
    overrides: Sequence[str],
    where: Where,
    progress: Progress,
) -> None:
    """Refuse what the server's own packages do not accept (contract decision 1)."""
    named = (parse_wheel_filename(wheel.name)[:2] for wheel in wheels)
    front = replaced(server, {name: str(version) for name, version in named})
    if not front:
        return
    server = with_requirements(server, progress)
    target = target_python(server.interpreter.tag, manifest_machine=machine)
    if refused := rejections(server, front, target, overrides):
        raise rejection(server, front, refused, where)
    shown = [f"{name} {it} in front of its {server.pins[name]}" for name, it in front.items()]
    if server.requires is None:
        progress.warn(
            f"not known: whether the packages of {server.label} accept what goes into the image, "
            f"{', '.join(shown)}: their requirements are not known here"
        )


def _require_closed(
    server: Distribution,
    wheels: Sequence[Wheel],
    metadata: ProviderPackage,
    machine: str,
    overrides: Sequence[str],
    where: Where,
) -> None:
    """Apply the installer's rule to all packages that this server has."""
    conflicts = unsatisfied(
        wheels,
        own=None,
        target=target_python(server.interpreter.tag, manifest_machine=machine),
        provided=server.pins,
        overrides=overrides,
    )
    if conflicts:
        raise SdkError(
            Code.DEPENDENCY_CONFLICT,
            f"{metadata.name} and {server.label} do not have all that it needs",
            why="\n".join(describe_conflict(conflict, server.pins) for conflict in conflicts),
            where=where,
            resolution="Correct the requirement, or put another bound in its place with "
            "--override when it is wrong upstream.",
        )


def _require_unhidden(
    server: Distribution,
    environment: Environment | None,
    fronts: Sequence[ShadowingModules],
    where: Where,
) -> None:
    """Refuse modules that would hide other modules of the server (contract decision 14)."""
    modules = modules_of(server, environment)
    found = list(hidden_modules(fronts, modules, server.interpreter.minor[1]))
    if found:
        more = " To build the image all the same, use --allow-failure REASON."
        raise hiding_error(server.label, found, where, more=more)


def load_resolution(
    failure: ProbeFailure,
    module: str,
    server: Distribution,
    wheels: Sequence[Path],
    *,
    published: bool,
) -> str:
    """What to do about a ``module`` of ``wheels`` that does not load; see `try_provider`."""
    missing = failure.missing_module or ""
    if missing and failure.way and not published:
        return failure.way
    owner = missing.partition(".")[0]
    name = canonicalize_name(owner)
    if "." in missing and owner != module.partition(".")[0]:
        bundled = dict(parse_wheel_filename(it.name)[:2] for it in wheels)
        if name in bundled:
            dependency = "" if published else " in the provider's dependencies or"
            return (
                f"{name} {bundled[name]}, which goes into the image, has no such module. Ask for a "
                f"version that has it,{dependency} with --override, such as "
                f"'{name}<{bundled[name]}'."
            )
        if name in server.pins:
            another = "another version of the provider after --package"
            return (
                f"{server.label} has {owner} without that module: the provider is for another "
                "version of it. Name that one with --distribution, or "
                f"{another if published else 'correct the import'}."
            )
    line = line_of_module(owner)
    if line is not None and name not in server.pins:
        other = server.line is not None and server.line is not line
        has = f"is not a {line.name}" if other else "does not have that"
        if published:
            alternative = "name another version of it after --package"
        else:
            alternative = "import each server's package in a `try`, as `lls-provider new` writes it"
        return (
            f"The provider imports {owner}, and {server.label} {has}. Name a {line.name} that has "
            f"it with --distribution, or {alternative}."
        )
    if published:
        cause = f"The package does not depend on what provides '{missing}'. " if missing else ""
        way = (
            f"{cause}Name another version of it or an extra after --package, or another "
            "--distribution."
            if failure.kind in ("import", "call")
            else "Correct --module, --api and --provider-type, or name another version of it after "
            "--package."
        )
        return f"{way} For its author: {failure.way}" if failure.way else way
    if missing:
        return (
            f"Add what provides '{missing}' to the dependencies in [project], or correct the "
            "import."
        )
    return failure.way or CORRECT_PROVIDER
