"""Images for several platforms under one name: written, read, pushed, copied, judged."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.factories.providers import NO_SPECS

from lls_provider.bundle.bundle import Bundle
from lls_provider.errors import Code, SdkError
from lls_provider.image.bundle_image import compose
from lls_provider.image.check import check_place
from lls_provider.image.image import Image, Platform, parse_platforms, platform_of
from lls_provider.image.manifest import Artifact, Index, manifests
from lls_provider.image.transports.archive import DockerArchive, OciArchive
from lls_provider.image.transports.daemon import DaemonOutput
from lls_provider.image.transports.layout import find_layout, read_layout, write_layout
from lls_provider.image.transports.registry.reference import tagged
from lls_provider.image.transports.registry.transfer import find_remote, pull, push
from lls_provider.image.transports.transport import find_image
from lls_provider.operations.images import image_facts

Engine = Callable[[str], str]
MakeBundle = Callable[..., Bundle]
MakeLayout = Callable[..., Path]

AMD, ARM = Platform("amd64"), Platform("arm64")


@pytest.fixture
def images(make_bundle: MakeBundle) -> list[Image]:
    return [
        compose(make_bundle(machine, source=NO_SPECS, machine=machine))
        for machine in ("x86_64", "aarch64")
    ]


@pytest.fixture
def index(images: list[Image]) -> Index:
    return Index.of(images)


def blobs(layout: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (layout / "blobs" / "sha256").iterdir()}


def test_the_order_of_platforms_makes_no_difference(images: list[Image]) -> None:
    assert Index.of(images).manifest_bytes() == Index.of(images[::-1]).manifest_bytes()


def test_an_index_lists_each_image_with_its_platform(index: Index) -> None:
    document = json.loads(index.manifest_bytes())
    assert document["mediaType"] == "application/vnd.oci.image.index.v1+json"
    assert [(it["platform"], it["digest"]) for it in document["manifests"]] == [
        ({"architecture": image.platform.architecture, "os": "linux"}, image.digest)
        for image in index.images
    ]
    assert document["annotations"]["org.opencontainers.image.title"] == "acme-echo"
    assert index.digest == f"sha256:{hashlib.sha256(index.manifest_bytes()).hexdigest()}"


def test_what_is_the_same_for_all_platforms_is_stored_once(index: Index, tmp_path: Path) -> None:
    write_layout(index, tmp_path / "oci")
    shared = [{it.layers[number].digest for it in index.images} for number in range(3)]
    assert [len(digests) for digests in shared] == [1, 1, 1]
    # three shared layers; provider layer, configuration and manifest of each image; the index
    assert len(blobs(tmp_path / "oci")) == 3 + 2 * 3 + 1


@pytest.mark.parametrize("kind", ["layout", "archive"])
def test_a_written_index_is_read_whole_or_by_platform(
    index: Index, tmp_path: Path, kind: str
) -> None:
    if kind == "layout":
        digest = write_layout(index, tmp_path / "x", tag="v1")
    else:
        digest = OciArchive(tmp_path / "x", "v1").write(index)
    found = find_image(f"{tmp_path / 'x'}:v1" if kind == "layout" else str(tmp_path / "x"))
    whole = found.whole()
    assert isinstance(whole, Index)
    assert whole.digest == digest == index.digest
    assert whole.manifest_bytes() == index.manifest_bytes()
    for image in index.images:
        assert found.image(image.platform).digest == image.digest
    assert found.image().platform == platform_of(os.uname().machine)
    with pytest.raises(SdkError, match="no image for linux/s390x") as caught:
        found.image(Platform("s390x"))
    assert caught.value.code is Code.IMAGE_MISSING
    assert "linux/amd64, linux/arm64" in caught.value.why


def test_a_single_image_is_not_taken_for_another_platform(
    images: list[Image], tmp_path: Path
) -> None:
    write_layout(images[0], tmp_path / "oci")
    assert find_layout(tmp_path / "oci").image(AMD).digest == images[0].digest
    with pytest.raises(SdkError, match="no image for linux/arm64") as caught:
        find_layout(tmp_path / "oci").image(ARM)
    assert caught.value.code is Code.IMAGE_MISSING
    assert "linux/amd64" in caught.value.why


def test_this_machine_decides_where_nothing_is_told(
    index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_layout(index, tmp_path / "oci")
    for machine in ("x86_64", "aarch64"):
        told = os.uname_result(("Linux", "host", "6", "#1", machine))
        monkeypatch.setattr(os, "uname", lambda told=told: told)
        assert read_layout(tmp_path / "oci").platform == platform_of(machine)


def test_docker_knows_no_index(index: Index, tmp_path: Path) -> None:
    for output in (DockerArchive(tmp_path / "x.tar"), DaemonOutput(tagged("acme/echo:1"))):
        with pytest.raises(SdkError) as caught:
            output.write(index)
        assert caught.value.code is Code.USAGE
        assert "--platform" in caught.value.resolution
    assert list(tmp_path.glob("x.tar*")) == []


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (["linux/arm64", "linux/amd64", "linux/arm64/v8"], [AMD, ARM]),
        (["linux/aarch64"], [ARM]),
        ([], [platform_of(os.uname().machine)]),
    ],
)
def test_platforms_are_told_as_other_tools_take_them(
    texts: list[str], expected: list[Platform]
) -> None:
    assert list(parse_platforms(texts)) == expected


@pytest.mark.parametrize("text", ["", "arm64", "windows/amd64", "linux/", "linux/vax", "linux/a/b"])
def test_other_platforms_are_refused(text: str) -> None:
    with pytest.raises(SdkError, match="not a platform") as caught:
        parse_platforms([text])
    assert caught.value.code is Code.USAGE
    assert "linux/arm64" in caught.value.why


def test_inspection_tells_every_platform(index: Index, images: list[Image]) -> None:
    found = image_facts(index)
    assert (found["kind"], found["digest"]) == ("index", index.digest)
    assert found["platforms"] == ["linux/amd64", "linux/arm64"]
    assert found["images"] == [image_facts(image) for image in images]


def test_check_names_the_platform_of_each_complaint(
    make_bundle: MakeBundle, images: list[Image], tmp_path: Path
) -> None:
    write_layout(Index.of(images), tmp_path / "good")
    report = check_place(f"oci:{tmp_path}/good")
    assert (report.kind, report.errors, report.warnings) == ("index", (), ())
    assert {it.platform for it in report.findings} == {"", "linux/amd64", "linux/arm64"}
    broken = compose(make_bundle("broken", source="", machine="aarch64"))
    write_layout(Index.of([images[0], broken]), tmp_path / "bad")
    report = check_place(f"oci:{tmp_path}/bad")
    assert [(it.rule, it.platform) for it in report.errors] == [("module", "linux/arm64")]
    assert report.errors[0].to_document()["platform"] == "linux/arm64"
    one = check_place(f"oci:{tmp_path}/bad", AMD)
    assert (one.kind, one.errors) == ("image", ())
    assert [it.rule for it in check_place(f"oci:{tmp_path}/bad", ARM).errors] == ["module"]
    (missing,) = check_place(f"oci:{tmp_path}/bad", Platform("s390x")).errors
    assert "There is no image for linux/s390x" in missing.what


def attested(layout: Path) -> bytes:
    """Adds to the index in a layout what build tools put there, and returns the new index."""

    def put(data: bytes, media_type: str) -> dict[str, Any]:
        digest = hashlib.sha256(data).hexdigest()
        (layout / "blobs" / "sha256" / digest).write_bytes(data)
        return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": len(data)}

    listing = json.loads((layout / "index.json").read_bytes())
    old = layout / "blobs" / "sha256" / listing["manifests"][0]["digest"].removeprefix("sha256:")
    index = json.loads(old.read_bytes())
    manifest = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": put(b'{"os": "unknown"}', "application/vnd.oci.image.config.v1+json"),
        "layers": [put(b'{"_type": "statement"}', "application/vnd.in-toto+json")],
    }
    described = put(json.dumps(manifest).encode(), str(manifest["mediaType"]))
    unknown = {"architecture": "unknown", "os": "unknown"}
    index["manifests"].append(described | {"platform": unknown})
    data = json.dumps(index, indent=3).encode()
    listing["manifests"] = [put(data, index["mediaType"])]
    (layout / "index.json").write_text(json.dumps(listing))
    old.unlink()
    return data


def test_what_else_an_index_lists_is_copied_too(index: Index, tmp_path: Path) -> None:
    write_layout(index, tmp_path / "oci")
    data = attested(tmp_path / "oci")
    whole = find_layout(tmp_path / "oci").whole()
    assert isinstance(whole, Index)
    assert [type(it) for it in manifests(whole)] == [Image, Image, Artifact, Index]
    assert whole.manifest_bytes() == data
    assert len(whole.images) == 2
    write_layout(whole, tmp_path / "copy")
    assert blobs(tmp_path / "copy") == blobs(tmp_path / "oci")


def test_an_index_within_itself_ends(index: Index, tmp_path: Path) -> None:
    write_layout(index, tmp_path / "oci")
    folder = tmp_path / "oci" / "blobs" / "sha256"
    data = index.manifest_bytes()
    for _ in range(8):
        entry = {"mediaType": index.media_type, "size": len(data)}
        entry["digest"] = f"sha256:{hashlib.sha256(data).hexdigest()}"
        (folder / hashlib.sha256(data).hexdigest()).write_bytes(data)
        document = {"schemaVersion": 2, "mediaType": index.media_type, "manifests": [entry]}
        data = json.dumps(document).encode()
    (tmp_path / "oci" / "index.json").write_bytes(data)
    for read in (find_layout(tmp_path / "oci").whole, find_layout(tmp_path / "oci").image):
        with pytest.raises(SdkError) as caught:
            read()
        assert "nested" in caught.value.why


# --- judges ---


def run(*words: str | Path) -> str:
    done = subprocess.run([*map(str, words)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.engine
@pytest.mark.parametrize("kind", ["oci", "oci-archive"])
def test_skopeo_sees_every_platform_and_copies_all(
    index: Index, tmp_path: Path, engine: Engine, kind: str
) -> None:
    skopeo = engine("skopeo")
    if kind == "oci":
        write_layout(index, tmp_path / "x")
    else:
        OciArchive(tmp_path / "x").write(index)
    source = f"{kind}:{tmp_path / 'x'}"
    raw = json.loads(run(skopeo, "inspect", "--raw", source))
    assert raw == json.loads(index.manifest_bytes())
    for image in index.images:
        architecture = image.platform.architecture
        shown = json.loads(run(skopeo, "--override-arch", architecture, "inspect", source))
        assert shown["Architecture"] == architecture
    copy = f"oci:{tmp_path / 'copy'}:latest"
    run(skopeo, "--insecure-policy", "copy", "--all", "--preserve-digests", source, copy)
    assert find_layout(tmp_path / "copy").whole().digest == index.digest


@pytest.mark.engine
def test_umoci_unpacks_each_platform(
    make_bundle: MakeBundle, index: Index, tmp_path: Path, engine: Engine
) -> None:
    umoci, skopeo = engine("umoci"), engine("skopeo")
    write_layout(index, tmp_path / "oci")
    assert run(umoci, "ls", "--layout", tmp_path / "oci").split() == ["latest"]
    # it follows an index to every manifest in it and cannot be determined a platform ("tag is
    # ambiguous" of umoci 0.4.7), so skopeo takes each image out first, byte for byte
    for machine, platform in (("x86_64", "amd64"), ("aarch64", "arm64")):
        bundle = make_bundle(machine, source=NO_SPECS, machine=machine)
        one = tmp_path / platform
        words = ("--insecure-policy", "--override-arch", platform, "copy", "--preserve-digests")
        run(skopeo, *words, f"oci:{tmp_path / 'oci'}:latest", f"oci:{one}:latest")
        run(umoci, "unpack", "--rootless", "--image", f"{one}:latest", tmp_path / f"{platform}-out")
        root = tmp_path / f"{platform}-out" / "rootfs" / "lls-provider"
        for path in bundle.root.rglob("*"):
            if path.is_file():
                assert (root / path.relative_to(bundle.root)).read_bytes() == path.read_bytes()


@pytest.mark.engine
def test_a_registry_takes_and_gives_an_index(
    index: Index, tmp_path: Path, engine: Engine, registry: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LLS_PROVIDER_CACHE", str(tmp_path / "cache"))
    skopeo = engine("skopeo")
    reference = tagged(f"{registry}/index/echo:1")
    assert push(index, reference) == index.digest
    for image in index.images:
        assert pull(reference, platform=image.platform).digest == image.digest
    source = f"docker://{reference}"
    raw = run(skopeo, "inspect", "--tls-verify=false", "--raw", source)
    assert raw.encode() == index.manifest_bytes()
    words = ("copy", "--all", "--preserve-digests", "--src-tls-verify=false")
    run(skopeo, "--insecure-policy", *words, source, f"oci:{tmp_path / 'back'}:latest")
    write_layout(index, tmp_path / "oci")
    assert blobs(tmp_path / "back") == blobs(tmp_path / "oci")


@pytest.mark.engine
def test_everything_of_an_index_is_pushed_byte_for_byte(
    index: Index, tmp_path: Path, registry: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LLS_PROVIDER_CACHE", str(tmp_path / "cache"))
    write_layout(index, tmp_path / "oci")
    data = attested(tmp_path / "oci")
    first, second = tagged(f"{registry}/index/all:1"), tagged(f"{registry}/index/copy:1")
    push(find_layout(tmp_path / "oci").whole(), first)
    push(find_remote(first).whole(), second)
    shutil.rmtree(tmp_path / "cache")
    found = find_remote(second).whole()
    assert found.manifest_bytes() == data
    write_layout(found, tmp_path / "copy")
    assert blobs(tmp_path / "copy") == blobs(tmp_path / "oci")


def test_an_archive_holds_no_blob_twice(index: Index, tmp_path: Path) -> None:
    OciArchive(tmp_path / "x").write(index)
    with tarfile.open(tmp_path / "x") as archive:
        names = [it.name for it in archive if it.isfile()]
    assert len(names) == len(set(names))
