"""A Pod that podman plays: what its containers printed, and calls of its server."""

from __future__ import annotations

import json
import re
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from lls_provider.contract.models import INIT_CONTAINER_PREFIX
from lls_provider.contract.names import VOLUME_ROOT

if TYPE_CHECKING:
    from tests.engines.containers import Engine

READY_SECONDS = 180
_LINE = re.compile(r"^\S+ (?:stdout|stderr) (?P<part>[FP]) (?P<text>.*)$")


@dataclass(frozen=True, slots=True)
class Pod:
    """A Pod that podman plays.

    podman removes an init container that ended well, with its log: what all containers print is
    collected in one file.
    """

    engine: Engine
    name: str
    port: int
    manifest: Path
    written: Path
    played: subprocess.CompletedProcess[str]
    server: str
    """The name of the server's container."""

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

    @property
    def log(self) -> str:
        """What the containers printed, in the order in which they ran."""
        text = ""
        for line in self.written.read_text("utf-8").splitlines():
            found = _LINE.match(line)
            assert found, line
            text += found["text"] + ("\n" if found["part"] == "F" else "")
        return text

    def failure(self, container: str) -> str:
        """The message with which a container failed, the last of the Pod."""
        assert self.status(container) == 1
        assert self.played.returncode != 0
        _, found, message = self.log.partition("ERROR: ")
        assert found, self.log
        return (found + message).rstrip("\n")

    def execute(self, *command: str) -> str:
        """The output of a command in the server's container."""
        return self.engine.run("exec", f"{self.name}-{self.server}", *command).stdout

    def read(self, path: str) -> str:
        """A file, as the server's container sees it."""
        return self.execute("cat", path)

    def volume(self, name: str) -> Path:
        """Where a volume of the Pod is on this machine."""
        return self.engine.mountpoint(name)

    def call(self, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """The reply of the server's API, as soon as the server is ready."""
        url = f"http://{self._address()}:{self.port}{path}"
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
                state = self.inspect(self.server)["State"]
                assert state["Status"] in ("running", "created"), self.log
                assert time.monotonic() < end, self.log
                time.sleep(0.2)

    def providers(self) -> dict[str, dict[str, Any]]:
        """What ``/v1/providers`` lists, by ID."""
        return {it["provider_id"]: it for it in self.call("/v1/providers")["data"]}

    def chat(self, provider_id: str, text: str) -> str:
        """What an inference provider answers to a message of a user."""
        messages = [{"role": "user", "content": text}]
        reply = self.call(
            "/v1/chat/completions", {"model": f"{provider_id}/any", "messages": messages}
        )
        return str(reply["choices"][0]["message"]["content"])

    def down(self) -> None:
        """Delete the Pod; its volumes stay."""
        self.engine.run("play", "kube", "--down", self.manifest)

    def _address(self) -> str:
        done = self.engine.run("pod", "inspect", self.name)
        described = json.loads(done.stdout)
        pod = described[0] if isinstance(described, list) else described  # a list since podman 5
        (found,) = json.loads(self.engine.run("inspect", pod["InfraContainerID"]).stdout)
        networks = found["NetworkSettings"]["Networks"]
        return str(next(iter(networks.values()))["IPAddress"])


def installed_tree(folder: Path) -> dict[str, bytes]:
    """The files below a volume by path, without bytecode and what only one run uses."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in _kept_files(folder)}


def _kept_files(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            yield path


def clean_tree(engine: Engine, text: str) -> dict[str, bytes]:
    """The tree that the installers of a rendered Pod make on a new volume, run one by one."""
    volume = "clean"
    engine.run("volume", "create", volume)
    try:
        (pod,) = [it for it in yaml.safe_load_all(text) if it["kind"] == "Pod"]
        for container in pod["spec"]["initContainers"]:
            if container["name"].startswith(INIT_CONTAINER_PREFIX):
                mount = f"{volume}:{VOLUME_ROOT}/external-providers"
                engine.run(
                    *("run", "--rm", "--tls-verify=false", "--user", "1001", "--volume", mount),
                    *(container["image"], *container["args"]),
                )
        return installed_tree(engine.mountpoint(volume))
    finally:
        engine.run("volume", "rm", "--force", volume)
