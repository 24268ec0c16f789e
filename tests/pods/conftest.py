"""Real Pods: a registry, images of real servers and of providers, and podman that plays what
`render` printed.
"""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from tests.engines import containers
from tests.engines.distribution import LLAMA_STACK, ServerLine
from tests.pods.images import Images
from tests.pods.playing import Pod

from lls_provider.contract.document import dump
from lls_provider.contract.names import API_VERSION

if TYPE_CHECKING:
    from tests.engines.containers import Engine

Cli = Callable[..., "subprocess.CompletedProcess[str]"]
Play = Callable[..., Pod]
Render = Callable[..., str]


@pytest.fixture(scope="session")
def images(
    registry: str, cli: Cli, python_base: Path, tmp_path_factory: pytest.TempPathFactory
) -> Images:
    """The images of this run."""
    return Images(registry, cli, python_base, tmp_path_factory.mktemp("images"))


@pytest.fixture(scope="session")
def pod_engine(engine: Callable[[str], str]) -> Iterator[Engine]:
    """podman with a storage of its own, as what a test leaves behind is removed from it."""
    engine("runc")
    engine("catatonit")
    with containers.podman_storage(engine("podman")) as started:
        yield started


@pytest.fixture(scope="session")
def port() -> int:
    """A port for the servers: podman publishes it on this machine."""
    with socket.create_server(("0.0.0.0", 0)) as probe:  # noqa: S104
        return int(probe.getsockname()[1])


@pytest.fixture
def play(pod_engine: Engine, port: int, tmp_path: Path) -> Iterator[Play]:
    """Play manifests; the Pod and its volumes are removed at the end."""
    with player(pod_engine, port, tmp_path) as run:
        yield run


@contextmanager
def player(engine: Engine, port: int, folder: Path) -> Iterator[Play]:
    """Play manifests with an engine; what they made is removed at the end."""
    started: list[Pod] = []

    def run(text: str, *options: str, ok: bool = True) -> Pod:
        manifest = folder / f"pod-{len(started)}.yaml"
        manifest.write_text(text, "utf-8")
        log = folder / f"log-{len(started)}"
        (told,) = [it for it in yaml.safe_load_all(text) if it["kind"] == "Pod"]
        for volume in told["spec"]["volumes"]:
            if "image" in volume:  # podman expects it in its storage
                engine.run("pull", "--quiet", "--tls-verify=false", volume["image"]["reference"])
        done = engine.run(*play_command(manifest, log, *options), status=None)
        server = told["spec"]["containers"][0]["name"]
        pod = Pod(engine, told["metadata"]["name"], port, manifest, log, done, server)
        started.append(pod)
        written = pod.log if log.exists() else ""
        assert (done.returncode == 0) is ok, done.stdout + done.stderr + written
        return pod

    yield run
    remove_pods(engine)
    engine.run("volume", "prune", "--force", status=None)


def remove_pods(engine: Engine) -> None:
    """Remove every Pod. podman 5 fails over its DNS server first, and succeeds if asked again."""
    said = []
    for _ in range(5):
        done = engine.run("pod", "rm", "--force", "--all", "--time", "0", status=None)
        said.append(f"{done.returncode}: {done.stdout}{done.stderr}")
        if not engine.run("pod", "ps", "--quiet").stdout.strip():
            return
    pytest.fail("Pods are left: " + "".join(said))


def play_command(manifest: Path, log: Path, *options: str) -> list[str | Path]:
    """The arguments with which podman plays a manifest and collects what is printed."""
    logging = ("--log-driver", "k8s-file", "--log-opt", f"path={log}")
    return ["play", "kube", "--tls-verify=false", *logging, *options, manifest]


@dataclass(frozen=True, slots=True)
class Files:
    """Provider files in a directory of a test, and the real command that renders them."""

    cli: Cli
    folder: Path
    port: int

    def write(
        self,
        server: Mapping[str, Any],
        *providers: Mapping[str, Any],
        line: ServerLine = LLAMA_STACK,
    ) -> Path:
        """Write a provider file; the server is told the port of this run."""
        told = {"name": line.port_variable, "value": str(self.port)}
        document = {
            "apiVersion": API_VERSION,
            "kind": "ProviderFile",
            "server": {"port": self.port, "env": [told], **server},
            "providers": [dict(provider) for provider in providers],
        }
        path = self.folder / "providers.yaml"
        path.write_text(dump(document), "utf-8")
        return path

    def render(
        self,
        server: Mapping[str, Any],
        *providers: Mapping[str, Any],
        line: ServerLine = LLAMA_STACK,
        target: str = "pod",
        options: tuple[str, ...] = (),
    ) -> str:
        """What `render` prints."""
        done = self.cli("render", target, self.write(server, *providers, line=line), *options)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def refused(self, server: Mapping[str, Any], *providers: Mapping[str, Any]) -> str:
        """The message with which `render pod` refuses a provider file."""
        done = self.cli("render", "pod", self.write(server, *providers))
        assert done.returncode == 1, done.stdout + done.stderr
        assert not done.stdout
        return done.stderr


@pytest.fixture
def files(cli: Cli, tmp_path: Path, port: int) -> Files:
    """Provider files for this test."""
    return Files(cli, tmp_path, port)


def config_map(name: str, text: str) -> str:
    """A ConfigMap with a base configuration, as the first document of a stream."""
    return "---\n".join(
        (
            dump(
                {
                    "apiVersion": "v1",
                    "kind": "ConfigMap",
                    "metadata": {"name": name},
                    "data": {"run.yaml": text},
                }
            ),
            "",
        )
    )
