"""TLS: on, unless the registry is on this machine or the user says otherwise."""

from __future__ import annotations

import ssl
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.image.transports.registry.fake import FakeRegistry, status

from lls_provider.errors import Code, SdkError
from lls_provider.image.transports.registry.http import RegistryClient, RegistryTimeouts
from lls_provider.image.transports.registry.reference import parse
from lls_provider.image.transports.registry.repository import Repository

Engine = Callable[[str], str]


SAMPLE = Path(__file__).parents[4] / "samples" / "echo-inference"


@pytest.fixture(scope="session")
def certificate(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for 127.0.0.1 that no one verifies, its key beside it."""
    path = tmp_path_factory.mktemp("tls") / "certificate.pem"
    subprocess.run(
        [
            *(engine("openssl"), "req", "-x509", "-nodes", "-days", "2", "-subj", "/CN=registry"),
            *("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"),
            *("-addext", "subjectAltName=IP:127.0.0.1"),
            *("-keyout", str(path.with_suffix(".key")), "-out", str(path)),
        ],
        check=True,
        capture_output=True,
    )
    return path


@pytest.fixture(autouse=True)
def no_certificates(monkeypatch: pytest.MonkeyPatch) -> None:
    """Certificates of the machine that the tests run on do not count."""
    for name in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def secure(certificate: Path) -> Iterator[FakeRegistry]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, certificate.with_suffix(".key"))
    with FakeRegistry(tls=context) as server:
        server.manifests["1"] = ("text/plain", b"{}")
        yield server


def ask(fake: FakeRegistry, limits: RegistryTimeouts, *, insecure: bool = False) -> bytes:
    reference = parse(f"{fake.host}/acme/echo:1")
    with Repository(reference, insecure=insecure, limits=limits) as repository:
        return repository.manifest("1").data


@pytest.mark.engine
def test_a_certificate_nobody_vouches_for_is_refused(
    secure: FakeRegistry, limits: RegistryTimeouts
) -> None:
    with pytest.raises(SdkError) as caught:
        ask(secure, limits)
    assert caught.value.code is Code.NETWORK
    assert "CERTIFICATE_VERIFY_FAILED" in caught.value.why
    assert "SSL_CERT_FILE" in caught.value.resolution
    assert "--insecure" in caught.value.resolution


@pytest.mark.engine
def test_a_certificate_of_the_users_is_accepted(
    secure: FakeRegistry,
    limits: RegistryTimeouts,
    certificate: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    assert ask(secure, limits) == b"{}"


@pytest.mark.engine
@pytest.mark.parametrize("variable", ["", "REQUESTS_CA_BUNDLE"])
def test_insecure_looks_at_no_certificate(
    secure: FakeRegistry, limits: RegistryTimeouts, variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if variable:
        import certifi

        monkeypatch.setenv(variable, certifi.where())
    assert ask(secure, limits, insecure=True) == b"{}"


@pytest.mark.engine
def test_a_secure_registry_may_not_send_us_into_the_open(
    secure: FakeRegistry,
    limits: RegistryTimeouts,
    certificate: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    secure.fault("GET", "manifests", status(307, Location="http://example.com/x"))
    with pytest.raises(SdkError) as caught:
        ask(secure, limits)
    assert caught.value.code is Code.REGISTRY_FAILED
    assert "not https" in caught.value.why


def test_insecure_does_without_tls(fake: FakeRegistry, limits: RegistryTimeouts) -> None:
    fake.manifests["1"] = ("text/plain", b"{}")
    assert ask(fake, limits, insecure=True) == b"{}"


@pytest.mark.parametrize(
    ("reference", "address"),
    [
        ("quay.io/acme/echo", "https://quay.io/v2/"),
        ("quay.io:8443/acme/echo", "https://quay.io:8443/v2/"),
        ("python", "https://registry-1.docker.io/v2/"),
        ("10.0.0.1:5000/acme/echo", "https://10.0.0.1:5000/v2/"),
    ],
)
def test_other_machines_are_asked_with_tls_and_nothing_is_tried(
    reference: str, address: str
) -> None:
    assert RegistryClient(parse(reference), ()).url("/v2/") == address


@pytest.mark.engine
@pytest.mark.parametrize(
    ("command", "option"),
    [("compat", "--distribution"), ("check", "--distribution"), ("up", "--server")],
)
def test_insecure_reaches_the_image_of_a_distribution(
    cli: Callable[..., subprocess.CompletedProcess[str]],
    secure: FakeRegistry,
    command: str,
    option: str,
) -> None:
    server = f"docker://{secure.host}/acme/server:gone"
    words = (command, str(SAMPLE), option, server)
    refused = cli(*words)
    assert refused.returncode == 3, refused.stderr
    assert "certificate" in refused.stderr
    assert not secure.seen
    let_in = cli(*words, "--insecure")
    assert let_in.returncode == 1, let_in.stderr
    assert "404" in let_in.stderr + let_in.stdout
    assert [it.path for it in secure.seen][-1] == "/v2/acme/server/manifests/gone"
