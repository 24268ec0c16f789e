"""What a bundle's wheels are chosen for, as its manifest records it (contract decision 6)."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from lls_provider.contract.models import Target

if TYPE_CHECKING:
    from lls_provider.wheels.interpreter import Interpreter

# The oldest C library that a server's image has; written down, not asked of the machine that
# builds: its own would make the same bundle differ from one machine to the next.
_GLIBC = (2, 28)


def target_of(interpreter: Interpreter, machine: str | None = None) -> Target:
    """The target of a build for ``interpreter`` on ``machine`` (default: this one)."""
    machine = machine or os.uname().machine
    major, minor = _GLIBC
    return Target(interpreter.tag, (f"manylinux_{major}_{minor}_{machine}",), machine)
