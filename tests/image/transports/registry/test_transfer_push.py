"""Pushing to a real registry, to one that misbehaves, and through connections that break."""

from __future__ import annotations

import json
import random
import subprocess
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tests.image.transports.registry.fake import (
    CuttingProxy,
    FakeRegistry,
    Request,
    cut,
    cut_after,
    status,
)

from lls_provider.bundle.bundle import Bundle
from lls_provider.errors import Code, ExitStatus, SdkError
from lls_provider.image.bundle_image import compose
from lls_provider.image.image import Image, sha256
from lls_provider.image.transports.registry.reference import parse
from lls_provider.image.transports.registry.repository import (
    Blob,
    Repository,
    UploadOutcome,
    upload,
)
from lls_provider.image.transports.registry.transfer import push

if TYPE_CHECKING:
    from lls_provider.image.transports.registry.http import RegistryTimeouts

pytestmark = pytest.mark.slow

MakeBundle = Callable[..., Bundle]
Login = Callable[[str, dict[str, str]], None]
Engine = Callable[[str], str]

LARGE = bytes(range(256)) * 8192  # 2 MiB


@pytest.fixture
def image(make_bundle: MakeBundle) -> Image:
    return compose(make_bundle())


def inspected(skopeo: str, reference: str, *options: str) -> dict[str, object]:
    """What an independent client reads of an image."""
    done = subprocess.run(
        [skopeo, "inspect", "--tls-verify=false", *options, f"docker://{reference}"],
        check=True,
        capture_output=True,
        text=True,
    )
    found: dict[str, object] = json.loads(done.stdout)
    return found


def blob_of(data: bytes, piece: int = 1 << 16) -> Blob:
    def chunks() -> Iterator[bytes]:
        return (data[place : place + piece] for place in range(0, len(data), piece))

    return Blob(sha256(data), len(data), chunks)


def ignore(_amount: int) -> None:
    return None


def failed(image: Image, reference: str, limits: RegistryTimeouts) -> SdkError:
    with pytest.raises(SdkError) as caught:
        push(image, parse(reference), limits=limits)
    assert caught.value.resolution
    return caught.value


# --- a real registry ---


@pytest.mark.engine
def test_what_is_pushed_is_what_was_composed(
    image: Image, repository: str, limits: RegistryTimeouts, engine: Engine
) -> None:
    digest = push(image, parse(f"{repository}:1"), limits=limits)
    assert digest == image.digest
    found = inspected(engine("skopeo"), f"{repository}:1")
    assert found["Digest"] == digest
    assert found["Layers"] == [layer.digest for layer in image.layers]
    assert found["Labels"] == image.labels


@pytest.mark.engine
def test_an_independent_client_copies_and_unpacks_it(
    image: Image, repository: str, limits: RegistryTimeouts, engine: Engine, tmp_path: Path
) -> None:
    push(image, parse(f"{repository}:1"), limits=limits)
    copy = ["copy", "--preserve-digests", "--src-tls-verify=false"]
    subprocess.run(
        [engine("skopeo"), *copy, f"docker://{repository}:1", f"oci:{tmp_path / 'copy'}:1"],
        check=True,
        capture_output=True,
    )
    blobs = {path.name for path in (tmp_path / "copy" / "blobs" / "sha256").iterdir()}
    assert image.digest.removeprefix("sha256:") in blobs
    unpacked = tmp_path / "unpacked"
    umoci = [engine("umoci"), "unpack", "--rootless", "--image", f"{tmp_path / 'copy'}:1"]
    subprocess.run([*umoci, str(unpacked)], check=True, capture_output=True)
    assert (unpacked / "rootfs" / "lls-provider" / "lls-provider-spec.yaml").is_file()


@pytest.mark.engine
def test_a_second_push_sends_only_what_changed(
    make_bundle: MakeBundle, registry: str, proxy: CuttingProxy, limits: RegistryTimeouts
) -> None:
    first = compose(make_bundle("a", dependencies=3))
    push(first, parse(f"{proxy.host}/acme/changed:1"), limits=limits)
    whole = proxy.passed["up"]
    proxy.reset()
    second = compose(make_bundle("b", dependencies=3, source="ANSWER = 43\n"))
    push(second, parse(f"{proxy.host}/acme/changed:2"), limits=limits)
    changed = second.layers[-1].size
    assert changed < proxy.passed["up"] < changed + 20_000 < whole


@pytest.mark.engine
def test_a_change_of_code_beside_many_dependencies_sends_the_code(
    make_bundle: MakeBundle, registry: str, proxy: CuttingProxy, limits: RegistryTimeouts
) -> None:
    """What names every wheel outweighs the provider's own; only the manifest moves with it."""
    code = f"LINES = {random.Random(1).randbytes(20_000).hex()!r}\n"
    first = make_bundle("a", dependencies=92, source=code)
    push(compose(first), parse(f"{proxy.host}/acme/many:1"), limits=limits)
    proxy.reset()
    second = make_bundle("b", dependencies=92, source=code.replace("a", "b"))
    push(compose(second), parse(f"{proxy.host}/acme/many:1"), limits=limits)
    own, told = second.own_wheel.stat().st_size, second.tree.manifest.stat().st_size
    assert 20_000 < own < proxy.passed["up"] < own + told + 25_000 < 85_000
    names = second.tree.sbom.stat().st_size + second.tree.spec.stat().st_size
    assert names > 25_000  # so it was not among them


@pytest.mark.engine
def test_a_login_is_found_and_used(
    image: Image, locked_registry: str, login: Login, limits: RegistryTimeouts
) -> None:
    reference = f"{locked_registry}/acme/echo:1"
    error = failed(image, reference, limits)
    assert error.code is Code.REGISTRY_DENIED
    assert error.status is ExitStatus.ENVIRONMENT
    assert "No credentials" in error.why
    login(locked_registry, {"username": "me", "password": "s3cret"})
    assert push(image, parse(reference), limits=limits) == image.digest


@pytest.mark.engine
def test_a_wrong_login_is_refused_and_not_shown(
    image: Image, locked_registry: str, login: Login, limits: RegistryTimeouts
) -> None:
    login(locked_registry, {"username": "me", "password": "wr0ng"})
    error = failed(image, f"{locked_registry}/acme/echo:1", limits)
    assert error.code is Code.REGISTRY_DENIED
    assert "credentials of your login were sent" in error.why
    assert "wr0ng" not in error.render()


@pytest.mark.unmeasured
@pytest.mark.engine
def test_a_push_that_is_cut_anywhere_succeeds_or_leaves_the_tag_as_it_was(
    make_bundle: MakeBundle, proxy: CuttingProxy, limits: RegistryTimeouts, repository: str
) -> None:
    """One cut is mended; where cuts go on, the old image stays under its tag."""
    name = repository.partition("/")[2]
    old = compose(make_bundle("old"))
    push(old, parse(f"{repository}:tag"), limits=limits)
    proxy.reset()
    probe = compose(make_bundle("probe", source="A = 0\n"))
    push(probe, parse(f"{proxy.host}/{name}:x"), limits=limits)
    lengths = dict(proxy.passed)
    assert lengths["up"] > 3000
    for number, place in enumerate(range(0, lengths["up"], lengths["up"] // 25)):
        new = compose(make_bundle(f"new{number}", source=f"A = {number + 1}\n"))
        proxy.reset(("up", place))
        push(new, parse(f"{proxy.host}/{name}:once"), limits=limits)
        assert tagged(f"{repository}:once") == new.digest
    for number, place in enumerate(range(0, lengths["down"], lengths["down"] // 25)):
        new = compose(make_bundle(f"down{number}", source=f"B = {number + 1}\n"))
        proxy.reset(("down", place))
        push(new, parse(f"{proxy.host}/{name}:once"), limits=limits)
        assert tagged(f"{repository}:once") == new.digest
    for number, place in enumerate(range(0, lengths["up"] - 700, lengths["up"] // 10)):
        new = compose(make_bundle(f"never{number}", source=f"C = {number + 1}\n"))
        proxy.reset(*[("up", place)] * 20)
        error = failed(new, f"{proxy.host}/{name}:tag", limits)
        assert error.code is Code.NETWORK
        assert tagged(f"{repository}:tag") == old.digest


def tagged(reference: str) -> str:
    """The digest behind a tag, its layers and configuration being there."""
    with Repository(parse(reference)) as repository:
        manifest = repository.manifest(parse(reference).target)
        document = json.loads(manifest.data)
        for described in (document["config"], *document["layers"]):
            assert repository.has_blob(described["digest"])
    return manifest.digest


def test_a_registry_that_is_down_is_told(
    image: Image, limits: RegistryTimeouts, waits: list[float]
) -> None:
    error = failed(image, "127.0.0.1:1/acme/echo:1", limits)
    assert error.code is Code.NETWORK
    assert "refused" in error.why
    assert waits == [0.5, 1.0, 2.0]


# --- a registry that misbehaves ---


def test_the_tag_comes_last(image: Image, fake: FakeRegistry, limits: RegistryTimeouts) -> None:
    push(image, parse(f"{fake.host}/acme/echo:1"), limits=limits)
    assert fake.seen[-1].path == "/v2/acme/echo/manifests/1"
    # the configuration, the SBOM, and the configuration that an artifact does without
    assert len(fake.asked("PUT", "/blobs/")) == len(image.layers) + 3
    assert fake.manifests["1"] == (image.media_type, image.manifest_bytes())
    assert fake.connections == 2  # one asks whether there is TLS


def test_a_broken_upload_goes_on_where_it_broke(
    fake: FakeRegistry, limits: RegistryTimeouts
) -> None:
    blob = blob_of(LARGE)
    told: list[int] = []
    half = len(LARGE) // 2 + 17
    fake.fault("PATCH", "uploads", cut_after(half))
    with Repository(parse(f"{fake.host}/acme/echo"), push=True, limits=limits) as repository:
        assert upload(repository, blob, advance=told.append) is UploadOutcome.PUSHED
    assert fake.blobs[blob.digest] == LARGE
    assert fake.received == len(LARGE)  # not a byte twice
    assert fake.asked("PATCH")[1].headers["Content-Range"] == f"{half}-{len(LARGE) - 1}"
    assert sum(told) == len(LARGE)


@pytest.mark.parametrize("range_", ["0-0", "", "0-99999999999", "5-9", "0--1", "x" * 9999])
def test_an_upload_that_cannot_be_resumed_begins_anew(
    fake: FakeRegistry, limits: RegistryTimeouts, range_: str
) -> None:
    blob = blob_of(LARGE)
    fake.fault("PATCH", "uploads", cut_after(1 << 20))
    fake.fault("GET", "uploads", status(204, Range=range_))
    with Repository(parse(f"{fake.host}/acme/echo"), push=True, limits=limits) as repository:
        assert upload(repository, blob, advance=ignore) is UploadOutcome.PUSHED
    assert fake.blobs[blob.digest] == LARGE


def test_a_lie_about_what_has_arrived_is_found_by_the_digest(
    fake: FakeRegistry, limits: RegistryTimeouts
) -> None:
    blob = blob_of(LARGE)
    fake.fault("PATCH", "uploads", cut_after(1 << 20))
    fake.fault("GET", "uploads", status(204, Range=f"0-{(1 << 20) + 99}"))
    with Repository(parse(f"{fake.host}/acme/echo"), push=True, limits=limits) as repository:
        assert upload(repository, blob, advance=ignore) is UploadOutcome.PUSHED
    assert fake.blobs == {blob.digest: LARGE}


def test_a_blob_of_another_repository_is_mounted(
    fake: FakeRegistry, limits: RegistryTimeouts
) -> None:
    blob = blob_of(LARGE)
    fake.mountable.add(blob.digest)
    reference = parse(f"{fake.host}/acme/echo")
    with Repository(reference, push=True, sources=["base/python"], limits=limits) as repository:
        outcome = upload(repository, blob, advance=ignore, source="base/python")
        assert outcome is UploadOutcome.MOUNTED
        # one that does not exist is uploaded with the answer to the same request
        other = blob_of(b"other")
        assert (
            upload(repository, other, advance=ignore, source="base/python") is UploadOutcome.PUSHED
        )
    assert [it.query["from"] for it in fake.asked("POST")] == [["base/python"]] * 2
    assert fake.received == len(b"other")


@pytest.mark.parametrize("number", [429, 500, 502, 503, 504])
@pytest.mark.parametrize("method", ["HEAD", "POST", "PATCH", "PUT"])
def test_a_fault_that_passes_is_waited_for(
    image: Image,
    fake: FakeRegistry,
    limits: RegistryTimeouts,
    method: str,
    number: int,
    waits: list[float],
) -> None:
    fake.fault(method, "", status(number), times=2)
    assert push(image, parse(f"{fake.host}/acme/echo:1"), limits=limits) == image.digest
    assert waits == [0.5, 1.0]


def test_the_registry_says_how_long_to_wait_within_bounds(
    image: Image, fake: FakeRegistry, limits: RegistryTimeouts, waits: list[float]
) -> None:
    fake.fault("HEAD", "blobs", status(429, Retry_After="7"))
    fake.fault("HEAD", "blobs", status(429, Retry_After="86400"))
    fake.fault("HEAD", "blobs", status(429, Retry_After="-1"))
    push(image, parse(f"{fake.host}/acme/echo:1"), limits=limits)
    assert waits == [7.0, 30.0, 2.0]


@pytest.mark.parametrize(
    ("method", "pattern", "number", "code"),
    [
        ("POST", "uploads", 401, Code.REGISTRY_DENIED),
        ("POST", "uploads", 403, Code.REGISTRY_DENIED),
        ("PUT", "manifests", 403, Code.REGISTRY_DENIED),
        ("HEAD", "blobs", 503, Code.REGISTRY_FAILED),
        ("POST", "uploads", 405, Code.REGISTRY_FAILED),
        ("PATCH", "uploads", 413, Code.REGISTRY_FAILED),
        ("PATCH", "uploads", 404, Code.REGISTRY_FAILED),
        ("PUT", "uploads", 400, Code.REGISTRY_FAILED),
        ("PUT", "manifests", 500, Code.REGISTRY_FAILED),
        ("PUT", "manifests", 418, Code.REGISTRY_FAILED),
    ],
)
def test_a_refusal_is_told_in_the_registrys_words(
    image: Image,
    fake: FakeRegistry,
    limits: RegistryTimeouts,
    method: str,
    pattern: str,
    number: int,
    code: Code,
) -> None:
    words = json.dumps({"errors": [{"code": "NOPE", "message": "red\x1b[31m\nquota"}]}).encode()
    fake.fault(method, pattern, status(number, words), times=20)
    error = failed(image, f"{fake.host}/acme/echo:1", limits)
    assert error.code is code
    assert str(number) in error.why
    assert method == "HEAD" or "NOPE: red\\x1b[31m quota" in error.why
    assert "\x1b" not in error.render()
    assert error.where.image == f"{fake.host}/acme/echo:1"
    assert fake.manifests == {}


def test_a_manifest_under_another_digest_is_told(
    image: Image, fake: FakeRegistry, limits: RegistryTimeouts
) -> None:
    other = sha256(b"other")
    fake.fault("PUT", "manifests", status(201, Docker_Content_Digest=other))
    error = failed(image, f"{fake.host}/acme/echo:1", limits)
    assert error.code is Code.REGISTRY_FAILED
    assert other in error.why


@pytest.mark.parametrize(
    "location",
    [
        "",
        "http://127.0.0.1:99999/x",
        "http://example.com/upload",
        "ftp://127.0.0.1/upload",
        "https://me:pw@127.0.0.1/upload",
        "http://127.0.0.1 /x",
        "http://[::1/x",
        "https:///x",
        "/" + "x" * 9000,
    ],
)
def test_an_address_that_is_none_is_not_asked(
    image: Image, fake: FakeRegistry, limits: RegistryTimeouts, location: str
) -> None:
    fake.fault("POST", "uploads", status(202, Location=location))
    error = failed(image, f"{fake.host}/acme/echo:1", limits)
    assert error.code is Code.REGISTRY_FAILED
    assert "pw@" not in error.render()


def test_an_upload_elsewhere_gets_no_login(
    image: Image, fake: FakeRegistry, limits: RegistryTimeouts, login: Login
) -> None:
    login(fake.host, {"username": "me", "password": "s3cret"})
    fake.ask_for_password("me", "s3cret")
    with FakeRegistry() as elsewhere:
        elsewhere.uploads["there"] = bytearray()
        place = f"http://{elsewhere.host}/v2/acme/echo/blobs/uploads/there"
        fake.fault("POST", "uploads", status(202, Location=place))
        with Repository(parse(f"{fake.host}/acme/echo"), push=True, limits=limits) as repository:
            upload(repository, blob_of(LARGE), advance=ignore)
        assert elsewhere.blobs == {sha256(LARGE): LARGE}
        assert not [it for it in elsewhere.seen if "Authorization" in it.headers]
    assert "Authorization" in fake.asked("POST")[-1].headers


def test_an_answer_without_end_is_cut_off(
    image: Image, fake: FakeRegistry, limits: RegistryTimeouts
) -> None:
    fake.fault("PUT", "manifests", status(201, bytes(5 << 20)), times=4)
    error = failed(image, f"{fake.host}/acme/echo:1", limits)
    assert error.code is Code.REGISTRY_FAILED
    assert "larger than" in error.why


def test_every_answer_cut_is_given_up_after_some_attempts(
    image: Image, fake: FakeRegistry, limits: RegistryTimeouts, waits: list[float]
) -> None:
    fake.fault("HEAD", "blobs", cut, times=99)
    error = failed(image, f"{fake.host}/acme/echo:1", limits)
    assert error.code is Code.NETWORK
    assert len(waits) == 3


def test_a_file_that_changes_meanwhile_leaves_no_tag(
    make_bundle: MakeBundle, fake: FakeRegistry, limits: RegistryTimeouts
) -> None:
    bundle = make_bundle()
    image = compose(bundle)
    assert image.digest
    own = bundle.own_wheel.read_bytes()
    bundle.own_wheel.write_bytes(own[:-1] + bytes([own[-1] ^ 1]))
    error = failed(image, f"{fake.host}/acme/echo:1", limits)
    assert error.code is Code.HASH_MISMATCH
    assert fake.manifests == {}


def answering(number: int) -> Callable[[Request], bool]:
    """Does what is asked, and says so with another status."""

    def fault(request: Request) -> bool:
        answer = request.answer

        def other(status: int, *args: Any, **named: Any) -> bool:
            return answer(number if status == 201 else status, *args, **named)

        request.answer = other  # type: ignore[method-assign]
        request.serve()
        return True

    return fault


@pytest.mark.parametrize("number", [200, 202])
@pytest.mark.parametrize("pattern", ["manifests", "uploads"])
def test_what_was_stored_is_stored_whatever_the_status(
    image: Image, fake: FakeRegistry, limits: RegistryTimeouts, number: int, pattern: str
) -> None:
    fake.fault("PUT", pattern, answering(number), times=20)
    assert push(image, parse(f"{fake.host}/acme/echo:1"), limits=limits) == image.digest
    assert fake.manifests["1"][1] == image.manifest_bytes()


@pytest.mark.parametrize("number", [307, 308])
@pytest.mark.parametrize(
    ("method", "pattern"), [("POST", "uploads"), ("PATCH", "uploads"), ("PUT", "uploads")]
)
def test_an_upload_is_followed_with_its_method_and_no_login(
    fake: FakeRegistry,
    limits: RegistryTimeouts,
    login: Login,
    method: str,
    pattern: str,
    number: int,
) -> None:
    login(fake.host, {"username": "me", "password": "s3cret"})
    fake.ask_for_password("me", "s3cret")
    with FakeRegistry() as elsewhere:

        def moved(request: Request) -> bool:
            if not request.authorized():
                fake.fault(method, pattern, moved)
                return True
            if method == "PATCH":  # a body that is not read is a connection that breaks
                request.receive(bytearray(), int(request.headers["Content-Length"]))
            elsewhere.uploads = fake.uploads
            return request.answer(
                number, headers={"Location": f"http://{elsewhere.host}{request.path}"}
            )

        fake.fault(method, pattern, moved)
        with Repository(parse(f"{fake.host}/acme/echo"), push=True, limits=limits) as repository:
            upload(repository, blob_of(LARGE), advance=ignore)
        (followed,) = (it for it in elsewhere.asked(method)[:1])
        assert "Authorization" not in followed.headers
        assert sha256(LARGE) in {**fake.blobs, **elsewhere.blobs}


@pytest.mark.parametrize("number", [301, 302, 303])
def test_an_upload_is_not_repeated_where_the_method_may_change(
    image: Image, fake: FakeRegistry, limits: RegistryTimeouts, number: int
) -> None:
    place = f"http://{fake.host}/v2/acme/echo/blobs/uploads/x"
    fake.fault("POST", "uploads", status(number, Location=place), times=20)
    assert failed(image, f"{fake.host}/acme/echo:1", limits).code is Code.REGISTRY_FAILED


@pytest.mark.parametrize("told", ["7", "date"])
@pytest.mark.parametrize("number", [429, 503])
@pytest.mark.parametrize(
    ("method", "pattern"),
    [("HEAD", "blobs"), ("POST", "uploads"), ("PATCH", "uploads"), ("PUT", "manifests")],
)
def test_every_kind_of_request_waits_as_long_as_is_asked(
    image: Image,
    fake: FakeRegistry,
    limits: RegistryTimeouts,
    waits: list[float],
    method: str,
    pattern: str,
    number: int,
    told: str,
) -> None:
    moment = format_datetime(datetime.now(UTC) + timedelta(seconds=20), usegmt=True)
    fake.fault(method, pattern, status(number, Retry_After=moment if told == "date" else told))
    push(image, parse(f"{fake.host}/acme/echo:1"), limits=limits)
    (waited,) = waits
    assert waited == 7.0 if told == "7" else 10 < waited <= 20


def test_the_bound_of_waiting_is_told(
    image: Image, fake: FakeRegistry, limits: RegistryTimeouts
) -> None:
    fake.fault("HEAD", "blobs", status(429, Retry_After="3600"), times=20)
    error = failed(image, f"{fake.host}/acme/echo:1", limits)
    assert "It asks to wait 3,600 s; before each of 4 attempts at most 30 s are waited" in error.why
