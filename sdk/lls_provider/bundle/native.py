"""Native code in wheels that are not unpacked: for which machine it was compiled."""

from __future__ import annotations

import zipfile
from typing import TYPE_CHECKING

from lls_provider.runtime.elf import elf_machine

if TYPE_CHECKING:
    from lls_provider.runtime.target import TargetPython
    from lls_provider.runtime.wheel import Wheel

_HEADER = 20  # bytes that tell an ELF file's machine


def foreign_code(wheel: Wheel, target: TargetPython) -> tuple[str, str] | None:
    """A file of the wheel that the target would load and cannot run, and its machine.

    The rule is preflight's (contract section 5): a wheel may carry libraries for several
    machines; one that has none for the target is wrong, and so is an extension module of a name
    that the target's Python imports. A member that cannot be read is left to the rule about
    readable wheels.
    """
    found: dict[str, str] = {}
    names = [
        (file.path, file.member.name)
        for file in wheel.files
        if file.member is not None and ".so" in file.path.rpartition("/")[2]
    ]
    if not names:
        return None
    try:
        with zipfile.ZipFile(wheel.path) as archive:
            for path, member in names:
                with archive.open(member) as stream:
                    machine = elf_machine(stream.read(_HEADER))
                if machine is not None:
                    found[path] = machine
    except (OSError, KeyError, ValueError, zipfile.BadZipFile):
        return None
    importable = (f".cpython-3{target.minor}-{target.machine}-linux-gnu.so", ".abi3.so")
    for path, machine in found.items():
        if machine != target.machine and (
            path.endswith(importable) or target.machine not in found.values()
        ):
            return path, machine
    return None
