"""Runs the cases of an implementation, several at a time."""

from __future__ import annotations

import os
import threading
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from lls_provider.conformance.derived_cases import all_cases
from lls_provider.conformance.harness import run_case
from lls_provider.conformance.process import TIME_LIMIT
from lls_provider.conformance.report import CaseResult, ConformanceReport
from lls_provider.conformance.vectors import contract_version, requirements
from lls_provider.errors import Code, SdkError
from lls_provider.progress import SILENT, Progress, counted

if TYPE_CHECKING:
    from lls_provider.conformance.cases import ConformanceCase
    from lls_provider.conformance.template import CommandTemplate

_REPORTED = 50  # vectors, after which the number is shown


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
    wanted = len(cases)
    cases = [case for case in cases if case.needs <= commands[case.role].placeholders]
    progress.step(f"running {counted(len(cases), 'vector')} of contract {contract_version()}")
    stopped = threading.Event()
    results = []
    with ThreadPoolExecutor(jobs or os.cpu_count() or 1) as pool:
        try:
            tasks = [
                pool.submit(run_case, case, commands[case.role], time_limit, stopped)
                for case in cases
            ]
            for case, task in zip(cases, tasks, strict=True):
                found = CaseResult(case, requirements()[case.requirement], task.result())
                results.append(found)
                if not found.passed:
                    progress.note(f"failed: {case.id}")
                if len(results) % _REPORTED == 0:
                    progress.step(f"ran {len(results)} of {counted(len(cases), 'vector')}")
        except BaseException:
            stopped.set()  # ends the processes, so that the pool's threads do
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    shown = {role: str(template) for role, template in commands.items()}
    return ConformanceReport(
        shown, tuple(results), contract_version(), bool(select), wanted - len(cases)
    )
