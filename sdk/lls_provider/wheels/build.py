"""Builds wheels from source, and repacks them so that equal content is equal bytes.

The build runs in isolation in the Python that the wheel is for. What the backend's zip writer
leaves in (times, order, compression, modes) is taken out again by `repack`.
"""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import lzma
import shutil
import tempfile
import tomllib
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from lls_provider.errors import Code, SdkError, Where
from lls_provider.progress import SILENT, Progress
from lls_provider.wheels.cache import making_temporary, writing
from lls_provider.wheels.links import dead_links, endless_links
from lls_provider.wheels.uv import run_uv
from lls_provider.wheels.uv_causes import backend_cause, cause_of

if TYPE_CHECKING:
    from lls_provider.wheels.interpreter import Interpreter

_ZIP_EPOCH = (1980, 1, 1, 0, 0, 0)
_CHUNK = 1024 * 1024
# what zipfile and the decompressors raise for a file that is damaged or no zip of this kind
_UNREADABLE = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    NotImplementedError,
    RuntimeError,
)
_SIGNATURES = ("RECORD.jws", "RECORD.p7s")  # of the RECORD that is written anew


def build_wheel(
    source: Path,
    out: Path,
    *,
    interpreter: Interpreter,
    base: Path | None = None,
    pins: Sequence[str] | None = None,
    meanwhile: Callable[[], object] | None = None,
    progress: Progress = SILENT,
) -> Path:
    """Build the wheel of a project folder or of an sdist into the folder ``out``.

    uv starts in ``base`` (default: the project folder). With ``pins``, the versions of
    the backend and of what it needs, the network is not asked for what the cache has.
    ``meanwhile`` is called once, while the backend works. Returns the repacked wheel. Raises
    SdkError WHEEL_BUILD_FAILED with what the build backend said,
    NETWORK or NO_SPACE.
    """
    source = source.absolute()
    for link in endless_links(source):
        progress.warn(
            f"{link.relative_to(source)} is a link to a folder around it: a build backend that "
            "follows it packs everything many times over, or finds no end"
        )
    progress.step(f"building the wheel of {source.name}")
    with scratch("wheel") as folder, _left_as_it_was(source):
        args = [
            "build",
            "--wheel",  # not --quiet, which hides what the backend says of its failure
            "--no-create-gitignore",
            f"--python={interpreter.path}",
            f"--out-dir={folder}",
            str(source),
        ]
        if pins is not None:
            constraints = folder / "backend.txt"
            with writing(folder):
                constraints.write_text("".join(f"{it}\n" for it in pins))
            args.append(f"--build-constraints={constraints}")
        try:
            _run(
                args,
                doing=f"building the wheel of {source.name}",
                cwd=base or (source if source.is_dir() else None),
                cached=pins is not None,
                meanwhile=meanwhile,
            )
        except SdkError as error:
            if error.code not in (Code.TOOL_FAILED, Code.RESOLUTION_FAILED):
                raise
            raise SdkError(
                Code.WHEEL_BUILD_FAILED,
                f"The wheel of {source.name} cannot be built",
                why=error.why,
                where=Where(file=str(source)),
                resolution=cause_of(error.why)
                or backend_cause(error.why, _backend(source))
                or _dead_link_named(source, error.why)
                or "Correct what the build backend reports above; "
                f"'uv build --wheel {source}' runs the same build.",
            ) from error
        built = sorted(folder.glob("*.whl"))
        if len(built) != 1:
            raise SdkError(
                Code.WHEEL_BUILD_FAILED,
                f"The build of {source.name} gave {len(built)} wheels instead of one",
                where=Where(file=str(source)),
                resolution="Check [build-system] in its pyproject.toml.",
            )
        return repack(built[0], out)


def _backend(source: Path) -> str:
    """What a project's ``[build-system] build-backend`` names; empty when it names none."""
    try:
        system = tomllib.loads((source / "pyproject.toml").read_text("utf-8"))["build-system"]
        return str(system["build-backend"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def _dead_link_named(source: Path, said: str) -> str:
    """What to do where a backend fails at a link that leads nowhere; empty for other causes."""
    for link in dead_links(source):
        if str(link) in said or f"'{link.relative_to(source)}'" in said:
            return (
                f"Remove {link.relative_to(source)}, or make the link lead to a file: it leads to "
                f"{link.readlink()}, which is not there."
            )
    return ""


def backend_pins(
    requires: Sequence[str], *, interpreter: Interpreter, base: Path | None
) -> tuple[str, ...]:
    """The versions of a build backend and of what it needs, as a build takes them now.

    Raises what `run_uv` raises.
    """
    out = run_uv(
        [
            *("pip", "compile", "-", "--quiet", "--no-header", "--no-annotate"),
            f"--python={interpreter.path}",
        ],
        stdin="".join(f"{it}\n" for it in requires),
        cwd=base,
        doing="resolving the project's build backend",
    )
    return tuple(line for line in out.splitlines() if "==" in line)


def _run(
    args: Sequence[str],
    *,
    doing: str,
    cwd: Path | None,
    cached: bool,
    meanwhile: Callable[[], object] | None,
) -> None:
    """Run uv; where the versions are fixed, first with what the cache has."""
    if cached:
        try:
            offline = {"UV_OFFLINE": "1"}
            run_uv(args, doing=doing, cwd=cwd, environ=offline, meanwhile=meanwhile)
            return
        except SdkError as error:
            if error.code is not Code.NETWORK:
                raise
            meanwhile = None
    run_uv(args, doing=doing, cwd=cwd, meanwhile=meanwhile)


@contextmanager
def _left_as_it_was(source: Path) -> Iterator[None]:
    """Remove what setuptools leaves in a project: a later build would take stale files from it."""
    before = set(_leftovers(source))
    try:
        yield
    finally:
        for path in set(_leftovers(source)) - before:
            shutil.rmtree(path, ignore_errors=True)


def _leftovers(source: Path) -> Iterator[Path]:
    for pattern in ("build", "*.egg-info", "src/*.egg-info"):
        yield from source.glob(pattern)


def repack(wheel: Path, out: Path) -> Path:
    """Write the wheel anew into the folder ``out``: sorted, stored, one time, two modes.

    Its RECORD is made from what is really in it. Raises SdkError WHEEL_INVALID.
    """
    target = out / wheel.name
    try:
        with zipfile.ZipFile(wheel) as archive, writing(target):
            out.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(dir=out, suffix=".tmp", delete=False) as stream:
                try:
                    _write(archive, stream.name)
                    Path(stream.name).chmod(0o644)
                    Path(stream.name).replace(target)
                except BaseException:
                    Path(stream.name).unlink(missing_ok=True)
                    raise
    except _UNREADABLE as error:
        raise SdkError(
            Code.WHEEL_INVALID,
            f"{wheel.name} is not a wheel",
            why=str(error) or "It ends before its content does.",
            where=Where(file=str(wheel)),
            resolution="Check the build backend of the project.",
        ) from error
    return target


def _write(archive: zipfile.ZipFile, target: str) -> None:
    members = {info.filename: info for info in archive.infolist() if not info.is_dir()}
    records = [name for name in members if _is_record(name)]
    if len(records) != 1:
        raise zipfile.BadZipFile(f"It holds {len(records)} *.dist-info/RECORD instead of one.")
    record = records[0]
    folder = record.rpartition("/")[0]
    rows: list[tuple[str, str, str]] = []
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as packed:
        # the metadata comes last, as the wheel specification recommends
        for name in sorted(members, key=lambda it: (it.startswith(f"{folder}/"), it)):
            if name == record or name.removeprefix(f"{folder}/") in _SIGNATURES:
                continue
            info = _entry(name, executable=bool(members[name].external_attr >> 16 & 0o111))
            info.file_size = members[name].file_size
            digest, size = hashlib.sha256(), 0
            with archive.open(members[name]) as source, packed.open(info, "w") as sink:
                while chunk := source.read(_CHUNK):
                    digest.update(chunk)
                    size += len(chunk)
                    sink.write(chunk)
            encoded = base64.urlsafe_b64encode(digest.digest()).rstrip(b"=").decode()
            rows.append((name, f"sha256={encoded}", str(size)))
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows([*rows, (record, "", "")])
        packed.writestr(_entry(record), text.getvalue())


def _is_record(name: str) -> bool:
    folder, _, base = name.rpartition("/")
    return base == "RECORD" and folder.endswith(".dist-info") and "/" not in folder


def _entry(name: str, *, executable: bool = False) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name, _ZIP_EPOCH)
    info.create_system = 3
    info.external_attr = (0o100755 if executable else 0o100644) << 16
    return info


@contextmanager
def scratch(purpose: str) -> Iterator[Path]:
    """A temporary folder that is gone afterwards, whatever happens.

    Raises SdkError NO_SPACE or OUTPUT_UNWRITABLE when it cannot be made.
    """
    with making_temporary():
        folder = Path(tempfile.mkdtemp(prefix=f"lls-provider-{purpose}-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
