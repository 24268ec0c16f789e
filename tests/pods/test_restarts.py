"""Pods that are stopped in the middle, deleted and made again: each ends like a clean run."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.engines.distribution import LLAMA_STACK
from tests.factories.wheels import write_wheel
from tests.pods.conftest import Files, Play, play_command
from tests.pods.playing import clean_tree, installed_tree

if TYPE_CHECKING:
    from tests.engines.containers import Engine
    from tests.pods.images import Images

    from lls_provider.contract.names import BundleTree

pytestmark = [
    pytest.mark.engine,
    pytest.mark.network,
    pytest.mark.server,
    pytest.mark.xdist_group("pods"),
]

ECHO = "echo-inference"
INSTALLER = "install-provider-echo"
BULK = 8000  # files: they take long enough to be interrupted
WAIT_SECONDS = 120


def add_bulk(tree: BundleTree) -> None:
    files = {f"bulk/module_{number}.py": f"VALUE = {number}\n" for number in range(BULK)}
    write_wheel(tree.packages, "bulk", files={"bulk/__init__.py": "", **files})


def kill_while_it_writes(volume: Path) -> None:
    """Kill the installer, which is the first process of its container, once it has written."""
    end = time.monotonic() + WAIT_SECONDS
    while not any((volume / ".staging").glob("packages/bulk/*")):
        assert time.monotonic() < end
        time.sleep(0.005)
    processes = [
        int(path.parent.name)
        for path in Path("/proc").glob("[0-9]*/cmdline")
        if b"\0--provider-id=echo\0" in path.read_bytes()
    ]
    os.kill(min(processes), signal.SIGKILL)


def test_a_container_killed_in_the_middle(
    images: Images, files: Files, play: Play, pod_engine: Engine, port: int, tmp_path: Path
) -> None:
    image = images.changed(images.sample(ECHO), "acme/bulk:1", add_bulk)
    text = files.render({"image": images.server(LLAMA_STACK)}, {"id": "echo", "image": image})
    clean = clean_tree(pod_engine, text)
    # podman keeps an emptyDir when its Pod is deleted, and here it is made before
    pod_engine.run("volume", "create", "external-providers")
    volume = pod_engine.mountpoint("external-providers")
    manifest = tmp_path / "killed.yaml"
    manifest.write_text(text, "utf-8")
    with subprocess.Popen(
        [*pod_engine.command, *map(str, play_command(manifest, tmp_path / "killed.log"))],
        env={**os.environ, **dict(pod_engine.environment)},
        stderr=subprocess.PIPE,
        text=True,
    ) as playing:
        kill_while_it_writes(volume)
        _, errors = playing.communicate(timeout=WAIT_SECONDS)
    assert "exited with code 137" in errors
    assert not (volume / "metadata" / "echo").exists()
    assert installed_tree(volume) != clean
    pod_engine.run("play", "kube", "--down", manifest)
    # no container before the server needs a network; podman publishes no port without one
    ports = f"    ports:\n    - name: http\n      containerPort: {port}\n"
    assert ports in text
    pod = play(text.replace(ports, ""), "--network", "none")
    assert installed_tree(volume) == clean
    assert "All providers validated successfully\n" in pod.log


def test_a_pod_deleted_and_made_again(
    images: Images, files: Files, play: Play, pod_engine: Engine
) -> None:
    provider = {"id": "echo", "image": images.sample(ECHO), "config": {"prefix": "You said: "}}
    text = files.render({"image": images.server(LLAMA_STACK)}, provider)
    first = play(text)
    trees = [installed_tree(first.volume(name)) for name in ("external-providers", "config")]
    first.down()
    pod_engine.run("volume", "prune", "--force")  # as the kubelet deletes an emptyDir
    again = play(text)
    assert [
        installed_tree(again.volume(name)) for name in ("external-providers", "config")
    ] == trees
    assert again.chat("echo", "Hello") == "You said: Hello"
