"""`push` and `inspect` as a user runs them, against a real registry."""

from __future__ import annotations

import hashlib
import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.factories.images import write_small_image

Cli = Callable[..., "subprocess.CompletedProcess[str]"]

LABELS = {
    "io.llamastack.provider.id": "acme-echo",
    "io.llamastack.provider.name": "acme-echo",
    "io.llamastack.provider.version": "1.0.0",
    "io.llamastack.provider.vendor": "Acme\x1b[31m",
    "io.llamastack.provider.api": "inference",
    "io.llamastack.provider.type": "remote::acme-echo",
    "io.llamastack.provider.module": "acme_echo",
    "io.llamastack.provider.wheels": "2",
    "io.llamastack.provider.installed-size": "many",
    "io.llamastack.provider.distributions": "ogx==1.5.0,llama-stack==0.7.3",
}


@pytest.fixture
def layout(tmp_path: Path) -> Path:
    """A layout with one small layer."""
    return written(tmp_path, {"Labels": LABELS})


def written(tmp_path: Path, runtime: dict[str, Any]) -> Path:
    history = [{"created_by": "ENV x", "empty_layer": True}, {"created_by": "by hand"}]
    return write_small_image(tmp_path / "image", {"config": runtime, "history": history})


@pytest.mark.engine
def test_a_dry_run_asks_what_the_registry_lacks(cli: Cli, layout: Path, registry: str) -> None:
    name = f"{registry}/cli/dry:1"
    words = ("push", f"oci:{layout}", name)
    first = json.loads(cli(*words, "--dry-run", "--format", "json").stdout)
    assert cli("inspect", name).returncode == 1  # nothing was sent
    pushed = json.loads(cli(*words, "--format", "json").stdout)
    assert (first["dry_run"], pushed["dry_run"]) == (True, False)
    (would,), (sent,) = first["outputs"], pushed["outputs"]
    image = json.loads(cli("inspect", f"oci:{layout}", "--format", "json").stdout)
    assert would.pop("to_send") == sum(it["size"] for it in image["layers"])
    assert would == sent
    again = cli(*words, "--dry-run")
    assert again.stdout == f"Would push {name} {sent['digest']}: 0 bytes to send\n"
    assert f"{registry} lacks 0 of 1 layer, 0 bytes" in again.stderr


@pytest.mark.engine
def test_what_is_pushed_can_be_inspected(cli: Cli, layout: Path, registry: str) -> None:
    names = [f"{registry}/cli/echo:1", f"docker://{registry}/cli/copy:2"]
    done = cli("push", f"oci:{layout}", *names, "--format", "json")
    assert done.returncode == 0, done.stderr
    outputs = json.loads(done.stdout)["outputs"]
    assert [it["output"] for it in outputs] == [f"docker://{names[0]}", names[1]]
    (digest,) = {it["digest"] for it in outputs}
    shown = {}
    for name in (str(layout), *names):
        done = cli("inspect", name, "--format", "json")
        assert done.returncode == 0, done.stderr
        shown[name] = json.loads(done.stdout)
        assert shown[name].pop("image") == name
        assert shown[name]["digest"] == digest
        attached = None if name == str(layout) else False  # a layout lists no referrers
        assert shown[name].pop("sbom") == {"digest": None, "attached": attached}
        assert shown[name]["layers"][0]["title"] == "by hand"
        provider = shown[name]["provider"]
        assert provider["distributions"] == ["ogx==1.5.0", "llama-stack==0.7.3"]
        assert (provider["wheels"], provider["installed_size"]) == (2, None)
    assert shown[names[0]] == shown[names[1]] == shown[str(layout)]
    # a second registry name is a source as good as a layout
    done = cli("push", names[0], f"{registry}/cli/third:3")
    assert done.stdout == f"{registry}/cli/third:3 {digest}\n"


@pytest.fixture
def index(layout: Path) -> Path:
    """The same layout, its image listed for two platforms."""
    listing = json.loads((layout / "index.json").read_bytes())
    (entry,) = listing["manifests"]
    blobs = layout / "blobs" / "sha256"
    manifest = json.loads((blobs / entry["digest"].removeprefix("sha256:")).read_bytes())
    config = json.loads((blobs / manifest["config"]["digest"].removeprefix("sha256:")).read_bytes())

    def put(value: object, like: dict[str, Any]) -> dict[str, Any]:
        data = json.dumps(value).encode()
        digest = hashlib.sha256(data).hexdigest()
        (blobs / digest).write_bytes(data)
        return {**like, "digest": f"sha256:{digest}", "size": len(data)}

    other = put(config | {"architecture": "arm64"}, manifest["config"])
    entries = [entry, put(manifest | {"config": other}, entry)]
    for described, architecture in zip(entries, ("amd64", "arm64"), strict=True):
        described["platform"] = {"os": "linux", "architecture": architecture}
    kind = {"mediaType": "application/vnd.oci.image.index.v1+json"}
    listing["manifests"] = [put({"schemaVersion": 2, "manifests": entries}, kind)]
    (layout / "index.json").write_text(json.dumps(listing))
    return layout


@pytest.mark.engine
def test_an_index_is_pushed_and_inspected_whole(cli: Cli, index: Path, registry: str) -> None:
    name = f"{registry}/cli/index:1"
    (entry,) = json.loads((index / "index.json").read_bytes())["manifests"]
    done = cli("push", index, name)
    assert done.stdout == f"{name} {entry['digest']}\n", done.stderr
    found = json.loads(cli("inspect", name, "--format", "json").stdout)
    assert (found["kind"], found["digest"]) == ("index", entry["digest"])
    assert found["platforms"] == ["linux/amd64", "linux/arm64"]
    for image in found["images"]:
        done = cli("inspect", name, "--platform", image["platform"], "--format", "json")
        assert json.loads(done.stdout) == {
            "schema": "lls-provider/inspect/1",
            "image": name,
            **image,
        }
    shown = cli("inspect", index).stdout
    assert "kind:     index of 2 images" in shown
    assert f"{index} for linux/arm64\n" in shown
    done = cli("inspect", name, "--platform", "linux/s390x")
    assert done.returncode == 1
    assert "linux/amd64, linux/arm64" in done.stderr


def test_what_an_image_says_cannot_move_the_cursor(cli: Cli, layout: Path) -> None:
    done = cli("inspect", layout)
    assert done.returncode == 0, done.stderr
    assert "\x1b" not in done.stdout
    assert "provider: acme-echo 1.0.0 of Acme\\x1b[31m" in done.stdout
    assert "serves:   inference as remote::acme-echo" in done.stdout
    assert "kind:     data, starts nothing" in done.stdout


def test_an_image_without_labels_is_told_what_to_do(cli: Cli, tmp_path: Path) -> None:
    layout = written(tmp_path, {"Cmd": ["sh", "-c", "pip install"]})
    done = cli("inspect", layout)
    assert done.returncode == 0
    assert "provider: unknown" in done.stdout
    assert "kind:     runnable, starts sh -c pip install" in done.stdout
    assert f"`lls-provider check {layout}` reads what is in it" in done.stderr
    done = cli("inspect", layout, "--format", "json")
    assert json.loads(done.stdout)["provider"] is None
    assert f"lls-provider check {layout}" in done.stderr


@pytest.mark.engine
def test_an_image_that_is_not_there_is_told(cli: Cli, registry: str) -> None:
    done = cli("inspect", f"{registry}/cli/nothing:1")
    assert done.returncode == 1
    assert "404" in done.stderr
    assert "Resolution: " in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize(
    "target",
    ["quay.io/UPPER", f"quay.io/acme/echo@sha256:{'0' * 64}", "https://quay.io/acme/echo"],
)
def test_a_place_that_cannot_be_pushed_to_is_refused_at_once(
    cli: Cli, layout: Path, target: str
) -> None:
    done = cli("push", layout, target)
    assert done.returncode == 2
    assert "Resolution: " in done.stderr
