"""Runs all five phases of a Pod on this machine, with the real server (contract section 2)."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from lls_provider.bundle.bundle import read_bundle
from lls_provider.contract.names import VolumeTree
from lls_provider.errors import Code, SdkError
from lls_provider.local import base_config, early_checks, plan
from lls_provider.local.bundles import TargetBundles
from lls_provider.local.call import free_port, require_free
from lls_provider.local.environment import PreparedServer, prepare_server
from lls_provider.local.log_diagnosis import LogDiagnosis
from lls_provider.local.phases import (
    RUN_CONFIG,
    Runtime,
    has_schema,
    require_valid_configs,
    supply_missing_apis,
)
from lls_provider.local.plan import (
    InitContainer,
    InspectedSource,
    Phase,
    PlannedProvider,
    UpOptions,
    UpResult,
)
from lls_provider.local.questions import served_providers
from lls_provider.local.sample_calls import sent_calls
from lls_provider.local.server import Server, server_environment, start_command
from lls_provider.local.service import SERVICE_URL, choose_service, start_service
from lls_provider.local.workspace import Workspace
from lls_provider.operations.targets import SourceKind
from lls_provider.progress import SILENT, Progress
from lls_provider.runtime.preflight.api_dependencies import Supply
from lls_provider.system.files import wrapping_write_errors

if TYPE_CHECKING:
    from lls_provider.operations.targets import ProviderSource
    from lls_provider.project.sample_call import SampleCall
    from lls_provider.project.settings import Settings


@dataclass(frozen=True, slots=True)
class InstalledPod:
    """What phases 1 to 3 have made, for the phases after them.

    ``given`` are the providers whose config is the command line's.
    """

    server: PreparedServer
    providers: tuple[PlannedProvider, ...]
    containers: tuple[InitContainer, ...]
    given: frozenset[str]
    volume: VolumeTree


class Up:
    """One run of `up`; a context manager that stops every process and removes every file.

    Entering checks the targets and the port. `run` runs the phases and adds each to ``result`` when
    it ends; `again` and `confirm` do so after a project has changed; `stay` waits while the server
    runs.
    """

    def __init__(
        self, targets: Sequence[ProviderSource], options: UpOptions, progress: Progress = SILENT
    ) -> None:
        self.options = options
        self.result = UpResult()
        self._targets = tuple(targets)
        self._progress = progress
        self._stack = contextlib.ExitStack()
        self._workspace = Workspace(keep=options.keep)
        self._candidates: tuple[InspectedSource, ...] = ()
        self._named = ""  # the server, as it was chosen
        self._port = options.port
        self._prepared_server: PreparedServer | None = None
        self._image_variables: Mapping[str, str] = {}
        self._service: dict[str, str] = {}  # the variable with the address of the stand-in service
        self._bundles = TargetBundles(self._workspace, self._phase, progress)
        self._stale: set[Path] = set()  # projects that changed and were not built since
        self._volumes = 0
        self._volume: VolumeTree | None = None
        self._on_volume: tuple[tuple[str, ...], ...] = ()  # the providers that it is for
        self._unconfirmed: InstalledPod | None = None  # preflight is still to be run
        self._server: Server | None = None
        self._supply = Supply()  # the server's own providers of APIs that the providers need
        self.last_call: SampleCall | None = None  # as it was sent

    def __enter__(self) -> Up:
        with contextlib.ExitStack() as stack:
            if self.options.port is not None:
                require_free(self.options.port)
            early_checks.require_distinct(self._targets)
            self._candidates = tuple(
                plan.inspect_source(it, self.options, self._progress) for it in self._targets
            )
            self._choose()
            early_checks.require_known_ids(self._candidates, self.options)
            stack.enter_context(self._workspace)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.options.keep:
            self._progress.note(f"kept: {self._workspace.root}")
        self._stack.__exit__(kind, error, trace)

    @property
    def url(self) -> str:
        """The server's URL; empty before it has started."""
        return self._server.url if self._server is not None else ""

    @property
    def server_group(self) -> int:
        """The process group of the running server."""
        assert self._server is not None, "no server is up"  # noqa: S101
        return self._server.group

    @property
    def log(self) -> Path:
        """The server's log."""
        return self._workspace.root / "server.log"

    @property
    def projects(self) -> tuple[Path, ...]:
        """The directories of the targets that are projects."""
        return tuple(it.path for it in self._targets if it.kind is SourceKind.PROJECT)

    def run(self) -> UpResult:
        """Run all phases, including the sample call.

        Raises the SdkError of the phase that failed; the server is stopped at the latest when the
        context ends.
        """
        prepared = self._prepared_server or self._prepared()
        providers = self._built(prepared)
        self._checked_first(self._installed(providers, prepared))
        return self.result

    def again(self, changed: Collection[Path]) -> UpResult:
        """Run the phases again after the projects at ``changed`` have changed.

        What is unchanged is used again, and the server's port stays. The server goes on while
        settings are read and wheels are built; then it is stopped, because it imports from the
        volume. If it was running, it starts before preflight, which is left to `confirm`, so that
        a change is served sooner. Raises what `run` raises; a call that fails leaves the server
        running.
        """
        self.result, self._unconfirmed = UpResult(self.result.server), None
        self._reconsider(changed)
        prepared = self._prepared_server or self._prepared()
        providers = self._built(prepared)
        serve = self._checked_first if self._server is None else self._started_first
        self.stop()
        serve(self._installed(providers, prepared))
        return self.result

    def confirm(self) -> None:
        """Run preflight if `again` left it out. Raises its SdkError; the server is then stopped."""
        pod, self._unconfirmed = self._unconfirmed, None
        if pod is not None:
            try:
                self._preflight(pod)
            except SdkError:
                self.stop()
                raise

    def stay(self) -> None:
        """Wait while the server runs. Raises SdkError SERVER_FAILED when it ends by itself."""
        assert self._server is not None, "stay() comes after run()"  # noqa: S101
        self._server.wait()

    def require_alive(self) -> None:
        """Raise SdkError SERVER_FAILED if the server has ended by itself; it is then stopped."""
        if self._server is not None:
            try:
                self._server.require_alive()
            except SdkError:
                self.stop()
                raise

    def stop(self) -> None:
        """Stop the server if it runs."""
        server, self._server = self._server, None
        if server is not None:
            server.stop()

    @property
    def _settings(self) -> list[Settings]:
        return [it.settings for it in self._candidates if it.settings is not None]

    def _choose(self) -> None:
        """Choose the server and the base configuration; refuse what contradicts itself."""
        self._named = plan.choose_server(self.options.server, self._candidates)
        plan.choose_base(self.options.base_config, self._settings)
        choose_service(self._settings)
        self.result.server = self._named

    def _reconsider(self, changed: Collection[Path]) -> None:
        """Read the settings of projects again, and forget what was made of those that changed."""
        self._stale |= set(changed)
        self._candidates = tuple(
            plan.inspect_source(it.target, self.options, self._progress)
            if it.target.path in self._stale and it.target.kind is SourceKind.PROJECT
            else it
            for it in self._candidates
        )
        before = self._named, self._python
        label = self.result.server
        self._choose()
        if (self._named, self._python) != before:
            self._prepared_server, self._on_volume = None, ()
            self._bundles.forget()
        else:
            self.result.server = label
        self._bundles.forget(
            [i for i, item in enumerate(self._candidates) if item.target.path in self._stale]
        )
        self._stale.clear()

    @contextlib.contextmanager
    def _phase(self, name: str, step: str) -> Iterator[None]:
        self._progress.step(step)
        begin = time.monotonic()
        ok = False
        try:
            yield
            ok = True
        except SdkError as error:
            for item in self._candidates:
                entry = item.target.entry
                if entry is not None and entry.provider_id == error.where.provider:
                    item.target.located(error)
            raise
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            with wrapping_write_errors(self._workspace.root, f"what the {name} phase makes"):
                raise
        finally:
            phase = Phase(name, time.monotonic() - begin, ok)
            self.result.phases.append(phase)
            state = "done" if ok else "failed"
            self._progress.note(f"{name:<11} {state} in {phase.seconds:.1f} s")

    @property
    def _python(self) -> str | None:
        return plan.choose_python(self.options.python, self._candidates, self._named)

    def _prepared(self) -> PreparedServer:
        """Prepare the server, first, because the phases run on its Python."""
        with self._phase("environment", f"preparing the server {self._named}"):
            prepared = prepare_server(self._named, self._python, self.options, self._progress)
        self.result.server = prepared.distribution.label
        self._prepared_server = prepared
        return prepared

    def _built(self, server: PreparedServer) -> tuple[PlannedProvider, ...]:
        early_checks.require_apis(self._candidates, server.environment, self.options)
        return self._bundles.providers(self._candidates, server.distribution)

    def _installed(
        self, providers: Sequence[PlannedProvider], server: PreparedServer
    ) -> InstalledPod:
        """Run phases 1 to 3."""
        ids = [provider.provider_id for provider in providers]
        configs = plan.assign_configs(self.options.configs, ids)
        pod = InstalledPod(
            server,
            tuple(providers),
            plan.init_containers(providers, configs),
            frozenset(configs),
            self._volume_for(providers),
        )
        interpreter = server.distribution.interpreter
        runtime = self._runtime(pod)
        with self._phase("install", f"installing {', '.join(ids)}"):
            for container in pod.containers:
                runtime.install(container, interpreter.path, interpreter.tag)
        with self._phase("extract", "extracting the base configuration"):
            self._extract(pod)
        with self._phase("merge", "merging the configuration"):
            runtime.merge(server.environment.python)
        return pod

    def _volume_for(self, providers: Sequence[PlannedProvider]) -> VolumeTree:
        """Return the volume of the run before, or a new one if that has another provider."""
        there = tuple((it.provider_id, it.api, it.module, it.target) for it in providers)
        if self._volume is None or self._on_volume != there:
            if self._volume is not None:
                shutil.rmtree(self._volume.root, ignore_errors=True)
            self._volumes += 1
            name = f"volume-{self._volumes}" if self._volumes > 1 else "volume"
            self._volume = VolumeTree(self._workspace.make_directory(name))
            self._on_volume, self._supply = there, Supply()
        return self._volume

    def _runtime(self, pod: InstalledPod) -> Runtime:
        return Runtime(self._workspace, pod.volume, self._variables(pod.volume), self._progress)

    def _checked_first(self, pod: InstalledPod) -> None:
        """Run phases 4 and 5 in the order of a Pod, then the call."""
        self._preflight(pod)
        self._serve(pod)
        self._called()

    def _started_first(self, pod: InstalledPod) -> None:
        """Start the server and call it.

        If the server does not start, preflight says why, or adds what it lacks.
        """
        try:
            self._serve(pod)
        except SdkError:
            if not self._preflight(pod):
                raise
            self._serve(pod)
        else:
            self._unconfirmed = pod
        self._called()

    def _serve(self, pod: InstalledPod) -> None:
        """Run phase 5; a server that does not list the providers is stopped."""
        self._start_service(pod)
        try:
            server = self._started(pod)
        except SdkError as error:
            if error.code is Code.SERVER_FAILED:  # a project's config may be why
                self._require_valid_configs(pod, probe=True)
            raise
        try:
            with self._phase("providers", "asking the server for its providers"):
                self.result.providers = served_providers(server, pod.providers)
        except SdkError:
            self.stop()
            raise

    def _preflight(self, pod: InstalledPod) -> bool:
        """Run phase 4; return whether it added providers of the server's own."""
        with self._phase("preflight", "validating the providers"):
            self._require_valid_configs(pod)
            # last it says that all is well
            return self._validated(pod)

    def _require_valid_configs(self, pod: InstalledPod, *, probe: bool = False) -> None:
        for container in pod.containers:
            if has_schema(container) != probe:
                require_valid_configs(
                    container,
                    pod.given,
                    python=pod.server.environment.python,
                    variables=self._variables(pod.volume),
                    progress=self._progress,
                )

    def _validated(self, pod: InstalledPod) -> bool:
        """Run preflight; supply missing APIs with the server's own providers where it has them."""
        python, runtime = pod.server.environment.python, self._runtime(pod)
        supplied = False
        while True:
            try:
                runtime.preflight(python)
            except SdkError as error:
                run_yaml = pod.volume.config / RUN_CONFIG
                pins = pod.server.distribution.pins
                found = supply_missing_apis(error, run_yaml, pins, self._variables(pod.volume))
                if found is None or found.entries.keys() & self._supply.entries.keys():
                    raise
                self._supply = self._supply.joined(found)
                supplied = True
                for api, entry in found.entries.items():
                    self._progress.note(
                        f"supplying the server's own {entry['provider_type']}: a provider needs "
                        f"the API '{api}'"
                    )
                self._extract(pod)
                runtime.merge(python)
            else:
                return supplied

    def _extract(self, pod: InstalledPod) -> None:
        line = pod.server.distribution.line
        assert line is not None  # noqa: S101 - refused before
        version = pod.server.distribution.pins[line.name]
        minimal = line.minimal_config(version)
        base = base_config.chosen_base(
            plan.choose_base(self.options.base_config, self._settings),
            pod.server.image,
            self.options.image_server,
        )
        self._image_variables = base.variables
        resources = base_config.requested_resources(
            [(it.provider_id, it.settings) for it in pod.providers], self.options.resources
        )
        made = base_config.with_resources(
            base_config.localized(base.value or minimal, minimal),
            resources,
            line.resources_key(version),
        )
        base_config.write_base(base_config.with_supply(made, self._supply), pod.volume.base_config)

    def _variables(self, volume: VolumeTree) -> dict[str, str]:
        home, temporary = (self._workspace.root / name for name in ("home", "tmp"))
        for directory in (home, temporary):
            if not directory.exists():
                self._workspace.make_directory(directory.name)
        given = plan.environment_of(self.options.environment, self._settings)
        return server_environment(
            os.environ,
            home=home,
            temporary=temporary,
            packages=[volume.python_packages],
            given={**self._image_variables, **self._service, **given},
        )

    def _start_service(self, pod: InstalledPod) -> None:
        """Start the project's stand-in service, if there is one; it goes on until the end."""
        file = choose_service(self._settings)
        if file is None or self._service:
            return
        with self._phase("service", f"starting the service {file.name}"):
            url = start_service(
                file,
                self._workspace,
                pod.server.environment.python,
                self._variables(pod.volume),
            )
        self._service[SERVICE_URL] = url

    def _started(self, pod: InstalledPod) -> Server:
        """Run phase 5, on a free port if none was requested or used before."""
        has_base = plan.choose_base(self.options.base_config, self._settings) or pod.server.image
        suspects = LogDiagnosis(
            pod.volume.python_packages,
            {item.module: item.provider_id for item in pod.providers},
            own_base=not has_base,
            wheels={item.provider_id: read_bundle(item.bundle).own_wheel for item in pod.providers},
            projects=frozenset(
                item.provider_id for item in pod.providers if item.settings is not None
            ),
            supplied=tuple(self._supply.entries),
        )
        attempts = _PORT_ATTEMPTS if self._port is None else 1
        run_yaml = pod.volume.config / RUN_CONFIG
        with self._phase("server", f"starting {self.result.server}"):
            while True:
                attempts -= 1
                server = Server(
                    self._workspace,
                    label=self.result.server,
                    port=free_port() if self._port is None else self._port,
                    log=self.log,
                    suspects=suspects,
                )
                require_free(server.port)
                server.start(
                    start_command(pod.server.environment, run_yaml, server.port),
                    environment=self._variables(pod.volume),
                    directory=self._workspace.root / "home",
                )
                try:
                    server.wait_ready()
                except SdkError as error:
                    server.stop()
                    # another process took the port between our check and the server's start
                    if error.code is not Code.PORT_TAKEN or not attempts:
                        raise
                else:
                    self._server, self._port = server, server.port
                    return server

    def _called(self) -> None:
        calls, server = plan.choose_calls(self.options.call, self._settings), self._server
        if not calls or server is None:
            return
        with self._phase("call", f"calling {calls[0].name}"):
            for sent in sent_calls(server, calls, self._progress):
                self.result.calls.append(sent.reply)
                self.last_call = sent.call


_PORT_ATTEMPTS = 3
