"""Challenges, tokens, and who gets to see a credential."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

import pytest
from tests.image.transports.registry.fake import TOKEN, FakeRegistry, cut, status

from lls_provider.errors import Code, SdkError
from lls_provider.image.transports.registry.login import Challenge, parse_challenges
from lls_provider.image.transports.registry.reference import parse
from lls_provider.image.transports.registry.repository import ManifestBytes, Repository

if TYPE_CHECKING:
    from lls_provider.image.transports.registry.http import RegistryTimeouts

Login = Callable[[str, dict[str, str]], None]
BASIC = {"username": "me", "password": "s3cret"}


def ask(fake: FakeRegistry, limits: RegistryTimeouts, *, push: bool = False) -> ManifestBytes:
    """One request that has to prove itself."""
    fake.manifests["1"] = ("text/plain", b"{}")
    with Repository(parse(f"{fake.host}/acme/echo:1"), push=push, limits=limits) as repository:
        return repository.manifest("1")


def refused(fake: FakeRegistry, limits: RegistryTimeouts, code: Code, *words: str) -> None:
    with pytest.raises(SdkError) as caught:
        ask(fake, limits)
    text = caught.value.render()
    assert caught.value.code is code, text
    assert all(word in text for word in words), text
    assert "s3cret" not in text
    assert TOKEN not in text


@pytest.mark.parametrize(
    ("header", "challenges"),
    [
        ("", []),
        ("Basic", [Challenge("basic", {})]),
        ('Basic realm="a b, c=d"', [Challenge("basic", {"realm": "a b, c=d"})]),
        (
            'Bearer realm="https://x/t",service=y,Scope="a:b:pull,push"',
            [
                Challenge(
                    "bearer", {"realm": "https://x/t", "service": "y", "scope": "a:b:pull,push"}
                )
            ],
        ),
        (
            'BEARER realm = "q\\"uote" , Basic realm="x", Negotiate',
            [
                Challenge("bearer", {"realm": 'q"uote'}),
                Challenge("basic", {"realm": "x"}),
                Challenge("negotiate", {}),
            ],
        ),
        ('Bearer realm="unclosed', [Challenge("bearer", {})]),
        ("=,=,", []),
        ("Bearer a=1,a=2", [Challenge("bearer", {"a": "1"})]),
    ],
)
def test_challenges_are_read(header: str, challenges: list[Challenge]) -> None:
    assert parse_challenges(header) == challenges


def test_a_header_without_end_is_read_in_bounded_time() -> None:
    for piece in ('Bearer a="\\', "Bearer ", 'a="', "a = ", ",", " ", "-"):
        parse_challenges(piece * 100_000)


def test_basic_is_sent_when_it_is_asked_for(
    fake: FakeRegistry, limits: RegistryTimeouts, login: Login
) -> None:
    login(fake.host, BASIC)
    fake.ask_for_password("me", "s3cret")
    assert ask(fake, limits).data == b"{}"
    first, second = fake.asked("GET", "manifests")
    assert "Authorization" not in first.headers
    assert second.headers["Authorization"] == fake.login


def test_a_token_is_asked_for_once_with_the_rights_that_are_needed(
    fake: FakeRegistry, limits: RegistryTimeouts, login: Login
) -> None:
    login(fake.host, BASIC)
    fake.ask_for_token()
    fake.manifests["1"] = ("text/plain", b"{}")
    reference = parse(f"{fake.host}/acme/echo:1")
    with Repository(reference, push=True, sources=["base"], limits=limits) as repository:
        repository.manifest("1")
        repository.manifest("1")
    (asked,) = fake.asked("GET", "/token")
    assert asked.query == {
        "service": ["here"],
        "scope": ["repository:acme/echo:pull,push", "repository:base:pull"],
    }
    assert asked.headers["Authorization"].startswith("Basic ")


def test_without_a_login_the_token_is_anonymous(
    fake: FakeRegistry, limits: RegistryTimeouts
) -> None:
    fake.ask_for_token()
    ask(fake, limits)
    (asked,) = fake.asked("GET", "/token")
    assert "Authorization" not in asked.headers
    assert asked.query["scope"] == ["repository:acme/echo:pull"]


def test_an_identity_token_is_traded_in(
    fake: FakeRegistry, limits: RegistryTimeouts, login: Login
) -> None:
    login(fake.host, {"identitytoken": "s3cret"})
    fake.ask_for_token(f"http://{fake.host}/token?x=1")
    ask(fake, limits)
    (asked,) = fake.asked("POST", "/token")
    form = parse_qs(asked.body.decode())
    assert form["grant_type"] == ["refresh_token"]
    assert form["refresh_token"] == ["s3cret"]
    assert form["scope"] == ["repository:acme/echo:pull"]
    assert form["service"] == ["here"]


def test_a_registry_token_is_used_as_it_is(
    fake: FakeRegistry, limits: RegistryTimeouts, login: Login
) -> None:
    login(fake.host, {"registrytoken": TOKEN})
    fake.ask_for_token()
    ask(fake, limits)
    assert not fake.asked("GET", "/token")


def test_a_token_that_expired_is_renewed(fake: FakeRegistry, limits: RegistryTimeouts) -> None:
    fake.ask_for_token()
    fake.manifests["1"] = ("text/plain", b"{}")
    with Repository(parse(f"{fake.host}/acme/echo:1"), limits=limits) as repository:
        repository.manifest("1")
        fake.fault("GET", "manifests", status(401, WWW_Authenticate=fake.challenge))
        repository.manifest("1")
    assert len(fake.asked("GET", "/token")) == 2


def test_credentials_are_not_sent_to_another_host_that_asks(
    fake: FakeRegistry, limits: RegistryTimeouts, login: Login
) -> None:
    login(fake.host, BASIC)
    with FakeRegistry() as elsewhere:
        elsewhere.ask_for_password("me", "s3cret")
        place = f"http://{elsewhere.host}/v2/acme/echo/manifests/1"
        fake.fault("GET", "manifests", status(307, Location=place))
        refused(fake, limits, Code.REGISTRY_DENIED, "401")
        assert not [it for it in elsewhere.seen if "Authorization" in it.headers]


@pytest.mark.parametrize("number", [400, 401, 403])
def test_a_token_that_is_refused_is_told(
    fake: FakeRegistry, limits: RegistryTimeouts, login: Login, number: int
) -> None:
    login(fake.host, BASIC)
    fake.ask_for_token()
    fake.fault("GET", "token", status(number, b'{"errors": [{"code": "NO", "message": "you"}]}'))
    code = Code.REGISTRY_FAILED if number == 400 else Code.REGISTRY_DENIED
    refused(fake, limits, code, "Cannot log in for", str(number), "NO: you")


def test_a_place_of_tokens_that_fails_is_asked_again(
    fake: FakeRegistry, limits: RegistryTimeouts
) -> None:
    fake.ask_for_token()
    fake.fault("GET", "token", status(503), times=2)
    fake.fault("GET", "token", cut)
    assert ask(fake, limits).data == b"{}"
    fake.fault("GET", "token", status(503), times=9)
    refused(fake, limits, Code.NETWORK, "token server answered 503")


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"[]",
        b"null",
        b"{}",
        b'{"token": ""}',
        b'{"token": 7}',
        b'{"token": "a\\r\\nX-Injected: b"}',
        b'{"token": "a b"}',
        b"[" * 100_000,
        b"\xff",
    ],
)
def test_a_token_that_is_none_is_refused(
    fake: FakeRegistry, limits: RegistryTimeouts, answer: bytes
) -> None:
    fake.ask_for_token()
    fake.fault("GET", "token", status(200, answer))
    refused(fake, limits, Code.REGISTRY_FAILED, "token")


@pytest.mark.parametrize(
    "realm",
    ["", "/token", "http://example.com/token", "ftp://127.0.0.1/x", "https://u:p@127.0.0.1/x"],
)
def test_a_place_of_tokens_that_may_not_be_asked_is_refused(
    fake: FakeRegistry, limits: RegistryTimeouts, login: Login, realm: str
) -> None:
    login(fake.host, BASIC)
    fake.ask_for_token()
    fake.challenge = f'Bearer realm="{realm}"'
    refused(fake, limits, Code.REGISTRY_FAILED, "address")


def test_an_unknown_way_to_log_in_is_named(
    fake: FakeRegistry, limits: RegistryTimeouts, login: Login
) -> None:
    login(fake.host, BASIC)
    fake.ask_for_token()
    fake.challenge = "Negotiate, NTLM"
    refused(fake, limits, Code.REGISTRY_FAILED, "negotiate, ntlm")


def test_netrc_is_not_used(
    fake: FakeRegistry, limits: RegistryTimeouts, nobody: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (nobody / ".netrc").write_text("machine 127.0.0.1 login me password s3cret\n")
    monkeypatch.setenv("NETRC", str(nobody / ".netrc"))
    fake.ask_for_token()
    assert ask(fake, limits).data == b"{}"
    assert all(
        it.headers.get("Authorization", f"Bearer {TOKEN}") == f"Bearer {TOKEN}" for it in fake.seen
    )


def test_a_proxy_is_not_used_for_this_machine(
    fake: FakeRegistry, limits: RegistryTimeouts, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    assert ask(fake, limits).data == b"{}"
