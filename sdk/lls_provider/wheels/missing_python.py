"""The errors of a search for a Python: what was named or tried, and what would do."""

from __future__ import annotations

import shlex
import shutil
from collections.abc import Sequence
from pathlib import Path

from lls_provider.errors import Code, SdkError
from lls_provider.untrusted import one_line

SEE_DOCTOR = " `lls-provider doctor` shows what else this machine lacks."
"""The end of a resolution, which `doctor` itself leaves out."""
VARIABLE = "LLS_PROVIDER_PYTHON"


def unsuitable_python(
    named: str, reason: str, wanted: str, *, by_variable: bool, would_do: str | None
) -> SdkError:
    """The error of a Python that the user named by its path or as a command.

    ``wanted`` is the version that is needed, such as ``3.12 or later``; ``would_do`` is the Python
    that is found when none is named, if there is one.
    """
    shown = one_line(named)
    leave_out = f"unset {VARIABLE}" if by_variable else "name none"
    return SdkError(
        Code.PYTHON_MISSING,
        f"{f'{VARIABLE}={shown}' if by_variable else shown} is not a Python {wanted}",
        why=f"{shown}: {reason}",
        resolution=f"Correct {_naming(by_variable)}, or {leave_out}: {would_do} is then found."
        if would_do is not None
        else f"Correct {_naming(by_variable)}; or {leave_out}, and install one, which is then "
        f"found:\n  {install_command(wanted)}",
    )


def no_python(
    wanted: str, tried: Sequence[str], *, asked: str | None, by_variable: bool, would_do: str | None
) -> SdkError:
    """The error of a machine without a Python of the version that is needed.

    ``tried`` has a line for each candidate. ``asked`` is the version that the user asked for;
    ``would_do`` is the Python that is found without it.
    """
    other = f"For one in another place, give --python PATH or set {VARIABLE}=PATH."
    if asked is not None:
        leave_out = f"unset {VARIABLE}" if by_variable else "name none"
        found = f"; or {leave_out}: {would_do} is then found" if would_do is not None else ""
        other = f"Or correct {_naming(by_variable)}{found}."
    return SdkError(
        Code.PYTHON_MISSING,
        f"No Python {wanted} on this machine",
        why="Tried, by running them:\n"
        + ("\n".join(f"  {it}" for it in tried) or "  nothing was found"),
        resolution="Install one, which is then found:\n"
        f"  {install_command(wanted)}\n{other}{SEE_DOCTOR}",
    )


def _naming(by_variable: bool) -> str:
    return VARIABLE if by_variable else "--python, or `python` in [tool.lls-provider]"


def install_command(wanted: str) -> str:
    """The command that installs the lowest Python that is ``wanted``, with the uv of the SDK."""
    return f"{_uv()} python install {wanted.partition(' ')[0]}"


def _uv() -> str:
    """How the user calls the uv that the SDK depends on; it may not be on PATH."""
    if shutil.which("uv") is not None:
        return "uv"
    try:
        from uv import find_uv_bin

        return shlex.quote(str(Path(find_uv_bin())))
    except (ImportError, FileNotFoundError):
        return "uv"
