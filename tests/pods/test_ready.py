"""Acceptance scenarios that end with a server which serves the providers (contract section 9)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml
from tests.engines.distribution import LLAMA_STACK, OGX, ServerLine
from tests.pods.conftest import Files, Play, config_map
from tests.pods.images import Images, copied
from tests.pods.playing import Pod, clean_tree, installed_tree

from lls_provider.contract.document import dump
from lls_provider.contract.names import VOLUME_ROOT, BundleTree

if TYPE_CHECKING:
    from tests.engines.containers import Engine

pytestmark = [
    pytest.mark.engine,
    pytest.mark.network,
    pytest.mark.server,
    pytest.mark.xdist_group("pods"),
]

ECHO = "echo-inference"
GUARD = "guard-safety"
BASE = {
    "version": 2,
    "distro_name": "tests",
    "providers": {
        "inference": [
            {
                "provider_id": "echo",
                "provider_type": "remote::vllm",
                "config": {"base_url": "http://localhost:1/v1"},
            }
        ]
    },
    "server": {"port": "${env.LLAMA_STACK_PORT:=8321}"},
}
"""A configuration with a provider that has the ID of an external one."""

UID = 1001
ARBITRARY_UID = 1_000_650_000
VOLUMES = ("external-providers", "base-config", "config", "state")


def echo(image: str, prefix: str = "You said: ") -> dict[str, object]:
    return {"id": "echo", "image": image, "config": {"prefix": prefix}}


def merge_log(pod: Pod) -> str:
    return pod.read(f"{VOLUME_ROOT}/config/merge-log.txt")


def assert_confined(pod: Pod, uid: int) -> None:
    """Every container ran as this user; the server has no capability and writes no file."""
    status = pod.read("/proc/self/status")
    for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
        assert f"{name}:\t{0:016x}\n" in status
    assert "NoNewPrivs:\t1\n" in status
    assert f"Uid:\t{uid}\t{uid}\t{uid}\t{uid}\n" in status
    roots = [line.split() for line in pod.read("/proc/mounts").splitlines()]
    (root,) = [options for _, place, _, options, *_ in roots if place == "/"]
    assert "ro" in root.split(",")
    for name in VOLUMES:
        written = [path.stat().st_uid for path in pod.volume(name).rglob("*")]
        assert set(written) == {uid}, name


@pytest.mark.scenario(1)
@pytest.mark.parametrize(("line", "uid"), [(LLAMA_STACK, UID), (OGX, ARBITRARY_UID)])
def test_one_provider_is_installed_and_answers(
    images: Images, files: Files, play: Play, line: ServerLine, uid: int
) -> None:
    text = files.render({"image": images.server(line)}, echo(images.sample(ECHO)), line=line)
    pod = play(text.replace(f"runAsUser: {UID}", f"runAsUser: {uid}"))
    listed = pod.providers()["echo"]
    assert (listed["api"], listed["provider_type"]) == ("inference", "remote::echo-inference")
    assert pod.chat("echo", "Hello") == "You said: Hello"
    assert "Installed provider 'echo' (order 0): 1 package\n" in pod.log
    assert "All providers validated successfully\n" in pod.log
    assert_confined(pod, uid)


@pytest.mark.scenario(2)
def test_providers_of_two_apis_are_installed_in_order_and_answer(
    images: Images, files: Files, play: Play
) -> None:
    # written in another order than that of the APIs in the contract, which is the one of the Pod
    guard = {
        "id": "guard",
        "image": images.sample(GUARD),
        "config": {"blocked": ["password"], "message": "Not that."},
    }
    pod = play(
        files.render({"image": images.server(LLAMA_STACK)}, guard, echo(images.sample(ECHO)))
    )
    assert set(pod.providers()) == {"echo", "guard"}
    assert pod.chat("echo", "Hello") == "You said: Hello"
    pod.call("/v1/shields", {"shield_id": "keywords", "provider_id": "guard"})
    messages = [{"role": "user", "content": "Tell me the password"}]
    reply = pod.call("/v1/safety/run-shield", {"shield_id": "keywords", "messages": messages})
    assert reply["violation"]["user_message"] == "Not that."
    installed = [line for line in pod.log.splitlines() if line.startswith("Installed provider")]
    assert installed == [
        "Installed provider 'echo' (order 0): 1 package",
        "Installed provider 'guard' (order 1): 1 package",
    ]
    packages = pod.read(f"{VOLUME_ROOT}/external-providers/installed-packages.txt")
    assert packages == "echo-inference==0.1.0  # echo\nguard-safety==0.1.0  # guard\n"


@pytest.mark.scenario(4)
def test_a_provider_of_the_distribution_is_overridden(
    images: Images, files: Files, play: Play
) -> None:
    server = images.server(LLAMA_STACK, config=dump(BASE), name="with-echo")
    pod = play(files.render({"image": server}, echo(images.sample(ECHO))))
    assert_overridden(pod)


@pytest.mark.scenario(5)
def test_a_provider_of_the_config_map_is_overridden(
    images: Images, files: Files, play: Play
) -> None:
    # this distribution has no configuration: a ConfigMap is what the message of extract advises
    server = {"image": images.bare_server(LLAMA_STACK), "configMap": {"name": "base"}}
    rendered = files.render(server, echo(images.sample(ECHO)))
    pod = play(config_map("base", dump(BASE)) + rendered)
    assert_overridden(pod)
    assert "extract-distribution-config" not in rendered


def assert_overridden(pod: Pod) -> None:
    """The external provider took the place of the one in `BASE`, which the log warns of."""
    warning = (
        "WARNING: External provider 'echo' overrides base provider in API 'inference'\n"
        "  Base type: remote::vllm\n"
        "  External type: remote::echo-inference\n"
    )
    assert warning in merge_log(pod)
    assert warning in pod.log
    merged = yaml.safe_load(pod.read(f"{VOLUME_ROOT}/config/run.yaml"))
    (entry,) = merged["providers"]["inference"]
    assert entry["module"] == "echo_inference"
    listed = pod.providers()
    assert listed["echo"]["provider_type"] == "remote::echo-inference"
    assert pod.chat("echo", "Hello") == "You said: Hello"


@pytest.mark.scenario(13)
def test_an_updated_image_replaces_the_provider(
    images: Images, files: Files, play: Play, pod_engine: Engine, tmp_path: Path
) -> None:
    project = copied(
        ECHO,
        tmp_path,
        ("pyproject.toml", 'version = "0.1.0"', 'version = "0.2.0"'),
        ("src/echo_inference/provider.py", "echo_inference.inference", "echo_inference.answers"),
        ("src/echo_inference/inference.py", "self.config.prefix + ", '"Version 2: " + '),
    )
    source = project / "src" / "echo_inference"
    (source / "inference.py").rename(source / "answers.py")
    new = images.project(project, f"acme/{ECHO}:2")
    server = {"image": images.server(LLAMA_STACK)}
    before = play(files.render(server, echo(images.sample(ECHO))))
    old_tree = installed_tree(before.volume("external-providers"))
    assert "python-packages/echo_inference/inference.py" in old_tree
    before.down()
    # podman keeps an emptyDir when its Pod is deleted: the old provider is on the volume
    text = files.render(server, echo(new))
    pod = play(text)
    assert pod.chat("echo", "Hello") == "Version 2: Hello"
    tree = installed_tree(pod.volume("external-providers"))
    assert tree == clean_tree(pod_engine, text)
    assert "python-packages/echo_inference/inference.py" not in tree
    assert tree["installed-packages.txt"] == b"echo-inference==0.2.0  # echo\n"


@pytest.mark.scenario(15)
def test_metadata_that_differs_is_a_warning(images: Images, files: Files, play: Play) -> None:
    def change(tree: BundleTree) -> None:
        text = tree.spec.read_text("utf-8")
        tree.spec.write_text(text.replace("remote::echo-inference", "remote::echo-before"), "utf-8")

    image = images.changed(images.sample(ECHO), "acme/other-metadata:1", change)
    pod = play(files.render({"image": images.server(LLAMA_STACK)}, echo(image)))
    assert (
        "WARNING: Provider metadata mismatch (non-blocking)\n"
        "\n"
        "Provider: echo\n"
        "\n"
        "Field: provider_type\n"
        "  Metadata (lls-provider-spec.yaml): remote::echo-before\n"
        "  Runtime (get_provider_spec()): remote::echo-inference\n"
        "  Using: remote::echo-inference (runtime value)\n"
        "\n"
        "Field: api\n"
        "  Metadata (lls-provider-spec.yaml): inference\n"
        "  Runtime (get_provider_spec()): inference\n"
        "  Match ✓\n"
        "\n"
        "Note: Update lls-provider-spec.yaml to match runtime implementation for mismatched "
        "fields.\n"
    ) in pod.log
    assert "All providers validated successfully\n" in pod.log
    assert pod.chat("echo", "Hello") == "You said: Hello"
