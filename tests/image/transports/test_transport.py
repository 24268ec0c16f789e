"""What ``--base`` and ``--output`` take."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from lls_provider.bundle.bundle import Bundle
from lls_provider.errors import Code, SdkError
from lls_provider.image.bundle_image import compose
from lls_provider.image.transports.layout import read_layout
from lls_provider.image.transports.transport import parse_output, read_base, read_image
from lls_provider.progress import Advance, Silent

MakeBundle = Callable[..., Bundle]
MakeLayout = Callable[..., Path]


def test_an_output_is_written_with_its_tag(make_bundle: MakeBundle, tmp_path: Path) -> None:
    output = parse_output(f"oci:{tmp_path}/new:v1")
    digest = output.write(compose(make_bundle()))
    assert read_layout(tmp_path / "new", "v1").digest == digest
    assert str(output) == f"oci:{tmp_path}/new:v1"
    assert str(parse_output(f"oci:{tmp_path}/other")) == f"oci:{tmp_path}/other"


class Transfers(Silent):
    """Keeps what each task was to transfer, and how much of it was counted."""

    def __init__(self) -> None:
        self.found: list[tuple[str, int, int]] = []

    @contextmanager
    def task(self, label: str, total: int, /) -> Iterator[Advance]:
        amounts: list[int] = []
        yield amounts.append
        self.found.append((label, total, sum(amounts)))


@pytest.mark.parametrize("kind", ["oci", "oci-archive", "docker-archive"])
def test_what_is_written_is_counted(make_bundle: MakeBundle, tmp_path: Path, kind: str) -> None:
    image = compose(make_bundle())
    progress = Transfers()
    parse_output(f"{kind}:{tmp_path}/image", progress=progress).write(image)
    ((label, total, counted),) = progress.found
    assert (label, total) == ("writing", sum(layer.size for layer in image.layers))
    # an archive has headers besides
    assert counted == total if kind == "oci" else counted > total


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("oci-archive:{}/x.tar", "oci-archive:{}/x.tar"),
        ("oci-archive:{}/x.tar:v1", "oci-archive:{}/x.tar:v1"),
        ("docker-archive:{}/x.tar", "docker-archive:{}/x.tar"),
        ("docker-archive:{}/x.tar:acme/echo", "docker-archive:{}/x.tar:docker.io/acme/echo:latest"),
        (
            "docker-archive:{}/x.tar:localhost:5000/a:1",
            "docker-archive:{}/x.tar:localhost:5000/a:1",
        ),
    ],
)
def test_archives_are_written(
    make_bundle: MakeBundle, tmp_path: Path, given: str, shown: str
) -> None:
    output = parse_output(given.format(tmp_path))
    assert str(output) == shown.format(tmp_path)
    output.write(compose(make_bundle()))
    assert (tmp_path / "x.tar").is_file()


@pytest.mark.parametrize(
    "text",
    [
        "docker-archive:x.tar:UPPER",
        f"docker-archive:x.tar:a@sha256:{'0' * 64}",
        "oci-archive:",
        "docker://",
        "docker://quay.io/UPPER",
        f"docker://quay.io/acme/echo@sha256:{'0' * 64}",
    ],
)
def test_names_that_no_image_can_have_are_a_usage_error(text: str) -> None:
    with pytest.raises(SdkError) as caught:
        parse_output(text)
    assert caught.value.code is Code.USAGE


def test_an_output_that_cannot_be_is_refused_before_any_work(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("x")
    for place in ("oci:", "oci-archive:", "docker-archive:"):
        with pytest.raises(SdkError) as caught:
            parse_output(f"{place}{tmp_path}")
        assert caught.value.code is Code.TARGET_EXISTS


def test_bases(make_layout: MakeLayout) -> None:
    assert read_base("scratch") is None
    base = read_base(f"oci:{make_layout([('x', b'')])}")
    assert base is not None
    assert base.platform.architecture == "amd64"


@pytest.mark.parametrize(
    "text", ["", "oci:", "docker-daemon:", "docker.io/library/python:3.12", "registry:x/y"]
)
def test_other_places_are_a_usage_error(text: str) -> None:
    for parse in (parse_output, read_base):
        with pytest.raises(SdkError) as caught:
            parse(text)
        assert caught.value.code is Code.USAGE
        assert "skopeo copy" in caught.value.resolution


@pytest.mark.parametrize(
    ("text", "kinds"),
    [
        ("{}/x", ["oci:", "oci-archive:", "bundle:"]),
        ("./no-such-thing/x", ["oci:", "oci-archive:", "bundle:"]),
        ("{}/x.tar", ["oci-archive:", "docker-archive:"]),
        ("127.0.0.1:5055/acme/guard:0.2.0", ["docker://"]),
        ("quay.io/acme/guard", ["docker://"]),
        ("localhost/guard", ["docker://"]),
    ],
)
def test_an_output_without_a_transport_gets_those_that_fit_it(
    text: str, kinds: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    text = text.format(tmp_path)
    with pytest.raises(SdkError) as caught:
        parse_output(text)
    advice = caught.value.resolution.partition(" From and")[0]
    *others, last = (f"{kind}{text}" for kind in kinds)
    listed = f"{', '.join(others)} or {last}" if others else last
    assert advice == f"Say what kind of place it is: {listed}."
    for place in (*others, last):
        parse_output(place)


def test_a_base_is_no_bundle(tmp_path: Path) -> None:
    with pytest.raises(SdkError) as caught:
        read_base(f"{tmp_path}/x")
    assert f"it is: oci:{tmp_path}/x or oci-archive:{tmp_path}/x." in caught.value.resolution


def test_a_name_that_may_be_anything_gets_every_kind() -> None:
    with pytest.raises(SdkError) as caught:
        parse_output("guard:1")
    listed = "oci:guard:1, docker-daemon:guard:1 or docker://REGISTRY/guard:1."
    assert f"it is: {listed}" in caught.value.resolution


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("oci-arhive:{}/x", "oci-archive:{}/x"),
        ("bundles:{}/x", "bundle:{}/x"),
        ("docker:quay.io/acme/x", "docker://quay.io/acme/x"),
        ("docker:/quay.io/acme/x", "docker://quay.io/acme/x"),
    ],
)
def test_a_misspelt_transport_is_recognised(text: str, meant: str, tmp_path: Path) -> None:
    with pytest.raises(SdkError) as caught:
        parse_output(text.format(tmp_path))
    meant = meant.format(tmp_path)
    assert caught.value.resolution.startswith(f"Did you mean '{meant}'? ")
    parse_output(meant)


def test_a_registry_is_named_as_skopeo_names_it() -> None:
    assert str(parse_output("docker://quay.io/acme/echo")) == "docker://quay.io/acme/echo:latest"
    assert str(parse_output("docker://python:3.12")) == "docker://docker.io/library/python:3.12"


ARCHIVES = ("oci-archive:{}/x.tar:v1", "docker-archive:{}/x.tar:acme/echo")


@pytest.mark.parametrize("place", ARCHIVES)
def test_archives_are_bases_and_images(make_bundle: MakeBundle, tmp_path: Path, place: str) -> None:
    text = place.format(tmp_path)
    image = compose(make_bundle())
    parse_output(text).write(image)
    for read in (read_base, read_image):
        found = read(text)
        assert found is not None
        assert found.config_bytes() == image.config_bytes()
    assert read_image(f"{tmp_path}/x.tar").labels == image.labels  # a file needs no prefix
    for other in (f"{text}-other", text.replace("x.tar", "y.tar")):
        with pytest.raises(SdkError):
            read_image(other)


@pytest.mark.engine
@pytest.mark.parametrize("name", ["docker", "podman_service"])
def test_a_daemon_is_an_output_a_base_and_an_image(
    make_bundle: MakeBundle,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
    name: str,
) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{request.getfixturevalue(name).socket}")
    monkeypatch.setenv("LLS_PROVIDER_CACHE", str(tmp_path / "cache"))
    text = "docker-daemon:localhost/acme/places:v1"
    output = parse_output(text)
    assert str(output) == text
    image = compose(make_bundle())
    output.write(image)
    for read in (read_base, read_image):
        found = read(text)
        assert found is not None
        assert found.config_bytes() == image.config_bytes()


def test_no_daemon_is_told_before_any_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/nothing.sock")
    for work in (lambda: parse_output("docker-daemon:a"), lambda: read_image("docker-daemon:a")):
        with pytest.raises(SdkError) as caught:
            work()
        assert caught.value.code is Code.DAEMON_FAILED


@pytest.mark.slow
def test_an_image_is_a_layout_or_a_reference(make_layout: MakeLayout, tmp_path: Path) -> None:
    layout = make_layout([("x", b"")])
    expected = read_layout(layout).digest
    for text in (str(layout), f"oci:{layout}"):
        assert read_image(text).digest == expected
    for text in (f"{tmp_path}/other", "./other", "oci:other"):
        with pytest.raises(SdkError) as caught:
            read_image(text)
        assert caught.value.code is Code.FILE_MISSING
    for text in ("docker://127.0.0.1:1/a/b:1", "127.0.0.1:1/a/b:1"):
        with pytest.raises(SdkError) as caught:
            read_image(text)
        assert caught.value.code is Code.NETWORK
