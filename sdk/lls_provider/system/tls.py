"""TLS: the certificates that transfers trust, and the hosts that are not verified, as uv has them.

``SSL_CERT_FILE`` and ``SSL_CERT_DIR`` together replace the usual authorities. Every file of a
directory counts, whatever its name (OpenSSL would require the hash of its subject). With
``UV_SYSTEM_CERTS`` (once ``UV_NATIVE_TLS``) the authorities of the system count.
"""

from __future__ import annotations

import functools
import os
import re
import ssl
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from lls_provider.system.cache import is_enabled

_CERTIFICATE = re.compile(rb"-----BEGIN CERTIFICATE-----[\w+/=\s]+-----END CERTIFICATE-----")


_SYSTEM = ("UV_SYSTEM_CERTS", "UV_NATIVE_TLS")


_PORTS = {"http": 80, "https": 443}


def trusted_certificates(environ: Mapping[str, str]) -> str:
    """The certificates that the variables name, as PEM; empty when there are none."""
    file, folders = environ.get("SSL_CERT_FILE", ""), environ.get("SSL_CERT_DIR", "")
    if not file and not folders and any(is_enabled(environ, it) for it in _SYSTEM):
        system = ssl.get_default_verify_paths()
        file, folders = system.cafile or "", system.capath or ""
    return _certificates(file, folders)


@functools.lru_cache
def _certificates(file: str, folders: str) -> str:
    """Read once a run: a system has hundreds of files, and each download has a session."""
    found: dict[bytes, None] = {}
    for path in _files(file, folders):
        try:
            found |= dict.fromkeys(_CERTIFICATE.findall(path.read_bytes()))
        except OSError:
            continue  # as uv passes over it
    return b"\n".join(found).decode("ascii")


def _files(file: str, folders: str) -> Iterator[Path]:
    if file:
        yield Path(file)
    for text in folders.split(os.pathsep):
        try:
            yield from sorted(it for it in Path(text).iterdir() if it.is_file()) if text else ()
        except OSError:
            continue


def unverified_hosts(environ: Mapping[str, str]) -> tuple[str, ...]:
    """The hosts whose certificates are not verified (``UV_INSECURE_HOST``)."""
    return tuple(environ.get("UV_INSECURE_HOST", "").split())


def is_named(url: str, hosts: tuple[str, ...]) -> bool:
    """Whether one of ``hosts`` (``[SCHEME://]HOST[:PORT]``, or ``*``) is that of ``url``."""
    return any(_is(urlsplit(url), it) for it in hosts)


def _is(url: Any, host: str) -> bool:
    if host == "*":
        return True
    try:
        told = urlsplit(host if "://" in host else f"//{host}")
        port = told.port
    except ValueError:
        return False
    return (
        told.hostname == url.hostname
        and told.scheme in ("", url.scheme)
        and port in (None, url.port or _PORTS.get(url.scheme))
    )
