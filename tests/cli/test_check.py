"""`check` as a user runs it, on what needs no network: reports in three forms."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from lls_provider.bundle.checks.report import Findings
from lls_provider.cli.check import describe, junit
from lls_provider.errors import Code, Where
from lls_provider.untrusted import escaped

Cli = Callable[..., "subprocess.CompletedProcess[str]"]

WRONG = """\
[project]
name = "acme-echo"
version = "one"

[tool.lls-provider]
api = "infernce"
provider-type = "remote::acme-echo"
module = "acme_echo"
vendor = "Acme"
"""


@pytest.fixture
def wrong(tmp_path: Path) -> Path:
    """A project with three mistakes, each in a line of its own."""
    project = tmp_path / "acme-echo"
    project.mkdir()
    (project / "pyproject.toml").write_text(WRONG)
    return project


def test_every_mistake_is_told_with_its_place_and_a_way_out(cli: Cli, wrong: Path) -> None:
    done = cli("check", wrong)
    assert done.returncode == 1
    lines = done.stdout.splitlines()
    assert lines[0] == f"{wrong} (project)"
    assert lines[-1] == "  3 errors, 0 warnings"
    for line in (3, 6, 8):
        assert f"pyproject.toml:{line}:" in done.stdout
    assert done.stdout.count("Resolution: ") == 3


def test_json_holds_the_same(cli: Cli, wrong: Path) -> None:
    done = cli("check", wrong, "--format", "json")
    assert done.returncode == 1
    (report,) = json.loads(done.stdout)["reports"]
    assert (report["target"], report["kind"], report["ok"]) == (str(wrong), "project", False)
    assert [it["where"]["line"] for it in report["findings"]] == [3, 6, 8]
    assert all(it["resolution"] for it in report["findings"])


def test_several_targets_give_one_report_each(cli: Cli, wrong: Path) -> None:
    done = cli("check", wrong, wrong, "--format", "junit")
    assert done.returncode == 1
    root = ET.fromstring(done.stdout)
    assert [suite.get("failures") for suite in root] == ["3", "3"]


def test_a_wrong_name_is_told_before_any_work(cli: Cli, wrong: Path) -> None:
    done = cli("check", wrong, wrong / "nowhere")
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith(f"ERROR: There is no directory {wrong / 'nowhere'}")


def findings() -> Findings:
    found = Findings()
    found.ok("settings", "all there")
    found.warning("metadata", Code.FIELD_VALUE, "not semantic", resolution="Write 1.0.0.")
    found.error(
        "module",
        Code.MODULE_MISSING,
        "no module\nTraceback: \x1b[31m<&>",
        where=Where("pyproject.toml", 8, 10),
        resolution="Write it.",
    )
    return found


def test_people_read_one_line_a_rule() -> None:
    assert describe(findings().report("acme", "project")).splitlines() == [
        "acme (project)",
        "  ok      settings: all there",
        "  WARNING metadata: not semantic",
        "          Resolution: Write 1.0.0.",
        "  ERROR   module: pyproject.toml:8:10: no module",
        "          Traceback: \x1b[31m<&>",
        "          Resolution: Write it.",
        "  1 error, 1 warning",
    ]


@pytest.mark.parametrize(
    "text",
    ["\0", "\x1b[2J", "\x0b", "\ud800", "\uffff", "]]><x/>", "&amp;<!--", "\u202e", "é😀", "\r\n"],
)
@pytest.mark.parametrize("encoding", ["utf-8", "latin-1"])
def test_junit_holds_any_text_in_any_encoding(text: str, encoding: str) -> None:
    found = Findings()
    where = Where(file=f"f{text}", line=3)
    found.error(f"r{text}", Code.NETWORK, f"w{text}", where=where, resolution=f"m{text}")
    found.warning("r", Code.NETWORK, f"w{text}", resolution=f"m{text}")
    data = junit([found.report(f"t{text}", "image")]).encode(encoding)
    assert data.decode().replace("\n", "").isprintable()
    (suite,) = ET.fromstring(data)
    shown = escaped(text)
    assert suite.get("name") == f"t{shown}"
    assert [case.get("name") for case in suite] == [f"r{shown}", "r"]
    assert suite[0].get("file") == f"f{shown}"
    assert f"w{shown}" in str(suite[0][0].text)
    assert f"m{shown}" in str(suite[1][0].text)


def test_junit_is_valid_xml_whatever_a_finding_says() -> None:
    root = ET.fromstring(junit([findings().report("ac\0me", "project")]).encode())
    (suite,) = root
    assert suite.attrib == {
        "name": "ac\\x00me",
        "tests": "3",
        "failures": "1",
        "errors": "0",
        "skipped": "0",
    }
    assert [case.get("name") for case in suite] == ["settings", "metadata", "module"]
    failure = suite[2].find("failure")
    assert failure is not None
    assert failure.get("type") == "module-missing"
    assert "<&>" in str(failure.text)
    assert (suite[2].get("file"), suite[2].get("line")) == ("pyproject.toml", "8")
    assert suite[1].find("failure") is None
