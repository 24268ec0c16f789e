"""Resolves what a provider needs with uv, the distribution's versions being constraints.

`make_lock` resolves once for every platform; `resolve` selects from it for one.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from packaging.utils import canonicalize_name

from lls_provider.errors import Code, SdkError
from lls_provider.progress import SILENT, Progress
from lls_provider.wheels.build import scratch
from lls_provider.wheels.cache import writing
from lls_provider.wheels.lock import Lock
from lls_provider.wheels.selection import select
from lls_provider.wheels.uv import run_uv

if TYPE_CHECKING:
    from lls_provider.wheels.closure import Closure
    from lls_provider.wheels.distribution import Distribution
    from lls_provider.wheels.interpreter import Interpreter

_LOCK = "pylock.provider.toml"


def resolve(
    requirements: Sequence[str],
    *,
    distribution: Distribution | None,
    interpreter: Interpreter,
    machine: str | None = None,
    own: Collection[str] = (),
    held: Mapping[str, str] | None = None,
    overrides: Sequence[str] = (),
    base: Path | None = None,
    progress: Progress = SILENT,
) -> Closure:
    """Find the packages that ``requirements`` need for ``interpreter`` on ``machine``.

    The machine is this one where it is not told. What `make_lock` resolves is selected from;
    what ``distribution`` provides is left out, and so are the packages that ``own`` names, being
    there already. Raises what `make_lock` and `select` raise.
    """
    lock = make_lock(
        requirements,
        distribution=distribution,
        interpreter=interpreter,
        own=own,
        held=held,
        overrides=overrides,
        base=base,
        progress=progress,
    )
    return select(
        lock,
        interpreter=interpreter,
        machine=machine or os.uname().machine,
        pins=distribution.pins if distribution else {},
        left_out=_normalized(own),
    )


def make_lock(
    requirements: Sequence[str],
    *,
    distribution: Distribution | None,
    interpreter: Interpreter,
    own: Collection[str] = (),
    held: Mapping[str, str] | None = None,
    overrides: Sequence[str] = (),
    base: Path | None = None,
    progress: Progress = SILENT,
) -> Lock:
    """Resolve ``requirements`` for every platform and for ``interpreter`` and later Pythons.

    What ``distribution`` provides constrains the versions, except those of the packages that
    ``own`` names. ``held`` are versions that other packages must have, if they are needed.
    ``overrides`` replace bounds anywhere in the closure. Relative paths in requirements start
    from ``base``. Raises SdkError RESOLUTION_FAILED with uv's explanation, or NETWORK.
    """
    pins = distribution.pins if distribution else {}
    left_out = _normalized(own)
    against = f" against {distribution.label}" if distribution else ""
    subject = requirements[0].split(" @ ")[0] if requirements else "nothing"
    progress.step(f"resolving {subject}{against}")
    held = {**(held or {}), **pins}
    constraints = {name: held[name] for name in sorted(held) if name not in left_out}
    try:
        return _compile(
            requirements, constraints, interpreter, overrides, base, f"resolving {subject}{against}"
        )
    except SdkError as error:
        if distribution is not None and error.code is Code.RESOLUTION_FAILED:
            error.why = explained(error.why, constraints, distribution.label)
        raise


def newest_version(
    requirement: str, *, interpreter: Interpreter, base: Path | None = None
) -> str | None:
    """The newest version that satisfies a requirement; None when there is none to be had."""
    try:
        lock = lock_alone(requirement, interpreter=interpreter, base=base)
        return next((str(it.version) for it in lock.parsed().packages), None)
    except SdkError:
        return None


def lock_alone(requirement: str, *, interpreter: Interpreter, base: Path | None = None) -> Lock:
    """The newest release that satisfies a requirement, without what it needs.

    Raises what `make_lock` raises.
    """
    return _compile(
        [requirement], {}, interpreter, (), base, f"looking for {requirement}", alone=True
    )


def _normalized(names: Collection[str]) -> frozenset[str]:
    return frozenset(canonicalize_name(name) for name in names)


_NOT_REPLACED = "what it provides is not replaced."


def explained(why: str, constraints: Mapping[str, str], label: str) -> str:
    """uv's explanation, and which of the versions in it are there because the server has them."""
    named = [
        f"{name}=={constraints[name]}"
        for name in provided_in(why, {name: (it,) for name, it in constraints.items()})
    ]
    if not named:
        return why
    return f"{why}\n\n{label} provides {', '.join(named)}; {_NOT_REPLACED}"


def provided_in(why: str, versions: Mapping[str, Sequence[str]]) -> list[str]:
    """The packages of which one of these versions stands in uv's explanation."""
    # in our own words below it stands what the server is called, which may be a version too
    text = "\n".join(line for line in why.splitlines() if not line.endswith(_NOT_REPLACED))
    return [
        name
        for name, found in versions.items()
        if any(
            re.search(rf"(?<![\w.-]){re.escape(name)}=={re.escape(it)}(?![\w+-]|\.\w)", text)
            for it in found
        )
    ]


def _compile(
    requirements: Sequence[str],
    constraints: dict[str, str],
    interpreter: Interpreter,
    overrides: Sequence[str],
    base: Path | None,
    doing: str,
    *,
    alone: bool = False,
) -> Lock:
    with scratch("resolve") as folder:
        args = ["pip", "compile", "-", "--quiet", "--universal", "--no-header", "--no-annotate"]
        args += [f"--python={interpreter.path}", "--format=pylock.toml"]
        args += [f"--output-file={folder / _LOCK}"]
        if alone:
            args.append("--no-deps")
        with writing(folder):
            if constraints:
                path = folder / "provided.txt"
                path.write_text("".join(f"{name}=={it}\n" for name, it in constraints.items()))
                args += ["--constraint", str(path)]
            if overrides:
                path = folder / "overrides.txt"
                path.write_text("".join(f"{it}\n" for it in overrides))
                args += ["--override", str(path)]
        run_uv(args, stdin="".join(f"{it}\n" for it in requirements), cwd=base, doing=doing)
        return Lock((folder / _LOCK).read_text("utf-8"), folder)
