"""Logins of package indexes and wheelhouses, from where uv has them.

uv leaves the login of an index out of the addresses in a lock, and has no command to download:
so what it was told is read here, and sent to the origin it is for and to no other.
"""

from __future__ import annotations

import itertools
import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from lls_provider.wheels.cache import user_home
from lls_provider.wheels.download import local_path
from lls_provider.wheels.uv import is_on

if TYPE_CHECKING:
    import requests

_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Source:
    """An index or a place of files that uv looks into; a name of its own, if it has one."""

    url: str
    name: str | None = None

    def login(self, environ: Mapping[str, str]) -> tuple[str, str] | None:
        """User and password: of ``UV_INDEX_<NAME>_…``, else of the address."""
        parts = urlsplit(self.url)
        user, password = parts.username, parts.password
        if self.name:
            prefix = f"UV_INDEX_{re.sub('[^A-Z0-9]', '_', self.name.upper())}"
            user = environ.get(f"{prefix}_USERNAME") or user
            password = environ.get(f"{prefix}_PASSWORD") or password
        if user is None and password is None:
            return None
        return unquote(user or ""), unquote(password or "")


class Logins:
    """The login for each request, as requests asks for it (its ``auth``)."""

    def __init__(self, sources: tuple[Source, ...], environ: Mapping[str, str]) -> None:
        self._found = [
            (urlsplit(it.url), login) for it in sources if (login := it.login(environ)) is not None
        ]

    def of(self, url: str) -> tuple[str, str] | None:
        """The login for ``url``: its own, else that of the nearest source of the same origin."""
        parts = urlsplit(url)
        if parts.username is not None:
            return unquote(parts.username), unquote(parts.password or "")
        near = [
            (_shared(source.path, parts.path), login)
            for source, login in self._found
            if _origin(source) == _origin(parts)
        ]
        return max(near, key=lambda it: it[0])[1] if near else None

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """Add the login, or what ``~/.netrc`` (``NETRC``) has for the host."""
        from requests.auth import HTTPBasicAuth
        from requests.utils import get_netrc_auth

        url = request.url or ""
        login = self.of(url) or get_netrc_auth(url)
        return HTTPBasicAuth(*login)(request) if login else request


def logins(base: Path | None = None) -> Logins:
    """The logins of this process, and of the project in ``base`` (default: here)."""
    return Logins(sources(os.environ, base or Path()), os.environ)


def sources(environ: Mapping[str, str], base: Path) -> tuple[Source, ...]:
    """What uv's variables and its settings name, the nearest first."""
    return (*_of_variables(environ), *_of_settings(environ, base))


def wheelhouses(base: Path | None = None) -> list[Path]:
    """The folders of this machine in which uv looks for files."""
    start = (base or Path()).absolute()
    found = []
    for source in sources(os.environ, start):
        path = local_path(source.url) if "://" in source.url else start / source.url
        if path is not None and path.is_dir():
            found.append(path)
    return found


def offline() -> bool:
    """Whether the network must not be used (``UV_OFFLINE``)."""
    return is_on(os.environ, "UV_OFFLINE")


def _of_variables(environ: Mapping[str, str]) -> Iterator[Source]:
    for variable in ("UV_DEFAULT_INDEX", "UV_INDEX", "UV_INDEX_URL", "UV_EXTRA_INDEX_URL"):
        for text in environ.get(variable, "").split():
            name, separator, url = text.partition("=")
            named = bool(separator) and re.fullmatch(r"[A-Za-z0-9._-]+", name)
            yield Source(url, name) if named else Source(text)
    for text in environ.get("UV_FIND_LINKS", "").split(","):
        if text.strip():
            yield Source(text.strip())


def _of_settings(environ: Mapping[str, str], base: Path) -> Iterator[Source]:
    for path in settings_files(environ, base.absolute()):
        try:
            document = tomllib.loads(path.read_text("utf-8"))
        except (OSError, ValueError):
            continue  # uv itself says what is wrong with it
        table: Any = document
        if path.name == "pyproject.toml":
            tool = document.get("tool")
            table = tool.get("uv") if isinstance(tool, dict) else None
        if isinstance(table, dict):
            yield from _of_table(table, path.parent)


def settings_files(environ: Mapping[str, str], base: Path) -> Iterator[Path]:
    """Where uv looks for settings, the nearest first, whether there is such a file or not."""
    if told := environ.get("UV_CONFIG_FILE"):
        yield Path(told)
        return
    for folder in (base, *base.parents):
        yield folder / "uv.toml"
        yield folder / "pyproject.toml"
    yield Path(environ.get("XDG_CONFIG_HOME") or user_home() / ".config") / "uv" / "uv.toml"
    yield Path("/etc/uv/uv.toml")


def _of_table(table: Mapping[str, Any], folder: Path) -> Iterator[Source]:
    for part in (table, table.get("pip")):
        if not isinstance(part, dict):
            continue
        for item in part.get("index") or ():
            if isinstance(item, dict) and isinstance(item.get("url"), str):
                yield Source(item["url"], item.get("name"))
        for key in ("index-url", "extra-index-url", "find-links"):
            value = part.get(key) or ()
            for text in [value] if isinstance(value, str) else value:
                local = key == "find-links" and "://" not in str(text)
                yield Source(str(folder / str(text)) if local else str(text))


def _shared(one: str, other: str) -> int:
    """How many folders two paths begin with."""
    pairs = zip(one.split("/"), other.split("/"), strict=False)
    return sum(1 for _ in itertools.takewhile(lambda it: it[0] == it[1], pairs))


def _origin(parts: Any) -> tuple[str, str | None, int | None]:
    return parts.scheme, parts.hostname, parts.port or _PORTS.get(parts.scheme)
