"""What uv's variables say of certificates."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lls_provider.system.tls import is_named, trusted_certificates

URL = "https://index.example/files/a.whl"


def pem(text: str) -> str:
    return f"-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----"


@pytest.mark.parametrize(
    ("host", "named"),
    [
        ("index.example", True),
        ("INDEX.example", True),
        ("index.example:443", True),
        ("https://index.example", True),
        ("*", True),
        ("http://index.example", False),
        ("index.example:8443", False),
        ("example", False),
        ("other.index.example", False),
        ("index.example.org", False),
        ("index.example:x", False),
        ("[", False),
    ],
)
def test_a_host_that_needs_no_certificate_is_named_exactly(host: str, named: bool) -> None:
    assert is_named(URL, ("other.example", host)) is named


def test_a_port_belongs_to_the_host() -> None:
    assert is_named("https://index.example:8443/a", ("index.example:8443",))
    assert not is_named("https://index.example:8443/a", ("index.example:443",))


def test_file_and_folders_are_taken_together(tmp_path: Path) -> None:
    for name, text in {"file": "AA==", "one/a.crt": "BB==", "two/12345678.0": "CC=="}.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"# Größe\n{pem(text)}\n")
    (tmp_path / "two" / "again.pem").write_text(pem("AA=="))
    (tmp_path / "two" / "key.pem").write_text(pem("DD==").replace("CERTIFICATE", "PRIVATE KEY"))
    folders = os.pathsep.join(str(tmp_path / name) for name in ("one", "gone", "two"))
    told = {"SSL_CERT_FILE": str(tmp_path / "file"), "SSL_CERT_DIR": folders}
    assert trusted_certificates(told) == "\n".join(map(pem, ("AA==", "BB==", "CC==")))


def test_nothing_told_is_nothing(tmp_path: Path) -> None:
    assert trusted_certificates({}) == ""
    assert trusted_certificates({"SSL_CERT_FILE": str(tmp_path / "gone"), "SSL_CERT_DIR": ""}) == ""
