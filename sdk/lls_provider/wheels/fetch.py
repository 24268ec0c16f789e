"""Brings the files of a closure into the cache, in parallel; sdists become wheels there."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
from collections.abc import Collection, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from lls_provider.errors import Code, SdkError, Where
from lls_provider.progress import SILENT, Advance, Progress, counted, shown_size
from lls_provider.runtime.target import shown_platform
from lls_provider.wheels.build import build_wheel, scratch
from lls_provider.wheels.cache import cache_root, locked, writing
from lls_provider.wheels.download import download, local_path
from lls_provider.wheels.http import new_session, patience, shown
from lls_provider.wheels.logins import logins, offline, wheelhouses

if TYPE_CHECKING:
    from lls_provider.wheels.closure import LockedPackage
    from lls_provider.wheels.interpreter import Interpreter

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

    A source (sdist or folder) is built for ``interpreter``; a result that is not pure is
    warned of, since it was compiled for this machine, and refused when ``machine`` is another.
    uv's settings, with logins and wheelhouses, are those of ``base``. Raises SdkError NETWORK,
    HASH_MISMATCH, WHEEL_BUILD_FAILED, WHEEL_INCOMPATIBLE, NO_SPACE, FILE_MISSING.
    """
    # what is there whole and verified needs no thread, and nobody waits for it
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
    size = f" ({shown_size(total)})" if total else ""  # a folder of files tells none
    progress.step(f"fetching {counted(len(packages), 'package')}{size}")
    with (
        progress.task("fetching", total) as advance,
        ThreadPoolExecutor(min(jobs, len(packages))) as pool,
    ):
        pending = [pool.submit(_file, package, advance, base) for package in packages]
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
def telling_damage(fetched: Iterable[tuple[LockedPackage, Path]]) -> Iterator[None]:
    """Tell of a file that changed since it was fetched, instead of what came of that.

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
        resolution="Run the command again: the file was removed, and is fetched anew. When this "
        "comes again, somebody changes the cache or the disk is failing."
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
            f"The index tells no sha256 for {package.filename}",
            why=f"From {package.url.partition('?')[0]}",
            resolution="Use an index that publishes hashes (PEP 503), or a wheelhouse directory.",
        )
    target = _place(package.sha256, package.filename)
    with writing(target.parent):
        target.parent.mkdir(parents=True, exist_ok=True)
    if target.is_file():  # it appears whole and verified: no session and no lock are needed
        advance(target.stat().st_size)
        return target
    if offline():
        raise SdkError(
            Code.NETWORK,
            f"{target.name} is not in the cache, and the network is not to be used",
            why=f"From {shown(package.url)}",
            where=Where(file=target.name),
            resolution="Build once with the network: without --offline (UV_OFFLINE).",
        )
    from lls_provider.wheels.trust import unverified_hosts

    with new_session(unverified=unverified_hosts(os.environ)) as session:
        session.auth = logins(base)
        download(
            package.url,
            target,
            sha256=package.sha256,
            session=session,
            advance=advance,
            size=package.size,
            timeout=patience(os.environ),
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
    """A file or folder of this machine, used where it is; a file's hash must be the locked one."""
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
    """The wheel of an sdist, built once for a Python and machine; of a folder, built each time."""
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
            why="It is no plain file name.",
            resolution="Do not use this index.",
        )
    return filename
