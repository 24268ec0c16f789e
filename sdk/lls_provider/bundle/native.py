"""Whether the native code in wheels fits a target: machine, Python ABI and C library.

Judged from file headers and names (contract section 5, decision 6): a tag may lie.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from lls_provider.bundle.elves import Glibc, NativeFile, native_files
from lls_provider.errors import Code, SdkError, Where
from lls_provider.runtime.target import machine_of, shown_platform

if TYPE_CHECKING:
    from lls_provider.bundle.report import Findings
    from lls_provider.contract.models import Manifest
    from lls_provider.runtime.target import TargetPython
    from lls_provider.runtime.wheel import Wheel

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
    manifest: Manifest | None = None,
) -> dict[str, tuple[NativeFile, ...]]:
    """Judge every wheel against the target; gives what native files each has, by its file name.

    ``platforms`` are the tags that wheels were chosen by: the newest C library among them is what
    the target is sure to have. Wheels whose hash the ``manifest`` vouches for are remembered.
    """
    policy = max((it for tag in platforms if (it := glibc_of(tag, target.machine))), default=None)
    found = {}
    for wheel in wheels:
        known = manifest.files.get(f"packages/{wheel.filename}") if manifest else None
        files = native_files(wheel, known.sha256 if known else None)
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


def refuse(found: Findings, what: str) -> None:
    """Raise SdkError WHEEL_INCOMPATIBLE when there are errors among the findings."""
    problems = [it.problem for it in found.found if it.level == "error" and it.problem]
    if problems:
        raise SdkError(
            problems[0].code,
            what,
            problems=problems,
            resolution=problems[0].resolution,
        )


def glibc_of(platform_tag: str, machine: str) -> Glibc | None:
    """The C library that a platform tag promises to be enough; None when it promises none."""
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
    """A wheel may carry libraries for several machines; one that has none for the target is wrong.

    So is an extension module of a name that the target's Python imports. A library in a wheel for
    any machine is there for some, and need not be loaded. The rule is preflight's.
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
    """An extension module is imported by the Python that its name tells, and by no other."""
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
            # what is for any machine can do without
            yield "warning" if _for_any_machine(wheel) else "error", what, _OTHER_WHEEL
            return


def _for_any_machine(wheel: Wheel) -> bool:
    return any(machine_of(tag.platform) is None for tag in wheel.tags)


def _libraries(
    wheel: Wheel, files: Sequence[NativeFile], target: TargetPython, policy: Glibc | None
) -> Iterator[tuple[str, str, str]]:
    """What it needs of the C library, against its own tag and what the target is sure to have."""
    asked = min(
        (it for tag in wheel.tags if (it := glibc_of(tag.platform, target.machine))), default=None
    )
    if asked is not None and policy is not None and asked > policy:
        what = f"{wheel.filename} is for {shown_glibc(asked)} and newer"
        yield "warning", f"{what}; the target is sure to have {shown_glibc(policy)}", _OLDER_BUILD
    newest = newest_need(files, target.machine)
    if newest is None or newest.glibc is None:
        return
    needs = newest.glibc
    promised = max(
        (it for tag in wheel.tags if (it := glibc_of(tag.platform, target.machine))), default=None
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
