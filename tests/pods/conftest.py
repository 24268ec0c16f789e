"""Real Pods: a registry, images of real servers and of providers, and podman that plays what
`render` printed.
"""

from __future__ import annotations

import json
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.engines import containers, distribution
from tests.engines.containers import Engine

from lls_provider.contract.document import dump
from lls_provider.contract.names import API_VERSION

Cli = Callable[..., "subprocess.CompletedProcess[str]"]
READY_SECONDS = 120
SERVER_CONTAINER = "llama-stack"


@dataclass(frozen=True, slots=True)
class Images:
    """References in the registry of the tests."""

    registry: str
    engine: Engine
    cli: Cli
    base: Path
    folder: Path
    built: dict[str, str] = field(default_factory=dict)

    def server(self, line: distribution.ServerLine, name: str, **changed: Any) -> str:
        """The image of a server, made and pushed once for each name."""
        reference = f"{self.registry}/distribution/{name}:1"
        if name not in self.built:
            layout = distribution.write_distribution(self.folder / name, self.base, line, **changed)
            self.push(layout, reference)
            self.built[name] = reference
        return reference

    def push(self, layout: Path, reference: str) -> None:
        """Copy a layout into the registry."""
        self.engine.run(
            "copy", "--quiet", "--dest-tls-verify=false", f"oci:{layout}", f"docker://{reference}"
        )

    def provider(self, project: Path, name: str, *more: str) -> str:
        """The image of a provider's project, built and pushed by the real command."""
        reference = f"{self.registry}/{name}"
        if name not in self.built:
            base = [] if "--base" in more else ["--base", f"oci:{self.base}"]
            done = self.cli("build", project, *base, "--output", f"docker://{reference}", *more)
            assert done.returncode == 0, done.stderr
            self.built[name] = reference
        return reference


@pytest.fixture(scope="session")
def images(
    registry: str,
    engine: Callable[[str], str],
    cli: Cli,
    python_base: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Images:
    """The images of this run."""
    skopeo = Engine((engine("skopeo"),))
    return Images(registry, skopeo, cli, python_base, tmp_path_factory.mktemp("images"))


@pytest.fixture(scope="session")
def pod_engine(engine: Callable[[str], str]) -> Iterator[Engine]:
    """podman with a storage of its own that shares layers: a Pod has six containers."""
    engine("runc")
    engine("catatonit")
    with containers.podman_storage(engine("podman"), driver="overlay") as started:
        yield started


@dataclass(frozen=True, slots=True)
class Pod:
    """A Pod that podman plays."""

    engine: Engine
    name: str
    played: subprocess.CompletedProcess[str]

    def inspect(self, container: str) -> dict[str, Any]:
        """What podman knows of a container."""
        done = self.engine.run("inspect", f"{self.name}-{container}")
        (found,) = json.loads(done.stdout)
        return dict(found)

    def status(self, container: str) -> int:
        """The exit status of a container that ended."""
        state = self.inspect(container)["State"]
        assert state["Status"] == "exited", state
        return int(state["ExitCode"])

    def logs(self, container: str) -> str:
        """What a container printed."""
        done = self.engine.run("logs", f"{self.name}-{container}")
        return done.stdout + done.stderr

    @property
    def address(self) -> str:
        """The address of the Pod."""
        done = self.engine.run("pod", "inspect", self.name)
        infra = json.loads(done.stdout)["InfraContainerID"]
        (found,) = json.loads(self.engine.run("inspect", infra).stdout)
        networks = found["NetworkSettings"]["Networks"]
        return str(next(iter(networks.values()))["IPAddress"])

    def call(self, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """The reply of the server's API, as soon as the server is ready."""
        url = f"http://{self.address}:8321{path}"
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        end = time.monotonic() + READY_SECONDS
        while True:
            try:
                with opener.open(request, timeout=30) as reply:
                    return json.loads(reply.read())
            except urllib.error.HTTPError as error:
                raise AssertionError(f"{error.code}: {error.read().decode()}") from error
            except OSError:
                state = self.inspect(SERVER_CONTAINER)["State"]
                assert state["Status"] in ("running", "created"), self.logs(SERVER_CONTAINER)
                assert time.monotonic() < end, self.logs(SERVER_CONTAINER)
                time.sleep(0.2)

    def providers(self) -> dict[str, dict[str, str]]:
        """What ``/v1/providers`` lists, by ID."""
        return {it["provider_id"]: it for it in self.call("/v1/providers")["data"]}


Play = Callable[..., Any]


@pytest.fixture
def play(pod_engine: Engine, tmp_path: Path) -> Iterator[Play]:
    """Play manifests; the Pod and its volumes are removed at the end."""
    started: list[Path] = []

    def run(text: str, *, ok: bool = True) -> Pod:
        path = tmp_path / f"pod-{len(started)}.yaml"
        path.write_text(text, "utf-8")
        started.append(path)
        done = pod_engine.run("play", "kube", "--tls-verify=false", path, status=None)
        assert (done.returncode == 0) is ok, done.stdout + done.stderr
        (name,) = [it["metadata"]["name"] for it in yaml.safe_load_all(text) if it["kind"] == "Pod"]
        return Pod(pod_engine, name, done)

    yield run
    for path in started:
        pod_engine.run("play", "kube", "--down", path, status=None)
    pod_engine.run("pod", "rm", "--force", "--all", status=None)
    pod_engine.run("volume", "prune", "--force", status=None)


@pytest.fixture
def render(cli: Cli, tmp_path: Path) -> Callable[..., str]:
    """Render a provider file with the real command; returns what it printed."""

    def run(
        server: Mapping[str, Any],
        *providers: Mapping[str, Any],
        target: str = "pod",
        options: tuple[str, ...] = (),
    ) -> str:
        path = tmp_path / "providers.yaml"
        document = {
            "apiVersion": API_VERSION,
            "kind": "ProviderFile",
            "server": dict(server),
            "providers": [dict(provider) for provider in providers],
        }
        path.write_text(dump(document), "utf-8")
        done = cli("render", target, path, *options)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


@contextmanager
def changed(path: Path, *pairs: tuple[str, str]) -> Iterator[Path]:
    """A project with texts in a file replaced, for the block."""
    text = path.read_text("utf-8")
    new = text
    for old, replacement in pairs:
        assert old in new, old
        new = new.replace(old, replacement)
    path.write_text(new, "utf-8")
    try:
        yield path
    finally:
        path.write_text(text, "utf-8")
