"""Reading images out of registries, whatever they answer."""

from __future__ import annotations

import json
import random
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.image.transports.registry.fake import TOKEN, FakeRegistry, Request, cut, status

from lls_provider.bundle.bundle import Bundle
from lls_provider.errors import Code, SdkError
from lls_provider.image.bundle_image import compose
from lls_provider.image.image import INDEX_TYPE, MANIFEST_TYPE, Image, Platform, descriptor, sha256
from lls_provider.image.transports.layout import read_layout, write_layout
from lls_provider.image.transports.registry.http import RegistryTimeouts
from lls_provider.image.transports.registry.reference import parse
from lls_provider.image.transports.registry.repository import Repository
from lls_provider.image.transports.registry.transfer import pull, push
from lls_provider.wheels.fetch import download

pytestmark = pytest.mark.slow

MakeBundle = Callable[..., Bundle]
MakeLayout = Callable[..., Path]
Login = Callable[[str, dict[str, str]], None]
Engine = Callable[[str], str]


@pytest.fixture
def image(make_bundle: MakeBundle) -> Image:
    return compose(make_bundle())


@pytest.fixture
def pushed(image: Image, fake: FakeRegistry, limits: RegistryTimeouts) -> str:
    """The reference of an image in the fake registry, which has seen nothing yet."""
    reference = f"{fake.host}/acme/echo:1"
    push(image, parse(reference), limits=limits)
    fake.seen.clear()
    return reference


def content(image: Image) -> list[bytes]:
    return [b"".join(layer.chunks()) for layer in image.layers]


def refused(
    reference: str, limits: RegistryTimeouts, code: Code, *words: str, read: bool = False
) -> str:
    with pytest.raises(SdkError) as caught:
        found = pull(parse(reference), limits=limits)
        if read:
            content(found)
    text = caught.value.render()
    assert caught.value.code is code, text
    assert all(word in text for word in words), text
    assert caught.value.where.image == reference
    return text


# --- a real registry ---


@pytest.mark.engine
def test_what_another_client_pushed_is_read(
    make_layout: MakeLayout,
    repository: str,
    limits: RegistryTimeouts,
    engine: Engine,
    tmp_path: Path,
) -> None:
    layout = make_layout([("etc/os-release", b"x")], compress="gzip", config={"User": "1001"})
    subprocess.run(
        [
            *(engine("skopeo"), "copy", "--preserve-digests", "--dest-tls-verify=false"),
            *(f"oci:{layout}", f"docker://{repository}:base"),
        ],
        check=True,
        capture_output=True,
    )
    found = pull(parse(f"{repository}:base"), limits=limits)
    expected = read_layout(layout)
    assert found.raw_manifest == expected.raw_manifest
    assert found.raw_config == expected.raw_config
    assert content(found) == content(expected)
    assert write_layout(found, tmp_path / "copy") == expected.digest
    with pytest.raises(SdkError) as caught:
        pull(parse(f"{repository}:other"), limits=limits)
    assert caught.value.code is Code.IMAGE_MISSING


@pytest.mark.engine
def test_a_base_in_the_same_registry_is_mounted_and_not_loaded(
    make_layout: MakeLayout,
    make_bundle: MakeBundle,
    repository: str,
    limits: RegistryTimeouts,
    shared_cache: Path,
    tmp_path: Path,
) -> None:
    base = read_layout(make_layout([("usr/bin/python3", bytes(1 << 20))]))
    push(base, parse(f"{repository}/base:1"), limits=limits)
    remote = pull(parse(f"{repository}/base:1"), limits=limits)
    image = compose(make_bundle(), remote)
    push(image, parse(f"{repository}/runnable:1"), limits=limits)
    layer = base.layers[0].digest.removeprefix("sha256:")
    assert not (tmp_path / "cache" / "blobs" / "sha256" / layer).exists()
    again = pull(parse(f"{repository}/runnable:1"), limits=limits)
    assert again.digest == image.digest
    assert content(again)[0] == content(base)[0]


# --- one that misbehaves ---


def test_layers_are_loaded_when_they_are_read_and_once(
    image: Image, pushed: str, fake: FakeRegistry, limits: RegistryTimeouts
) -> None:
    found = pull(parse(pushed), limits=limits)
    assert found.labels == image.labels
    assert found.digest == image.digest
    assert [it.path.rpartition("/")[2] for it in fake.asked("GET", "blobs")] == [
        sha256(image.config_bytes())
    ]
    assert content(found) == content(image)
    fake.seen.clear()
    assert content(found) == content(image)
    assert fake.seen == []


def test_a_digest_in_the_cache_needs_no_registry(
    image: Image, pushed: str, fake: FakeRegistry, limits: RegistryTimeouts
) -> None:
    reference = parse(pushed).at(image.digest)
    content(pull(reference, limits=limits))
    fake.seen.clear()
    assert content(pull(reference, limits=limits)) == content(image)
    assert fake.seen == []


def test_a_damaged_cache_mends_itself(
    image: Image, pushed: str, limits: RegistryTimeouts, tmp_path: Path
) -> None:
    content(pull(parse(pushed), limits=limits))
    blobs = tmp_path / "cache" / "blobs" / "sha256"
    for path in blobs.iterdir():
        if path.suffix != ".lock":
            path.write_bytes(b"x" * path.stat().st_size)
    found = pull(parse(pushed), limits=limits)
    for layer in found.layers:
        with pytest.raises(SdkError, match="damaged"):
            list(layer.chunks())
    assert content(found) == content(image)


def test_the_platform_is_chosen_from_an_index(fake: FakeRegistry, limits: RegistryTimeouts) -> None:
    reference = parse(f"{fake.host}/acme/echo:1")
    entries = []
    for architecture in ("amd64", "arm64", "s390x"):
        layer = architecture.encode()
        config = json.dumps(
            {
                "architecture": architecture,
                "os": "linux",
                "rootfs": {"type": "layers", "diff_ids": [sha256(layer)]},
            }
        ).encode()
        fake.blobs |= {sha256(layer): layer, sha256(config): config}
        manifest = json.dumps(
            {
                "schemaVersion": 2,
                "mediaType": MANIFEST_TYPE,
                "config": descriptor("application/vnd.oci.image.config.v1+json", config),
                "layers": [descriptor("application/vnd.oci.image.layer.v1.tar", layer)],
            }
        ).encode()
        fake.manifests[sha256(manifest)] = (MANIFEST_TYPE, manifest)
        platform = {"os": "linux", "architecture": architecture}
        entries.append(descriptor(MANIFEST_TYPE, manifest) | {"platform": platform})
    index = json.dumps({"schemaVersion": 2, "manifests": entries}).encode()
    fake.manifests["1"] = (f"{INDEX_TYPE}; charset=utf-8", index)
    for architecture in ("arm64", "s390x"):
        found = pull(reference, platform=Platform(architecture), limits=limits)
        assert found.platform == Platform(architecture)
        assert content(found) == [architecture.encode()]
    with pytest.raises(SdkError, match="no image for linux/riscv64") as caught:
        pull(reference, platform=Platform("riscv64"), limits=limits)
    assert "linux/amd64, linux/arm64, linux/s390x" in caught.value.why


def test_a_layer_that_breaks_off_goes_on_where_it_stopped(
    make_bundle: MakeBundle, fake: FakeRegistry, limits: RegistryTimeouts
) -> None:
    source = f"DATA = {random.Random(1).randbytes(900_000).hex()!r}\n"  # hardly compressed
    image = compose(make_bundle(source=source))
    reference = parse(f"{fake.host}/acme/echo:1")
    push(image, reference, limits=limits)
    large = image.layers[-1]

    def half(request: Request) -> bool:
        data = fake.blobs[large.digest]
        request.send_response(200)
        request.send_header("Content-Length", str(len(data)))
        request.end_headers()
        request.wfile.write(data[: len(data) // 2 + 99])
        request.cut()
        return True

    fake.fault("GET", large.digest, half)
    fake.fault("GET", large.digest, cut)
    fake.fault("GET", large.digest, status(503))
    found = pull(reference, limits=limits)
    assert content(found) == content(image)
    ranges = [it.headers.get("Range") for it in fake.asked("GET", large.digest)]
    assert ranges[0] is None
    assert ranges[-1] is not None


@pytest.mark.parametrize(
    ("data", "word"),
    [
        (b"", "not JSON"),
        (b"null", "not a JSON object"),
        (b"[" * 100_000, "not JSON"),
        (b"\xff\xfe", "not JSON"),
        (b'{"mediaType": 7}', "config is not a descriptor"),
        (b'{"mediaType": "text/html", "config": {}}', "config.digest"),
    ],
)
def test_a_manifest_that_is_none_is_refused(
    pushed: str, fake: FakeRegistry, limits: RegistryTimeouts, data: bytes, word: str
) -> None:
    fake.manifests["1"] = (MANIFEST_TYPE, data)
    refused(pushed, limits, Code.IMAGE_INVALID, word, sha256(data))


def change(fake: FakeRegistry, edit: Callable[[dict[str, Any]], object]) -> None:
    manifest = json.loads(fake.manifests["1"][1])
    edit(manifest)
    fake.manifests["1"] = (MANIFEST_TYPE, json.dumps(manifest).encode())


@pytest.mark.parametrize(
    ("edit", "word"),
    [
        (lambda it: it["config"].update(size=1 << 40), "larger than"),
        (lambda it: it["config"].update(size=3), "its descriptor says 3"),
        (lambda it: it["config"].update(digest="sha256:../../x"), "not a sha256 digest"),
        (lambda it: it["config"].update(mediaType="application/x-artifact"), "an artifact"),
        (lambda it: it.update(layers={}), "layers is not a list"),
        (lambda it: it["layers"].pop(), "diff_ids"),
        (lambda it: it["layers"][0].update(mediaType="text/plain"), "unknown type"),
        (lambda it: it["layers"][0].update(mediaType=LAYER_XZ), "unknown type"),
    ],
)
def test_a_manifest_that_lies_is_refused(
    pushed: str,
    fake: FakeRegistry,
    limits: RegistryTimeouts,
    edit: Callable[[Any], object],
    word: str,
) -> None:
    change(fake, edit)
    with pytest.raises(SdkError) as caught:
        pull(parse(pushed), limits=limits)
    assert caught.value.code is Code.IMAGE_INVALID
    assert word in caught.value.render()


LAYER_XZ = "application/vnd.oci.image.layer.v1.tar+xz"


def test_another_manifest_than_the_one_asked_for_is_refused(
    image: Image, pushed: str, fake: FakeRegistry, limits: RegistryTimeouts
) -> None:
    fake.manifests[image.digest] = (MANIFEST_TYPE, b"{}")
    reference = str(parse(pushed).at(image.digest))
    refused(reference, limits, Code.REGISTRY_FAILED, image.digest, sha256(b"{}"))
    fake.fault("GET", "manifests/1", status(200, b"{}", Docker_Content_Digest=image.digest))
    refused(pushed, limits, Code.REGISTRY_FAILED, image.digest)


def test_another_configuration_than_the_one_described_is_refused(
    image: Image, pushed: str, fake: FakeRegistry, limits: RegistryTimeouts
) -> None:
    digest = sha256(image.config_bytes())
    fake.blobs[digest] = bytes(len(fake.blobs[digest]))
    refused(pushed, limits, Code.IMAGE_INVALID, digest)


@pytest.mark.parametrize("change_of", ["other", "longer", "shorter", "endless"])
def test_another_layer_than_the_one_described_is_refused_and_not_kept(
    image: Image,
    pushed: str,
    fake: FakeRegistry,
    limits: RegistryTimeouts,
    change_of: str,
    tmp_path: Path,
) -> None:
    digest = image.layers[0].digest
    data = fake.blobs[digest]
    fake.blobs[digest] = {
        "other": bytes(len(data)),
        "longer": data + b"x",
        "shorter": data[:-1],
        "endless": data + bytes(32 << 20),
    }[change_of]
    refused(pushed, limits, Code.REGISTRY_FAILED, "another digest", read=True)
    kept = tmp_path / "cache" / "blobs" / "sha256" / digest.removeprefix("sha256:")
    assert not kept.exists()
    assert not kept.with_name(kept.name + ".partial").exists()
    fake.blobs[digest] = data
    assert content(pull(parse(pushed), limits=limits)) == content(image)


@pytest.mark.parametrize(
    ("number", "code"),
    [
        (401, Code.REGISTRY_DENIED),
        (403, Code.REGISTRY_DENIED),
        (404, Code.IMAGE_MISSING),
        (410, Code.REGISTRY_FAILED),
    ],
)
def test_a_layer_that_is_not_given_is_told(
    image: Image, pushed: str, fake: FakeRegistry, limits: RegistryTimeouts, number: int, code: Code
) -> None:
    words = b'{"errors": [{"code": "NOPE", "message": "not you"}]}'
    fake.fault("GET", image.layers[0].digest, status(number, words), times=9)
    refused(pushed, limits, code, str(number), "NOPE: not you", read=True)


def test_a_layer_that_never_comes_is_given_up(
    image: Image, pushed: str, fake: FakeRegistry, limits: RegistryTimeouts, waits: list[float]
) -> None:
    fake.fault("GET", image.layers[0].digest, cut, times=99)
    refused(pushed, limits, Code.NETWORK, "4 attempts", read=True)
    assert waits == [0.5, 1.0, 2.0]


def test_a_slow_answer_is_given_up(pushed: str, fake: FakeRegistry, waits: list[float]) -> None:
    def drip(request: Request) -> bool:
        request.send_response(200)
        request.send_header("Content-Length", "1000")
        request.end_headers()
        for _ in range(40):
            request.wfile.write(b" ")
            request.wfile.flush()
            time.sleep(0.01)
        return True

    fake.fault("GET", "manifests", drip, times=9)
    limits = RegistryTimeouts(timeout=(5.0, 5.0), document=0.1, sleep=waits.append)
    refused(pushed, limits, Code.NETWORK, "no whole answer in 0.1 s")


def test_a_silent_registry_is_given_up(fake: FakeRegistry, waits: list[float]) -> None:
    done = threading.Event()

    def silent(request: Request) -> bool:
        done.wait(30)
        request.cut()
        return True

    fake.fault("GET", "manifests", silent, times=9)
    limits = RegistryTimeouts(timeout=(5.0, 0.1), document=5.0, sleep=waits.append)
    refused(
        f"{fake.host}/acme/echo:1", limits, Code.NETWORK, "nothing was received for 0.1 seconds"
    )
    done.set()


# --- redirects ---


def test_a_redirect_elsewhere_gets_no_login(
    image: Image, pushed: str, fake: FakeRegistry, limits: RegistryTimeouts, login: Login
) -> None:
    login(fake.host, {"username": "me", "password": "s3cret"})
    fake.ask_for_password("me", "s3cret")
    digest = image.layers[0].digest
    with FakeRegistry() as elsewhere:
        elsewhere.blobs[digest] = fake.blobs.pop(digest)
        place = f"http://{elsewhere.host}/v2/storage/blobs/{digest}"
        fake.fault("GET", digest, status(307, Location=place))
        assert content(pull(parse(pushed), limits=limits)) == content(image)
        assert len(elsewhere.seen) == 1
        assert "Authorization" not in elsewhere.seen[0].headers
    assert "Authorization" in fake.asked("GET", digest)[0].headers


@pytest.mark.parametrize(
    "location", ["", "http://example.com/x", "file:///etc/passwd", "//example.com/x", "http://[x"]
)
def test_a_redirect_to_nowhere_good_is_not_followed(
    pushed: str, fake: FakeRegistry, limits: RegistryTimeouts, location: str
) -> None:
    fake.fault("GET", "manifests", status(302, Location=location))
    refused(pushed, limits, Code.REGISTRY_FAILED, "protocol")


def test_a_redirect_with_an_endless_body_is_not_read(
    pushed: str, fake: FakeRegistry, limits: RegistryTimeouts
) -> None:
    sent = 0

    def endless(request: Request) -> bool:
        nonlocal sent
        request.send_response(302)
        request.send_header("Location", "/v2/acme/echo/manifests/1")
        request.end_headers()
        while sent < 1 << 30:
            request.wfile.write(bytes(1 << 20))
            sent += 1 << 20
        return True

    fake.fault("GET", "manifests", endless)
    pull(parse(pushed), limits=limits)
    assert sent < 1 << 30


def test_redirects_without_end_are_given_up(
    pushed: str, fake: FakeRegistry, limits: RegistryTimeouts
) -> None:
    fake.fault("GET", "manifests", status(302, Location="/v2/acme/echo/manifests/1"), times=99)
    refused(pushed, limits, Code.REGISTRY_FAILED, "redirects more than 5 times")


def test_nothing_of_a_signed_address_is_shown(
    image: Image, pushed: str, fake: FakeRegistry, limits: RegistryTimeouts
) -> None:
    digest = image.layers[0].digest
    for fault in (status(500), status(403), cut):
        signed = f"http://{fake.host}/storage?signature=s3cret"
        fake.fault("GET", digest, status(307, Location=signed), times=9)
        fake.fault("GET", "storage", fault, times=9)
        with pytest.raises(SdkError) as caught:
            content(pull(parse(pushed), limits=limits))
        assert "s3cret" not in caught.value.render()
        fake.faults.clear()


@pytest.mark.parametrize("kind", ["a directory", "broken"])
@pytest.mark.parametrize("bearer", [True, False])
def test_a_login_that_cannot_be_read_matters_when_one_is_needed(
    fake: FakeRegistry, limits: RegistryTimeouts, nobody: Path, kind: str, bearer: bool
) -> None:
    """A home of someone else's is not a failed login where no one has to log in."""
    file = nobody / ".docker" / "config.json"
    file.parent.mkdir()
    if kind == "a directory":
        file.mkdir()
    else:
        file.write_text("{")
    if bearer:
        fake.login = f"Bearer {TOKEN}"
        fake.challenge = f'Bearer realm="http://{fake.host}/token",service="x"'
    else:
        fake.ask_for_password("me", "s3cret")
    with Repository(parse(f"{fake.host}/acme/echo"), limits=limits) as repository:
        if bearer:
            assert not repository.has_blob(sha256(b"nothing"))
            return
        with pytest.raises(SdkError) as caught:
            repository.has_blob(sha256(b"nothing"))
    assert caught.value.code is Code.CREDENTIALS_INVALID
    assert str(file) in caught.value.render()


def blob(fake: FakeRegistry, limits: RegistryTimeouts, data: bytes, place: Path) -> bytes:
    """What is downloaded of a blob that holds ``data``."""
    with Repository(parse(f"{fake.host}/acme/echo"), limits=limits) as repository:
        download(
            repository.url("blobs", sha256(data)),
            place,
            sha256=sha256(data).partition(":")[2],
            session=repository.transport,
            advance=lambda _amount: None,
            size=len(data),
            timeout=repository.transport.timeout,
            sleep=repository.transport.sleep,
        )
    return place.read_bytes()


@pytest.mark.parametrize("number", [429, 503])
def test_a_blob_is_waited_for_as_long_as_is_asked(
    fake: FakeRegistry, limits: RegistryTimeouts, waits: list[float], tmp_path: Path, number: int
) -> None:
    data = b"layer" * 100
    fake.blobs[sha256(data)] = data
    fake.fault("GET", "blobs", status(number, Retry_After="9"))
    assert blob(fake, limits, data, tmp_path / "blob") == data
    assert waits == [9.0]


@pytest.mark.parametrize("number", [429, 503])
def test_the_place_of_tokens_is_waited_for_when_a_blob_is_asked_for(
    fake: FakeRegistry, limits: RegistryTimeouts, waits: list[float], tmp_path: Path, number: int
) -> None:
    data = b"layer" * 100
    fake.blobs[sha256(data)] = data
    fake.login = f"Bearer {TOKEN}"
    fake.challenge = f'Bearer realm="http://{fake.host}/token",service="x"'
    fake.fault("GET", "/token", status(number, Retry_After="9"))
    assert blob(fake, limits, data, tmp_path / "blob") == data
    assert waits == [9.0]
