"""Credentials from the files and helpers of Docker and Podman."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from lls_provider.errors import Code, ExitStatus, SdkError
from lls_provider.image.transports.registry.login import Credential, find_credential
from lls_provider.image.transports.registry.reference import parse

QUAY = parse("quay.io/acme/echo:1")
HUB = parse("acme/echo")
HIDDEN = "s3cret"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user without any credentials but those a test writes."""
    for name in (
        *("DOCKER_AUTH_CONFIG", "REGISTRY_AUTH_FILE", "DOCKER_CONFIG"),
        *("XDG_RUNTIME_DIR", "XDG_CONFIG_HOME"),
    ):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def auth(pair: str = f"me:{HIDDEN}") -> dict[str, str]:
    return {"auth": base64.b64encode(pair.encode()).decode()}


def write(path: Path, document: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(document if isinstance(document, str) else json.dumps(document))
    return path


def helper(folder: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    """Puts a program ``docker-credential-test`` on PATH."""
    path = folder / "bin" / "docker-credential-test"
    write(path, f"#!/bin/sh\n{script}\n").chmod(0o755)
    monkeypatch.setenv("PATH", f"{path.parent}:/usr/bin:/bin")


def refused(*words: str) -> None:
    with pytest.raises(SdkError) as caught:
        find_credential(QUAY)
    assert caught.value.code is Code.CREDENTIALS_INVALID
    assert caught.value.status is ExitStatus.ENVIRONMENT
    text = caught.value.render()
    assert all(word in text for word in words), text
    assert HIDDEN not in text
    assert HIDDEN not in repr(caught.value.__context__)


def test_nothing_is_anonymous() -> None:
    assert find_credential(QUAY) is None


@pytest.mark.parametrize(
    "place",
    [
        ".docker/config.json",
        ".config/containers/auth.json",
        "docker/config.json",
        "run/containers/auth.json",
        "auth.json",
    ],
)
def test_every_place_is_looked_at(home: Path, place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REGISTRY_AUTH_FILE", str(home / "auth.json"))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(home / "run"))
    if place == "docker/config.json":
        monkeypatch.setenv("DOCKER_CONFIG", str(home / "docker"))
    write(home / place, {"auths": {"quay.io": auth()}})
    assert find_credential(QUAY) == Credential("me", HIDDEN)
    assert find_credential(HUB) is None


def test_the_first_file_that_knows_the_registry_wins(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REGISTRY_AUTH_FILE", str(home / "auth.json"))
    write(home / "auth.json", {"auths": {"quay.io": auth("first:1")}})
    write(
        home / ".docker/config.json", {"auths": {"quay.io": auth("second:2"), "docker.io": auth()}}
    )
    assert find_credential(QUAY) == Credential("first", "1")
    assert find_credential(HUB) == Credential("me", HIDDEN)


@pytest.mark.parametrize(
    "key", ["quay.io", "https://quay.io", "https://quay.io/v1/", "https://quay.io/v2/"]
)
def test_a_registry_is_known_under_all_its_names(home: Path, key: str) -> None:
    write(home / ".docker/config.json", {"auths": {key: auth()}})
    assert find_credential(QUAY) == Credential("me", HIDDEN)


@pytest.mark.parametrize("key", ["https://index.docker.io/v1/", "docker.io", "index.docker.io"])
def test_docker_hub_is_known_under_all_its_names(home: Path, key: str) -> None:
    write(home / ".docker/config.json", {"auths": {key: auth()}})
    assert find_credential(HUB) == Credential("me", HIDDEN)


def test_the_most_exact_name_wins_and_a_similar_one_does_not_count(home: Path) -> None:
    document = {
        "quay.io": auth("registry:1"),
        "quay.io/acme": auth("organisation:2"),
        "quay.io/ac": auth("other:3"),
        "quay.io:443": auth("port:4"),
    }
    write(home / ".docker/config.json", {"auths": document})
    assert find_credential(QUAY) == Credential("organisation", "2")
    assert find_credential(parse("quay.io/other/echo")) == Credential("registry", "1")
    assert find_credential(parse("quay.io.example.com/acme/echo")) is None


@pytest.mark.parametrize(
    ("entry", "credential"),
    [
        ({"username": "me", "password": HIDDEN}, Credential("me", HIDDEN)),
        (auth("me:with:colon"), Credential("me", "with:colon")),
        ({"identitytoken": "abc"}, Credential("", "", "abc")),
        ({**auth("me:"), "identitytoken": "abc"}, Credential("me", "", "abc")),
        ({"registrytoken": "abc"}, Credential("", "", "", "abc")),
        ({}, None),
    ],
)
def test_every_form_of_an_entry(
    home: Path, entry: dict[str, str], credential: Credential | None
) -> None:
    write(home / ".docker/config.json", {"auths": {"quay.io": entry}})
    assert find_credential(QUAY) == credential


def test_nothing_of_a_credential_is_shown() -> None:
    secret = Credential("me", HIDDEN, HIDDEN, HIDDEN)
    assert HIDDEN not in repr(secret)
    assert "me" not in repr(secret)


@pytest.mark.parametrize(
    "text",
    [
        f"{{ {HIDDEN}",
        f'["{HIDDEN}"]',
        "[" * 100_000,
        f'{{"auths": "{HIDDEN}"}}',
        f'{{"auths": {{"quay.io": "{HIDDEN}"}}}}',
        f'{{"auths": {{"quay.io": {{"auth": "{HIDDEN}"}}}}}}',
        f'{{"auths": {{"quay.io": {{"password": ["{HIDDEN}"]}}}}}}',
        '{"auths": {"quay.io": {"auth": "bm9jb2xvbg=="}}}',
        f'{{"auths": {{"quay.io": {{"identitytoken": "{HIDDEN}\\r\\nX: y"}}}}}}',
        '{"credsStore": "../../bin/sh"}',
        '{"credsStore": ["test"]}',
        '{"credHelpers": {"quay.io": "not-there-at-all"}}',
    ],
)
def test_a_broken_file_is_told_without_its_content(home: Path, text: str) -> None:
    write(home / ".docker/config.json", text)
    refused("config.json")


def test_a_file_that_is_too_large_or_a_folder_is_refused(home: Path) -> None:
    path = write(home / ".docker/config.json", " " * ((4 << 20) + 1))
    refused("larger than")
    path.unlink()
    path.mkdir()
    refused("cannot be read")


@pytest.mark.parametrize(
    "config",
    [{"credHelpers": {"quay.io": "test"}}, {"credsStore": "test", "auths": {"quay.io": {}}}],
)
def test_a_helper_is_asked(
    home: Path, monkeypatch: pytest.MonkeyPatch, config: dict[str, Any]
) -> None:
    write(home / ".docker/config.json", config)
    script = f'read key; echo "{{\\"Username\\": \\"$1 $key\\", \\"Secret\\": \\"{HIDDEN}\\"}}"'
    helper(home, monkeypatch, script)
    assert find_credential(QUAY) == Credential("get quay.io", HIDDEN)


def test_a_helper_knows_docker_hub_by_its_old_name(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(home / ".docker/config.json", {"credsStore": "test"})
    helper(
        home, monkeypatch, 'read key; echo "{\\"Username\\": \\"$key\\", \\"Secret\\": \\"x\\"}"'
    )
    assert find_credential(HUB) == Credential("https://index.docker.io/v1/", "x")


def test_a_helper_gives_an_identity_token(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(home / ".docker/config.json", {"credsStore": "test"})
    helper(home, monkeypatch, """echo '{"Username": "<token>", "Secret": "abc"}'""")
    assert find_credential(QUAY) == Credential("", "", "abc")


def test_a_helper_that_knows_nothing_is_passed_over(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(home / ".docker/config.json", {"credsStore": "test", "auths": {"quay.io": auth()}})
    helper(home, monkeypatch, "echo 'credentials not found in native keychain'; exit 1")
    assert find_credential(QUAY) == Credential("me", HIDDEN)


@pytest.mark.parametrize(
    "script",
    [
        f"echo {HIDDEN} >&2; exit 1",
        f"echo {HIDDEN}",
        f"""echo '{{"Username": "me", "Secret": ["{HIDDEN}"]}}'""",
        f"""echo '["{HIDDEN}"]'""",
        "true",
    ],
)
def test_a_helper_that_fails_is_named_without_what_it_said(
    home: Path, monkeypatch: pytest.MonkeyPatch, script: str
) -> None:
    write(home / ".docker/config.json", {"credsStore": "test"})
    helper(home, monkeypatch, script)
    refused("docker-credential-test")


def test_a_complete_entry_is_used_although_its_helper_is_missing(home: Path) -> None:
    """A file that was copied into CI names the helper of the machine that it came from."""
    for helpers in ({"credsStore": "desktop-x"}, {"credHelpers": {"quay.io": "desktop-x"}}):
        write(home / ".docker/config.json", {"auths": {"quay.io": auth()}, **helpers})
        found = find_credential(QUAY)
        assert found == Credential("me", HIDDEN)


def test_a_missing_helper_of_an_empty_entry_is_told(home: Path) -> None:
    document = {"auths": {"quay.io": {}}, "credsStore": "desktop-x"}
    write(home / ".docker/config.json", document)
    refused("docker-credential-desktop-x", "not on PATH")


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ({"auth": "bWU6\r\nczNjcmV0\n"}, Credential("me", HIDDEN)),
        ({"auth": base64.b64encode(b"me:s3cret\0\0").decode()}, Credential("me", HIDDEN)),
        ({"auth": base64.b64encode(b"me:a:b").decode()}, Credential("me", "a:b")),
        ({"username": "me", "password": HIDDEN}, Credential("me", HIDDEN)),
        ({"auth": base64.b64encode(b"me:\xff").decode()}, Credential("me", "\udcff")),
        (
            {**auth(), "identitytoken": "abc"},
            Credential("me", HIDDEN, identity_token="abc"),  # noqa: S106 - a word
        ),
    ],
)
def test_entries_are_read_as_other_clients_read_them(
    home: Path, entry: dict[str, str], expected: Credential
) -> None:
    write(home / ".docker/config.json", {"auths": {"quay.io": entry}})
    found = find_credential(QUAY)
    assert found == expected
    assert base64.b64decode(expected.basic.split()[1])


def test_the_old_form_and_a_variable_are_read(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(home / ".dockercfg", {"https://quay.io/v1/": auth("old:1")})
    assert find_credential(QUAY) == Credential("old", "1")
    write(home / ".docker/config.json", {"auths": {"quay.io": auth("file:2")}})
    assert find_credential(QUAY) == Credential("file", "2")
    monkeypatch.setenv("DOCKER_AUTH_CONFIG", json.dumps({"auths": {"quay.io": auth("told:3")}}))
    assert find_credential(QUAY) == Credential("told", "3")
    monkeypatch.setenv("DOCKER_AUTH_CONFIG", f"{{{HIDDEN}")
    refused("DOCKER_AUTH_CONFIG", "not JSON")
