"""Runs all five phases of a Pod on this machine, with the real server (contract section 2).

`up` is the library's function, `Up` one run of it.
"""

from __future__ import annotations

import contextlib
import errno
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from lls_provider.bundle.bundle import read_bundle
from lls_provider.contract.names import VolumeTree
from lls_provider.errors import Code, SdkError, Where
from lls_provider.image.bundle_image import unpack
from lls_provider.image.inspect.distribution import load_distribution
from lls_provider.image.transports.layout import read_layout, write_layout
from lls_provider.local import phases, plan
from lls_provider.local.call import free_port, list_providers, parse_call, require_free, send
from lls_provider.local.log_diagnosis import LogDiagnosis, log_end
from lls_provider.local.phases import (
    RUN_CONFIG,
    Runtime,
    require_valid_configs,
    supply_missing_apis,
)
from lls_provider.local.plan import (
    InspectedSource,
    Phase,
    PlannedProvider,
    UpOptions,
    UpResult,
    shown_body,
)
from lls_provider.local.server import Server, server_environment, start_command
from lls_provider.local.workspace import Workspace
from lls_provider.operations.images import several
from lls_provider.operations.targets import SourceKind, resolve_source
from lls_provider.progress import SILENT, Progress
from lls_provider.runtime.preflight.api_dependencies import Supply
from lls_provider.runtime.preflight.probe_client import time_limit
from lls_provider.system.files import wrapping_write_errors
from lls_provider.wheels.environment import Environment, ensure_environment
from lls_provider.wheels.uv_settings import Indexes, using

if TYPE_CHECKING:
    from lls_provider.operations.targets import ProviderSource
    from lls_provider.project.settings import SampleCall, Settings
    from lls_provider.wheels.distribution import Distribution

CALL_TIMEOUT = 300.0  # seconds; a provider may load a model during its first call


@dataclass(frozen=True, slots=True)
class RunningServer:
    """A running server; ``url`` is its address, ``log`` its log on this machine.

    ``result`` holds the phases, the providers that the server lists and the reply to the call.
    """

    url: str
    log: Path
    result: UpResult

    def to_document(self) -> dict[str, Any]:
        """Return the result as plain data, as ``lls-provider up --format json`` shows it."""
        return self.result.to_document()


@contextlib.contextmanager
def up(
    targets: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    *,
    server: str | None = None,
    python: str | None = None,
    port: int | None = None,
    configs: Mapping[str, Mapping[str, Any]] | None = None,
    resources: Mapping[str, Sequence[Mapping[str, Any]]] | None = None,
    base_config: str | os.PathLike[str] | None = None,
    environment: Mapping[str, str] | None = None,
    call: str | None = None,
    keep: bool = False,
    insecure: bool = False,
    indexes: Indexes = Indexes(),  # noqa: B008 - frozen
    progress: Progress = SILENT,
) -> Iterator[RunningServer]:
    """Install each target as a Pod would, start the real server and call it; it runs in the block.

    A target is a project, a bundle directory or an image; the arguments are the options of
    ``lls-provider up``. ``configs`` are by provider ID, ``resources`` by kind, ``call`` is ``METHOD
    PATH [JSON]``. When the block ends for any reason, or this process is killed, the server is
    stopped and its volume is removed (unless ``keep``). Raises the SdkError of the phase that
    failed.
    """
    time_limit()
    options = UpOptions(
        server=server,
        python=python,
        port=port,
        configs=tuple((name, dict(value)) for name, value in (configs or {}).items()),
        resources=tuple(
            (kind, dict(value)) for kind, values in (resources or {}).items() for value in values
        ),
        base_config=Path(base_config) if base_config is not None else None,
        environment=dict(environment or {}),
        call=parse_call(call) if call is not None else None,
        keep=keep,
        insecure=insecure,
    )
    sources = [resolve_source(text) for text in several(targets)]
    with contextlib.ExitStack() as stack:
        with using(indexes):
            run = stack.enter_context(Up(sources, options, progress))
            run.run()
        yield RunningServer(run.url, run.log, run.result)


class Up:
    """One run of `up`; a context manager that stops every process and removes every file.

    Entering checks the targets and the port. `run` runs the phases and adds each to ``result`` when
    it ends; `stay` waits while the server runs.
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
        self._server: Server | None = None
        self._supply = Supply()  # the server's own providers of APIs that the providers need

    def __enter__(self) -> Up:
        with contextlib.ExitStack() as stack:
            if self.options.port is not None:
                require_free(self.options.port)
            self._candidates = tuple(
                plan.inspect_source(target, self.options, self._progress)
                for target in self._targets
            )
            self.result.server = plan.choose_server(self.options.server, self._candidates)
            plan.choose_base(self.options.base_config, self._settings)
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
    def call(self) -> SampleCall | None:
        """The sample call, if there is one."""
        return plan.choose_call(self.options.call, self._settings)

    def run(self) -> UpResult:
        """Run all phases, including the sample call.

        Raises the SdkError of the phase that failed; the server is stopped at the latest when the
        context ends.
        """
        environment = self._environment()
        providers = self._unpacked(environment.distribution)
        volume = VolumeTree(self._workspace.make_directory("volume"))
        self._configured(providers, volume, environment)
        server = self._started(providers, volume, environment)
        self._listed(server, providers)
        self._called(server)
        return self.result

    def stay(self) -> None:
        """Wait while the server runs. Raises SdkError SERVER_FAILED when it ends by itself."""
        assert self._server is not None, "stay() comes after run()"  # noqa: S101
        self._server.wait()

    @property
    def _settings(self) -> list[Settings]:
        return [item.settings for item in self._candidates if item.settings is not None]

    @contextlib.contextmanager
    def _phase(self, name: str, step: str) -> Iterator[None]:
        self._progress.step(step)
        begin = time.monotonic()
        ok = False
        try:
            yield
            ok = True
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

    def _environment(self) -> Environment:
        """Prepare the server's environment, first, because the phases run on its Python."""
        name = self.result.server
        python = (
            None
            if name.startswith("python:")
            else plan.choose_python(self.options.python, self._candidates)
        )
        with self._phase("environment", f"preparing the server {name}"):
            distribution = load_distribution(
                name, python=python, insecure=self.options.insecure, progress=self._progress
            )
            self.result.server = distribution.label
            environment = ensure_environment(distribution, progress=self._progress)
            start_command(environment, Path(), 0)  # refuses one without a server
            return environment

    def _unpacked(self, distribution: Distribution) -> list[PlannedProvider]:
        """Return the bundles of all targets; those of projects and images are unpacked from an
        image.
        """
        layouts: dict[int, Path] = {}
        projects = [
            (index, item.settings)
            for index, item in enumerate(self._candidates)
            if item.settings is not None
        ]
        if projects:
            names = ", ".join(settings.name for _, settings in projects)
            with self._phase("build", f"building {names}"):
                for index, settings in projects:
                    layouts[index] = self._built(index, settings, distribution)
        found: list[PlannedProvider] = []
        with self._phase("unpack", "unpacking"):
            for index, item in enumerate(self._candidates):
                target = item.target
                if target.kind is SourceKind.BUNDLE:
                    root = target.path.resolve()
                else:
                    image = item.image or read_layout(layouts[index])
                    root = unpack(image, self._workspace.root / f"image-{index}")
                bundle = read_bundle(root)
                found.append(
                    PlannedProvider(
                        target.text,
                        root,
                        bundle.provider_id,
                        bundle.metadata.api,
                        bundle.metadata.package_name,
                        item.settings,
                    )
                )
        return found

    def _built(self, index: int, settings: Settings, distribution: Distribution) -> Path:
        """Build the OCI layout of a project for the server that will run it."""
        # slow to import
        from lls_provider.bundle.bundle import BundleOptions
        from lls_provider.operations.build import make_images

        ((_, image),) = make_images(
            settings,
            self._workspace.make_directory(f"bundle-{index}"),
            BundleOptions([distribution]),
            {os.uname().machine: None},
            fitting=False,  # preflight checks it in the server's own environment
            progress=self._progress,
        )
        layout = self._workspace.root / f"layout-{index}"
        write_layout(image, layout)
        return layout

    def _configured(
        self, providers: Sequence[PlannedProvider], volume: VolumeTree, environment: Environment
    ) -> None:
        """Run phases 1 to 4: everything before the server."""
        ids = [provider.provider_id for provider in providers]
        configs = plan.assign_configs(self.options.configs, ids)
        containers = plan.init_containers(providers, configs)
        interpreter = environment.distribution.interpreter
        variables = self._variables(volume)
        runtime = Runtime(self._workspace, volume, variables, self._progress)
        with self._phase("install", f"installing {', '.join(ids)}"):
            for container in containers:
                runtime.install(container, interpreter.path, interpreter.tag)
        with self._phase("extract", "extracting the base configuration"):
            self._extract(providers, volume, environment)
        with self._phase("merge", "merging the configuration"):
            runtime.merge(environment.python)
        with self._phase("preflight", "validating the providers"):
            for container in containers:
                require_valid_configs(
                    container,
                    configs,
                    python=environment.python,
                    variables=variables,
                    progress=self._progress,
                )
            # last it says that all is well
            self._validated(runtime, providers, volume, environment)

    def _validated(
        self,
        runtime: Runtime,
        providers: Sequence[PlannedProvider],
        volume: VolumeTree,
        environment: Environment,
    ) -> None:
        """Run preflight; supply missing APIs with the server's own providers where it has them."""
        while True:
            try:
                runtime.preflight(environment.python)
            except SdkError as error:
                run_yaml = volume.config / RUN_CONFIG
                pins = environment.distribution.pins
                found = supply_missing_apis(error, run_yaml, pins, self._variables(volume))
                if found is None or found.entries.keys() & self._supply.entries.keys():
                    raise
                self._supply = self._supply.joined(found)
                for api, entry in found.entries.items():
                    self._progress.note(
                        f"supplying the server's own {entry['provider_type']}: a provider needs "
                        f"the API '{api}'"
                    )
                self._extract(providers, volume, environment)
                runtime.merge(environment.python)
            else:
                return

    def _extract(
        self, providers: Sequence[PlannedProvider], volume: VolumeTree, environment: Environment
    ) -> None:
        line = environment.distribution.line
        assert line is not None  # noqa: S101 - refused before
        version = environment.distribution.pins[line.name]
        minimal = line.minimal_config(version)
        path = plan.choose_base(self.options.base_config, self._settings)
        base = minimal if path is None else phases.read_base(path).value
        resources = [
            phases.of_provider(provider.settings.up.resources, provider.provider_id)
            for provider in providers
            if provider.settings is not None
        ]
        for kind, resource in self.options.resources:
            group = {kind: [resource]}
            alone = len(providers) == 1
            resources.append(
                phases.of_provider(group, providers[0].provider_id) if alone else group
            )
        made = phases.with_resources(
            phases.localized(base, minimal), phases.joined(resources), line.resources_key(version)
        )
        phases.write_base(phases.with_supply(made, self._supply), volume.base_config)

    def _variables(self, volume: VolumeTree) -> dict[str, str]:
        home, temporary = (self._workspace.root / name for name in ("home", "tmp"))
        for directory in (home, temporary):
            if not directory.exists():
                self._workspace.make_directory(directory.name)
        return server_environment(
            os.environ,
            home=home,
            temporary=temporary,
            packages=[volume.python_packages],
            given=plan.environment_of(self.options.environment, self._settings),
        )

    def _started(
        self, providers: Sequence[PlannedProvider], volume: VolumeTree, environment: Environment
    ) -> Server:
        """Run phase 5, on a free port if none was requested."""
        suspects = LogDiagnosis(
            volume.python_packages,
            {item.module: item.provider_id for item in providers},
            own_base=plan.choose_base(self.options.base_config, self._settings) is None,
            wheels={item.provider_id: read_bundle(item.bundle).own_wheel for item in providers},
            projects=frozenset(item.provider_id for item in providers if item.settings is not None),
            supplied=tuple(self._supply.entries),
        )
        attempts = _PORT_ATTEMPTS if self.options.port is None else 1
        with self._phase("server", f"starting {self.result.server}"):
            while True:
                attempts -= 1
                server = Server(
                    self._workspace,
                    label=self.result.server,
                    port=free_port() if self.options.port is None else self.options.port,
                    log=self.log,
                    suspects=suspects,
                )
                require_free(server.port)
                server.start(
                    start_command(environment, volume.config / RUN_CONFIG, server.port),
                    environment=self._variables(volume),
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
                    self._server = server
                    return server

    def _listed(self, server: Server, providers: Sequence[PlannedProvider]) -> None:
        with self._phase("providers", "asking the server for its providers"):
            self.result.providers = list_providers(server.port)
            server.require_alive()
            there = {(item.api, item.provider_id) for item in self.result.providers}
            missing = [
                provider
                for provider in providers
                if (provider.api, provider.provider_id) not in there
            ]
            if missing:
                raise _not_listed(server, missing)

    def _called(self, server: Server) -> None:
        call = self.call
        if call is None:
            return
        name = f"{call.method} {call.path}"
        with self._phase("call", f"calling {name}"):
            before = server.log_size()
            try:
                reply = send(call, server.port, timeout=CALL_TIMEOUT)
            except SdkError as error:
                server.require_alive()
                if error.code is not Code.CALL_FAILED:
                    raise
                log = server.log_text(before)
                raise server.suspects.error(error.code, error.what, log, why=error.why) from error
            self.result.call = reply
            if reply.status != call.expect_status:
                raise server.suspects.error(
                    Code.CALL_FAILED,
                    f"{name} returned status {reply.status}, not {call.expect_status}",
                    server.log_text(before),
                    why=f"The reply: {shown_body(reply.body)}",
                )


_PORT_ATTEMPTS = 3


def _not_listed(server: Server, missing: Sequence[PlannedProvider]) -> SdkError:
    names = ", ".join(f"'{item.provider_id}' ({item.api})" for item in missing)
    first = missing[0]
    return SdkError(
        Code.SERVER_FAILED,
        f"The server {server.label} runs but does not list {names}",
        why=log_end(server.log_text()),
        where=Where(provider=first.provider_id, image=first.target),
        resolution=f"Check that {server.label} has the API '{first.api}' and that nothing in the "
        "base configuration switches the provider off.",
    )
