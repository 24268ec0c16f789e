"""Fetches the files of a closure into the cache, in parallel; sdists become wheels there.

uv leaves the login of an index out of the addresses in a lock, and has no command to download: so
the logins that uv was given are read here, and each is sent to the origin it is for and to no
other.
"""

from __future__ import annotations

import contextlib
import contextvars
import hashlib
import itertools
import os
import re
import shutil
import tomllib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from lls_provider.errors import Code, SdkError, Where
from lls_provider.progress import SILENT, Advance, Progress, counted, shown_size
from lls_provider.runtime.target_python import shown_platform
from lls_provider.system.cache import cache_root, is_enabled, locked, scratch, user_home, writing
from lls_provider.system.http import new_session, request_timeouts, shown_url
from lls_provider.wheels.download import download, local_path
from lls_provider.wheels.indexes import settings

if TYPE_CHECKING:
    import requests

    from lls_provider.wheels.closure import LockedPackage
    from lls_provider.wheels.interpreter import Interpreter


_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class IndexLocation:
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
    """The login for each request, as requests requires it (its ``auth``)."""

    def __init__(self, sources: tuple[IndexLocation, ...], environ: Mapping[str, str]) -> None:
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


def index_logins(base: Path | None = None) -> Logins:
    """The logins of the current `Indexes`, this process and the project in ``base`` (or here)."""
    environ = settings()
    return Logins(index_locations(environ, base or Path()), environ)


def index_locations(environ: Mapping[str, str], base: Path) -> tuple[IndexLocation, ...]:
    """What uv's variables and its settings name, the nearest first."""
    return (*_of_variables(environ), *_of_settings(environ, base))


def wheelhouses(base: Path | None = None) -> list[Path]:
    """The directories of this machine in which uv looks for files."""
    start = (base or Path()).absolute()
    found = []
    for source in index_locations(settings(), start):
        path = local_path(source.url) if "://" in source.url else start / source.url
        if path is not None and path.is_dir():
            found.append(path)
    return found


def is_offline() -> bool:
    """Whether the network must not be used (`Indexes`, or ``UV_OFFLINE``)."""
    return is_enabled(settings(), "UV_OFFLINE")


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


def _of_table(table: Mapping[str, Any], folder: Path) -> Iterator[IndexLocation]:
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
                yield IndexLocation(str(folder / str(text)) if local else str(text))


def _shared(one: str, other: str) -> int:
    """How many directories two paths begin with."""
    pairs = zip(one.split("/"), other.split("/"), strict=False)
    return sum(1 for _ in itertools.takewhile(lambda it: it[0] == it[1], pairs))


def _origin(parts: Any) -> tuple[str, str | None, int | None]:
    return parts.scheme, parts.hostname, parts.port or _PORTS.get(parts.scheme)


_JOBS = 8  # connections, not cores: downloads wait


def fetch(
    packages: Sequence[LockedPackage],
    *,
    interpreter: Interpreter,
    machine: str | None = None,
    base: Path | None = None,
    progress: Progress = SILENT,
    jobs: int = _JOBS,
) -> list[Path]:
    """The wheels of ``packages``, every hash verified; in their order.

    A source (sdist or directory) is built for ``interpreter``; a result that is not pure is
    warned of, since it was compiled for this machine, and refused when ``machine`` is another.
    uv's settings, with logins and wheelhouses, are those of ``base``. Raises SdkError NETWORK,
    HASH_MISMATCH, WHEEL_BUILD_FAILED, WHEEL_INCOMPATIBLE, NO_SPACE, FILE_MISSING.
    """
    # what is there whole and verified needs no thread, and no one waits for it
    there = [None if local_path(it.url) is not None else _in_cache(it) for it in packages]
    missing = [package for package, file in zip(packages, there, strict=True) if file is None]
    came = iter(_fetched(missing, base, progress, jobs) if missing else ())
    files = [file or next(came) for file in there]
    return [
        _from_source(package, file, interpreter, machine, base, progress)
        if package.is_source
        else file
        for package, file in zip(packages, files, strict=True)
    ]


def _fetched(
    packages: Sequence[LockedPackage], base: Path | None, progress: Progress, jobs: int
) -> list[Path]:
    """The files of packages that are not in the cache yet, in their order."""
    total = sum(package.size or 0 for package in packages)
    size = f" ({shown_size(total)})" if total else ""  # a directory of files has none
    progress.step(f"fetching {counted(len(packages), 'package')}{size}")
    with (
        progress.task("fetching", total) as advance,
        ThreadPoolExecutor(min(jobs, len(packages))) as pool,
    ):
        # each thread sees the indexes that hold here; a context is entered by one at a time
        pending = [
            pool.submit(contextvars.copy_context().run, _file, package, advance, base)
            for package in packages
        ]
        try:
            return [it.result() for it in pending]
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def cached_file(package: LockedPackage) -> Path | None:
    """The wheel as it was locked, where it is in the cache; it appeared there verified."""
    return None if package.is_source else _in_cache(package)


def _in_cache(package: LockedPackage) -> Path | None:
    if package.sha256 is None:
        return None
    path = _place(package.sha256, package.filename)
    return path if path.is_file() else None


@contextlib.contextmanager
def reporting_damage(fetched: Iterable[tuple[LockedPackage, Path]]) -> Iterator[None]:
    """Report a file that changed since it was fetched, instead of what came of that.

    What is in the cache was verified when it came and is not hashed before each use. Raises
    SdkError HASH_MISMATCH, after the file was removed there.
    """
    try:
        yield
    except SdkError as error:
        for package, file in fetched:
            if package.sha256 is None or package.is_source or not file.is_file():
                continue
            with file.open("rb") as stream:
                found = hashlib.file_digest(stream, "sha256").hexdigest()
            if found != package.sha256:
                raise _damaged(file, found, package.sha256) from error
        raise


def _damaged(file: Path, found: str, expected: str) -> SdkError:
    ours = file.is_relative_to(cache_root())
    if ours:
        file.unlink()
    return SdkError(
        Code.HASH_MISMATCH,
        f"{file.name} changed {'in the cache ' if ours else ''}since it was fetched",
        why=f"Its sha256 is {found}, expected {expected}.",
        where=Where(file=str(file)),
        resolution="Run the command again: the file was removed, and is fetched again. When this "
        "comes again, another process changes the cache or the disk is failing."
        if ours
        else "Run the command again, and leave the file alone meanwhile.",
    )


def _place(sha256: str, filename: str) -> Path:
    return cache_root() / "files" / sha256[:2] / sha256 / _plain(filename)


def _file(package: LockedPackage, advance: Advance, base: Path | None) -> Path:
    """The file as it was locked, in the cache under its hash."""
    there = local_path(package.url)
    if there is not None:
        return _local(package, _found(package, there, base), advance)
    if package.sha256 is None:
        raise SdkError(
            Code.HASH_MISMATCH,
            f"The index has no sha256 for {package.filename}",
            why=f"From {package.url.partition('?')[0]}",
            resolution="Use an index that publishes hashes (PEP 503), or a wheelhouse directory.",
        )
    target = _place(package.sha256, package.filename)
    with writing(target.parent):
        target.parent.mkdir(parents=True, exist_ok=True)
    if target.is_file():  # it appears whole and verified: no session and no lock are needed
        advance(target.stat().st_size)
        return target
    if is_offline():
        raise SdkError(
            Code.NETWORK,
            f"{target.name} is not in the cache, and the network is not to be used",
            why=f"From {shown_url(package.url)}",
            where=Where(file=target.name),
            resolution="Build once with the network: without --offline (UV_OFFLINE).",
        )
    from lls_provider.system.tls import unverified_hosts

    with new_session(unverified=unverified_hosts(os.environ)) as session:
        session.auth = index_logins(base)
        download(
            package.url,
            target,
            sha256=package.sha256,
            session=session,
            advance=advance,
            size=package.size,
            timeout=request_timeouts(os.environ),
        )
    return target


def _found(package: LockedPackage, path: Path, base: Path | None) -> Path:
    """Where a file of this machine is: at its path, else in a wheelhouse by its name."""
    if package.sha256 is not None and not path.exists():
        for folder in wheelhouses(base):
            there = folder / _plain(package.filename)
            if there.is_file():
                return there
    return path


def _local(package: LockedPackage, path: Path, advance: Advance) -> Path:
    """A file or directory of this machine, used in place; a file's hash must be the locked one."""
    if path.is_dir():
        return path
    try:
        with path.open("rb") as stream:
            found = hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise SdkError(
            Code.FILE_MISSING,
            f"Cannot read {path.name}",
            why=error.strerror or str(error),
            where=Where(file=str(path)),
            resolution="Check the path of this dependency, or name the wheelhouse that has it with "
            "--find-links.",
        ) from error
    if package.sha256 not in (None, found):
        raise SdkError(
            Code.HASH_MISMATCH,
            f"{path.name} changed while it was used",
            why=f"Expected sha256 {package.sha256}\nFound sha256 {found}",
            where=Where(file=str(path)),
            resolution="Run the command again.",
        )
    advance(package.size or 0)
    return path


def _from_source(
    package: LockedPackage,
    source: Path,
    interpreter: Interpreter,
    machine: str | None,
    base: Path | None,
    progress: Progress,
) -> Path:
    """The wheel of an sdist, built once for a Python and machine; of a directory, each time."""
    if package.sha256 is None:
        key = hashlib.sha256(str(source).encode()).hexdigest()
    else:
        key = package.sha256
    folder = cache_root() / "built" / f"{key}-{interpreter.tag}-{os.uname().machine}"
    with locked(folder.with_name(folder.name + ".lock")):
        built = sorted(folder.glob("*.whl"))
        if len(built) == 1 and package.sha256 is not None:
            wheel = built[0]
        else:
            progress.note(f"{package.name} has no wheel: building one from {package.filename}")
            from lls_provider.wheels.pep517 import build_wheel

            with scratch("sdist") as temporary:
                made = build_wheel(
                    source,
                    temporary,
                    interpreter=interpreter,
                    base=None if source.is_dir() else base,
                    progress=progress,
                )
                with writing(folder):
                    shutil.rmtree(folder, ignore_errors=True)
                    folder.mkdir(parents=True)
                    wheel = folder / made.name
                    shutil.copyfile(made, wheel.with_suffix(".tmp"))
                    wheel.with_suffix(".tmp").replace(wheel)
    require_portable(wheel, [machine] if machine else [])
    if not is_pure(wheel):
        progress.warn(
            f"{wheel.name} was compiled on this machine: it needs the C library of this machine "
            "or a later one"
        )
    return wheel


def is_pure(wheel: Path) -> bool:
    """Whether a wheel is for every machine, by its name."""
    return wheel.name.endswith("-any.whl")


def require_portable(wheel: Path, machines: Collection[str]) -> None:
    """Refuse a wheel that was compiled here, for any of ``machines`` that is not this one.

    Raises SdkError WHEEL_INCOMPATIBLE.
    """
    foreign = sorted(set(machines) - {os.uname().machine})
    if is_pure(wheel) or not foreign:
        return
    wanted = ", ".join(map(shown_platform, foreign))
    raise SdkError(
        Code.WHEEL_INCOMPATIBLE,
        f"{wheel.name} was compiled on this machine, so it is not for {wanted}",
        why="Nothing is compiled for another machine, and nothing is emulated.",
        where=Where(file=wheel.name),
        resolution=f"Build for {wanted} on such a machine, or publish a wheel for it, or drop the "
        "platform. If the code is pure, let its build backend say so: a wheel named "
        "py3-none-any.",
    )


def _plain(filename: str) -> str:
    """The name, if it is one: an index's answer must not choose a path."""
    if Path(filename).name != filename or filename in ("", ".", ".."):
        raise SdkError(
            Code.RESOLUTION_FAILED,
            f"The index names a file {filename!r}",
            why="It is not a plain file name.",
            resolution="Do not use this index.",
        )
    return filename
