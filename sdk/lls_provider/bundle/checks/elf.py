"""Checks that the native code in wheels fits a target: machine, Python ABI and C library.

ELF headers and file names decide (contract section 5, decision 6), because a tag may be wrong.
pyelftools reads them out of the zip; nothing is loaded or run. The files are hostile input.
"""

from __future__ import annotations

import json
import re
import shutil
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import IO, TYPE_CHECKING

from lls_provider.errors import Code, SdkError, Where
from lls_provider.runtime.target_python import elf_machine, machine_of, shown_platform
from lls_provider.system.cache import keep
from lls_provider.system.cache_sections import cache_section

if TYPE_CHECKING:
    from pathlib import Path

    from lls_provider.bundle.checks.report import Findings
    from lls_provider.contract.models import BundleManifest
    from lls_provider.runtime.target_python import TargetPython
    from lls_provider.runtime.wheelfile.wheel import Wheel


Glibc = tuple[int, int]

_HEADER = 20  # bytes, up to the machine of an ELF file
_IN_MEMORY = 8 << 20
_GLIBC = re.compile(r"GLIBC_([0-9]{1,3})\.([0-9]{1,3})(?:\.[0-9]+)?")
_FORMAT = 1


@dataclass(frozen=True, slots=True)
class NativeFile:
    """An ELF file of a wheel."""

    path: str
    machine: str
    glibc: Glibc | None  # the newest symbol version that it needs
    module: bool  # whether Python can import it by its name


def native_files(wheel: Wheel, sha256: str | None = None) -> tuple[NativeFile, ...]:
    """The ELF files of a wheel. With its ``sha256`` the result is cached.

    The rule about readable wheels reports what cannot be read.
    """
    cached = cache_section("native") / f"{sha256}.json" if sha256 else None
    if cached is not None and (files := _read_cached(cached)) is not None:
        return files
    found = tuple(_read(wheel))
    if cached is not None:
        keep(cached, json.dumps([_FORMAT, *(asdict(it) for it in found)]).encode())
    return found


def needed_glibc(stream: IO[bytes]) -> Glibc | None:
    """The newest glibc symbol version that an ELF file needs (``.gnu.version_r``)."""
    return _newest(stream, ".gnu.version_r")


def defined_glibc(stream: IO[bytes]) -> Glibc | None:
    """The newest glibc symbol version that an ELF file has (``.gnu.version_d``): a libc's own."""
    return _newest(stream, ".gnu.version_d")


def _read_cached(path: Path) -> tuple[NativeFile, ...] | None:
    try:
        version, *files = json.loads(path.read_bytes())
        return (
            tuple(
                NativeFile(
                    it["path"],
                    it["machine"],
                    (it["glibc"][0], it["glibc"][1]) if it["glibc"] else None,
                    it["module"],
                )
                for it in files
            )
            if version == _FORMAT
            else None
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _read(wheel: Wheel) -> list[NativeFile]:
    names = [
        (file.path, file.member.name)
        for file in wheel.files
        if file.member is not None and ".so" in file.path.rpartition("/")[2]
    ]
    found: list[NativeFile] = []
    if not names:
        return found
    try:
        with zipfile.ZipFile(wheel.path) as archive:
            for path, member in names:
                with archive.open(member) as source:
                    header = source.read(_HEADER)
                    machine = elf_machine(header)
                    if machine is None:
                        continue
                    # reading sections seeks back and forth, which is slow in a deflated member
                    with tempfile.SpooledTemporaryFile(_IN_MEMORY) as stream:
                        stream.write(header)
                        shutil.copyfileobj(source, stream, 1 << 20)
                        found.append(
                            NativeFile(
                                path,
                                machine,
                                needed_glibc(stream),
                                _is_module(stream, path.rpartition("/")[2]),
                            )
                        )
    except (OSError, KeyError, ValueError, RuntimeError, zipfile.BadZipFile):
        return []
    return found


def _newest(stream: IO[bytes], section: str) -> Glibc | None:
    matches = map(_GLIBC.fullmatch, _version_names(stream, section))
    return max(((int(it[1]), int(it[2])) for it in matches if it), default=None)


def _version_names(stream: IO[bytes], section: str) -> list[str]:
    """The symbol versions in a section; none if the file is not readable as ELF."""
    from elftools.elf.elffile import ELFFile
    from elftools.elf.gnuversions import GNUVersionSection

    try:
        stream.seek(0)
        table = ELFFile(stream).get_section_by_name(section)
        if not isinstance(table, GNUVersionSection):
            return []
        return [str(it.name) for _, entries in table.iter_versions() for it in entries]
    except _unreadable():
        return []


def _is_module(stream: IO[bytes], filename: str) -> bool:
    """Whether it has the function that Python calls to import a module of this name."""
    from elftools.elf.elffile import ELFFile

    name = filename.partition(".")[0]
    try:
        stream.seek(0)
        strings = ELFFile(stream).get_section_by_name(".dynstr")
        return strings is not None and b"\0PyInit_" + name.encode() + b"\0" in strings.data()
    except _unreadable():
        return False


def _unreadable() -> tuple[type[Exception], ...]:
    """What pyelftools raises for damaged files: its own errors, and those of its assumptions."""
    from elftools.common.exceptions import ELFError

    return (
        ELFError,
        ArithmeticError,
        AssertionError,
        AttributeError,
        LookupError,
        MemoryError,
        OSError,
        RecursionError,
        TypeError,
        ValueError,
    )


_RULE = "target"
_MANYLINUX = re.compile(r"manylinux_([0-9]{1,3})_([0-9]{1,3})_(.+)")
_LEGACY = {"manylinux2014": (2, 17), "manylinux2010": (2, 12), "manylinux1": (2, 5)}
_MODULE = re.compile(r"(.+)\.cpython-3([0-9]{1,3})([a-z]*)-(.+)\.so")
_OLDER_BUILD = (
    "Make sure that the server's image has it, or build the wheel where the C library is older, "
    "such as in a manylinux container."
)
_OTHER_WHEEL = "Ask its authors for a right wheel, or build one from source."


def check_native(
    wheels: Sequence[Wheel],
    target: TargetPython,
    platforms: Sequence[str],
    findings: Findings,
    *,
    manifest: BundleManifest | None = None,
) -> dict[str, tuple[NativeFile, ...]]:
    """Check every wheel against the target; return the native files by the wheels' file names.

    ``platforms`` are the tags with which wheels were selected: the target has at least the newest C
    library among them. Results are cached for wheels whose hash the ``manifest`` verifies.
    """
    policy = max(
        (it for tag in platforms if (it := glibc_version(tag, target.machine))), default=None
    )
    found = {}
    for wheel in wheels:
        recorded = manifest.files.get(f"packages/{wheel.filename}") if manifest else None
        files = native_files(wheel, recorded.sha256 if recorded else None)
        found[wheel.filename] = files
        for level, what, resolution in (
            *_machines(wheel, files, target),
            *_modules(wheel, files, target),
            *_libraries(wheel, files, target, policy),
        ):
            report = findings.error if level == "error" else findings.warning
            report(
                _RULE,
                Code.WHEEL_INCOMPATIBLE,
                what,
                where=Where(file=str(wheel.path)),
                resolution=resolution,
            )
    return found


def native_error(found: Findings, what: str) -> None:
    """Raise SdkError WHEEL_INCOMPATIBLE if there are errors among the findings."""
    problems = [it.problem for it in found.found if it.level == "error" and it.problem]
    if problems:
        raise SdkError(
            problems[0].code,
            what,
            problems=problems,
            resolution=problems[0].resolution,
        )


def glibc_version(platform_tag: str, machine: str) -> Glibc | None:
    """The C library that is enough according to a platform tag; None if it names none."""
    match = _MANYLINUX.fullmatch(platform_tag)
    if match is not None:
        return (int(match[1]), int(match[2])) if match[3] == machine else None
    name, _, rest = platform_tag.partition("_")
    return _LEGACY.get(name) if rest == machine else None


def shown_glibc(version: Glibc) -> str:
    """``glibc 2.34``."""
    return f"glibc {version[0]}.{version[1]}"


def _machines(
    wheel: Wheel, files: Sequence[NativeFile], target: TargetPython
) -> Iterator[tuple[str, str, str]]:
    """A wheel may carry libraries for several machines; one without any for the target is an error.

    So is an extension module for another machine with a name that the target's Python imports. In a
    wheel for any machine, a library is for some machines and need not be loaded. Preflight has the
    same rule.
    """
    importable = (f".cpython-3{target.minor}-{target.machine}-linux-gnu.so", ".abi3.so")
    machines = {file.machine for file in files}
    for file in files:
        named = file.path.endswith(importable)
        if file.machine != target.machine and (named or target.machine not in machines):
            harmless = _for_any_machine(wheel) and not named and not file.module
            what = (
                f"{wheel.filename} holds code for {shown_platform(file.machine)}, not for "
                f"{shown_platform(target.machine)}: {file.path}"
            )
            yield "warning" if harmless else "error", what, _OTHER_WHEEL
            if not harmless:
                return


def _modules(
    wheel: Wheel, files: Sequence[NativeFile], target: TargetPython
) -> Iterator[tuple[str, str, str]]:
    """An extension module is imported by the Python that its name says, and by no other."""
    fitting: set[str] = set()
    other: dict[str, str] = {}
    for file in files:
        match = _MODULE.fullmatch(file.path)
        if match is None:
            fitting.add(file.path.partition(".")[0])
        elif int(match[2]) == target.minor and not match[3] and not match[4].endswith("musl"):
            fitting.add(match[1])
        else:
            other[match[1]] = file.path
    for module, path in other.items():
        if module not in fitting:
            what = (
                f"{wheel.filename} has the module {module.rpartition('/')[2]} for another Python "
                f"only: expected {target.tag} on {shown_platform(target.machine)}, found {path}"
            )
            # a wheel for any machine works without it
            yield "warning" if _for_any_machine(wheel) else "error", what, _OTHER_WHEEL
            return


def _for_any_machine(wheel: Wheel) -> bool:
    return any(machine_of(tag.platform) is None for tag in wheel.tags)


def _libraries(
    wheel: Wheel, files: Sequence[NativeFile], target: TargetPython, policy: Glibc | None
) -> Iterator[tuple[str, str, str]]:
    """The C library that it needs, compared with its own tag and with the target's."""
    required = min(
        (it for tag in wheel.tags if (it := glibc_version(tag.platform, target.machine))),
        default=None,
    )
    if required is not None and policy is not None and required > policy:
        what = f"{wheel.filename} is for {shown_glibc(required)} and newer"
        yield "warning", f"{what}; the target is sure to have {shown_glibc(policy)}", _OLDER_BUILD
    newest = newest_need(files, target.machine)
    if newest is None or newest.glibc is None:
        return
    needs = newest.glibc
    promised = max(
        (it for tag in wheel.tags if (it := glibc_version(tag.platform, target.machine))),
        default=None,
    )
    what = f"{wheel.filename} needs {shown_glibc(needs)}: {newest.path}"
    too_new = policy is not None and needs > policy
    if promised is not None and needs > promised:
        what += f"; its tag promises that {shown_glibc(promised)} is enough"
        yield "error" if too_new else "warning", what, _OTHER_WHEEL
    elif promised is None and policy is not None and too_new:
        what += f"; the target is sure to have {shown_glibc(policy)} only"
        yield "warning", what, _OLDER_BUILD


def newest_need(files: Sequence[NativeFile], machine: str) -> NativeFile | None:
    """The file for ``machine`` that needs the newest C library."""
    needing = [it for it in files if it.machine == machine and it.glibc is not None]
    return max(needing, key=lambda it: it.glibc or (0, 0), default=None)
