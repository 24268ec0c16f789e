"""What a bundle's wheels are chosen for, as its manifest records it (contract decision 6)."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from lls_provider.contract.models import Target
from lls_provider.wheels.closure import linux_platforms

if TYPE_CHECKING:
    from lls_provider.wheels.interpreter import Interpreter


def target_of(interpreter: Interpreter, machine: str | None = None) -> Target:
    """The target of a build for ``interpreter`` on ``machine`` (default: this one).

    The platforms are the policy that the resolution used, not what this machine's C library
    happens to be: so the same bundle is the same bytes wherever it is built.
    """
    machine = machine or os.uname().machine
    return Target(interpreter.tag, linux_platforms(machine), machine)
