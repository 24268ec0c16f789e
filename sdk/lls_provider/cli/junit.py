"""Reports as JUnit XML, which every CI shows."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING
from xml.etree.ElementTree import Element, SubElement, indent, tostring

if TYPE_CHECKING:
    from lls_provider.bundle.report import Finding, Report

# characters that no XML document may hold, however they are written
_FORBIDDEN = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def junit(reports: Iterable[Report]) -> str:
    """A test suite a report, a test case a finding; errors are failures."""
    root = Element("testsuites", name="lls-provider check")
    for report in reports:
        suite = SubElement(
            root,
            "testsuite",
            name=_clean(report.target),
            tests=str(len(report.findings)),
            failures=str(len(report.errors)),
            errors="0",
            skipped="0",
        )
        for finding in report.findings:
            _case(suite, report, finding)
    indent(root)
    return tostring(root, encoding="unicode", xml_declaration=True)


def _case(suite: Element, report: Report, finding: Finding) -> None:
    name = f"{finding.rule} [{finding.platform}]" if finding.platform else finding.rule
    case = SubElement(suite, "testcase", classname=_clean(report.target), name=_clean(name))
    if finding.problem is None:
        return
    where = finding.problem.where
    if where.file:
        case.set("file", _clean(where.file))
    if where.line is not None:
        case.set("line", str(where.line))
    text = _clean(f"{finding.problem.line()}\nResolution: {finding.problem.resolution}")
    if finding.level == "error":
        failure = SubElement(case, "failure", message=_clean(finding.what))
        failure.set("type", finding.problem.code.slug)
        failure.text = text
    else:
        SubElement(case, "system-out").text = f"WARNING: {text}"


def _clean(text: str) -> str:
    return _FORBIDDEN.sub("\N{REPLACEMENT CHARACTER}", text)
