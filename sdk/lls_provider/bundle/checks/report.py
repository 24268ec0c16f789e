"""The result of a check: findings, each about one rule, the same for every kind of target."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

from lls_provider.errors import Code, ExitStatus, Problem, SdkError, Where
from lls_provider.untrusted import one_line

Level = Literal["error", "warning", "ok"]


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one rule. ``problem`` is None only if the rule is kept (level ``ok``)."""

    rule: str  # stable id, such as ``closure`` or ``metadata``
    level: Level
    what: str
    problem: Problem | None = None
    platform: str = ""  # of the image that it is about, if there are several

    def to_document(self) -> dict[str, object]:
        """The finding as plain data, for ``--format json``."""
        document: dict[str, object] = {"rule": self.rule, "level": self.level, "what": self.what}
        if self.platform:
            document["platform"] = self.platform
        if self.problem is not None:
            where = self.problem.where
            position = {
                "file": where.file,
                "line": where.line,
                "column": where.column,
                "provider": where.provider,
                "image": where.image,
            }
            document["code"] = self.problem.code.slug
            document["where"] = {key: value for key, value in position.items() if value is not None}
            document["path"] = self.problem.path
            document["resolution"] = self.problem.resolution
        return document


@dataclass(frozen=True, slots=True)
class Report:
    """All findings of one ``check`` about one target."""

    target: str  # as the user named it
    kind: str  # ``project``, ``bundle``, ``image`` or ``index``
    findings: tuple[Finding, ...]

    @property
    def errors(self) -> tuple[Finding, ...]:
        """The findings that make the target invalid."""
        return tuple(finding for finding in self.findings if finding.level == "error")

    @property
    def warnings(self) -> tuple[Finding, ...]:
        """The findings that do not make the target invalid."""
        return tuple(finding for finding in self.findings if finding.level == "warning")

    @property
    def ok(self) -> bool:
        """Whether the target is valid; it may have warnings."""
        return not self.errors

    @property
    def status(self) -> ExitStatus:
        """The exit status of the check."""
        return ExitStatus.WRONG if self.errors else ExitStatus.OK

    def to_document(self) -> dict[str, object]:
        """The report as plain data, for ``--format json``."""
        return {
            "target": self.target,
            "kind": self.kind,
            "ok": self.ok,
            "findings": [finding.to_document() for finding in self.findings],
        }


def complaint_text(error: SdkError) -> str:
    """The text of an error and its cause, as one finding reports it."""
    what = one_line(error.what)
    return f"{what}: {error.why}" if error.why else what


@dataclass(slots=True)
class Findings:
    """Collects findings while the rules run, in the order of the rules."""

    found: list[Finding] = field(default_factory=list)

    def ok(self, rule: str, what: str) -> None:
        """Record that ``rule`` is kept."""
        self.found.append(Finding(rule, "ok", what))

    def error(
        self,
        rule: str,
        code: Code,
        what: str,
        *,
        resolution: str,
        where: Where = Where(),  # noqa: B008 - frozen
        path: str = "",
    ) -> None:
        """Record that ``rule`` is broken."""
        self.add(rule, "error", [Problem(code, what, where, resolution, path)])

    def warning(
        self,
        rule: str,
        code: Code,
        what: str,
        *,
        resolution: str,
        where: Where = Where(),  # noqa: B008 - frozen
        path: str = "",
    ) -> None:
        """Record a warning about ``rule``."""
        self.add(rule, "warning", [Problem(code, what, where, resolution, path)])

    def add(self, rule: str, level: Level, problems: Iterable[Problem]) -> None:
        """Record problems about ``rule`` that were found elsewhere."""
        self.found.extend(Finding(rule, level, problem.what, problem) for problem in problems)

    def broken(self, rule: str) -> bool:
        """Whether ``rule`` has an error so far."""
        return any(item.rule == rule and item.level == "error" for item in self.found)

    def report(self, target: str, kind: str) -> Report:
        """The finished report."""
        return Report(target, kind, tuple(self.found))
