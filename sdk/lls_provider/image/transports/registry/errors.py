"""The errors of a registry: they quote its explanation, never a secret. Checks its redirects."""

from __future__ import annotations

import json
import re
from http import HTTPStatus
from typing import TYPE_CHECKING
from urllib.parse import urljoin, urlsplit

from lls_provider.errors import Code, SdkError, Where
from lls_provider.image.transports.registry.reference import is_loopback
from lls_provider.system.http import ATTEMPTS, WAIT_LIMIT
from lls_provider.untrusted import one_line

if TYPE_CHECKING:
    from lls_provider.image.transports.registry.reference import Reference


_TLS = re.compile(r"\b(SSL|TLS)|certificate", re.IGNORECASE)
_SLOW = re.compile(r" (for|in) [\d.]+ (s|seconds)\b")
LOGIN = "log in for"
_EXPLANATION_LIMIT = 500
_ERRORS_LIMIT = 5


def registry_refusal(
    reference: Reference,
    action: str,
    status: int,
    body: bytes,
    used: str,
    *,
    retry_after: float | None = None,
) -> SdkError:
    """Return the error for a response's status.

    ``used`` names the credentials that were sent, empty for none. ``retry_after`` is the number of
    seconds that the registry asks the client to wait.
    """
    message = _status_text(status, body)
    if status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
        with_what = f"{used} were sent" if used else "No credentials were found or sent"
        return _error(
            Code.REGISTRY_DENIED,
            reference,
            action,
            f"{message}\n{with_what[0].upper()}{with_what[1:]}. Registries also answer so for a "
            "repository that does not exist.",
            f"Log in with a user who may do this (`podman login {reference.registry}`, "
            "`docker login` or `skopeo login`), or correct the name.",
        )
    if status == HTTPStatus.NOT_FOUND:
        return _error(
            Code.IMAGE_MISSING,
            reference,
            action,
            message,
            "Correct the name, the tag or the digest; `skopeo list-tags docker://"
            f"{reference.registry}/{reference.repository}` lists the tags.",
        )
    return request_failed(reference, action, status, body, retry_after=retry_after)


def request_failed(
    reference: Reference, action: str, status: int, body: bytes, *, retry_after: float | None = None
) -> SdkError:
    """Return the error for a response that no login or name would change."""
    waited = (
        ""
        if retry_after is None
        else f"\nIt asks to wait {retry_after:,.0f} s; before each of {ATTEMPTS} attempts at most "
        f"{WAIT_LIMIT:g} s are waited."
    )
    return _error(
        Code.REGISTRY_FAILED,
        reference,
        action,
        f"{_status_text(status, body)}{waited}",
        "Try again later; if it stays so, show this text to the registry's operator.",
    )


def network_error(reference: Reference, action: str, why: str) -> SdkError:
    """Return the error if no attempt reached the registry or completed."""
    return _error(
        Code.NETWORK,
        reference,
        action,
        why,
        "Check the certificates (SSL_CERT_FILE), or do without TLS with --insecure."
        if _TLS.search(why)
        else "Wait longer for a slow registry with LLS_PROVIDER_REGISTRY_TIMEOUT=SECONDS, or run "
        "the command again later: what has arrived is kept."
        if _SLOW.search(why)
        else "Check the registry's name and port, the network and the proxy (HTTPS_PROXY), then "
        "run the command again.",
    )


def protocol_error(reference: Reference, why: str) -> SdkError:
    """Return the error for a response that violates the distribution specification."""
    return _error(
        Code.REGISTRY_FAILED,
        reference,
        "go on with",
        f"The registry does not keep to the protocol: {why}.",
        "Check that the name is that of a registry, and that no proxy changes its answers.",
    )


def _error(code: Code, reference: Reference, action: str, why: str, resolution: str) -> SdkError:
    return SdkError(
        code,
        f"Cannot {action} {reference}",
        why=why,
        where=Where(image=str(reference)),
        resolution=resolution,
    )


def _status_text(status: int, body: bytes) -> str:
    return f"The registry answered {status} {_phrase(status)}{_explanation(body)}."


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return ""


def _explanation(body: bytes) -> str:
    """Return the registry's own explanation, from its errors document, on one line."""
    try:
        errors = json.loads(body)["errors"][:_ERRORS_LIMIT]
        message = "; ".join(f"{it.get('code')}: {it.get('message')}" for it in errors)
    except (ValueError, RecursionError, KeyError, TypeError, AttributeError):
        return ""
    shown = one_line(" ".join(message.split()), _EXPLANATION_LIMIT)
    return f": {shown}" if shown else ""


_LIMIT = 8192
_PORTS = {"https": 443, "http": 80}


def same_origin(first: str, second: str) -> bool:
    """Whether two URLs have the same scheme, host and port: only then credentials are sent."""
    return _origin(first) == _origin(second)


def follow(url: str, location: str | None, reference: Reference, *, insecure: bool) -> str:
    """Return the URL that the response from ``url`` redirects to.

    It must be https, or plain http with ``insecure`` or if both are on this machine. Raises
    SdkError REGISTRY_FAILED.
    """
    if not location:
        raise protocol_error(reference, "a response has no header Location")
    try:
        there = urljoin(url, location)
        parts = urlsplit(there)
        host, _port = parts.hostname or "", parts.port
    except ValueError:
        raise protocol_error(reference, "it names an address that is not a valid URL") from None
    printable = there.isascii() and there.isprintable() and " " not in there
    if not host or not printable or len(there) > _LIMIT or "@" in parts.netloc:
        raise protocol_error(reference, "it names an address that is not a valid URL")
    plain = insecure or (reference.is_loopback and is_loopback(host))
    if parts.scheme != "https" and not (parts.scheme == "http" and plain):
        raise protocol_error(
            reference, f"it names the address {parts.scheme}://{host}, which is not https"
        )
    return there


def _origin(url: str) -> tuple[str, str, int | None]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname or "", parts.port or _PORTS.get(parts.scheme)
