"""What a build does with locks: it reads one, writes one, or neither."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lls_provider.progress import counted
from lls_provider.wheels.interpreter import OLDEST, USUAL

if TYPE_CHECKING:
    from lls_provider.bundle.wanted import Gathered, Wanted
    from lls_provider.progress import Progress
    from lls_provider.wheels.distribution import Distribution
    from lls_provider.wheels.interpreter import Interpreter
    from lls_provider.wheels.lockfile import LockFile


@dataclass(frozen=True, slots=True)
class Locking:
    """``file`` is the lock to build from, ``out`` the place of the one to write."""

    file: LockFile | None
    out: Path | None

    @classmethod
    def of(cls, out: Path | None, path: Path | None) -> Locking:
        """Read the lock at ``path`` and see that one can be written to ``out``.

        Raises what `read_lock_file` and `writable_lock` raise.
        """
        from lls_provider.wheels.lockfile import read_lock_file, writable_lock

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
        """The distributions and the Python to build for; a lock's, where nothing else is told.

        Without a lock and a told ``python`` it is of a version ``at_least``. ``base`` is the
        project's folder.

        Raises what `load_distributions` and `find_interpreter` raise, or LOCK_STALE.
        """
        from lls_provider.bundle.locked import known_pins
        from lls_provider.wheels.interpreter import find_interpreter
        from lls_provider.wheels.several import interpreter_of, load_distributions

        file = self.file
        if file is None:
            servers = load_distributions(named, python=python, at_least=at_least, progress=progress)
        else:
            python = python or file.asked.python
            servers = load_distributions(
                named,
                python=python,
                known=lambda spec: known_pins(file, spec, base),
                progress=progress,
            )
        chosen = interpreter_of(servers)
        return servers, chosen or find_interpreter(minimum=max(USUAL, at_least), explicit=python)

    def backend(
        self, requires: Sequence[str], interpreter: Interpreter, base: Path
    ) -> tuple[str, ...] | None:
        """The versions to build the provider's wheel with; None leaves the choice to uv.

        Raises what `backend_pins` raises.
        """
        from lls_provider.wheels.build import backend_pins

        if self.file is not None:
            return self.file.backend
        if self.out is not None:
            return backend_pins(requires, interpreter=interpreter, base=base)
        return None

    def write(
        self,
        wanted: Wanted,
        found: Gathered,
        progress: Progress,
        backend: Sequence[str] | None = None,
    ) -> None:
        """Write the lock of a bundle that is complete, if one was asked for."""
        if self.out is not None:
            from lls_provider.bundle.locked import write_lock

            write_lock(self.out, wanted, found.closure, backend or ())
            progress.note(f"locked {counted(len(found.closure.packages), 'package')} in {self.out}")
