"""Answers a registry's challenge: Basic, or a bearer token from where the registry sends us.

RFC 7235's ``WWW-Authenticate``, and the token protocol of the distribution project.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import urlencode, urlsplit

from lls_provider.errors import Code, SdkError
from lls_provider.image.reference import Reference
from lls_provider.image.registry.credentials import Credential

FindCredential = Callable[[Reference], Credential | None]

_CLIENT = "lls-provider"
_HEADER_LIMIT = 8192
_SCHEME = re.compile(r"[\s,]*([A-Za-z][A-Za-z0-9-]*)(?![A-Za-z0-9-]|\s*=)")
_PARAMETER = re.compile(
    r"[\s,]*([A-Za-z][A-Za-z0-9_-]*)\s*=\s*(?:\"((?:[^\"\\]|\\.)*)\"|([^\s,\"]+))"
)


class AskForToken(Protocol):
    """One request to the place of tokens; gives the body of its answer.

    Raises SdkError REGISTRY_DENIED when it refuses, REGISTRY_FAILED for a URL that may not be
    asked.
    """

    def __call__(
        self, method: str, url: str, authorization: str | None, form: bytes | None
    ) -> bytes:
        """Send ``form`` (URL-encoded) where there is one."""
        ...


@dataclass(frozen=True, slots=True)
class Challenge:
    """One way to prove oneself that the registry offers."""

    scheme: str  # lower case
    parameters: dict[str, str]


def parse_challenges(header: str) -> list[Challenge]:
    """The challenges of a ``WWW-Authenticate`` header, as far as it can be read."""
    text = header[:_HEADER_LIMIT]
    found: list[Challenge] = []
    place = 0
    while match := _SCHEME.match(text, place):
        challenge = Challenge(match[1].lower(), {})
        found.append(challenge)
        place = match.end()
        while match := _PARAMETER.match(text, place):
            value = match[3] if match[2] is None else re.sub(r"\\(.)", r"\1", match[2])
            challenge.parameters.setdefault(match[1].lower(), value)
            place = match.end()
    return found


class Authorization:
    """The ``Authorization`` header for one repository, renewed when the registry asks."""

    def __init__(self, reference: Reference, scopes: tuple[str, ...], find: FindCredential) -> None:
        self.header: str | None = None
        self.used = ""  # what an error may say of the credentials
        self.unread: SdkError | None = None  # why a login could not be read
        self._reference = reference
        self._scopes = scopes
        self._find = find

    def renew(self, challenges: str, ask: AskForToken) -> bool:
        """Take up the header's best challenge; False when there is nothing to prove us with.

        Raises SdkError REGISTRY_FAILED for a challenge or a token that cannot be used,
        CREDENTIALS_INVALID for a login that cannot be read where one is needed, and what ``ask``
        raises.
        """
        by_scheme = {it.scheme: it for it in reversed(parse_challenges(challenges))}
        credential = self._found()
        self.used = "the credentials of your login" if credential is not None else ""
        if bearer := by_scheme.get("bearer"):
            try:
                self.header = f"Bearer {self._token(bearer, credential, ask)}"
            except SdkError as error:
                if self.unread is not None and error.code is Code.REGISTRY_DENIED:
                    raise self.unread from error
                raise
        elif credential is None or not credential.username:
            return False
        elif "basic" in by_scheme:
            self.header = credential.basic
        else:
            offered = ", ".join(sorted(by_scheme)) or "nothing that can be read"
            raise self._failed(f"It asks for {offered:.200}; known are Bearer and Basic")
        return True

    def _found(self) -> Credential | None:
        """The credential; one that cannot be read matters when nobody is let in without."""
        try:
            return self._find(self._reference)
        except SdkError as error:
            if error.code is not Code.CREDENTIALS_INVALID:
                raise
            self.unread = error
            return None

    def _token(self, bearer: Challenge, credential: Credential | None, ask: AskForToken) -> str:
        if credential is not None and credential.registry_token:
            return credential.registry_token
        realm = bearer.parameters.get("realm", "")
        # the registry's own idea of the scope counts only where we have none
        scopes = self._scopes or tuple(filter(None, [bearer.parameters.get("scope")]))
        fields = (
            [("service", bearer.parameters["service"])] if "service" in bearer.parameters else []
        )
        if credential is not None and credential.identity_token:
            grant = [
                ("grant_type", "refresh_token"),
                ("refresh_token", credential.identity_token),
                ("client_id", _CLIENT),
                ("scope", " ".join(scopes)),
            ]
            answer = ask("POST", realm, None, urlencode(fields + grant).encode("ascii"))
        else:
            query = urlencode(fields + [("scope", scope) for scope in scopes])
            separator = "&" if urlsplit(realm).query else "?"
            authorization = credential.basic if credential and credential.username else None
            answer = ask("GET", f"{realm}{separator}{query}", authorization, None)
        try:
            document = json.loads(answer)
            token = document.get("token") or document.get("access_token")
        except (ValueError, RecursionError, AttributeError):
            token = None
        if not isinstance(token, str) or not re.fullmatch(r"[\x21-\x7e]+", token):
            raise self._failed("The place that it sends us to for a token gave none")
        return token

    def _failed(self, why: str) -> SdkError:
        return SdkError(
            Code.REGISTRY_FAILED,
            f"{self._reference.registry} asks for a login that is not understood",
            why=f"{why}.",
            resolution="Check that the name is that of a registry; its operator can tell how to "
            "log in.",
        )
