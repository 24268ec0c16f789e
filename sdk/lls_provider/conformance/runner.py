"""Runs the cases of an implementation, each in directories of its own, several at a time."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import tempfile
import threading
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING

from lls_provider.conformance.cases import CaseRun, ConformanceCase, all_cases
from lls_provider.conformance.documents import custom_resource, provider_file
from lls_provider.conformance.images import write_image
from lls_provider.conformance.judge import Difference, Observed, differences
from lls_provider.conformance.process import CommandResult, run_command
from lls_provider.conformance.vectors import ContractRequirement, contract_version, requirements
from lls_provider.conformance.volume_state import VolumeState, read_volume
from lls_provider.errors import Code, ExitStatus, SdkError
from lls_provider.progress import SILENT, Progress, counted

if TYPE_CHECKING:
    from lls_provider.conformance.template import CommandTemplate

_REPORTED = 50  # vectors, after which the number is shown
TIME_LIMIT = 60.0
"""Seconds that one run of an implementation may take."""


@dataclass(frozen=True, slots=True)
class CaseResult:
    """What a case showed; it is passed if nothing differs."""

    case: ConformanceCase
    requirement: ContractRequirement
    differences: tuple[Difference, ...]

    @property
    def passed(self) -> bool:
        """Whether everything was as expected."""
        return not self.differences


@dataclass(frozen=True, slots=True)
class ConformanceReport:
    """The results of all cases that were run, in their order."""

    commands: Mapping[str, str]  # by role
    results: tuple[CaseResult, ...]
    contract: str

    @property
    def failed(self) -> tuple[CaseResult, ...]:
        """The cases in which something differs."""
        return tuple(it for it in self.results if not it.passed)

    @property
    def status(self) -> ExitStatus:
        """Wrong if a case of a requirement of level must failed."""
        wrong = any(it.requirement.level == "must" for it in self.failed)
        return ExitStatus.WRONG if wrong else ExitStatus.OK

    def by_requirement(self) -> list[tuple[ContractRequirement, list[CaseResult]]]:
        """The results of each requirement that was checked, in the contract's order."""
        found: dict[str, list[CaseResult]] = {name: [] for name in requirements()}
        for result in self.results:
            found[result.requirement.id].append(result)
        return [(requirements()[name], results) for name, results in found.items() if results]

    def to_document(self) -> dict[str, object]:
        """The report as plain data, for ``--format json``."""
        return {
            "contract": self.contract,
            "commands": dict(self.commands),
            "conformant": self.status == ExitStatus.OK,
            "results": [
                {
                    "role": result.case.role,
                    "vector": f"{result.case.file}: {result.case.name}",
                    "requirement": result.requirement.id,
                    "level": result.requirement.level,
                    "section": result.requirement.section,
                    "passed": result.passed,
                    "differences": [
                        {"expected": it.expected, "found": it.found} for it in result.differences
                    ],
                }
                for result in self.results
            ],
        }


def selected(cases: Sequence[ConformanceCase], patterns: Sequence[str]) -> list[ConformanceCase]:
    """The cases whose ID or requirement matches a pattern; all without patterns.

    A pattern is a part of the ID, or a glob for all of it. Raises SdkError USAGE if none matches.
    """
    if not patterns:
        return list(cases)
    found = [
        case
        for case in cases
        if any(
            pattern in case.id or pattern == case.requirement or fnmatchcase(case.id, pattern)
            for pattern in patterns
        )
    ]
    if not found:
        raise SdkError(
            Code.USAGE,
            "No vector matches --select",
            why=", ".join(patterns),
            resolution="List them with 'lls-provider conformance list'.",
        )
    return found


def run_conformance(
    templates: Sequence[CommandTemplate],
    *,
    select: Sequence[str] = (),
    time_limit: float = TIME_LIMIT,
    jobs: int | None = None,
    progress: Progress = SILENT,
) -> ConformanceReport:
    """Run the cases of the templates' roles.

    Nothing that an implementation does ends the run. Raises SdkError USAGE if ``select`` matches
    nothing, NO_SPACE or OUTPUT_UNWRITABLE if temporary files cannot be written.
    """
    commands = {template.role: template for template in templates}
    cases = selected(all_cases(list(commands)), select)
    hidden = Counter(
        (case.role, name)
        for case in cases
        for name in sorted(case.needs - commands[case.role].placeholders)
    )
    for (role, name), count in hidden.items():
        progress.note(f"{counted(count, 'vector')} not run: the {role} has no {{{name}}}")
    cases = [case for case in cases if case.needs <= commands[case.role].placeholders]
    progress.step(f"running {counted(len(cases), 'vector')} of contract {contract_version()}")
    stopped = threading.Event()
    results = []
    with ThreadPoolExecutor(jobs or os.cpu_count() or 1) as pool:
        try:
            tasks = [
                pool.submit(_judged, case, commands[case.role], time_limit, stopped)
                for case in cases
            ]
            for task in tasks:
                results.append(task.result())
                if not results[-1].passed:
                    progress.note(f"failed: {results[-1].case.id}")
                if len(results) % _REPORTED == 0:
                    progress.step(f"ran {len(results)} of {counted(len(cases), 'vector')}")
        except BaseException:
            stopped.set()  # ends the processes, so that the pool's threads do
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    shown = {role: str(template) for role, template in commands.items()}
    return ConformanceReport(shown, tuple(results), contract_version())


def _judged(
    case: ConformanceCase, template: CommandTemplate, time_limit: float, stopped: threading.Event
) -> CaseResult:
    found: list[Difference] = []
    with _directory() as scratch:
        harness = _Harness(template, scratch, time_limit, stopped)
        root = harness.volume("volume", case)
        for index, run in enumerate(case.runs):
            observed = harness.observe(run, root)
            if run.expect.as_clean:
                # at the same path, which may stand in what is installed
                root.rename(scratch / "volume-of-all")
                clean = harness.volume("volume", case)
                for number in run.expect.as_clean:
                    harness.run(case.runs[number], clean)
                observed = replace(observed, clean=read_volume(clean))
            found = differences(run.expect, observed)
            if found:
                if len(case.runs) > 1:
                    found = [
                        Difference(f"run {index + 1} of {len(case.runs)}: {it.expected}", it.found)
                        for it in found
                    ]
                break
    return CaseResult(case, requirements()[case.requirement], tuple(found))


class _Harness:
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
            "base": str(root / "base-config" / "run.yaml"),
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
    state: VolumeState = read_volume(path.parent)
    return state.files.get(path.name, b"")
