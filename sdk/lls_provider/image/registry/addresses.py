"""Addresses that a registry names (redirects, uploads, places of tokens), checked before use."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urljoin, urlsplit

from lls_provider.image.reference import is_loopback
from lls_provider.image.registry import failures

if TYPE_CHECKING:
    from lls_provider.image.reference import Reference

_LIMIT = 8192
_PORTS = {"https": 443, "http": 80}


def same_origin(first: str, second: str) -> bool:
    """Whether two addresses have one scheme, host and port: only there a login is shown."""
    return _origin(first) == _origin(second)


def follow(url: str, location: str | None, reference: Reference, *, insecure: bool) -> str:
    """The address that the answer from ``url`` sends us to.

    It must be https; plain http only with ``insecure``, or where registry and address are both
    on this machine. Raises SdkError REGISTRY_FAILED.
    """
    if not location:
        raise failures.protocol(reference, "an answer lacks the header Location")
    try:
        there = urljoin(url, location)
        parts = urlsplit(there)
        host, _port = parts.hostname or "", parts.port
    except ValueError:
        raise failures.protocol(reference, "it names an address that is none") from None
    printable = there.isascii() and there.isprintable() and " " not in there
    if not host or not printable or len(there) > _LIMIT or "@" in parts.netloc:
        raise failures.protocol(reference, "it names an address that is none")
    plain = insecure or (reference.is_loopback and is_loopback(host))
    if parts.scheme != "https" and not (parts.scheme == "http" and plain):
        raise failures.protocol(
            reference, f"it names the address {parts.scheme}://{host}, which is not https"
        )
    return there


def _origin(url: str) -> tuple[str, str, int | None]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname or "", parts.port or _PORTS.get(parts.scheme)
