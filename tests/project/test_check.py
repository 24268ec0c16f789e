"""The rules that need no server; `test_beside_servers` has the others."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
from tests.factories.environments import make_environment, put_package

from lls_provider.bundle.checks.report import Findings
from lls_provider.cli.check import describe
from lls_provider.errors import Code, ExitStatus, SdkError
from lls_provider.project.check import _config, _hiding, check_project
from lls_provider.project.load_failure import load_problem
from lls_provider.project.settings import read_settings
from lls_provider.runtime.preflight.probe_client import ProbeFailure, ProbeResult
from lls_provider.wheels.distribution import Distribution
from lls_provider.wheels.interpreter import find_interpreter


def change(project: Path, old: str, new: str) -> None:
    file = project / "pyproject.toml"
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))


@pytest.fixture
def unbound(project: Path) -> Path:
    """A project that names no distribution, so that nothing has to be installed."""
    change(project, 'distribution = ["llama-stack==0.7.3"]\n', "")
    return project


def test_valid_settings_are_told_rule_by_rule(unbound: Path) -> None:
    report = check_project(unbound, label="acme")

    assert (report.target, report.kind, report.status) == ("acme", "project", ExitStatus.OK)
    kept = [finding.rule for finding in report.findings if finding.level == "ok"]
    assert kept == ["settings", "module", "metadata", "sample-call"]


def test_without_a_distribution_a_warning_says_what_was_not_checked(unbound: Path) -> None:
    (warning,) = check_project(unbound).warnings

    assert warning.rule == "spec"
    assert warning.problem is not None
    assert warning.problem.where.line == 11


def test_every_wrong_setting_is_a_finding(project: Path) -> None:
    change(project, '"inference"', '"x"')
    change(project, '"1.2.0"', '"one"')

    report = check_project(project)

    assert report.status is ExitStatus.WRONG
    lines = [finding.problem.where.line for finding in report.errors if finding.problem]
    assert lines == [7, 12]
    assert {finding.rule for finding in report.findings} == {"settings"}


def test_a_provider_that_does_not_load_is_told_with_what_to_change(project: Path) -> None:
    """As a probe beside a server reports it."""
    failure = ProbeFailure(
        "invalid",
        "get_provider_spec() returned a coroutine, not a spec",
        field="provider_type",
        output="last words \x1b[2J",
        way="Remove `async`.",
    )
    server = cast("Distribution", SimpleNamespace(label="llama-stack==0.7.3"))
    settings, findings = read_settings(project), Findings()
    problem = load_problem(settings, server, failure)
    assert problem.resolution == "Remove `async`."
    assert problem.where == settings.where("module")
    findings.add("spec", "error", [problem])
    shown = describe(findings.report("acme", "project"))
    assert "beside llama-stack==0.7.3: get_provider_spec() returned a coroutine" in shown
    assert "last words" in shown


UNFIT = "it does not fit the config class: "
SCHEMA = {
    "properties": {"prefix": {"type": "integer"}},
    "additionalProperties": False,
}


@pytest.mark.parametrize(
    ("takes_config", "expected"),
    [(False, [f"{UNFIT}$.prefix must be of type integer, not string"]), (True, []), (None, [])],
)
def test_a_config_that_the_class_refuses_is_told_at_its_key(
    project: Path, takes_config: bool | None, expected: list[str]
) -> None:
    settings, findings = read_settings(project), Findings()
    result = ProbeResult(config_schema=SCHEMA, takes_config=takes_config)
    _config(settings, result, findings)
    errors = findings.report("acme", "project").errors
    assert [it.what for it in errors] == expected
    for error in errors:
        assert error.problem is not None
        place = error.problem.where
        assert (place.file, place.line, place.column) == (str(project / "pyproject.toml"), 19, 21)
        assert error.problem.resolution.startswith("Correct the keys in [tool.lls-provider.up]")


def test_a_project_without_a_config_is_not_judged(project: Path) -> None:
    """As in `up`: the config may come from --config."""
    change(project, 'config = { prefix = "> " }\n', "")
    findings = Findings()
    refused = ProbeResult(config_schema={"required": ["key"]}, takes_config=False)
    _config(read_settings(project), refused, findings)
    assert findings.report("acme", "project").errors == ()


def test_a_missing_project_is_a_finding(tmp_path: Path) -> None:
    (error,) = check_project(tmp_path).errors

    assert error.problem is not None
    assert error.problem.code is Code.PROJECT_INVALID


def test_advice_is_told_at_the_setting_that_it_is_about(unbound: Path) -> None:
    change(unbound, '"1.2.0"', '"2026.11"')
    change(unbound, "remote::acme-echo", "remote::acme_echo")

    report = check_project(unbound)

    advice = [finding for finding in report.warnings if finding.rule == "metadata"]
    places = [finding.problem.where for finding in advice if finding.problem]
    assert [(place.line, place.column) for place in places] == [(7, 11), (13, 17)]
    assert {place.file for place in places} == {str(unbound / "pyproject.toml")}
    assert report.status is ExitStatus.OK


def test_an_api_that_no_server_loads_is_told_at_its_setting(unbound: Path) -> None:
    change(unbound, '"inference"', '"container_runtime"')

    (warning,) = [it for it in check_project(unbound).warnings if it.rule == "metadata"]
    assert warning.problem is not None
    assert warning.problem.where.line == 12
    assert "no supported server can load a provider of it" in warning.what


@pytest.mark.parametrize(
    ("package", "modules", "told"),
    [
        ("acme-echo", "yaml/__init__.py", "acme-echo 1.2.0 puts 'yaml' in front of that of the"),
        ("helper", "json.py", "helper 1.2.0 puts 'json' in front of the standard library's"),
        ("helper", "helper/__init__.py", None),
    ],
)
def test_a_module_that_hides_the_servers_is_a_finding(
    project: Path, tmp_path: Path, package: str, modules: str, told: str | None
) -> None:
    """The environment of the check: the server's packages, and what the provider brings."""
    folder, interpreter = tmp_path / "venv", find_interpreter()
    packages = make_environment(interpreter.path, folder)
    for name, version, path in (("PyYAML", "6.0", "yaml/__init__.py"), (package, "1.2.0", modules)):
        put_package(packages, name, version, record=[path])
    server = Distribution("a server", {"pyyaml": "6.0"}, interpreter, None)
    findings = Findings()
    _hiding(read_settings(project), server, folder / "bin" / "python", findings)
    report = findings.report("acme", "project")
    if told is None:
        assert [it.what for it in report.findings] == ["nothing hides a module of a server"]
        return
    (error,) = report.errors
    assert error.what.startswith(told)
    assert error.problem is not None
    assert error.problem.code is Code.MODULE_HIDDEN
    assert error.problem.where.file == str(project / "pyproject.toml")


def test_a_project_without_a_sample_call_is_warned(unbound: Path) -> None:
    change(unbound, '[tool.lls-provider.up.call]\npath = "/v1/models"\n', "")

    assert "sample-call" in [finding.rule for finding in check_project(unbound).warnings]


def test_what_this_machine_lacks_is_no_finding(project: Path) -> None:
    with pytest.raises(SdkError) as caught:
        check_project(project, python="/nowhere/python3")

    assert caught.value.status is ExitStatus.ENVIRONMENT
