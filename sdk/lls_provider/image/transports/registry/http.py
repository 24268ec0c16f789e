"""HTTP with one repository of a registry: login, redirects, retries, and limits on every response.

Responses are untrusted: bodies are bounded in size and time, a URL in a response is checked before
it is used, and credentials are sent to the registry only.
"""

from __future__ import annotations

import contextlib
import math
import os
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol
from urllib.parse import urlsplit

from lls_provider import __version__
from lls_provider.errors import Code, SdkError
from lls_provider.image.transports.registry import errors
from lls_provider.image.transports.registry.errors import follow, same_origin
from lls_provider.image.transports.registry.login import Authorization, FindCredential
from lls_provider.image.transports.registry.login import find_credential as find_credential
from lls_provider.image.transports.registry.reference import DOCKER_HUB, Reference, is_loopback
from lls_provider.system.http import (
    ATTEMPTS,
    RETRIED,
    TIMEOUT,
    Interrupted,
    network_cause,
    network_reason,
    new_session,
    retry_after,
)

if TYPE_CHECKING:
    import requests

DOCUMENT_LIMIT = 4 << 20  # the manifest types that are requested
_REDIRECTS = 5
_REDIRECTED = frozenset({301, 302, 303, 307, 308})
_REPEATED = frozenset({307, 308})  # with the same method and body (RFC 9110, 15.4.8 and 15.4.9)
_UNAUTHORIZED = 401
_FORBIDDEN = 403
_BAD_REQUEST = 400
_NO_SUCH_RANGE = 416
_VARIABLE = "LLS_PROVIDER_REGISTRY_TIMEOUT"
_HUB_HOST = "registry-1.docker.io"


class Body(Protocol):
    """A request body of known length that can be sent again from its start."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[bytes]: ...


@dataclass(frozen=True, slots=True)
class RegistryResponse:
    """A complete response; ``url`` is its source."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    url: str


class RegistryBusy(Interrupted):
    """A response that another attempt may change."""

    def __init__(self, answer: RegistryResponse) -> None:
        super().__init__(f"the registry answered {answer.status}", retry_after(answer.headers))
        self.answer = answer


@dataclass(frozen=True, slots=True)
class RegistryTimeouts:
    """The timeouts of a registry."""

    timeout: tuple[float, float] = TIMEOUT  # seconds to connect, seconds without data
    document: float = 120.0  # seconds for a whole response that is not a blob
    sleep: Callable[[float], None] = time.sleep

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> RegistryTimeouts:
        """Read LLS_PROVIDER_REGISTRY_TIMEOUT: the seconds to wait for data.

        Raises SdkError USAGE when it is not a number of seconds.
        """
        text = environ.get(_VARIABLE, "")
        if not text:
            return cls()
        try:
            seconds = float(text)
        except ValueError:
            seconds = math.nan
        if not 0 < seconds < math.inf:
            raise SdkError(
                Code.USAGE,
                f"{_VARIABLE}={text!r:.100} is not a number of seconds",
                resolution=f"Set it to a number such as 60, or unset it for {TIMEOUT[1]:g}.",
            )
        return cls((min(TIMEOUT[0], seconds), seconds), 2 * seconds)


class RegistryClient:
    """Requests to the registry of ``reference``, authorized for ``scopes``.

    TLS is verified. A registry on loopback may have none; with ``insecure`` any registry may, and
    certificates are not verified.
    """

    def __init__(
        self,
        reference: Reference,
        scopes: tuple[str, ...],
        *,
        insecure: bool = False,
        find: FindCredential = find_credential,
        limits: RegistryTimeouts | None = None,
    ) -> None:
        self.reference = reference
        self._insecure = insecure
        self._limits = limits or RegistryTimeouts.from_environment(os.environ)
        self._authorization = Authorization(reference, scopes, find)
        self._session = new_session(redirects=False)
        self._scheme = "" if insecure or reference.is_loopback else "https"
        if insecure:
            import urllib3

            urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)

    def url(self, path: str) -> str:
        """Return the URL of ``path`` (``/v2/…``); may probe the registry for TLS."""
        if not self._scheme:
            self._scheme = self._find_scheme()
        return f"{self._scheme}://{self._host}{path}"

    def ask(
        self,
        method: str,
        url: str,
        *,
        action: str,
        expected: frozenset[int],
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
    ) -> RegistryResponse:
        """Send a request that may be repeated; return the response.

        ``action`` completes "Cannot …". Raises SdkError for a status that is not ``expected``
        (REGISTRY_DENIED, IMAGE_MISSING, REGISTRY_FAILED) and NETWORK when no attempt succeeded.
        """
        for attempt in range(1, ATTEMPTS + 1):
            try:
                answer = self.once(method, url, headers=headers, body=body)
                if answer.status not in RETRIED or attempt == ATTEMPTS:
                    break
                self._limits.sleep(RegistryBusy(answer).wait(attempt))
            except Interrupted as error:
                if attempt == ATTEMPTS:
                    raise errors.network_error(self.reference, action, str(error)) from error
                self._limits.sleep(error.wait(attempt))
        return self.checked(answer, action=action, expected=expected)

    def once(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes | Body = b"",
    ) -> RegistryResponse:
        """Send one request; return the response. Raises Interrupted when the connection breaks."""
        with self._exchange(method, url, headers or {}, body) as response:
            content = self._read(response)
            return RegistryResponse(response.status_code, response.headers, content, response.url)

    def checked(
        self, answer: RegistryResponse, *, action: str, expected: frozenset[int]
    ) -> RegistryResponse:
        """Return the response if its status is expected; else raise the error for it."""
        if answer.status not in expected:
            raise self._refusal(action, answer.status, answer.headers, answer.body)
        return answer

    def _refusal(
        self, action: str, status: int, headers: Mapping[str, str], body: bytes
    ) -> SdkError:
        """Return the error for an unexpected status, or for unreadable credentials if none were
        sent.
        """
        unread = self._authorization.unread
        if unread is not None and status in (_UNAUTHORIZED, _FORBIDDEN):
            return unread
        return errors.registry_refusal(
            self.reference,
            action,
            status,
            body,
            self._authorization.used,
            retry_after=retry_after(headers),
        )

    def get(
        self,
        url: str,
        /,
        *,
        headers: Mapping[str, str],
        stream: bool,  # noqa: ARG002 - it always is
        timeout: tuple[float, float],  # noqa: ARG002 - ours holds
    ) -> requests.Response:
        """A blob's response for `wheels.fetch`, its body not yet read."""
        response = self._exchange("GET", url, headers, b"")
        if not response.ok and response.status_code not in RETRIED | {_NO_SUCH_RANGE}:
            with response:
                body = self._read(response)
            raise self._refusal("read a layer of", response.status_code, response.headers, body)
        return response

    def resolve(self, location: str | None, answer: RegistryResponse) -> str:
        """Return the URL in the header ``Location``. Raises SdkError REGISTRY_FAILED."""
        return follow(answer.url, location, self.reference, insecure=self._insecure)

    @property
    def timeout(self) -> tuple[float, float]:
        """Seconds to wait for a connection, and for data."""
        return self._limits.timeout

    @property
    def sleep(self) -> Callable[[float], None]:
        """The function that waits a number of seconds."""
        return self._limits.sleep

    def close(self) -> None:
        """Close the connections."""
        self._session.close()

    @property
    def _host(self) -> str:
        registry = self.reference.registry
        return _HUB_HOST if registry == DOCKER_HUB else registry

    def _find_scheme(self) -> str:
        """Return http or https; if both are allowed, probe the likelier first."""
        likely, other = ("https", "http") if self._insecure else ("http", "https")
        return other if not self._answers(likely) and self._answers(other) else likely

    def _answers(self, scheme: str) -> bool:
        """Whether the registry answers with this scheme, even with an unverified certificate."""
        try:
            with self._send("GET", f"{scheme}://{self._host}/v2/", {}, b"", None) as response:
                # servers with TLS answer 400 to plain HTTP
                return scheme == "https" or response.status_code != _BAD_REQUEST
        except Interrupted:
            return False
        except SdkError as error:
            return "CERTIFICATE_VERIFY_FAILED" in error.why

    def _exchange(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | Body
    ) -> requests.Response:
        """Send and follow redirects; send again with a new login if the registry requests it."""
        response = self._follow(method, url, headers, body)
        if response.status_code != _UNAUTHORIZED or not self._is_ours(response.url):
            return response
        challenges = response.headers.get("WWW-Authenticate", "")
        with contextlib.ExitStack() as closing:
            closing.enter_context(response)  # also if no login is available
            if not self._authorization.renew(challenges, self._ask_for_token):
                closing.pop_all()
                return response
        return self._follow(method, url, headers, body)

    def _follow(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | Body
    ) -> requests.Response:
        for _ in range(_REDIRECTS + 1):
            login = self._authorization.header if self._is_ours(url) else None
            response = self._send(method, url, headers, body, login)
            # a request with a body is repeated only if the redirect keeps the method
            repeated = _REDIRECTED if method in ("GET", "HEAD") else _REPEATED
            if response.status_code not in repeated:
                return response
            location = response.headers.get("Location")
            response.close()
            url = follow(url, location, self.reference, insecure=self._insecure)
        raise errors.protocol_error(self.reference, f"it redirects more than {_REDIRECTS} times")

    def _send(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes | Body,
        login: str | None,
    ) -> requests.Response:
        import requests

        def authorize(request: requests.PreparedRequest) -> requests.PreparedRequest:
            # passed as `auth`, so that requests does not read .netrc
            if login is not None:
                request.headers["Authorization"] = login
            return request

        host = urlsplit(url).hostname or ""
        try:
            return self._session.request(
                method,
                url,
                headers={
                    "User-Agent": f"lls-provider/{__version__}",
                    "Accept-Encoding": "identity",
                    **headers,
                },
                data=body,
                auth=authorize,
                stream=True,
                timeout=self._limits.timeout,
                # passed here too: requests prefers REQUESTS_CA_BUNDLE to its session's setting
                verify=False if self._insecure else None,
                proxies={"no_proxy": host} if is_loopback(host) else None,
            )
        except requests.exceptions.SSLError as error:
            raise errors.network_error(
                self.reference, "speak to", f"TLS: {network_cause(error)}"
            ) from error
        except (requests.exceptions.InvalidURL, requests.exceptions.InvalidSchema) as error:
            raise errors.protocol_error(self.reference, f"{network_cause(error)}") from error
        except requests.RequestException as error:
            raise Interrupted(network_reason(error, self._limits.timeout)) from error

    def _read(self, response: requests.Response) -> bytes:
        """Read the body, bounded in size and time; it is not decoded, since no encoding was
        requested.
        """
        import urllib3

        deadline = time.monotonic() + self._limits.document
        content = bytearray()
        try:
            while piece := response.raw.read1(1 << 16, decode_content=False):
                content += piece
                if len(content) > DOCUMENT_LIMIT:
                    raise errors.protocol_error(
                        self.reference, f"its answer is larger than {DOCUMENT_LIMIT:,} bytes"
                    )
                if time.monotonic() > deadline:
                    raise Interrupted(f"no whole answer in {self._limits.document:g} s")
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise Interrupted(network_reason(error, self._limits.timeout)) from error
        length = response.headers.get("Content-Length", "")
        bodiless = response.request.method == "HEAD"
        if length.isdigit() and len(content) < int(length) and not bodiless:
            raise Interrupted(f"the connection ended after {len(content)} of {length} bytes")
        return bytes(content)

    def _ask_for_token(
        self, method: str, url: str, authorization: str | None, form: bytes | None
    ) -> bytes:
        url = follow("", url, self.reference, insecure=self._insecure)
        headers = {"Content-Type": "application/x-www-form-urlencoded"} if form else {}
        with self._send(method, url, headers, form or b"", authorization) as response:
            body = self._read(response)
        if response.status_code in RETRIED:
            raise Interrupted(
                f"the token server answered {response.status_code}",
                retry_after(response.headers),
            )
        if not response.ok:
            used = "the credentials" if authorization or form else ""
            raise errors.registry_refusal(
                self.reference, errors.LOGIN, response.status_code, body, used
            )
        return body

    def _is_ours(self, url: str) -> bool:
        return same_origin(url, self.url("/"))
