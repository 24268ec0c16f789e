"""Reports as JUnit XML, which every CI shows."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from lls_provider.foreign import escaped

if TYPE_CHECKING:
    from lls_provider.bundle.report import Finding, Report


def junit(reports: Iterable[Report]) -> str:
    """A test suite a report, a test case a finding; errors are failures."""
    root = Element("testsuites", name="lls-provider check")
    for report in reports:
        suite = SubElement(
            root,
            "testsuite",
            name=escaped(report.target),
            tests=str(len(report.findings)),
            failures=str(len(report.errors)),
            errors="0",
            skipped="0",
        )
        for finding in report.findings:
            _case(suite, report, finding)
    indent(root)
    # in ASCII, with references for all else: valid whatever the stream's encoding is
    data: bytes = tostring(root, encoding="us-ascii", xml_declaration=True)
    return data.decode("ascii")


def _case(suite: Element, report: Report, finding: Finding) -> None:
    name = f"{finding.rule} [{finding.platform}]" if finding.platform else finding.rule
    case = SubElement(suite, "testcase", classname=escaped(report.target), name=escaped(name))
    if finding.problem is None:
        return
    where = finding.problem.where
    if where.file:
        case.set("file", escaped(where.file))
    if where.line is not None:
        case.set("line", str(where.line))
    text = escaped(f"{finding.problem.line()}\nResolution: {finding.problem.resolution}")
    if finding.level == "error":
        failure = SubElement(case, "failure", message=escaped(finding.what))
        failure.set("type", finding.problem.code.slug)
        failure.text = text
    else:
        SubElement(case, "system-out").text = f"WARNING: {text}"
