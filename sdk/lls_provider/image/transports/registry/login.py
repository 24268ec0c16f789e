"""Logs in to a registry: finds the credentials and answers its challenge.

``$DOCKER_AUTH_CONFIG`` has the format of Docker's or Podman's files. The files are
``$REGISTRY_AUTH_FILE``, ``$DOCKER_CONFIG/config.json``, Podman's ``containers/auth.json`` in
``$XDG_RUNTIME_DIR`` and the user's configuration, ``~/.docker/config.json``, ``~/.dockercfg``. The
first one with an entry for the registry is used. Helpers (``docker-credential-NAME``) run without a
shell. The challenge is ``WWW-Authenticate`` of RFC 7235: Basic, or a bearer token by the token
protocol of the distribution project.
"""

from __future__ import annotations

import base64
import binascii
import json
import os
import re
import subprocess
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlencode, urlsplit

from lls_provider.errors import Code, SdkError, Where
from lls_provider.image.transports.registry.reference import DOCKER_HUB, Reference
from lls_provider.system.cache import user_home

_FILE_LIMIT = 4 << 20
_HELPER_SECONDS = 60
_HELPER_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
_HUB_KEY = "https://index.docker.io/v1/"
_HUB_NAMES = frozenset({DOCKER_HUB, "index.docker.io", "registry-1.docker.io"})
_IDENTITY_USER = "<token>"  # how helpers mark an identity token
_VARIABLE = "DOCKER_AUTH_CONFIG"
_OLD_FILE = ".dockercfg"
_ABSENT = "credentials not found"  # how the message of every helper without credentials begins


@dataclass(frozen=True, slots=True)
class Credential:
    """The credential of a push or pull; it never appears in logs, errors or ``repr``."""

    username: str = field(default="", repr=False)
    password: str = field(default="", repr=False)
    identity_token: str = field(default="", repr=False)
    registry_token: str = field(default="", repr=False)

    @property
    def basic(self) -> str:
        """Return the value of an ``Authorization`` header for username and password."""
        pair = f"{self.username}:{self.password}".encode("utf-8", "surrogateescape")
        return f"Basic {base64.b64encode(pair).decode('ascii')}"


def find_credential(
    reference: Reference, environment: Mapping[str, str] | None = None
) -> Credential | None:
    """Find the credential for the reference's registry and repository; None means anonymous.

    Raises SdkError CREDENTIALS_INVALID when a file or helper that should have it is broken.
    """
    variables = os.environ if environment is None else environment
    for path, document in _documents(variables):
        found, broken = None, None
        try:
            found = _from_helper(path, document, reference)
        except SdkError as error:
            # the helper may be missing where the file was copied to, for example in CI
            broken = error
        found = found or _from_file(path, document, reference)
        if found is not None:
            return found
        if broken is not None:
            raise broken
    return None


def known_registries(environment: Mapping[str, str] | None = None) -> list[str]:
    """The registries, and repositories of them, that an entry or a helper has a login for.

    A helper that answers for every registry is ``*``. No helper is run. Raises SdkError
    CREDENTIALS_INVALID for a file that cannot be read.
    """
    found: dict[str, None] = {}
    for path, document in _documents(os.environ if environment is None else environment):
        keys = [*_table(path, document, "credHelpers"), *_table(path, document, "auths")]
        found |= dict.fromkeys(_normal(key) for key in keys)
        if document.get("credsStore"):
            found["*"] = None
    return list(found)


def _documents(variables: Mapping[str, str]) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Yield the existing files, and the content of the variable that Docker and GitLab read."""
    if value := variables.get(_VARIABLE):
        yield Path(_VARIABLE), _parsed(Path(_VARIABLE), value.encode())
    for path in _files(variables):
        document = _load(path)
        if document is not None:
            # Docker's first format is the table alone
            yield path, {"auths": document} if path.name == _OLD_FILE else document


def _files(variables: Mapping[str, str]) -> Iterator[Path]:
    home = user_home()
    if value := variables.get("REGISTRY_AUTH_FILE"):
        yield Path(value)
    if value := variables.get("DOCKER_CONFIG"):
        yield Path(value) / "config.json"
    if runtime := variables.get("XDG_RUNTIME_DIR"):
        yield Path(runtime) / "containers" / "auth.json"
    configuration = variables.get("XDG_CONFIG_HOME") or home / ".config"
    yield Path(configuration) / "containers" / "auth.json"
    if not variables.get("DOCKER_CONFIG"):
        yield home / ".docker" / "config.json"
    yield home / _OLD_FILE


def _load(path: Path) -> dict[str, Any] | None:
    try:
        with path.open("rb") as stream:
            data = stream.read(_FILE_LIMIT + 1)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise _invalid(path, f"it cannot be read: {error.strerror or error}") from error
    return _parsed(path, data)


def _parsed(path: Path, data: bytes) -> dict[str, Any]:
    if len(data) > _FILE_LIMIT:
        raise _invalid(path, f"it is larger than {_FILE_LIMIT:,} bytes")
    try:
        document = json.loads(data or b"{}")
    except (ValueError, RecursionError):
        # the parser's message could quote the file, which holds secrets
        raise _invalid(path, "it is not JSON") from None
    if not isinstance(document, dict):
        raise _invalid(path, "it is not a JSON object")
    return document


def _from_file(path: Path, document: dict[str, Any], reference: Reference) -> Credential | None:
    entries = _table(path, document, "auths")
    keys = {_normal(key): key for key in entries}
    for name in _names(reference):
        if name in keys:
            return _entry(path, entries[keys[name]], f"auths.{keys[name]}")
    return None


def _entry(path: Path, entry: object, name: str) -> Credential | None:
    """Return the credential of an entry; None for the empty one that Docker writes for a helper."""
    if not isinstance(entry, dict):
        raise _invalid(path, f"{name} is not an object")
    fields = {
        key: entry.get(key) or ""
        for key in ("auth", "username", "password", "identitytoken", "registrytoken")
    }
    if not all(isinstance(value, str) for value in fields.values()):
        raise _invalid(path, f"{name} has a value that is not text")
    username, password = fields["username"], fields["password"]
    if fields["auth"]:
        try:
            # other clients ignore line breaks, and a password may be any bytes
            data = base64.b64decode(re.sub(r"[\r\n]", "", fields["auth"]), validate=True)
        except (binascii.Error, ValueError):
            raise _invalid(path, f"{name}.auth is not the base64 text") from None
        pair = data.decode("utf-8", "surrogateescape")
        username, colon, password = pair.partition(":")
        if not colon:
            raise _invalid(path, f"{name}.auth is not the base64 of USER:PASSWORD")
        password = password.strip("\0")
    found = Credential(username, password, fields["identitytoken"], fields["registrytoken"])
    return _checked(path, found, name) if found != Credential() else None


def _from_helper(path: Path, document: dict[str, Any], reference: Reference) -> Credential | None:
    helpers = _table(path, document, "credHelpers")
    keys = {_normal(key): key for key in helpers}
    for name in _names(reference):
        if name in keys:
            return _ask(path, helpers[keys[name]], keys[name])
    store = document.get("credsStore")
    if not store:
        return None
    key = _HUB_KEY if reference.registry == DOCKER_HUB else reference.registry
    return _ask(path, store, key)


def _ask(path: Path, helper: object, key: str) -> Credential | None:
    if not isinstance(helper, str) or not _HELPER_NAME.fullmatch(helper):
        raise _invalid(path, f"{str(helper)[:60]!r} is not a name of a credential helper")
    command = f"docker-credential-{helper}"
    try:
        done = subprocess.run(
            [command, "get"],
            input=key.encode(),
            capture_output=True,
            timeout=_HELPER_SECONDS,
            check=False,
        )
    except FileNotFoundError as error:
        raise _invalid(path, f"it names {command}, which is not on PATH") from error
    except OSError as error:
        raise _invalid(path, f"{command} cannot be started: {error.strerror}") from error
    except subprocess.TimeoutExpired as error:
        raise _invalid(path, f"{command} did not answer in {_HELPER_SECONDS} s") from error
    if done.returncode:
        if done.stdout.decode("utf-8", "replace").strip().startswith(_ABSENT):
            return None
        raise _invalid(path, f"{command} failed with exit status {done.returncode} for {key}")
    try:
        answer = json.loads(done.stdout)
        username, secret = answer["Username"], answer["Secret"]
    except (ValueError, RecursionError, KeyError, TypeError):
        raise _invalid(path, f"{command} did not answer with a username and a secret") from None
    if not isinstance(username, str) or not isinstance(secret, str):
        raise _invalid(path, f"{command} did not answer with a username and a secret")
    if username == _IDENTITY_USER:
        return _checked(path, Credential(identity_token=secret), command)
    return Credential(username, secret) if username or secret else None


def _names(reference: Reference) -> Iterator[str]:
    """Return the keys of the credential, the most specific first (Podman's rule)."""
    parts = reference.repository.split("/")
    for length in range(len(parts), -1, -1):
        yield "/".join((reference.registry, *parts[:length]))


def _normal(key: str) -> str:
    """Normalise a key to a registry with an optional path: ``https://…/v1/`` is Docker's."""
    place = key.partition("://")[2] or key
    place = re.sub(r"/v[12]/?$", "", place).rstrip("/")
    registry, slash, rest = place.partition("/")
    return (DOCKER_HUB if registry in _HUB_NAMES else registry) + slash + rest


def _table(path: Path, document: dict[str, Any], name: str) -> dict[str, Any]:
    table = document.get(name)
    if table is None:
        return {}
    if not isinstance(table, dict):
        raise _invalid(path, f"{name} is not an object")
    return table


def _checked(path: Path, credential: Credential, name: str) -> Credential:
    for token in (credential.identity_token, credential.registry_token):
        if not token.isascii() or not token.isprintable() or " " in token:
            raise _invalid(path, f"the token of {name} is not valid")  # it would break the header
    return credential


def _invalid(path: Path, why: str) -> SdkError:
    return SdkError(
        Code.CREDENTIALS_INVALID,
        "The registry's credentials cannot be read",
        why=f"{path.name}: {why}.",
        where=Where(file=str(path)),
        resolution="Log in again (`podman login`, `docker login` or `skopeo login`), or correct "
        "the file.",
    )


FindCredential = Callable[[Reference], Credential | None]

_CLIENT = "lls-provider"
_HEADER_LIMIT = 8192
_SCHEME = re.compile(r"[\s,]*([A-Za-z][A-Za-z0-9-]*)(?![A-Za-z0-9-]|\s*=)")
_PARAMETER = re.compile(
    r"[\s,]*([A-Za-z][A-Za-z0-9_-]*)\s*=\s*(?:\"((?:[^\"\\]|\\.)*)\"|([^\s,\"]+))"
)


class AskForToken(Protocol):
    """A request to the token server; returns the body of the response.

    Raises SdkError REGISTRY_DENIED when it refuses, REGISTRY_FAILED for a URL that is not allowed.
    """

    def __call__(
        self, method: str, url: str, authorization: str | None, form: bytes | None
    ) -> bytes:
        """Send ``form`` (URL-encoded) if there is one."""
        ...


@dataclass(frozen=True, slots=True)
class Challenge:
    """An authentication scheme that the registry offers."""

    scheme: str  # lower case
    parameters: dict[str, str]


def parse_challenges(header: str) -> list[Challenge]:
    """Return the challenges of a ``WWW-Authenticate`` header, as far as it can be parsed."""
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
        self.used = ""  # the credentials' source, for errors
        self.unread: SdkError | None = None  # why the credentials could not be read
        self._reference = reference
        self._scopes = scopes
        self._find = find

    def renew(self, challenges: str, ask: AskForToken) -> bool:
        """Answer the header's best challenge; return False if there are no credentials for it.

        Raises SdkError REGISTRY_FAILED for a challenge or a token that cannot be used,
        CREDENTIALS_INVALID if credentials are needed and cannot be read, and what ``ask`` raises.
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
            raise self._failed(f"It requires {offered:.200}; known are Bearer and Basic")
        return True

    def _found(self) -> Credential | None:
        """Return the credential; an unreadable one is an error only if access requires it."""
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
        # the registry's scope is used only if we have none
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
            raise self._failed("The token server that it names returned no token")
        return token

    def _failed(self, why: str) -> SdkError:
        return SdkError(
            Code.REGISTRY_FAILED,
            f"{self._reference.registry} requires a login that is not understood",
            why=f"{why}.",
            resolution="Check that the name is that of a registry; its operator can say how to "
            "log in.",
        )
