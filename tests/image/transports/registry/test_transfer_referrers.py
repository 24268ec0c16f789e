"""The SBOM attached to an image: in registries that keep referrers, and in one that does not."""

from __future__ import annotations

import json
import subprocess
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tests.image.transports.registry.fake import FakeRegistry, cut, status
from tests.recorder import Recorder

from lls_provider.bundle.bundle import Bundle
from lls_provider.bundle.sbom import MEDIA_TYPE
from lls_provider.errors import Code, SdkError
from lls_provider.image.bundle_image import compose
from lls_provider.image.image import Image, canonical
from lls_provider.image.transports.layout import read_layout, write_layout
from lls_provider.image.transports.registry.reference import parse
from lls_provider.image.transports.registry.repository import Repository
from lls_provider.image.transports.registry.transfer import (
    attached,
    pull,
    push,
    read_sbom,
    sbom_artifact,
    sbom_attached,
)

if TYPE_CHECKING:
    from lls_provider.image.transports.registry.http import RegistryTimeouts

MakeBundle = Callable[..., Bundle]
Engine = Callable[[str], str]

INDEX = "application/vnd.oci.image.index.v1+json"


@pytest.fixture
def bundle(make_bundle: MakeBundle) -> Bundle:
    return make_bundle()


@pytest.fixture
def image(bundle: Bundle) -> Image:
    return compose(bundle)


def fallback(image: Image) -> str:
    return image.digest.replace(":", "-")


def fetched(repository: str, kind: str, name: str) -> bytes:
    host, _, path = repository.partition("/")
    request = urllib.request.Request(
        f"http://{host}/v2/{path}/{kind}/{name}",
        headers={"Accept": f"{INDEX}, application/vnd.oci.image.manifest.v1+json"},
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        return bytes(answer.read())


def entries(repository: str, tag: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(fetched(repository, "manifests", tag))["manifests"]
    return found


# --- a registry without the API of referrers: Debian's ---


@pytest.mark.engine
def test_a_registry_without_referrers_gets_the_index_of_the_specification(
    bundle: Bundle, image: Image, repository: str, limits: RegistryTimeouts, engine: Engine
) -> None:
    push(image, parse(f"{repository}:1"), limits=limits)
    (entry,) = entries(repository, fallback(image))
    assert entry["artifactType"] == MEDIA_TYPE
    manifest = json.loads(fetched(repository, "manifests", entry["digest"]))
    assert manifest["subject"]["digest"] == image.digest
    assert manifest["artifactType"] == MEDIA_TYPE
    (layer,) = manifest["layers"]
    assert fetched(repository, "blobs", layer["digest"]) == bundle.tree.sbom.read_bytes()
    # an independent client reads the index and what it names
    reference = f"docker://{repository}@{entry['digest']}"
    command = [engine("skopeo"), "inspect", "--raw", "--tls-verify=false", reference]
    raw = subprocess.run(command, check=True, capture_output=True).stdout
    assert json.loads(raw) == manifest


@pytest.mark.engine
def test_what_others_attached_stays_and_nothing_is_listed_twice(
    image: Image, repository: str, limits: RegistryTimeouts
) -> None:
    other = {
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "artifactType": "application/vnd.example.signature",
        "annotations": {"who": "someone else"},
    }
    with Repository(parse(f"{repository}:1"), push=True, limits=limits) as there:
        # the registry knows the manifest that the entry names: any does
        push(image, parse(f"{repository}:other"), limits=limits)
        described = json.loads(fetched(repository, "manifests", fallback(image)))["manifests"][0]
        entry = {**other, "digest": image.digest, "size": len(image.manifest_bytes())}
        index = {"schemaVersion": 2, "mediaType": INDEX, "manifests": [entry], "annotations": {}}
        there.put_manifest(fallback(image), canonical(index), INDEX)
    for _ in range(2):
        push(image, parse(f"{repository}:1"), limits=limits)
    found = json.loads(fetched(repository, "manifests", fallback(image)))
    assert found == {**index, "manifests": [entry, described]}


@pytest.mark.engine
def test_inspecting_tells_whether_it_is_attached(
    image: Image, repository: str, limits: RegistryTimeouts
) -> None:
    reference = parse(f"{repository}:1")
    push(image, reference, limits=limits)
    assert sbom_attached(pull(reference, limits=limits)) is True
    with Repository(reference, limits=limits) as there:
        assert attached(there, image.digest, "application/vnd.example.other") is False
        assert attached(there, "sha256:" + "0" * 64, MEDIA_TYPE) is False


@pytest.mark.engine
def test_an_image_that_was_built_before_gets_it_too(
    image: Image, repository: str, limits: RegistryTimeouts, tmp_path: Path
) -> None:
    write_layout(image, tmp_path / "layout")
    before = read_layout(tmp_path / "layout")
    push(before, parse(f"{repository}:1"), limits=limits)
    push(pull(parse(f"{repository}:1"), limits=limits), parse(f"{repository}copy:1"), limits=limits)
    for name in (repository, f"{repository}copy"):
        (entry,) = entries(name, fallback(image))
        artifact = sbom_artifact(image)
        assert artifact is not None
        assert fetched(name, "manifests", entry["digest"]) == artifact.manifest


def test_an_image_elsewhere_says_nothing_of_registries(image: Image) -> None:
    assert sbom_attached(image) is None


# --- a registry that keeps referrers ---


def test_a_registry_with_referrers_gets_no_index(
    image: Image, fake: FakeRegistry, limits: RegistryTimeouts
) -> None:
    fake.referrers = True
    reference = parse(f"{fake.host}/acme/echo:1")
    push(image, reference, limits=limits)
    assert fallback(image) not in fake.manifests
    pulled = pull(reference, limits=limits)
    asked = len(fake.seen)
    assert sbom_attached(pulled) is True
    assert len(fake.seen) == asked + 1


def test_it_is_attached_before_the_tag_moves(
    image: Image, fake: FakeRegistry, limits: RegistryTimeouts
) -> None:
    push(image, parse(f"{fake.host}/acme/echo:1"), limits=limits)
    put = [it.path.rpartition("/")[2] for it in fake.asked("PUT", "/manifests/")]
    artifact = sbom_artifact(image)
    assert artifact is not None
    assert put == [image.digest, artifact.described["digest"], fallback(image), "1"]


@pytest.mark.parametrize("number", [400, 403, 405])
def test_a_registry_that_refuses_artifacts_gets_the_image(
    image: Image, fake: FakeRegistry, limits: RegistryTimeouts, number: int
) -> None:
    artifact = sbom_artifact(image)
    assert artifact is not None
    fake.fault("PUT", f"/manifests/{artifact.described['digest']}", status(number))
    recorder = Recorder()
    reference = parse(f"{fake.host}/acme/echo:1")
    assert push(image, reference, limits=limits, progress=recorder) == image.digest
    assert fake.manifests["1"][1] == image.manifest_bytes()
    (warning,) = recorder.warnings
    assert "SBOM" in warning
    assert str(number) in warning


def test_a_tag_that_is_no_index_is_left_alone(
    image: Image, fake: FakeRegistry, limits: RegistryTimeouts
) -> None:
    reference = parse(f"{fake.host}/acme/echo:1")
    for content in (b"{", b"[]", b'{"manifests": 1}', b'{"manifests": [1]}'):
        fake.manifests[fallback(image)] = (INDEX, content)
        recorder = Recorder()
        push(image, reference, limits=limits, progress=recorder)
        assert fake.manifests[fallback(image)] == (INDEX, content)
        assert len(recorder.warnings) == 1
        assert sbom_attached(pull(reference, limits=limits)) is None


def test_an_index_that_changed_meanwhile_is_read_again(
    image: Image, fake: FakeRegistry, limits: RegistryTimeouts
) -> None:
    """A registry that looks at conditions: our entry joins what the other client wrote."""
    tag = fallback(image)
    empty = {"schemaVersion": 2, "mediaType": INDEX, "manifests": []}
    theirs = {"mediaType": INDEX, "digest": "sha256:" + "1" * 64, "size": 2}
    fake.manifests[tag] = (INDEX, canonical(empty))

    def changed(request: Any) -> bool:
        fake.manifests[tag] = (INDEX, canonical({**empty, "manifests": [theirs]}))
        return bool(request.answer(412))

    fake.fault("PUT", f"/manifests/{tag}", changed)
    push(image, parse(f"{fake.host}/acme/echo:1"), limits=limits)
    found = json.loads(fake.manifests[tag][1])["manifests"]
    assert [it.get("artifactType") for it in found] == [None, MEDIA_TYPE]


def test_an_index_that_another_client_overwrote_is_mended(
    image: Image, fake: FakeRegistry, limits: RegistryTimeouts
) -> None:
    tag = fallback(image)
    theirs = {"mediaType": INDEX, "digest": "sha256:" + "1" * 64, "size": 2}

    def overwritten(request: Any) -> bool:
        request.manifest(tag)
        index = {"schemaVersion": 2, "mediaType": INDEX, "manifests": [theirs]}
        fake.manifests[tag] = (INDEX, canonical(index))
        return True

    fake.fault("PUT", f"/manifests/{tag}", overwritten)
    push(image, parse(f"{fake.host}/acme/echo:1"), limits=limits)
    assert len(json.loads(fake.manifests[tag][1])["manifests"]) == 2


def test_no_network_while_attaching_leaves_the_tag_as_it_was(
    image: Image, fake: FakeRegistry, limits: RegistryTimeouts
) -> None:
    artifact = sbom_artifact(image)
    assert artifact is not None
    fake.fault("PUT", f"/manifests/{artifact.described['digest']}", cut, times=50)
    with pytest.raises(SdkError) as caught:
        push(image, parse(f"{fake.host}/acme/echo:1"), limits=limits)
    assert caught.value.code is Code.NETWORK
    assert "1" not in fake.manifests


# --- finding it in an image ---


def test_it_is_found_in_its_layer(bundle: Bundle, image: Image, tmp_path: Path) -> None:
    write_layout(image, tmp_path / "layout")
    for found in (image, read_layout(tmp_path / "layout")):
        assert read_sbom(found) == bundle.tree.sbom.read_bytes()


def test_an_image_that_does_not_say_so_has_none(
    bundle: Bundle, make_bundle: MakeBundle, tmp_path: Path
) -> None:
    bundle.tree.sbom.unlink()
    bundle.tree.manifest.unlink()
    base = compose(make_bundle("other"))
    by_hand = Bundle(bundle.root, bundle.metadata, None, bundle.wheels)
    assert read_sbom(compose(by_hand, base)) is None
    assert sbom_artifact(compose(by_hand, base)) is None
