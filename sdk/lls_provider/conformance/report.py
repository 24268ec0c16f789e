"""What the cases of a run showed, as values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lls_provider.conformance.vectors import ContractRequirement, requirements
from lls_provider.errors import ExitStatus

if TYPE_CHECKING:
    from lls_provider.conformance.cases import ConformanceCase
    from lls_provider.conformance.judge import Difference


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
    """The results of all cases that were run, in their order.

    ``selected`` says that only some were asked for, ``not_run`` counts those for which a command
    lacks a placeholder.
    """

    commands: Mapping[str, str]  # by role
    results: tuple[CaseResult, ...]
    contract: str
    selected: bool = False
    not_run: int = 0

    @property
    def failed(self) -> tuple[CaseResult, ...]:
        """The cases in which something differs."""
        return tuple(it for it in self.results if not it.passed)

    @property
    def status(self) -> ExitStatus:
        """Wrong if a case of a requirement of level must failed."""
        wrong = any(it.requirement.level == "must" for it in self.failed)
        return ExitStatus.WRONG if wrong else ExitStatus.OK

    @property
    def conformant(self) -> bool | None:
        """Whether the commands are conformant; None if only a selection was run."""
        return None if self.selected else self.status == ExitStatus.OK

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
            "conformant": self.conformant,
            "not_run": self.not_run,
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
