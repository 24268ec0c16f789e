"""``lls-provider conformance``: checks any implementation of the contract by its vectors."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree.ElementTree import Element, SubElement

import click

from lls_provider.cli.boundary import EXIT_STATUSES, console, current, show, show_result
from lls_provider.cli.command_group import SuggestingGroup
from lls_provider.cli.options import Choice, output_options
from lls_provider.cli.output import xml_text
from lls_provider.conformance.process import TIME_LIMIT
from lls_provider.conformance.vectors import ROLES
from lls_provider.progress import counted
from lls_provider.untrusted import bounded, escaped, one_line

if TYPE_CHECKING:
    from lls_provider.conformance.report import CaseResult, ConformanceReport
    from lls_provider.conformance.vectors import ContractRequirement

_EXAMPLE = (
    "Example: lls-provider conformance run --installer './my-installer {source} {root}' "
    "--merger './my-merger {root}'\n\n"
)


@click.group("conformance", cls=SuggestingGroup, epilog=_EXAMPLE + EXIT_STATUSES)
def command() -> None:
    """Check any implementation of the contract, by the vectors of contract/.

    An implementation is a command line: of an installer, a merger, a preflight, an operator or a
    checker of images.
    """


@command.command("run", epilog=_EXAMPLE + EXIT_STATUSES)
@click.option(
    "--installer",
    metavar="COMMAND",
    help="Installs the image unpacked at {source} onto the volume {root}; LLS_PROVIDER_ID and the "
    "other variables say the rest.",
)
@click.option(
    "--merger", metavar="COMMAND", help="Merges on the volume {root}; the base is {base}."
)
@click.option(
    "--preflight",
    metavar="COMMAND",
    help="Checks the providers of the configuration {run_yaml} on the volume {root}.",
)
@click.option(
    "--operator",
    metavar="COMMAND",
    help="Writes to stdout the manifests for the custom resource {cr}, or for {provider_file}.",
)
@click.option("--checker", metavar="COMMAND", help="Checks the image unpacked at {source}.")
@click.option(
    "--select",
    multiple=True,
    metavar="PATTERN",
    help="Run only the vectors whose ID contains or matches this, or that check this requirement "
    "(repeatable).",
)
@click.option(
    "--time-limit",
    type=click.FloatRange(0, min_open=True),
    default=TIME_LIMIT,
    show_default=True,
    metavar="SECONDS",
    help="How long one run of a command may take.",
)
@click.option(
    "--jobs",
    type=click.IntRange(1),
    metavar="N",
    help="How many vectors run at a time.  [default: one a processor]",
)
@click.option(
    "--junit",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Also write the result as JUnit XML.",
)
@output_options("json", "junit")
def run(
    select: tuple[str, ...],
    *,
    time_limit: float,
    jobs: int | None,
    junit: Path | None,
    **commands: str | None,
) -> int:
    """Run the vectors of each role against the command given for it.

    COMMAND is split into words as a shell does it, but no shell runs. A placeholder such as {root}
    is replaced within its word. The command runs in the current directory, with your environment
    but for variables that begin with LLS_. contract/CONFORMANCE.md tells what each role must do.
    """
    from lls_provider.conformance.runner import run_conformance
    from lls_provider.conformance.template import parse_template
    from lls_provider.system.files import output_file

    templates = [
        parse_template(role, text) for role in ROLES if (text := commands[role]) is not None
    ]
    if not templates:
        raise click.UsageError("Give the command of at least one role, such as --installer.")
    report = run_conformance(
        templates,
        select=select,
        time_limit=time_limit,
        jobs=jobs,
        progress=console("running vectors"),
    )
    if junit is not None:
        with output_file(junit, "the JUnit report") as stream:
            stream.write(junit_xml(report).encode("ascii"))
    if current().form == "junit":
        show(junit_xml(report))
    else:
        show_result("conformance-run/1", report.to_document, lambda: describe(report))
    return report.status


@command.command(
    "list", epilog="Example: lls-provider conformance list --role merger\n\n" + EXIT_STATUSES
)
@click.option(
    "--role",
    "roles",
    multiple=True,
    type=Choice(ROLES),
    help="Only the vectors of this role (repeatable).",
)
@output_options()
def list_command(roles: tuple[str, ...]) -> None:
    """List the vectors by requirement, each with the ID that --select takes."""
    from lls_provider.conformance.derived_cases import all_cases
    from lls_provider.conformance.vectors import contract_version, requirements

    cases = all_cases(roles or ROLES)
    found = [
        (requirement, [case.id for case in cases if case.requirement == requirement.id])
        for requirement in requirements().values()
        if requirement.role in (roles or ROLES)
    ]
    show_result(
        "conformance-list/1",
        lambda: {
            "contract": contract_version(),
            "requirements": [{**asdict(it), "vectors": vectors} for it, vectors in found],
        },
        lambda: "\n".join("\n  ".join([_heading(it), *vectors]) for it, vectors in found),
    )


def _heading(requirement: ContractRequirement) -> str:
    level = requirement.level.upper()
    return f"{requirement.id} ({level}, contract section {requirement.section})"


def describe(report: ConformanceReport) -> str:
    """Return the report as text: what failed, then a line for each requirement, then the sum."""
    lines: list[str] = []
    for result in report.failed:
        lines += [*_failure(result), ""]
    lines += [f"{role}: {one_line(text)}" for role, text in report.commands.items()] + [""]
    for requirement, results in report.by_requirement():
        passed = sum(result.passed for result in results)
        mark = "ok" if passed == len(results) else "FAILED"
        if mark == "FAILED" and requirement.level == "should":
            mark = "warning"
        level = requirement.level.upper()
        counts = f"{passed}/{len(results)}"
        lines.append(f"{mark:8} {counts:>8}  {requirement.id} ({level})")
    return "\n".join([*lines, "", _verdict(report)])


def _verdict(report: ConformanceReport) -> str:
    failed = f"{len(report.failed)} of {counted(len(report.results), 'vector')} failed"
    if report.not_run:
        failed += f", {report.not_run:,} not run"
    if report.conformant is None:
        return f"{failed} of those selected from contract {report.contract}"
    verdict = "conformant" if report.conformant else "not conformant"
    return f"{verdict} with contract {report.contract}: {failed}"


def _failure(result: CaseResult) -> list[str]:
    requirement = result.requirement
    lines = [f"FAILED  {result.case.id}"]
    for difference in result.differences:
        lines += _indented("expected", difference.expected)
        lines += _indented("found", difference.found)
    return [*lines, *_indented("contract", requirement.described())]


def _indented(label: str, text: str) -> list[str]:
    first, *rest = bounded(text).split("\n")
    return [f"  {label + ':':9} {first}", *(f"            {line}" for line in rest)]


def junit_xml(report: ConformanceReport) -> str:
    """Return JUnit XML: a test suite a role, a test case a vector."""
    root = Element("testsuites", name=f"contract {report.contract}")
    for role, text in report.commands.items():
        results = [it for it in report.results if it.case.role == role]
        failed = [it for it in results if not it.passed]
        wrong = [it for it in failed if it.requirement.level == "must"]
        suite = SubElement(
            root,
            "testsuite",
            name=role,
            tests=str(len(results)),
            failures=str(len(wrong)),
            errors="0",
            skipped="0",
        )
        properties = SubElement(suite, "properties")
        SubElement(properties, "property", name="command", value=escaped(text))
        for result in results:
            _testcase(suite, result)
    return xml_text(root)


def _testcase(suite: Element, result: CaseResult) -> None:
    case = SubElement(
        suite,
        "testcase",
        classname=f"{result.case.role}.{result.requirement.id}",
        name=escaped(f"{result.case.file}: {result.case.name}"),
    )
    if result.passed:
        return
    text = escaped("\n".join(_failure(result)[1:]))
    if result.requirement.level == "must":
        first = result.differences[0]
        message = f"expected {one_line(first.expected)}, found {one_line(first.found)}"
        failure = SubElement(case, "failure", message=escaped(message))
        failure.set("type", result.requirement.id)
        failure.text = text
    else:
        SubElement(case, "system-out").text = f"WARNING: {text}"
