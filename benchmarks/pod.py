"""A Pod's start, by phase: the rendered containers, and the shell and pip of the specification.

Run it as ``python -m benchmarks.pod`` from the checkout, as root, with the engines that
tests/engines/install installs. The containers of a rendered Pod run one after the other in podman,
as a kubelet runs them: the images, commands, mounts and limits are those that `render` writes. What
starting a container costs by itself is measured with a container that does nothing.
"""

from __future__ import annotations

import shutil
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import yaml
from benchmarks import measure
from benchmarks.images import command, engine, registry
from benchmarks.measure import Figures, Run
from tests.engines import distribution, pythonbase
from tests.engines.containers import Engine, podman_storage

from lls_provider.contract.document import dump
from lls_provider.contract.names import API_VERSION
from lls_provider.deploy.render.render import render
from lls_provider.wheels.interpreter import find_interpreter

COUNTS = (1, 3, 10)
TARGETS = {
    "shell and pip / ours from image volumes, 10 providers, without the server": 3.0,
    "shell and pip / ours, 10 providers, without the server": 3.0,
    "preflight of 10 providers, seconds": 10.0,
}
_BASE_SECONDS, _PROVIDER_SECONDS = 2.5, 0.3  # the goal: the server alone, plus these
_READY_SECONDS = 180
# what the specification's init container does (tests/e2e/test_pip_lines.py runs it as well)
_PIP = """set -e
volume=/opt/llama-stack/external-providers
pip install /lls-provider/packages/*.whl --target $volume/python-packages \\
    --no-index --no-deps --find-links /lls-provider/packages
mkdir -p $volume/metadata/{id} $volume/bin
cp /lls-provider/lls-provider-spec.yaml $volume/metadata/{id}/
cd $volume/metadata/{id}
printf 'providerId: {id}\\napi: inference\\norder: {order}\\n' > crd-config.yaml
cp /lls-provider/lls-provider.pyz $volume/bin/  # for the phases that are the same
"""


@dataclass(frozen=True, slots=True)
class Pods:
    """Plays the containers of Pods with ``count`` providers."""

    podman: Engine
    host: str
    scratch: Path

    def manifest(self, count: int, source: str = "init-container") -> dict[str, Any]:
        """The Pod that `render` writes."""
        path = self.scratch / f"providers-{count}.yaml"
        document = {
            "apiVersion": API_VERSION,
            "kind": "ProviderFile",
            "server": {"image": f"{self.host}/server:1"},
            "providers": [
                {"id": f"small-{number}", "image": f"{self.host}/small-{number}:1"}
                for number in range(count)
            ],
        }
        path.write_text(dump(document), "utf-8")
        pod: dict[str, Any] = list(yaml.safe_load_all(render(path, "pod", source=source).text))[-1]
        return pod

    def start(
        self, count: int, *, pip: bool = False, source: str = "init-container"
    ) -> dict[str, Run]:
        """Run every container of a new Pod; seconds by phase."""
        spec = self.manifest(count, source)["spec"]
        images = {it["name"]: it["image"] for it in spec["volumes"] if "image" in it}
        volumes = measure.empty(self.scratch / "volumes")
        found: dict[str, float] = {}
        for container in spec["initContainers"]:
            phase = container["name"].partition("-provider")[0]
            if pip and phase == "install":
                container = _with_pip(container)
            found[phase] = found.get(phase, 0.0) + self._run(container, volumes, images)
        with self._serving(spec["containers"][0], volumes) as seconds:
            found["server"] = seconds
        return {phase: Run(seconds, 0.0, 0.0) for phase, seconds in found.items()}

    def alone(self) -> Run:
        """The server without any provider, with the image's own configuration."""
        spec = self.manifest(1)["spec"]
        container = {
            "name": "server", "image": spec["containers"][0]["image"],
            "args": ["stack", "run", distribution.LLAMA_STACK.config_path],
            "volumeMounts": [it for it in spec["containers"][0]["volumeMounts"]
                             if it["name"] in ("state", "tmp")],
            "env": [{"name": "HOME", "value": "/var/lib/llama-stack"}],
        }  # fmt: skip
        with self._serving(container, measure.empty(self.scratch / "volumes")) as seconds:
            return Run(seconds, 0.0, 0.0)

    def nothing(self) -> Run:
        """A container that does nothing."""
        before = time.perf_counter()
        self.podman.run(
            "run",
            "--rm",
            "--tls-verify=false",
            "--entrypoint",
            "/usr/bin/id",
            f"{self.host}/server:1",
        )
        return Run(time.perf_counter() - before, 0.0, 0.0)

    def _run(
        self,
        container: Mapping[str, Any],
        volumes: Path,
        images: Mapping[str, Mapping[str, str]],
    ) -> float:
        before = time.perf_counter()
        done = self.podman.run(
            "run", "--rm", "--tls-verify=false", "--network", "none",
            *self._arguments(container, volumes, images),
            status=None,
        )  # fmt: skip
        if done.returncode:
            raise SystemExit(f"{container['name']}: {done.stdout}{done.stderr}")
        return time.perf_counter() - before

    @contextmanager
    def _serving(self, container: Mapping[str, Any], volumes: Path) -> Iterator[float]:
        """Start the server; gives the seconds until it lists its providers."""
        before = time.perf_counter()
        self.podman.run(
            "run", "--detach", "--tls-verify=false", "--name", "server", "--network", "host",
            *self._arguments(container, volumes),
        )  # fmt: skip
        try:
            while not _lists_providers():
                if time.perf_counter() - before > _READY_SECONDS:
                    raise SystemExit(self.podman.run("logs", "server", status=None).stdout)
                time.sleep(0.02)
            yield time.perf_counter() - before
        finally:
            self.podman.run("rm", "--force", "--time", "0", "server", status=None)

    def _arguments(
        self,
        container: Mapping[str, Any],
        volumes: Path,
        images: Mapping[str, Mapping[str, str]] = MappingProxyType({}),
    ) -> list[str]:
        """The container as podman's command line has it."""
        words = ["--read-only", "--cap-drop", "ALL", "--user", "1001"]
        words += ["--security-opt", "no-new-privileges"]
        limits = container.get("resources", {}).get("limits", {})
        if "memory" in limits:
            words += ["--memory", str(limits["memory"]).lower().replace("i", "")]
        for variable in container.get("env", ()):
            words += ["--env", f"{variable['name']}={variable['value']}"]
        for mount in container["volumeMounts"]:
            if image := images.get(mount["name"]):
                where = f"source={image['reference']},destination={mount['mountPath']}"
                words += ["--mount", f"type=image,{where}"]
                continue
            directory = volumes / mount["name"]
            directory.mkdir(exist_ok=True)
            directory.chmod(0o777)
            option = ":ro" if mount.get("readOnly") else ""
            words += ["--volume", f"{directory}:{mount['mountPath']}{option}"]
        started = list(container.get("command", ()))
        if started:
            words += ["--entrypoint", started.pop(0)]
        return [*words, container["image"], *started, *container.get("args", ())]


def _with_pip(container: Mapping[str, Any]) -> dict[str, Any]:
    """The container with the specification's lines in place of the installer."""
    options = dict(it.removeprefix("--").partition("=")[::2] for it in container["args"])
    lines = _PIP.format(id=options["provider-id"], order=options["order"])
    return {**container, "command": ["/bin/sh"], "args": ["-c", lines]}


def _lists_providers() -> bool:
    try:
        with urllib.request.urlopen("http://127.0.0.1:8321/v1/providers", timeout=5) as reply:
            return bool(reply.status == 200)
    except OSError:
        return False


def main() -> None:
    """Measure, print, write the JSON."""
    parser = measure.options(__doc__, repetitions=3)
    arguments = parser.parse_args()
    with (
        measure.scratch(arguments) as scratch,
        registry(scratch) as host,
        podman_storage(engine("podman"), in_memory=False) as podman,
    ):
        _push_images(host, scratch)
        pods = Pods(podman, host, scratch)
        pods.start(max(COUNTS))  # pulls every image
        before = measure.machine(find_interpreter())
        ways: dict[str, Callable[[], dict[str, Run]]] = {
            "nothing": lambda: {"server": pods.nothing()},
            "server alone": lambda: {"server": pods.alone()},
        }
        for count in COUNTS:
            ways[f"ours, {count}"] = lambda count=count: pods.start(count)  # type: ignore[misc]
            ways[f"volumes, {count}"] = lambda count=count: pods.start(  # type: ignore[misc]
                count, source="image-volume"
            )
            ways[f"pip, {count}"] = lambda count=count: pods.start(  # type: ignore[misc]
                count, pip=True
            )
        runs: dict[str, list[dict[str, Run]]] = {name: [] for name in ways}
        for _ in range(arguments.repetitions):
            for name, way in ways.items():
                runs[name].append(way())
    _show(runs, arguments, before)


def _push_images(host: str, scratch: Path) -> None:
    python = find_interpreter().path
    base = pythonbase.write_base(scratch / "base", python)
    server = distribution.write_distribution(scratch / "server", base, distribution.LLAMA_STACK)
    skopeo = Engine((engine("skopeo"),))
    skopeo.run(
        "copy", "--quiet", "--dest-tls-verify=false", f"oci:{server}", f"docker://{host}/server:1"
    )
    shutil.rmtree(server)
    for number in range(max(COUNTS)):
        project = scratch / "projects" / f"small-{number}"
        image = f"docker://{host}/small-{number}:1"
        # not measured: with the user's indexes and certificates
        for words in (
            ["new", str(project), "--no-input", "api=inference"],
            ["build", str(project), "--base", f"oci:{base}", "--output", image],
        ):
            subprocess.run([command(), *words], check=True, capture_output=True)


def _show(
    runs: Mapping[str, list[dict[str, Run]]], arguments: Any, machine: Mapping[str, Any]
) -> None:
    phases: dict[str, dict[str, Figures]] = {}
    totals: dict[str, Figures] = {}
    for name, found in runs.items():
        phases[name] = {phase: Figures.of([run[phase] for run in found]) for phase in found[0]}
        totals[name] = Figures.of([Run(sum(it.wall for it in run.values()), 0, 0) for run in found])
    measure.table(totals, "server alone")
    for name, figures in phases.items():
        print(f"{name}: " + ", ".join(f"{key} {it.median:.2f}" for key, it in figures.items()))
    last = max(COUNTS)
    without = {
        way: totals[f"{way}, {last}"].median - phases[f"{way}, {last}"]["server"].median
        for way in ("ours", "volumes", "pip")
    }
    ratios = {
        "shell and pip / ours from image volumes, 10 providers, without the server": without["pip"]
        / without["volumes"],
        "shell and pip / ours, 10 providers, without the server": without["pip"] / without["ours"],
        "preflight of 10 providers, seconds": phases[f"ours, {last}"]["preflight"].median,
    }
    for name, ratio in ratios.items():
        print(f"{name}: {ratio:.2f} (target {TARGETS[name]})")
    for count in COUNTS:
        goal = totals["server alone"].median + _BASE_SECONDS + _PROVIDER_SECONDS * count
        ours, volumes = (totals[f"{way}, {count}"].median for way in ("ours", "volumes"))
        print(f"{count} providers: {ours:.1f} s, {volumes:.1f} s, the goal is {goal:.1f} s")
    measure.report(
        "pod", arguments,
        {"machine": machine, "totals": totals, "phases": phases, "ratios": ratios},
    )  # fmt: skip


if __name__ == "__main__":
    main()
