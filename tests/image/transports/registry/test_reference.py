"""Image references: what engines accept, and what each part may not be."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lls_provider.errors import Code, ExitStatus, SdkError
from lls_provider.image.transports.registry.reference import Reference, parse, tagged

HEX = "0123456789abcdef" * 4
DIGEST = f"sha256:{HEX}"


@pytest.mark.parametrize(
    ("text", "reference"),
    [
        ("python", Reference("docker.io", "library/python")),
        ("python:3.12-slim", Reference("docker.io", "library/python", "3.12-slim")),
        ("acme/echo", Reference("docker.io", "acme/echo")),
        ("index.docker.io/python", Reference("docker.io", "library/python")),
        ("localhost/echo:1", Reference("localhost", "echo", "1")),
        ("localhost:5000/a/b-c/d__e:v1.0_x", Reference("localhost:5000", "a/b-c/d__e", "v1.0_x")),
        ("127.0.0.1:5000/echo", Reference("127.0.0.1:5000", "echo")),
        ("[::1]:5000/echo", Reference("[::1]:5000", "echo")),
        ("Registry/echo", Reference("Registry", "echo")),
        ("quay.io/acme/echo@" + DIGEST, Reference("quay.io", "acme/echo", None, DIGEST)),
        ("quay.io/acme/echo:1@" + DIGEST, Reference("quay.io", "acme/echo", "1", DIGEST)),
    ],
)
def test_a_reference_is_read_as_engines_read_it(text: str, reference: Reference) -> None:
    assert parse(text) == reference
    assert parse(str(reference)) == reference


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("", "not a name"),
        ("quay.io/", "not a name"),
        ("quay.io/Acme/echo", "not a name"),
        ("quay.io/acme//echo", "not a name"),
        ("quay.io/acme/../echo", "not a name"),
        ("quay.io/acme/echo\n", "not a name"),
        ("quay.io/acme/\u00e9cho", "not a name"),
        ("quay.io/acme/echo:", "not a tag"),
        ("quay.io/acme/echo:-x", "not a tag"),
        ("quay.io/acme/echo:" + "x" * 129, "not a tag"),
        ("quay.io/acme/echo:a b", "not a tag"),
        ("quay.io/acme/echo@sha256:12", "not a digest"),
        ("quay.io/acme/echo@sha512:" + HEX * 2, "not a digest"),
        ("quay.io/acme/echo@" + DIGEST.upper(), "not a digest"),
        ("-quay.io/acme/echo", "not a registry"),
        ("quay.io:0/acme/echo", "not a registry"),
        ("quay.io:65536/acme/echo", "not a registry"),
        ("quay.io:x/acme/echo", "not a registry"),
        ("quay.io/" + "a" * 250, "at most 255"),
    ],
)
def test_what_is_wrong_is_named(text: str, word: str) -> None:
    with pytest.raises(SdkError) as caught:
        parse(text)
    assert caught.value.code is Code.USAGE
    assert caught.value.status is ExitStatus.USAGE
    assert word in caught.value.why
    assert "REGISTRY/NAME:TAG" in caught.value.resolution


@pytest.mark.parametrize("text", ["me:s3cret@quay.io/acme/echo", "https://me:s3cret@quay.io/a"])
def test_a_password_is_not_repeated(text: str) -> None:
    with pytest.raises(SdkError) as caught:
        parse(text)
    assert "s3cret" not in caught.value.render()


@pytest.mark.parametrize(
    ("registry", "loopback"),
    [
        ("localhost", True),
        ("localhost:5000", True),
        ("127.0.0.1:5000", True),
        ("127.9.9.9", True),
        ("[::1]:5000", True),
        ("localhost.example.com", False),
        ("127.0.0.1.example.com", False),
        ("10.0.0.1:5000", False),
        ("[2001:db8::1]", False),
    ],
)
def test_only_this_machine_is_loopback(registry: str, loopback: bool) -> None:
    assert parse(f"{registry}/echo").is_loopback is loopback


def test_what_a_registry_is_asked_for() -> None:
    assert parse("quay.io/a/b").target == "latest"
    assert parse("quay.io/a/b:1").target == "1"
    assert parse(f"quay.io/a/b:1@{DIGEST}").target == DIGEST
    assert str(parse("quay.io/a/b:1").at(DIGEST)) == f"quay.io/a/b@{DIGEST}"


@given(st.text(st.sampled_from("aA0.:/@_-[]% \n\0é") | st.characters(), max_size=60))
def test_any_text_is_a_reference_or_refused(text: str) -> None:
    try:
        reference = parse(text)
    except SdkError as error:
        assert error.code is Code.USAGE
    else:
        assert parse(str(reference)) == reference


def test_an_image_is_given_a_tag_and_no_digest() -> None:
    with pytest.raises(SdkError) as caught:
        tagged(f"quay.io/acme/echo@{DIGEST}")
    assert caught.value.code is Code.USAGE
    assert caught.value.resolution == "Write quay.io/acme/echo:TAG."
