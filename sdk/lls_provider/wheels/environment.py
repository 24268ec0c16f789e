"""Virtual environments of a distribution's pins: the real server, made once, cached by content."""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lls_provider.errors import Code, SdkError
from lls_provider.progress import SILENT, Progress, counted
from lls_provider.system.cache import cache_root, locked, scratch, writing
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
        """The directory of its commands."""
        return self.python.parent


def ensure_environment(distribution: Distribution, *, progress: Progress = SILENT) -> Environment:
    """The environment of a distribution, made when it is not in the cache yet.

    Two processes at once make it once, and one that was killed half-way is made again: the lock
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
    are kept, and resolved against as for an image. uv starts in ``base``, whose settings hold.
    ``doing`` completes "Failed while …". Raises what `resolve`, `fetch` and `run_uv` raise.
    """
    from lls_provider.wheels.fetch import fetch
    from lls_provider.wheels.resolve import resolve

    closure = resolve(
        extra,
        distribution=distribution,
        interpreter=distribution.interpreter,
        base=base,
        doing=doing,
        progress=progress,
    )
    wheels = fetch(
        closure.packages, interpreter=distribution.interpreter, base=base, progress=progress
    )
    with scratch("env") as parent:
        folder = parent / "env"
        progress.step(f"making an environment of {distribution.label} and the provider")
        _make(folder, distribution)
        python = _python(folder)
        run_uv(
            [
                *("pip", "install", "--quiet", "--no-deps", "--offline", "--no-index"),
                *("--python", str(python), *map(str, wheels)),
            ],
            doing=doing,
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
    python = distribution.environment or distribution.interpreter.path
    run_uv(
        ["venv", "--quiet", "--clear", "--python", str(python), str(folder)],
        doing=f"making an environment for {distribution.label}",
    )
    if distribution.environment is not None:
        _see_through(folder, distribution.environment)
        return
    try:
        run_uv(
            [
                *("pip", "install", "--quiet", "--no-deps", "--python", str(_python(folder))),
                *("--requirements", "-"),
            ],
            stdin="\n".join(distribution.requirements()) + "\n",
            doing=f"installing the distribution {distribution.label}",
        )
    except SdkError as error:
        if error.code is Code.RESOLUTION_FAILED:
            error.what = f"The packages of {distribution.label} cannot all be installed here"
            error.resolution = (
                "Name the index or directory that has them with --index or --find-links, or an "
                "environment on this machine that has them installed: python:PATH in place of "
                f"{distribution.label}."
            )
        raise


_SITE = (
    "import json, site, sysconfig; "
    "print(json.dumps([*site.getsitepackages(), *map(sysconfig.get_path, ('platlib', 'purelib'))]))"
)


def _see_through(folder: Path, python: Path) -> None:
    """Let the packages of an environment be seen from a new one, behind its own.

    They may be on no index, so they are not installed again.
    """
    try:
        theirs, ours = (
            json.loads(
                subprocess.run(
                    [str(it), "-I", "-c", _SITE], capture_output=True, check=True, timeout=60
                ).stdout
            )
            for it in (python, _python(folder))
        )
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        raise SdkError(
            Code.DISTRIBUTION_INVALID,
            f"Cannot see the packages of {python}",
            why=str(error),
            resolution="Name an environment whose Python runs.",
        ) from error
    lines = [f"import site; site.addsitedir({path!r})\n" for path in dict.fromkeys(theirs)]
    with writing(folder):
        (Path(ours[-1]) / "_distribution.pth").write_text("".join(lines))
