"""Runs git: for a repository of the user's with the user's settings, for one of ours without."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from lls_provider.errors import Code, SdkError, Where

# what `git rev-parse --local-env-vars` lists: a hook or an alias sets these for its own repository
_LOCAL = (
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_COMMON_DIR",
    "GIT_CONFIG",
    "GIT_CONFIG_COUNT",
    "GIT_CONFIG_PARAMETERS",
    "GIT_DIR",
    "GIT_GRAFT_FILE",
    "GIT_IMPLICIT_WORK_TREE",
    "GIT_INDEX_FILE",
    "GIT_NO_REPLACE_OBJECTS",
    "GIT_OBJECT_DIRECTORY",
    "GIT_PREFIX",
    "GIT_REPLACE_REF_BASE",
    "GIT_SHALLOW_FILE",
    "GIT_WORK_TREE",
)
# messages in English, since errors quote them; no prompt, and no index that is only refreshed
_FIXED = {"LC_ALL": "C", "GIT_TERMINAL_PROMPT": "0", "GIT_OPTIONAL_LOCKS": "0"}
UNSET: Mapping[str, str] = {"GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": os.devnull}
"""Variables with which git reads no settings of the user or the machine."""


def git(
    *arguments: str,
    directory: Path,
    doing: str,
    environment: Mapping[str, str] | None = None,
    stdin: bytes = b"",
    accepted: Sequence[int] = (0,),
) -> bytes:
    """Run git in ``directory`` and return its output.

    Raises SdkError TOOL_MISSING without git, and TOOL_FAILED, which names what it was ``doing``,
    if its exit status is not ``accepted``.
    """
    command = ["git", *arguments]
    kept = {name: text for name, text in os.environ.items() if name not in _LOCAL}
    try:
        done = subprocess.run(
            command,
            cwd=directory,
            env={**kept, **_FIXED, **(environment or {})},
            input=stdin,
            capture_output=True,
            check=False,
        )
    except OSError as error:
        raise SdkError(
            Code.TOOL_MISSING,
            "git cannot be run",
            why=error.strerror or str(error),
            where=Where(file=error.filename),
            resolution="Install git, or put it on PATH.",
        ) from error
    if done.returncode not in accepted:
        raise SdkError(
            Code.TOOL_FAILED,
            f"git failed while {doing}",
            why=done.stderr.decode(errors="replace").strip()
            or f"git {arguments[0]} ended with exit status {done.returncode}.",
            where=Where(file=str(directory)),
            resolution=f"Do what git says above, and see what `git -C {directory} status` reports.",
        )
    return done.stdout


def require_git(lowest: tuple[int, int], why: str) -> str:
    """Return what git says of its version.

    Raises SdkError TOOL_MISSING without git, or if it is older than ``lowest``.
    """
    shown = git("version", directory=Path.cwd(), doing="asking for its version")
    found = re.search(rb"(\d+)\.(\d+)", shown)
    if found is not None and (int(found[1]), int(found[2])) >= lowest:
        return shown.decode(errors="replace").strip()
    wanted = ".".join(map(str, lowest))
    raise SdkError(
        Code.TOOL_MISSING,
        f"{shown.decode(errors='replace').strip()} is too old",
        why=f"git {wanted} is the first one with {why}.",
        resolution=f"Install git {wanted} or later, or put it first on PATH.",
    )
