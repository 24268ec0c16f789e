"""What a build does with a lock file: builds from one without resolving, writes one, or neither."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from lls_provider.bundle.image_names import DAEMON
from lls_provider.errors import Code, SdkError, Where
from lls_provider.progress import counted
from lls_provider.system.cache import writing
from lls_provider.system.files import write_atomically
from lls_provider.system.http import shown_url
from lls_provider.wheels.interpreter import DEFAULT_MINOR, OLDEST, markers_of
from lls_provider.wheels.loading import join_closures, shared_versions
from lls_provider.wheels.lock import LockFile, LockInputs, input_differences, lock_text
from lls_provider.wheels.resolve import Closure, select_closure
from lls_provider.wheels.uv_settings import local_path

if TYPE_CHECKING:
    from lls_provider.bundle.bundle import BundleRequest, CollectedWheels
    from lls_provider.progress import Progress
    from lls_provider.wheels.distribution import Distribution
    from lls_provider.wheels.interpreter import Interpreter
    from lls_provider.wheels.lock import LockFile


def lock_inputs(wanted: BundleRequest) -> LockInputs:
    """The inputs that a lock must have for a bundle."""
    if wanted.own is None:
        requires = {str(Requirement(wanted.requirement))}
    else:
        # the requirements of the provider's own extras are for its developers
        requires = {
            _shown_requirement(it)
            for it in wanted.own.requires
            if "extra" not in str(it.marker or "")
        }
    return LockInputs(
        python=".".join(map(str, wanted.interpreter.minor)),
        requires=tuple(sorted(requires)),
        build=tuple(sorted(wanted.build)),
        sources=wanted.sources,
        overrides=tuple(sorted(wanted.overrides)),
        bundle=tuple(sorted(wanted.bundle)),
        distributions={lock_label(it.label, wanted.base): it.pins for it in wanted.servers},
    )


def lock_label(label: str, base: Path | None = None) -> str:
    """The name of a distribution in a lock, the same on every machine.

    A path in the project's directory ``base`` is written relative to it. Of any other absolute path
    only the last part is kept.
    """
    kind, path = re.fullmatch(r"((?:[a-z-]+:)?)(.*)", label, re.DOTALL).groups()  # type: ignore[union-attr]
    if "/" not in path or "://" in label or kind == DAEMON:
        return label
    if base is not None and not path.startswith("~"):
        relative = os.path.relpath(path, base)
        if not relative.startswith(os.pardir):
            return f"{kind}{relative}"
    return f"{kind}{Path(path).name}" if path.startswith(("/", "~")) else label


def locked_pins(locked: LockFile, named: str, base: Path | None = None) -> Mapping[str, str]:
    """The pins that a lock has for a distribution, so that it need not be resolved.

    ``base`` is the project's directory. Raises SdkError LOCK_STALE for a distribution that is not
    in the lock.
    """
    pins = locked.inputs.distributions.get(lock_label(named, base))
    if pins is None:
        raise stale_lock_error(locked, [f"new: the provider is built beside {named}"])
    return pins


def build_requires(pyproject: Mapping[str, Any]) -> tuple[str, ...]:
    """The requirements of a build: ``[build-system] requires``, or setuptools (PEP 518)."""
    requires = pyproject.get("build-system", {}).get("requires")
    return tuple(map(str, requires)) if isinstance(requires, list) else ("setuptools",)


def sources_digest(sources: Mapping[str, Any]) -> str | None:
    """A digest of ``[tool.uv.sources]``; None if it is empty."""
    if not sources:
        return None
    text = json.dumps(sources, sort_keys=True, default=str)
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


def locked_closure(locked: LockFile, wanted: BundleRequest) -> Closure:
    """The closure that a lock has for a bundle.

    Raises SdkError LOCK_STALE if the lock was made from other inputs, and what `select_closure`
    raises.
    """
    if changes := input_differences(locked.inputs, lock_inputs(wanted)):
        raise stale_lock_error(locked, changes)
    own = [canonicalize_name(wanted.own.name)] if wanted.own is not None else []
    found = select_closure(
        locked.lock,
        interpreter=wanted.interpreter,
        machine=wanted.machine,
        pins={},
        left_out=own,
    )
    provided = locked.provided_for(markers_of(wanted.interpreter, wanted.machine))
    return Closure(found.packages, provided, found.lock, left_out=found.left_out)


def stale_lock_error(locked: LockFile, changes: list[str]) -> SdkError:
    """The error for a lock that does not match the build."""
    return SdkError(
        Code.LOCK_STALE,
        f"The lock {locked.path.name} is stale",
        why="\n".join(changes),
        where=Where(file=str(locked.path)),
        resolution="Write it again with --lock in place of --locked, and commit it with the "
        "change.",
    )


def write_lock(
    path: Path, wanted: BundleRequest, closure: Closure, backend: Sequence[str] = ()
) -> None:
    """Write the lock of the collected wheels, atomically.

    ``backend`` are the versions with which the provider's own wheel was built. Raises SdkError
    LOCK_UNPORTABLE, NO_SPACE or OUTPUT_UNWRITABLE.
    """
    versions = join_closures(shared_versions(wanted.servers))
    text = lock_text(
        closure,
        lock_inputs(wanted),
        directory=path.parent.absolute(),
        versions=versions,
        backend=backend,
    )
    path = Path(os.path.realpath(path))  # a symbolic link is kept
    with writing(path):
        write_atomically(path, text.encode(), mode=0o644)


def _shown_requirement(requirement: Requirement) -> str:
    """A requirement without a login and without a path of this machine."""
    if requirement.url is None:
        return str(requirement)
    public = Requirement(str(requirement))
    path = local_path(requirement.url)
    public.url = shown_url(requirement.url) if path is None else f"file:{path.name}"
    return str(public)


@dataclass(frozen=True, slots=True)
class LockMode:
    """Whether a build reads a lock or writes one: ``file`` is the one to read, ``out`` to write."""

    file: LockFile | None
    out: Path | None

    @classmethod
    def of(cls, out: Path | None, path: Path | None) -> LockMode:
        """Read the lock at ``path``, and check that one can be written to ``out``.

        Raises what `read_lock_file` and `writable_lock` raise.
        """
        from lls_provider.wheels.lock import read_lock_file, writable_lock

        if out is not None:
            writable_lock(out)
        return cls(read_lock_file(path) if path is not None else None, out)

    def servers(
        self,
        named: Sequence[str | Distribution],
        python: str | None,
        progress: Progress,
        at_least: tuple[int, int] = OLDEST,
        *,
        base: Path | None = None,
    ) -> tuple[tuple[Distribution, ...], Interpreter]:
        """The distributions and the Python to build for; the Python is the lock's by default.

        Without a lock and without ``python``, its version is ``at_least``. ``base`` is the
        project's directory. Raises what `load_distributions` and `find_interpreter` raise, or
        LOCK_STALE.
        """
        from lls_provider.wheels.interpreter import find_interpreter
        from lls_provider.wheels.loading import interpreter_of, load_distributions

        file = self.file
        if file is None:
            servers = load_distributions(named, python=python, at_least=at_least, progress=progress)
        else:
            python = python or file.inputs.python
            servers = load_distributions(
                named,
                python=python,
                known=lambda spec: locked_pins(file, spec, base),
                progress=progress,
            )
        chosen = interpreter_of(servers)
        return servers, chosen or find_interpreter(
            minimum=max(DEFAULT_MINOR, at_least), explicit=python
        )

    def backend(
        self, requires: Sequence[str], interpreter: Interpreter, base: Path
    ) -> tuple[str, ...] | None:
        """The versions with which to build the provider's wheel; None leaves the choice to uv.

        Raises what `backend_pins` raises.
        """
        from lls_provider.wheels.environment import backend_pins

        if self.file is not None:
            return self.file.backend
        if self.out is not None:
            return backend_pins(requires, interpreter=interpreter, base=base)
        return None

    def write(
        self,
        wanted: BundleRequest,
        found: CollectedWheels,
        progress: Progress,
        backend: Sequence[str] | None = None,
    ) -> None:
        """Write the lock of a complete bundle, if one was requested."""
        if self.out is not None:
            write_lock(self.out, wanted, found.closure, backend or ())
            progress.note(f"locked {counted(len(found.closure.packages), 'package')} in {self.out}")
