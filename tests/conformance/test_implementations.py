"""The runner on our own implementation, and on one in another language, which fails where it must.

This is the fast form; ``python tools/conformance.py`` runs every vector and records the result in
``docs/conformance.md``.
"""

from __future__ import annotations

import shlex
import sys
from typing import TYPE_CHECKING

import pytest

from lls_provider.conformance.runner import run_conformance
from lls_provider.conformance.template import parse_template

if TYPE_CHECKING:
    from lls_provider.conformance.report import ConformanceReport

COMMANDS = {
    "installer": "install --source {source} --root {root} --termination-log {termination_log}",
    "merger": "merge --root {root}",
    "preflight": "preflight --root {root} --run-yaml {run_yaml}",
}
FAST = {
    "installer": ["installer: installer/*", "*conflicts/rule: n*", "*provided: an override*"],
    "merger": ["merger: merger/*", "crd-config: no "],
    "preflight": ["preflight: *"],
}


def failures(report: ConformanceReport) -> str:
    return "\n".join(
        f"{result.case.id}: {it.expected} / {it.found}"
        for result in report.failed
        for it in result.differences
    )


@pytest.mark.slow
@pytest.mark.parametrize("role", COMMANDS)
def test_the_zipapp_passes(role: str, zipapp: str) -> None:
    template = parse_template(role, f"{zipapp} {COMMANDS[role]}")
    report = run_conformance([template], select=FAST[role])
    assert failures(report) == ""
    assert len(report.results) >= 15
    files = {result.case.file for result in report.results}
    assert len(files) >= (1 if role == "preflight" else 2)


@pytest.mark.slow
def test_render_and_check_pass() -> None:
    command = shlex.join([sys.executable, "-m", "lls_provider.cli"])
    operator = parse_template("operator", f"{command} render pod {{provider_file}} --no-read")
    checker = parse_template("checker", f"{command} check {{source}}")
    report = run_conformance([operator, checker], select=[": operator/", ": checker/"])
    assert failures(report) == ""
    assert len(report.results) >= 12


# What the specification's lines of shell and pip cannot do, by the vector that shows it: a part of
# the first difference that is reported.
NO_LAYOUT = "a message in the layout"
STATUS = "an exit status other than 0"
PIP_FAILS = {
    "installer/messages: two providers exclude each other": STATUS,
    "installer/messages: sections are named as the CR has them": NO_LAYOUT,
    "installer/messages: the line of metadata that cannot be parsed": "the number 5",
    "installer/messages: wrong metadata is reported with provider, image and resolution": STATUS,
    "installer/wheels: a file that is not what RECORD says": STATUS,
    "installer/wheels: the provider's own wheel is not where the metadata says": STATUS,
    "installer/slots: an ID that another slot has": STATUS,
    "conflicts/rule: no version satisfies both providers": STATUS,
}


@pytest.mark.slow
def test_shell_and_pip_fail_where_they_must(pip_installer: str) -> None:
    template = parse_template("installer", pip_installer)
    report = run_conformance(
        [template],
        select=[
            "installer/messages",
            "installer/wheels",
            "slots: an ID",
            "rule: no version",
            "rule: an empty",
        ],
    )
    found = {
        result.case.id.partition(": ")[2]: result.differences[0].expected
        for result in report.failed
    }
    assert set(found) == set(PIP_FAILS)
    for name, reason in PIP_FAILS.items():
        assert reason in found[name], name
    assert report.status == 1
    passed = {result.case.name for result in report.results if result.passed}
    assert {"no metadata", "the section of another API", "a wheel that is no archive"} <= passed
    assert "an empty volume takes everything" in passed
    # what it is not told of is not judged
    assert all(result.requirement.id != "installer-termination-log" for result in report.results)


@pytest.mark.slow
@pytest.mark.parametrize("word", ["true", "false"])
def test_doing_nothing_passes_no_role(word: str) -> None:
    """What says yes or no to everything is conformant in no role, and in few requirements."""
    arguments = {
        "installer": "{source} {root}",
        "merger": "{root}",
        "preflight": "{run_yaml}",
        "operator": "{cr}",
        "checker": "{source}",
    }
    templates = [parse_template(role, f"{word} {text}") for role, text in arguments.items()]
    report = run_conformance(templates, select=[f": {role}/" for role in arguments])
    assert {result.case.role for result in report.failed} == set(arguments)
    whole = {it.id for it, results in report.by_requirement() if all(r.passed for r in results)}
    # of these all vectors are images that must be refused
    assert whole == ({"image-metadata", "image-wheels"} if word == "false" else set())
