"""Virtual environments of a distribution's pins: the real server, made once, cached by content."""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lls_provider.progress import SILENT, Progress, counted
from lls_provider.wheels.build import scratch
from lls_provider.wheels.cache import cache_root, locked, writing
from lls_provider.wheels.uv import run_uv

if TYPE_CHECKING:
    from lls_provider.wheels.distribution import Distribution

_COMPLETE = ".complete"


@dataclass(frozen=True, slots=True)
class Environment:
    """A Python that sees a distribution's packages."""

    python: Path
    distribution: Distribution

    @property
    def bin(self) -> Path:
        """The folder of its commands."""
        return self.python.parent


def ensure_environment(distribution: Distribution, *, progress: Progress = SILENT) -> Environment:
    """The environment of a distribution, made when it is not in the cache yet.

    Two processes at once make it once, and one that was killed half-way is made anew: the lock
    dies with its owner and only a finished environment holds the mark. Raises SdkError as
    `run_uv` does.
    """
    if found := existing_environment(distribution):
        return found
    folder = _folder(distribution)
    with locked(folder.with_name(folder.name + ".lock")):
        if found := existing_environment(distribution):
            return found
        progress.step(
            f"installing {distribution.label} ({counted(len(distribution.pins), 'package')}) "
            f"for {distribution.interpreter}"
        )
        try:
            _make(folder, distribution)
            with writing(folder):
                (folder / _COMPLETE).touch()
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
    return Environment(_python(folder), distribution)


def existing_environment(distribution: Distribution) -> Environment | None:
    """The environment of a distribution, when it is made."""
    if distribution.environment is not None:
        return Environment(distribution.environment, distribution)
    folder = _folder(distribution)
    complete = (folder / _COMPLETE).is_file() and _python(folder).exists()
    return Environment(_python(folder), distribution) if complete else None


@contextlib.contextmanager
def layered_environment(
    distribution: Distribution,
    extra: Sequence[str],
    *,
    doing: str,
    base: Path | None = None,
    progress: Progress = SILENT,
) -> Iterator[Environment]:
    """A temporary environment: the distribution and, on top, what ``extra`` requires.

    ``extra`` are requirements (``pytest``, ``name @ file:///…``); the distribution's versions
    are kept. uv starts in ``base``, whose settings hold. ``doing`` completes "Failed while …".
    """
    with scratch("env") as parent:
        folder = parent / "env"
        progress.step(f"making an environment of {distribution.label} and the provider")
        _make(folder, distribution)
        python = _python(folder)
        constraints = parent / "constraints.txt"
        with writing(parent):
            constraints.write_text("\n".join(distribution.requirements()) + "\n")
        run_uv(
            [
                "pip",
                "install",
                "--quiet",
                "--python",
                str(python),
                "--constraint",
                str(constraints),
                *extra,
            ],
            doing=doing,
            cwd=base,
            environ={"UV_NO_EDITABLE": "1"},  # members of a workspace as an image carries them
        )
        yield Environment(python, distribution)


def _folder(distribution: Distribution) -> Path:
    return cache_root() / "environments" / _key(distribution)


def _python(folder: Path) -> Path:
    return folder / "bin" / "python"


def _key(distribution: Distribution) -> str:
    content = json.dumps(
        [distribution.requirements(), str(distribution.interpreter)], sort_keys=True
    )
    digest = hashlib.sha256(content.encode()).hexdigest()[:16]
    name = distribution.line.name if distribution.line else "environment"
    return f"{name}-{digest}"


def _make(folder: Path, distribution: Distribution) -> None:
    python = str(distribution.interpreter.path)
    run_uv(
        ["venv", "--quiet", "--clear", "--python", python, str(folder)],
        doing=f"making an environment for {distribution.label}",
    )
    run_uv(
        [
            "pip",
            "install",
            "--quiet",
            "--no-deps",
            "--python",
            str(_python(folder)),
            "--requirements",
            "-",
        ],
        stdin="\n".join(distribution.requirements()) + "\n",
        doing=f"installing the distribution {distribution.label}",
    )
