"""What all tests share: engines, the real command, one cache of servers for a whole run."""

from __future__ import annotations

import gc
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NoReturn

import pytest
from hypothesis import HealthCheck, settings
from tests import results
from tests.engines import containers, pythonbase, trixie
from tests.engines import registry as registries
from tests.factories.provider_files import write_file  # noqa: F401 - a fixture
from tests.recorder import Recorder
from uv import find_uv_bin

from lls_provider.resources import checkout
from lls_provider.system.cache import uv_cache_root
from lls_provider.wheels.interpreter import find_interpreter

CI = os.environ.get("CI", "") not in ("", "0", "false")

# How many examples of a property a run takes: few and always the same ones, or, for a search, many
# others each time. A machine that is busy is not a reason to fail.
settings.register_profile(
    "short",
    deadline=None,
    derandomize=True,
    max_examples=60,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile("fast", settings.get_profile("short"), max_examples=10)
settings.register_profile(
    "long", settings.get_profile("short"), derandomize=False, max_examples=3000
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "short"))

_LONGEST_NAME = 80  # characters of a parameter

Engine = Callable[[str], str]
Cli = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def recorder() -> Recorder:
    """A progress that keeps what a user would have been given."""
    return Recorder()


@pytest.fixture(scope="session")
def engine() -> Engine:
    """The path of an engine's command. Where it is missing: a skip here, a failure in CI."""

    def find(name: str) -> str:
        path = shutil.which(name)
        if path is None:
            _lacking(f"{name} is not installed: run tests/engines/install")
        return path

    return find


@pytest.fixture(scope="session")
def podman(engine: Engine) -> Iterator[containers.Engine]:
    """podman with a storage of this run's own."""
    engine("runc")
    with containers.podman_storage(engine("podman")) as started:
        yield started


@pytest.fixture(scope="session")
def podman_service(podman: containers.Engine) -> Iterator[containers.Engine]:
    """podman with a socket that speaks Docker's API."""
    with containers.podman_service(podman) as started:
        yield started


@pytest.fixture(scope="session")
def docker(engine: Engine) -> Iterator[containers.Engine]:
    """A real Docker daemon of this run's own. It needs root: without, as without the engine."""
    commands = engine("dockerd"), engine("docker")
    if os.geteuid():
        _lacking("a Docker daemon needs root")
    with containers.docker_daemon(*commands) as started:
        yield started


@pytest.fixture(scope="session")
def newer_podman(
    engine: Engine, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[containers.Engine]:
    """podman 5.4, which mounts images as volumes; it sees this run's temporary directories."""
    commands = [engine(name) for name in ("mmdebstrap", "unshare", "nsenter")]
    if os.geteuid():
        _lacking("mounts and namespaces need root")
    with trixie.podman(tmp_path_factory.getbasetemp(), *commands) as started:
        yield started


def _lacking(reason: str) -> NoReturn:
    if CI:
        pytest.fail(reason)
    pytest.skip(reason)


def pytest_make_parametrize_id(val: object) -> str | None:
    """Cut a long parameter's name: xdist sends every worker's names, whole documents as well."""
    if not isinstance(val, str | bytes) or len(val) <= _LONGEST_NAME:
        return None  # as pytest names it
    start = val[:_LONGEST_NAME]
    text = start if isinstance(start, str) else repr(start)[2:-1]
    return text.encode("unicode_escape").decode() + "..."


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark as slow what runs the real command: some hundred processes take half of a minute."""
    for item in items:
        if "cli" in getattr(item, "fixturenames", ()):
            item.add_marker("slow")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Measure coverage where it tells something: it takes most of the time of what it watches.

    Tests with servers and engines start processes, whose lines run in tests that need neither.
    """
    with pytest.MonkeyPatch.context() as patch:
        if any(item.get_closest_marker(name) for name in ("network", "server", "engine")):
            patch.delenv("COVERAGE_PROCESS_CONFIG", raising=False)
        if item.get_closest_marker("unmeasured") is None:
            return (yield)
        trace = sys.gettrace()
        sys.settrace(None)
        try:
            return (yield)
        finally:
            sys.settrace(trace)


def pytest_collection_finish() -> None:
    """Exempt the collected tests, some hundred thousand objects, from every later collection."""
    gc.collect()
    gc.freeze()


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """In CI a skipped test is a failure: everything that tests need is installed there."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if CI and exitstatus == pytest.ExitCode.OK and reporter and reporter.stats.get("skipped"):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.fixture(scope="session", autouse=True)
def shared_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """One cache for the run (and for all workers of it), so that servers are installed once."""
    told = os.environ.get("LLS_PROVIDER_CACHE")
    # the base of one run's temporary directories is the parent of each worker's
    base = tmp_path_factory.getbasetemp()
    cache = Path(told) if told else (base.parent if _is_worker() else base) / "lls-provider-cache"
    with pytest.MonkeyPatch.context() as patch:
        # what uv fetched for earlier runs is of use, and would are below ours
        patch.setenv("UV_CACHE_DIR", os.environ.get("UV_CACHE_DIR") or _uv_cache())
        patch.setenv("LLS_PROVIDER_CACHE", str(cache))
        yield cache


def _uv_cache() -> str:
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("LLS_PROVIDER_CACHE", raising=False)
        return str(uv_cache_root())


def _is_worker() -> bool:
    return "PYTEST_XDIST_WORKER" in os.environ


@pytest.fixture(scope="session")
def cli() -> Cli:
    """Run the real command in a process of its own and return what it did."""

    def run(
        *args: str | Path,
        cwd: Path | None = None,
        env: Mapping[str, str | None] | None = None,
        prefix: Sequence[str] = (),
        timeout: float = 600,
    ) -> subprocess.CompletedProcess[str]:
        environment = dict(os.environ)
        for name, value in (env or {}).items():
            if value is None:
                environment.pop(name, None)
            else:
                environment[name] = value
        done = subprocess.run(
            [*prefix, sys.executable, "-m", "lls_provider.cli", *map(str, args)],
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            cwd=cwd,
            env=environment,
            timeout=timeout,
            check=False,
        )
        if "--format" in args and args[args.index("--format") + 1] == "json":
            results.check(done.stdout)
        return done

    return run


@pytest.fixture(scope="session")
def python_base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An OCI layout with a Python for servers, a shell and pip: what images are built on."""
    python = find_interpreter().path
    return pythonbase.write_base(tmp_path_factory.mktemp("base") / "oci", python)


@pytest.fixture(scope="session")
def registry(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """``host:port`` of a real registry on loopback, without login."""
    with registries.started(engine("docker-registry"), tmp_path_factory.mktemp("registry")) as host:
        yield host


@pytest.fixture(scope="session")
def locked_registry(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """``host:port`` of a real registry where user ``me`` logs in with ``s3cret``."""
    folder = tmp_path_factory.mktemp("locked-registry")
    passwords = folder / "htpasswd"
    passwords.write_text(registries.HTPASSWD)
    auth = f"auth:\n  htpasswd:\n    realm: test\n    path: {passwords}\n"
    with registries.started(engine("docker-registry"), folder, auth) as host:
        yield host


@pytest.fixture(scope="session")
def sdk_wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The SDK as its users install it: a wheel of this checkout.

    Its zipapp has the pinned libraries, that of a checkout may not.
    """
    folder, root = tmp_path_factory.mktemp("sdk-wheel"), checkout()
    assert root is not None
    uv = str(find_uv_bin())
    subprocess.run([uv, "build", "--quiet", "--wheel", "--out-dir", folder, root], check=True)
    (wheel,) = folder.glob("*.whl")
    return wheel
