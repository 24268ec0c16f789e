"""Finds the packages of the server's Python in an image, and checks that a base can run the
installer.

The rule (docs/reference/distributions.md): packages are grouped into environments as in Python,
each a virtual environment or an installation. The server's environment is the one that holds a
server; if several do or none does, it is that of the first Python on the image's PATH. The
installer needs Python 3.11 or later (contract section 1). Native code is loaded in the server's
image; code that is too new for the base's C library is probably too new for the server's.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from lls_provider.bundle.checks.elf import check_native, native_error
from lls_provider.bundle.checks.report import Findings
from lls_provider.errors import Code, Where
from lls_provider.image.image import (
    Image,
)
from lls_provider.progress import SILENT, Progress
from lls_provider.runtime.target_python import target_python
from lls_provider.runtime.wheelfile.wheel import read_wheel

if TYPE_CHECKING:
    from lls_provider.bundle.bundle import Bundle

import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from email.parser import BytesHeaderParser
from typing import TYPE_CHECKING

from packaging.utils import InvalidName, canonicalize_name
from packaging.version import InvalidVersion, Version

from lls_provider.bundle.checks.elf import newest_need, shown_glibc
from lls_provider.image.inspect.file_system import (
    cached_facts,
    is_libc,
    is_metadata,
    read_filesystem,
)
from lls_provider.progress import counted
from lls_provider.wheels.servers import line_in

if TYPE_CHECKING:
    from lls_provider.bundle.checks.elf import Glibc, NativeFile
    from lls_provider.image.image import Image
    from lls_provider.image.inspect.file_system import Filesystem
    from lls_provider.image.layer_reader import Parts


DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_MINOR = re.compile(r"python3\.(\d{1,2})")
_LIBRARIES = ("lib", "lib64")
_USR: Parts = ("usr",)
_LOCAL: Parts = ("usr", "local")


@dataclass(frozen=True, slots=True)
class ImagePython:
    """An environment of an image: its directories in the order of Python's path, and its packages.

    ``requires`` holds the requirements of each package in ``pins``, from METADATA; ``unreadable``
    says what was skipped and why.
    """

    prefix: Parts
    minor: tuple[int, int]
    directories: tuple[Parts, ...]
    pins: Mapping[str, str]
    requires: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    unreadable: tuple[str, ...] = ()
    modules: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # the outermost

    @classmethod
    def of(cls, seen: Mapping[str, Any]) -> ImagePython:
        """Load it from JSON. Raises KeyError, TypeError or ValueError for other data."""
        major, minor = seen["minor"]
        return cls(
            tuple(seen["prefix"]),
            (int(major), int(minor)),
            tuple(map(tuple, seen["directories"])),
            dict(seen["pins"]),
            {name: tuple(found) for name, found in seen["requires"].items()},
            tuple(seen["unreadable"]),
            {name: tuple(found) for name, found in seen["modules"].items()},
        )

    def __str__(self) -> str:
        directories = ", ".join(shown_pythons(it) for it in self.directories)
        return f"Python {'.'.join(map(str, self.minor))} in {directories}"


@dataclass(slots=True)
class _PackageDirectory:
    pins: dict[str, str] = field(default_factory=dict)
    requires: dict[str, tuple[str, ...]] = field(default_factory=dict)
    unreadable: list[str] = field(default_factory=list)
    modules: dict[str, tuple[str, ...]] = field(default_factory=dict)


def shown_pythons(path: Parts) -> str:
    """Return a path of the image as its container sees it."""
    return "/" + "/".join(path)


def find_pythons(files: Filesystem, environment: Mapping[str, str]) -> list[ImagePython]:
    """Return every environment with packages; ``environment`` holds the image's variables."""
    directories = _packages(files)
    found: dict[tuple[Parts, str, tuple[int, int]], list[Parts]] = {}
    for path in directories:
        if (key := _key(path, files)) is not None:
            found.setdefault(key, []).append(path)
    python_path = [
        files.resolve(_parts(it)) for it in environment.get("PYTHONPATH", "").split(":") if it
    ]
    pythons = []
    for (prefix, _kind, minor), own in sorted(found.items()):
        system = _system_directories(prefix, minor, files, found)
        seen = [*(it for it in python_path if it in directories), *sorted(own, key=_rank), *system]
        seen = list(dict.fromkeys(seen))
        pins: dict[str, str] = {}
        requires: dict[str, tuple[str, ...]] = {}
        modules: dict[str, tuple[str, ...]] = {}
        for path in seen:  # Python uses the first that it finds
            pins = {**directories[path].pins, **pins}
            requires = {**directories[path].requires, **requires}
            modules = {**directories[path].modules, **modules}
        unreadable = [line for path in seen for line in directories[path].unreadable]
        pythons.append(
            ImagePython(prefix, minor, tuple(seen), pins, requires, tuple(unreadable), modules)
        )
    return pythons


def choose_python(
    pythons: Sequence[ImagePython], files: Filesystem, environment: Mapping[str, str]
) -> ImagePython | None:
    """Return the server's environment by the rule above; None if it is ambiguous."""
    servers = [it for it in pythons if line_in(it.pins) is not None]
    if len(servers) == 1:
        return servers[0]
    candidates = servers or pythons
    for entry in environment.get("PATH", DEFAULT_PATH).split(":"):
        directory = files.resolve(_parts(entry))
        for name in ("python3", "python"):
            python = (*directory, name)
            if files.content(python) is None and files.link(python) is None:
                continue
            # a virtual environment's Python is a link to its base Python
            for prefix in (directory[:-1], files.resolve(python)[:-2]):
                if fitting := [it for it in candidates if _serves(it, prefix, python, files)]:
                    return fitting[0]
            break  # the first Python on PATH has no environment with packages: try the next
    return None


def _serves(found: ImagePython, prefix: Parts, python: Parts, files: Filesystem) -> bool:
    if found.prefix != prefix and not (prefix == _LOCAL and found.prefix == _USR):
        return False
    minor = _MINOR.fullmatch(files.resolve(python)[-1])
    return minor is None or int(minor[1]) == found.minor[1]


def _packages(files: Filesystem) -> dict[Parts, _PackageDirectory]:
    """Return the packages of each directory on a Python's path."""
    directories: dict[Parts, _PackageDirectory] = {}
    for path in files.paths():
        if not is_metadata(path):
            continue
        # x.dist-info/METADATA, x.egg-info/PKG-INFO, or a file x.egg-info
        place = path[:-1] if path[-1].endswith(".egg-info") else path[:-2]
        directory = directories.setdefault(place, _PackageDirectory())
        content = files.content(path)
        try:
            name, version, requires = _parsed_metadata(content or b"")
        except ValueError as error:
            directory.unreadable.append(f"{shown_pythons(path)}: {error}")
            continue
        other = directory.pins.get(name)
        if other is not None and other != version:
            directory.unreadable.append(f"{shown_pythons(path)}: {name} {other} is beside it")
            if Version(other) > Version(version):
                continue
        directory.pins[name], directory.requires[name] = version, requires
        record = files.content((*path[:-1], "RECORD")) or b""
        directory.modules[name] = tuple(record.decode("utf-8", "replace").split())
    return directories


def _parsed_metadata(data: bytes) -> tuple[str, str, tuple[str, ...]]:
    """Return the normalised name, the version and the requirements. Raises ValueError."""
    headers = BytesHeaderParser().parsebytes(data)
    try:
        name = canonicalize_name(str(headers["Name"] or ""), validate=True)
        version = str(Version(str(headers["Version"] or "")))
    except (InvalidName, InvalidVersion) as error:
        raise ValueError(f"it has no name and version: {error!s:.200}") from error
    return name, version, tuple(map(str, headers.get_all("Requires-Dist", ())))


def _key(path: Parts, files: Filesystem) -> tuple[Parts, str, tuple[int, int]] | None:
    """Return prefix, kind and minor version for a directory on Python's default path, else None."""
    if len(path) < 3 or path[-1] not in ("site-packages", "dist-packages"):
        return None
    library, python, kind = path[-3:]
    prefix = path[:-3]
    if library not in _LIBRARIES:
        return None
    if (match := _MINOR.fullmatch(python)) is not None:
        minor = (3, int(match[1]))
    elif kind == "dist-packages" and python == "python3":  # Debian's, for its only Python
        match = _MINOR.fullmatch(files.resolve((*prefix, "bin", "python3"))[-1])
        if match is None:
            return None
        minor = (3, int(match[1]))
    else:
        return None
    # a system's Python also reads /usr/local, unless another Python is installed there
    if prefix == _LOCAL and (kind == "dist-packages" or not _has_python(prefix, minor, files)):
        prefix = _USR
    return prefix, kind, minor


def _has_python(prefix: Parts, minor: tuple[int, int], files: Filesystem) -> bool:
    """Whether a Python is installed there; a link to another directory does not count."""
    python = files.resolve((*prefix, "bin", f"python3.{minor[1]}"))
    return files.content(python) is not None and python[:-2] == prefix


def _rank(path: Parts) -> tuple[bool, bool, bool]:
    return path[:2] != _LOCAL, "lib64" not in path, "python3" in path


def _system_directories(
    prefix: Parts,
    minor: tuple[int, int],
    files: Filesystem,
    found: Mapping[tuple[Parts, str, tuple[int, int]], Sequence[Parts]],
) -> Iterator[Parts]:
    """Yield the other directories on the path of a virtual environment with system packages."""
    text = (files.content((*prefix, "pyvenv.cfg")) or b"").decode(errors="replace")
    settings = {}
    for line in text.splitlines():
        key, equals, value = line.partition("=")
        if equals:
            settings[key.strip().lower()] = value.strip()
    if settings.get("include-system-site-packages", "").lower() != "true":
        return
    home = files.resolve(_parts(settings.get("home", "")))[:-1]
    for (other, _kind, of), directories in sorted(found.items()):
        if of == minor and other == home and other != prefix:
            yield from sorted(directories, key=_rank)


def _parts(path: str) -> Parts:
    return tuple(part for part in path.split("/") if part not in {"", "."})


_RULE = "base"
_OLDEST = (3, 11)
_VERSION = re.compile(r"python3\.([0-9]{1,2})")
_OTHER_BASE = "Choose a base with Python 3.11 or later, such as docker.io/library/python:3.12-slim."


@dataclass(frozen=True, slots=True)
class BaseFacts:
    """``python`` is the first on PATH (empty if none), ``minor`` the version in its name."""

    python: str
    minor: int | None
    libc: str  # such as ``2.36`` or ``musl``; empty where none was found

    @property
    def glibc(self) -> Glibc | None:
        """The version of its glibc; None if it has none."""
        major, dot, minor = self.libc.partition(".")
        return (int(major), int(minor)) if dot else None


def base_facts(image: Image) -> BaseFacts:
    """Read the facts from the layers of ``image``, cached by its digest.

    Raises what reading a layer raises, and SdkError IMAGE_INVALID for hostile layers.
    """
    return cached_facts(
        image, "bases", lambda: _look(image), dump=asdict, load=lambda seen: BaseFacts(**seen)
    )


def check_base_image(
    facts: BaseFacts,
    native: Mapping[str, Sequence[NativeFile]],
    machine: str,
    findings: Findings,
    *,
    where: Where = Where(),  # noqa: B008 - frozen
) -> None:
    """Check that a base can run the installer and has the C library that the wheels need.

    ``native`` holds the native files by the wheels' file names.
    """
    if not facts.python:
        findings.error(
            _RULE,
            Code.IMAGE_INVALID,
            "The base has no python3 on its PATH, so the installer cannot start",
            where=where,
            resolution=_OTHER_BASE,
        )
    elif facts.minor is not None and (3, facts.minor) < _OLDEST:
        findings.error(
            _RULE,
            Code.IMAGE_INVALID,
            f"The base has Python 3.{facts.minor} ({facts.python}): expected 3.11 or later",
            where=where,
            resolution=_OTHER_BASE,
        )
    _check_libc(facts, native, machine, findings, where)
    if not findings.broken(_RULE):
        version = f"Python 3.{facts.minor}" if facts.minor is not None else "a Python"
        libc = f"glibc {facts.libc}" if facts.glibc else facts.libc or "an unknown C library"
        findings.ok(_RULE, f"the base has {version} ({facts.python}) and {libc}")


def _check_libc(
    facts: BaseFacts,
    native: Mapping[str, Sequence[NativeFile]],
    machine: str,
    findings: Findings,
    where: Where,
) -> None:
    needing = {name: it for name, files in native.items() if (it := newest_need(files, machine))}
    if facts.libc == "musl" and needing:
        findings.warning(
            _RULE,
            Code.WHEEL_INCOMPATIBLE,
            f"The base has musl, and {counted(len(needing), 'wheel')} with native code "
            f"({', '.join(sorted(needing))}) need glibc",
            where=where,
            resolution="Fine for the installer, which loads none of it. The server's image must "
            "have glibc; where it has musl too, these wheels cannot work.",
        )
    if facts.glibc is None:
        return
    for name, file in sorted(needing.items()):
        if file.glibc is not None and file.glibc > facts.glibc:
            findings.error(
                _RULE,
                Code.WHEEL_INCOMPATIBLE,
                f"{name} needs {shown_glibc(file.glibc)}, the base has "
                f"{shown_glibc(facts.glibc)}: {file.path}",
                where=where,
                resolution="Choose a newer base, or a version of the package whose wheel needs an "
                "older C library.",
            )


def _look(image: Image) -> BaseFacts:
    files = read_filesystem(image)
    variables = (image.config.get("config") or {}).get("Env") or ()
    path = dict(text.partition("=")[::2] for text in variables).get("PATH") or DEFAULT_PATH
    python, minor = "", None
    for entry in path.split(":"):
        named = tuple(part for part in (*entry.split("/"), "python3") if part not in {"", "."})
        leads_to = files.resolve(named)
        if files.content(named) is not None:
            match = _VERSION.fullmatch(leads_to[-1])
            python, minor = "/" + "/".join(named), int(match[1]) if match else None
            break
    return BaseFacts(python, minor, _libc(files))


def _libc(files: Filesystem) -> str:
    kept = (files.content(path) for path in files.paths() if is_libc(path))
    found = [content.decode() for content in kept if content]
    versions = [(int(a), int(b)) for a, dot, b in (it.partition(".") for it in found) if dot]
    if versions:
        return ".".join(map(str, max(versions)))
    return "musl" if "musl" in found else ""


def require_fit(
    bundle: Bundle, base: Image | None, *, base_name: str = "", progress: Progress = SILENT
) -> None:
    """Check native code by its file headers, and that ``base`` can run the installer.

    Warnings go to ``progress``. Raises SdkError with every complaint: WHEEL_INCOMPATIBLE,
    IMAGE_INVALID for a base without a suitable Python, and what reading the base raises.
    """
    manifest = bundle.manifest
    if manifest is None:
        return
    findings = Findings()
    target = target_python(manifest.target.python_tag, manifest_machine=manifest.target.machine)
    wheels = bundle.contents or [read_wheel(path) for path in bundle.wheels]
    native = check_native(wheels, target, manifest.target.platforms, findings, manifest=manifest)
    if base is not None:
        progress.step("looking into the base")
        facts = base_facts(base)
        check_base_image(
            facts, native, target.machine, findings, where=Where(image=base_name or None)
        )
    for finding in findings.found:
        if finding.level == "warning":
            progress.warn(finding.what)
    native_error(findings, f"The image of {bundle.metadata.name} would not work")
