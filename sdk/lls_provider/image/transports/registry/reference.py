"""Parses and validates names of images in registries: ``registry/name:tag@digest``.

The grammar is that of the distribution project, which every engine uses; a name without a registry
is on Docker Hub, as for `docker` and `skopeo`.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass, replace
from typing import NoReturn

from lls_provider.errors import Code, SdkError

DOCKER_HUB = "docker.io"
DEFAULT_TAG = "latest"

_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_REPOSITORY = re.compile(rf"{_COMPONENT}(?:/{_COMPONENT})*")
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?"
_HOST = rf"{_LABEL}(?:\.{_LABEL})*|\[[0-9A-Fa-f:.]+\]"
_PORT = "[0-9]{1,5}"
_REGISTRY = re.compile(rf"(?P<host>{_HOST})(?::(?P<port>{_PORT}))?")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_NAME_LIMIT = 255
_PORT_LIMIT = 65535


@dataclass(frozen=True, slots=True)
class Reference:
    """An image in a registry. With a digest, the tag is only informative."""

    registry: str  # ``host`` or ``host:port``
    repository: str
    tag: str | None = None
    digest: str | None = None

    def __str__(self) -> str:
        tag = f":{self.tag}" if self.tag else ""
        digest = f"@{self.digest}" if self.digest else ""
        return f"{self.registry}/{self.repository}{tag}{digest}"

    @property
    def target(self) -> str:
        """The name to request: the digest, else the tag, else ``latest``."""
        return self.digest or self.tag or DEFAULT_TAG

    @property
    def host(self) -> str:
        """The registry without its port and without brackets."""
        match = _REGISTRY.fullmatch(self.registry)
        return (match["host"] if match else self.registry).strip("[]")

    @property
    def is_loopback(self) -> bool:
        """Whether the registry runs on this machine, where TLS is not required."""
        return is_loopback(self.host)

    def at(self, digest: str) -> Reference:
        """Return the image with ``digest`` in the same repository."""
        return replace(self, tag=None, digest=digest)


def parse(text: str) -> Reference:
    """Parse a reference. Raises SdkError USAGE that names the invalid part."""
    if "@" in text.partition("/")[0] or "://" in text:
        # perhaps user:password@host: none of it is repeated
        raise _error(
            "An image reference has no scheme and no user",
            "It is REGISTRY/NAME:TAG; credentials come from the Docker or Podman configuration.",
        )
    rest, at, digest = text.partition("@")
    if at and not _DIGEST.fullmatch(digest):
        _refuse(text, f"{digest!r:.100} is not a digest: sha256 and 64 lower-case hex digits")
    name, colon, tag = rest.rpartition(":")
    if not colon or "/" in tag:
        name, tag = rest, ""
    elif not _TAG.fullmatch(tag):
        _refuse(text, f"{tag!r:.140} is not a tag: at most 128 letters, digits, '_', '.' and '-'")
    registry, repository = _split(name)
    match = _REGISTRY.fullmatch(registry)
    if match is None or int(match["port"] or 1) not in range(1, _PORT_LIMIT + 1):
        _refuse(text, f"{registry!r:.100} is not a registry: HOST or HOST:PORT")
    if not _REPOSITORY.fullmatch(repository):
        _refuse(
            text,
            f"{repository!r:.100} is not a name: lower-case letters and digits, separated by "
            "'/', '.', '_' or '-'",
        )
    if len(registry) + 1 + len(repository) > _NAME_LIMIT:
        _refuse(text, f"a name has at most {_NAME_LIMIT} characters")
    return Reference(registry, repository, tag or None, digest or None)


def tagged(text: str) -> Reference:
    """Parse the name and tag for an image to push; the default tag is ``latest``.

    Raises SdkError USAGE as `parse` does, and for a digest, which cannot be chosen.
    """
    found = parse(text)
    if found.digest is not None:
        raise SdkError(
            Code.USAGE,
            f"{text!r:.300} names an image by its digest, which cannot be chosen",
            why="The content of the image determines the digest; only a tag can be chosen.",
            resolution=f"Write {found.registry}/{found.repository}:TAG.",
        )
    return replace(found, tag=found.tag or DEFAULT_TAG)


def is_loopback(host: str) -> bool:
    """Whether a host name or address is this machine's, without DNS."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def is_digest(text: str) -> bool:
    """Whether ``text`` is a sha256 digest."""
    return _DIGEST.fullmatch(text) is not None


def _split(name: str) -> tuple[str, str]:
    """Split into registry and repository; the first part is a registry if it looks like a host."""
    first, slash, rest = name.partition("/")
    if slash and (first == "localhost" or set(".:[") & set(first) or first != first.lower()):
        registry, repository = first, rest
    else:
        registry, repository = DOCKER_HUB, name
    if registry == f"index.{DOCKER_HUB}":
        registry = DOCKER_HUB
    if registry == DOCKER_HUB and "/" not in repository:
        repository = f"library/{repository}"
    return registry, repository


def _refuse(text: str, why: str) -> NoReturn:
    raise _error(f"{text!r:.300} is not an image reference", f"{why}.")


def _error(what: str, why: str) -> SdkError:
    return SdkError(
        Code.USAGE,
        what,
        why=why,
        resolution="Write REGISTRY/NAME:TAG or REGISTRY/NAME@sha256:DIGEST, such as "
        "registry.example.com/acme/echo:1.0.0.",
    )
