"""``lls-provider check``: checks projects, bundles and images against the contract.

The report is text, JSON or JUnit XML, which CI systems display.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING
from xml.etree.ElementTree import Element, SubElement

import click

from lls_provider.cli.boundary import EXIT_STATUSES, console, current, show, show_result
from lls_provider.cli.options import (
    distribution_option,
    insecure_option,
    output_options,
    platform_option,
    python_option,
    targets_argument,
)
from lls_provider.cli.output import xml_text
from lls_provider.progress import counted
from lls_provider.untrusted import escaped, one_line

if TYPE_CHECKING:
    from lls_provider.bundle.checks.report import Finding, Report


_MARKS = {"error": "ERROR", "warning": "WARNING", "ok": "ok"}


@click.command(
    "check",
    epilog="Example: lls-provider check acme-echo oci:build/image\n\n" + EXIT_STATUSES,
)
@targets_argument()
@distribution_option(
    "A server to load a project's spec beside (repeatable).  [default: the project's]"
)
@python_option("The Python of the distribution.")
@platform_option("Of an index, the image for one platform.  [default: all of them]")
@insecure_option()
@output_options("json", "junit")
def command(
    targets: tuple[str, ...],
    *,
    distributions: tuple[str, ...],
    python: str | None,
    platform: str | None,
    insecure: bool,
) -> int:
    """Check projects, bundle directories and images, ours or made by hand.

    A TARGET is a directory, or an image: docker://REF, docker-daemon:REF, oci:DIR[:TAG],
    oci-archive:FILE[:TAG] or docker-archive:FILE[:NAME]. The base of an image that `build` pushed
    to a registry is not loaded.

    For a project, the spec is also loaded in the environment of the distribution and compared with
    the settings.
    """
    from lls_provider.operations.check import check_each

    reports = check_each(
        targets,
        distributions=distributions,
        python=python,
        platform=platform,
        insecure=insecure,
        progress=console(f"checking {' '.join(targets)}"),
    )
    if current().form == "junit":
        show(junit(reports))
    else:
        show_result(
            "check/1",
            lambda: {"reports": [report.to_document() for report in reports]},
            lambda: "\n\n".join(describe(report) for report in reports),
        )
    return max(report.status for report in reports)


def describe(report: Report) -> str:
    """Return a report as text: a line per rule that holds, and each problem with its resolution."""
    lines = [f"{one_line(report.target)} ({report.kind})"]
    for finding in report.findings:
        lines.extend(_lines(finding))
    errors, warnings = len(report.errors), len(report.warnings)
    lines.append(f"  {counted(errors, 'error')}, {counted(warnings, 'warning')}")
    return "\n".join(lines)


def _lines(finding: Finding) -> list[str]:
    place = finding.problem.where.position if finding.problem else ""
    text = f"{one_line(place)}: {finding.what}" if place else finding.what
    first, *rest = text.split("\n")
    about = f"{finding.rule} [{finding.platform}]" if finding.platform else finding.rule
    lines = [f"  {_MARKS[finding.level]:7} {about}: {first}"]
    lines += [f"          {line}" for line in rest]
    if finding.problem and finding.problem.resolution:
        lines.append(f"          Resolution: {finding.problem.resolution}")
    return lines


def junit(reports: Iterable[Report]) -> str:
    """Return JUnit XML: a test suite per report, a test case per finding; errors are failures."""
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
    return xml_text(root)


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
