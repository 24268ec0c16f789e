"""What uv is configured with: the indexes of one call, its settings files, logins and sources.

The `Indexes` of a call hold beside uv's own settings. They travel in a context variable: the
operation that a user calls sets it, and no environment variable of the process is changed. Whatever
runs uv or downloads reads `settings`.

uv leaves the login of an index out of the URLs in a lock, and has no command to download. So the
logins that uv was given are read here, and each is sent to its own origin only. uv reads some
settings from a project only (``environments``, ``[tool.uv.sources]``), so a resolution that needs
them gets a project that is made here.
"""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from lls_provider.errors import Code, SdkError

if TYPE_CHECKING:
    import requests

_NAMED = re.compile(r"[\w.-]+=")  # of [NAME=]URL


@dataclass(frozen=True, slots=True)
class Indexes:
    """Where packages come from; what is not set here is as uv's variables and settings have it.

    ``default_index`` is used in place of PyPI, and each of ``index`` before that; both are written
    ``[NAME=]URL``. ``find_links`` are directories or pages with wheels. With ``offline`` the
    network is not used.
    """

    default_index: str | None = None
    index: tuple[str, ...] = ()
    find_links: tuple[str | os.PathLike[str], ...] = ()
    offline: bool = False

    def require_directories(self) -> None:
        """Raise SdkError USAGE for a directory that does not exist: uv would ignore it."""
        default = [self.default_index] if self.default_index is not None else []
        for text in self.find_links:
            _require_directory("--find-links", os.fspath(text), os.fspath(text))
        for option, texts in (("--index", self.index), ("--default-index", default)):
            for text in texts:
                _require_directory(option, text, _NAMED.sub("", text))

    def variables(self) -> dict[str, str]:
        """The same as variables of uv, which take precedence over those of the environment."""
        found = {}
        if self.default_index is not None:
            found["UV_DEFAULT_INDEX"] = self.default_index
        if self.index:
            found["UV_INDEX"] = " ".join(self.index)
        if self.find_links:  # uv also starts in other directories
            found["UV_FIND_LINKS"] = ",".join(_absolute(os.fspath(it)) for it in self.find_links)
        if self.offline:
            found["UV_OFFLINE"] = "1"
        return found


def _absolute(place: str) -> str:
    return place if "://" in place else str(Path(place).absolute())


def _require_directory(option: str, text: str, place: str) -> None:
    if "://" in place or Path(place).is_dir():
        return
    raise SdkError(
        Code.USAGE,
        f"{option} {text!r:.200}: there is no such directory",
        resolution="Name a directory of this machine, or a URL with its scheme, such as https://….",
    )


_current: ContextVar[Indexes] = ContextVar("indexes", default=Indexes())  # noqa: B039 - frozen


@contextmanager
def using(indexes: Indexes) -> Iterator[None]:
    """Apply ``indexes`` in the block, and in threads started with a copy of its context.

    Raises SdkError USAGE for a directory that does not exist.
    """
    indexes.require_directories()
    token = _current.set(indexes)
    try:
        yield
    finally:
        _current.reset(token)


def settings() -> dict[str, str]:
    """The environment with the variables of uv that the current `Indexes` set."""
    return {**os.environ, **_current.get().variables()}


def is_offline() -> bool:
    """Whether the network must not be used (`Indexes`, or ``UV_OFFLINE``)."""
    from lls_provider.system.cache import is_enabled

    return is_enabled(settings(), "UV_OFFLINE")


_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class IndexLocation:
    """An index, or a directory or page of files, that uv uses; its name, if it has one."""

    url: str
    name: str | None = None

    def login(self, environ: Mapping[str, str]) -> tuple[str, str] | None:
        """User and password: from ``UV_INDEX_<NAME>_…``, else from the URL."""
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
    """The login for each request, in the form that requests calls ``auth``."""

    def __init__(self, sources: tuple[IndexLocation, ...], environ: Mapping[str, str]) -> None:
        self._found = [
            (urlsplit(it.url), login) for it in sources if (login := it.login(environ)) is not None
        ]

    def of(self, url: str) -> tuple[str, str] | None:
        """The login for ``url``: its own, else that of the closest location of the same origin."""
        parts = urlsplit(url)
        if parts.username is not None:
            return unquote(parts.username), unquote(parts.password or "")
        candidates = [
            (_shared(source.path, parts.path), login)
            for source, login in self._found
            if _origin(source) == _origin(parts)
        ]
        return max(candidates, key=lambda it: it[0])[1] if candidates else None

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """Add the login, or the one in ``~/.netrc`` (``NETRC``) for the host."""
        from requests.auth import HTTPBasicAuth
        from requests.utils import get_netrc_auth

        url = request.url or ""
        login = self.of(url) or get_netrc_auth(url)
        return HTTPBasicAuth(*login)(request) if login else request


def _shared(one: str, other: str) -> int:
    """How many leading directories two paths have in common."""
    pairs = zip(one.split("/"), other.split("/"), strict=False)
    return sum(1 for _ in itertools.takewhile(lambda it: it[0] == it[1], pairs))


def _origin(parts: Any) -> tuple[str, str | None, int | None]:
    return parts.scheme, parts.hostname, parts.port or _PORTS.get(parts.scheme)


def index_logins(base: Path | None = None) -> Logins:
    """The logins of the current `Indexes`, the environment and the project in ``base``."""
    environ = settings()
    return Logins(index_locations(environ, base or Path()), environ)


def index_locations(environ: Mapping[str, str], base: Path) -> tuple[IndexLocation, ...]:
    """The locations in uv's variables and in its settings files, the nearest first."""
    return (*_of_variables(environ), *_of_settings(environ, base))


def wheelhouses(base: Path | None = None) -> list[Path]:
    """The directories of this machine in which uv looks for wheels."""
    start = (base or Path()).absolute()
    found = []
    for source in index_locations(settings(), start):
        path = local_path(source.url) if "://" in source.url else start / source.url
        if path is not None and path.is_dir():
            found.append(path)
    return found


def _of_variables(environ: Mapping[str, str]) -> Iterator[IndexLocation]:
    for variable in ("UV_DEFAULT_INDEX", "UV_INDEX", "UV_INDEX_URL", "UV_EXTRA_INDEX_URL"):
        for text in environ.get(variable, "").split():
            name, separator, url = text.partition("=")
            named = bool(separator) and re.fullmatch(r"[A-Za-z0-9._-]+", name)
            yield IndexLocation(url, name) if named else IndexLocation(text)
    for text in environ.get("UV_FIND_LINKS", "").split(","):
        if text.strip():
            yield IndexLocation(text.strip())


def _of_settings(environ: Mapping[str, str], base: Path) -> Iterator[IndexLocation]:
    for path, table in _settings_tables(environ, base.absolute()):
        yield from _of_table(table, path.parent)


def _settings_tables(
    environ: Mapping[str, str], base: Path
) -> Iterator[tuple[Path, dict[str, Any]]]:
    """The settings files with settings of uv, the nearest first, each with its table."""
    for path in settings_files(environ, base):
        table: Any = _read_toml(path)
        if table is not None and path.name == "pyproject.toml":
            tool = table.get("tool")
            table = tool.get("uv") if isinstance(tool, dict) else None
        if isinstance(table, dict):
            yield path, table


def _read_toml(path: Path) -> dict[str, Any] | None:
    """The document; None if it cannot be read, which uv itself reports."""
    import tomllib

    try:
        return tomllib.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return None


def _of_table(table: Mapping[str, Any], directory: Path) -> Iterator[IndexLocation]:
    for part in (table, table.get("pip")):
        if not isinstance(part, dict):
            continue
        for item in part.get("index") or ():
            if isinstance(item, dict) and isinstance(item.get("url"), str):
                yield IndexLocation(item["url"], item.get("name"))
        for key in ("index-url", "extra-index-url", "find-links"):
            value = part.get(key) or ()
            for text in [value] if isinstance(value, str) else value:
                local = key == "find-links" and "://" not in str(text)
                yield IndexLocation(str(directory / str(text)) if local else str(text))


def settings_files(environ: Mapping[str, str], base: Path) -> Iterator[Path]:
    """Where uv looks for settings, the nearest first, whether the file exists or not."""
    from lls_provider.system.cache import user_home

    if config_file := environ.get("UV_CONFIG_FILE"):
        yield Path(config_file)
        return
    for directory in (base, *base.parents):
        yield directory / "uv.toml"
        yield directory / "pyproject.toml"
    yield Path(environ.get("XDG_CONFIG_HOME") or user_home() / ".config") / "uv" / "uv.toml"
    yield Path("/etc/uv/uv.toml")


def local_path(url: str) -> Path | None:
    """The path of a ``file:`` URL, None for any other."""
    parts = urlsplit(url)
    return Path(unquote(parts.path)) if parts.scheme == "file" else None


_PROJECT_SETTINGS = (
    "sources",
    "workspace",
    "package",
    "managed",
    "default-groups",
    "dev-dependencies",
)
_PATH_SETTINGS = ("find-links", "index-url", "extra-index-url", "default-index", "cache-dir", "url")


def write_project(directory: Path, marker: str, base: Path | None) -> None:
    """Write a project whose resolutions have to hold under ``marker`` only.

    It also has the settings that uv would use in ``base`` (default: here). Raises SdkError NO_SPACE
    or OUTPUT_UNWRITABLE.
    """
    import tomli_w

    from lls_provider.system.cache import writing

    table = {**_nearest_settings((base or Path()).absolute()), "environments": [marker]}
    with writing(directory):
        (directory / "pyproject.toml").write_text(tomli_w.dumps({"tool": {"uv": table}}))


def _nearest_settings(base: Path) -> dict[str, Any]:
    """The table that uv would use in ``base``, with absolute paths."""
    for path, table in _settings_tables(os.environ, base):
        kept = {key: value for key, value in table.items() if key not in _PROJECT_SETTINGS}
        found: dict[str, Any] = _rooted(kept, path.parent)
        return found
    return {}


def _rooted(value: Any, directory: Path, key: str = "") -> Any:
    """A setting in which relative paths start from ``directory``."""
    if isinstance(value, dict):
        return {name: _rooted(it, directory, name) for name, it in value.items()}
    if isinstance(value, list):
        return [_rooted(it, directory, key) for it in value]
    if isinstance(value, str) and key in _PATH_SETTINGS and "://" not in value:
        return str(directory / value)
    return value


OWN_NAME = "build-system"
"""The name of the project that `sourced` makes, which uv's messages show."""


def sourced(requires: Sequence[str], root: Path) -> dict[str, Any] | None:
    """A ``pyproject.toml`` that depends on ``requires``; None if no source is for any of them.

    ``root`` is the directory of the project that is built; its workspace's sources hold too. The
    paths in the result are absolute.
    """
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    names = {canonicalize_name(Requirement(it).name) for it in requires}
    sources: dict[str, Any] = {}
    indexes: list[Any] = []
    for directory, table in reversed(list(_uv_tables(root))):
        for name, source in _dict(table.get("sources")).items():
            if canonicalize_name(name) in names:
                sources[name] = _absolute_source(source, directory, name)
        found = table.get("index")
        indexes = [*(_absolute_index(it, directory) for it in _list(found)), *indexes]
    if not sources:
        return None
    return {
        "project": {"name": OWN_NAME, "version": "0", "dependencies": list(requires)},
        "tool": {"uv": {"sources": sources, "index": indexes}},
    }


def _uv_tables(root: Path) -> Iterator[tuple[Path, Mapping[str, Any]]]:
    """``[tool.uv]`` of a project, and of the workspace that it is in, with their directories."""
    yield root, _uv_table(root)
    for directory in root.absolute().parents:
        if "workspace" in (table := _uv_table(directory)):
            yield directory, table
            return


def _uv_table(directory: Path) -> Mapping[str, Any]:
    return _dict(_dict(_pyproject(directory).get("tool")).get("uv"))


def _pyproject(directory: Path) -> Mapping[str, Any]:
    return _read_toml(directory / "pyproject.toml") or {}


def _absolute_source(value: Any, directory: Path, name: str) -> Any:
    """A source, or a list of them, with an absolute path."""
    if isinstance(value, list):
        return [_absolute_source(it, directory, name) for it in value]
    source = dict(_dict(value))
    if isinstance(source.get("path"), str):
        source["path"] = str(directory.absolute() / source["path"])
    elif source.get("workspace") is True and (member := _member(directory, name)) is not None:
        del source["workspace"]
        source["path"] = str(member)
    return source


def _member(directory: Path, name: str) -> Path | None:
    """The directory of the member of a workspace, or of its root; None if none has the name."""
    from packaging.utils import canonicalize_name

    for root, table in _uv_tables(directory):
        members = _list(_dict(table.get("workspace")).get("members"))
        for member in (root, *(it for pattern in members for it in sorted(root.glob(pattern)))):
            project = _dict(_pyproject(member).get("project")).get("name")
            if isinstance(project, str) and canonicalize_name(project) == canonicalize_name(name):
                return member.absolute()
    return None


def _absolute_index(value: Any, directory: Path) -> Any:
    index = dict(_dict(value))
    if isinstance(index.get("url"), str) and "://" not in index["url"]:
        index["url"] = str(directory.absolute() / index["url"])
    return index


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _dict(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
