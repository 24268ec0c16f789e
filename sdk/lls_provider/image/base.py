"""What the file system of a runnable image offers: its Python and its C library, from its layers.

The installer needs Python 3.11 or later (contract section 1). Native code is loaded where the
server runs; the base tells what images there are like: what is too new for it is too new.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from lls_provider.bundle.native import newest_need, shown_glibc
from lls_provider.errors import Code, Where
from lls_provider.image.filesystem import is_libc, read_filesystem
from lls_provider.image.pythons import DEFAULT_PATH
from lls_provider.image.remembered import remembered
from lls_provider.progress import counted

if TYPE_CHECKING:
    from lls_provider.bundle.elves import Glibc, NativeFile
    from lls_provider.bundle.report import Findings
    from lls_provider.image.filesystem import Filesystem
    from lls_provider.image.model import Image

_RULE = "base"
_OLDEST = (3, 11)
_VERSION = re.compile(r"python3\.([0-9]{1,2})")
_OTHER_BASE = "Choose a base with Python 3.11 or later, such as docker.io/library/python:3.12-slim."


@dataclass(frozen=True, slots=True)
class BaseFacts:
    """``python`` is the path that PATH finds (none: empty), ``minor`` what its name tells."""

    python: str
    minor: int | None
    libc: str  # such as ``2.36`` or ``musl``; empty where none was found

    @property
    def glibc(self) -> Glibc | None:
        """The version of its glibc; None for another libc or none."""
        major, dot, minor = self.libc.partition(".")
        return (int(major), int(minor)) if dot else None


def base_facts(image: Image) -> BaseFacts:
    """Look into the layers of ``image``; what was seen is remembered by its digest.

    Raises what reading a layer raises, and SdkError IMAGE_INVALID for hostile ones.
    """
    return remembered(
        image, "bases", lambda: _look(image), dump=asdict, load=lambda seen: BaseFacts(**seen)
    )


def check_base(
    facts: BaseFacts,
    native: Mapping[str, Sequence[NativeFile]],
    machine: str,
    findings: Findings,
    *,
    where: Where = Where(),  # noqa: B008 - frozen
) -> None:
    """Judge a base that is to run the installer, and what the wheels need of its C library.

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
    told = (image.config.get("config") or {}).get("Env") or ()
    path = dict(text.partition("=")[::2] for text in told).get("PATH") or DEFAULT_PATH
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
