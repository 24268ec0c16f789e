"""One case: directories of its own, its runs, and what differs from what is expected."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
import tempfile
import threading
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from lls_provider.conformance.documents import custom_resource, provider_file
from lls_provider.conformance.images import write_image
from lls_provider.conformance.judge import Difference, Observed, differences
from lls_provider.conformance.process import CommandResult, run_command
from lls_provider.conformance.volume_state import BASE_CONFIG, read_volume
from lls_provider.system.files import wrapping_write_errors

if TYPE_CHECKING:
    from lls_provider.conformance.cases import CaseRun, ConformanceCase
    from lls_provider.conformance.template import CommandTemplate

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.ENFILE, errno.ENOMEM)


def run_case(
    case: ConformanceCase, template: CommandTemplate, time_limit: float, stopped: threading.Event
) -> tuple[Difference, ...]:
    """Run a case's runs one after the other, up to the first in which something differs.

    Raises SdkError NO_SPACE or OUTPUT_UNWRITABLE if temporary files cannot be written. A command
    that destroys the case's directory only fails its case.
    """
    with (
        wrapping_write_errors(Path(tempfile.gettempdir()), "the files of a vector"),
        _directory() as scratch,
    ):
        harness = Harness(template, scratch, time_limit, stopped)
        root = harness.volume("volume", case)
        for index, run in enumerate(case.runs):
            try:
                found = _run_differences(harness, case, run, root)
            except OSError as error:
                if error.errno in _FULL:
                    raise
                reason = f"{error.strerror}: {error.filename}"
                found = [Difference("the files beside the volume left as they were", reason)]
            if found:
                number = f"run {index + 1} of {len(case.runs)}: " if len(case.runs) > 1 else ""
                return tuple(Difference(number + it.expected, it.found) for it in found)
    return ()


def _run_differences(
    harness: Harness, case: ConformanceCase, run: CaseRun, root: Path
) -> list[Difference]:
    observed = harness.observe(run, root)
    if run.expect.as_clean:
        # at the same path, which may stand in what is installed
        root.rename(root.with_name("volume-of-all"))
        clean = harness.volume("volume", case)
        for number in run.expect.as_clean:
            harness.run(case.runs[number], clean)
        observed = replace(observed, clean=read_volume(clean))
    return differences(run.expect, observed)


class Harness:
    """Makes what one case's runs need, below a directory of its own."""

    def __init__(
        self,
        template: CommandTemplate,
        scratch: Path,
        time_limit: float,
        stopped: threading.Event,
    ) -> None:
        self._template = template
        self._scratch = scratch
        self._time_limit = time_limit
        self._stopped = stopped

    def volume(self, name: str, case: ConformanceCase) -> Path:
        """A new volume with the case's files."""
        root = self._scratch / name
        root.mkdir()
        for path, content in case.before.items():
            place = root / path
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(content if isinstance(content, bytes) else content.encode())
        return root

    def observe(self, run: CaseRun, root: Path) -> Observed:
        """Run once, and look before and after."""
        before = read_volume(root)
        result, image, log = self.run(run, root)
        return Observed(result, before, read_volume(root), image, termination_log=_bytes(log))

    def run(self, run: CaseRun, root: Path) -> tuple[CommandResult, Mapping[str, bytes], Path]:
        """Run once; the result, the image's files and the termination log."""
        inputs = self._scratch / "inputs"  # the same path each time, as in a Pod
        _remove(inputs)
        inputs.mkdir()
        source = inputs / "lls-provider"
        if run.source is not None:
            write_image(run.source, run.provider, run.api, source)
        image = read_volume(source).files if run.source is not None else {}
        log = inputs / "termination-log"
        log.touch()
        resource, file = inputs / "cr.yaml", inputs / "providers.yaml"
        providers = run.providers or {}
        documents = {
            "cr": custom_resource(providers).encode(),
            "provider_file": provider_file(providers).encode(),
            **run.documents,
        }
        resource.write_bytes(documents["cr"])
        file.write_bytes(documents["provider_file"])
        values = {
            "source": str(source),
            "root": str(root),
            "provider_id": run.provider,
            "api": run.api,
            "image": run.image,
            "container": run.container,
            "order": str(run.order),
            "python_tag": run.python or "cp312",
            "termination_log": str(log),
            "base": str(root / BASE_CONFIG),
            "run_yaml": str(root / run.run_yaml),
            "cr": str(resource),
            "provider_file": str(file),
        }
        result = run_command(
            self._template.fill(values),
            environment=environment_of(run, os.environ),
            time_limit=self._time_limit,
            stopped=self._stopped,
        )
        return result, image, log


def environment_of(run: CaseRun, inherited: Mapping[str, str]) -> dict[str, str]:
    """The variables of a run: those of the caller, and the contract's for an installer."""
    variables = {name: text for name, text in inherited.items() if not name.startswith("LLS_")}
    if run.source is not None:
        variables["LLS_PROVIDER_ID"] = run.provider
        variables["LLS_PROVIDER_API"] = run.api
        variables["LLS_PROVIDER_IMAGE"] = run.image
        variables["LLS_INIT_CONTAINER"] = run.container
        variables["LLS_PROVIDER_ORDER"] = str(run.order)
        if run.config is not None:
            variables["LLS_PROVIDER_CONFIG"] = json.dumps(run.config)
        if run.python:
            variables["LLS_TARGET_PYTHON"] = run.python
    return variables


@contextlib.contextmanager
def _directory() -> Iterator[Path]:
    """A temporary directory; what cannot be removed from it stays, and is no failure."""
    path = Path(tempfile.mkdtemp(prefix="lls-conformance-"))
    try:
        yield path
    finally:
        _remove(path)


def _remove(path: Path) -> None:
    """Remove a directory that a command may have filled, or replaced by a link."""
    if path.is_symlink():
        path.unlink()
    with contextlib.suppress(OSError, RecursionError):
        _open_directories(path)
        shutil.rmtree(path, ignore_errors=True)


def _open_directories(path: Path) -> None:
    """Make every directory removable, which a command may have prevented."""
    pending = [path]
    while pending:
        folder = pending.pop()
        folder.chmod(0o700)
        with os.scandir(folder) as entries:
            pending += [
                Path(entry.path) for entry in entries if entry.is_dir(follow_symlinks=False)
            ]


def _bytes(path: Path) -> bytes:
    return read_volume(path.parent).files.get(path.name, b"")
