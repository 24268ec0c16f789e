"""``lls-provider conformance``: what it prints as text, JSON and JUnit, and its exit statuses."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from xml.etree.ElementTree import fromstring

import pytest
from tests.processes import runs

from lls_provider.conformance.vectors import contract_version, requirements

Cli = Callable[..., "subprocess.CompletedProcess[str]"]

ONE = ("--merger", "true {root}", "--select", "merger-fragment")


def test_a_failure_says_what_was_expected_and_found_and_where_it_stands(cli: Cli) -> None:
    done = cli("conformance", "run", *ONE)
    assert done.returncode == 1
    failed, command, counts, verdict = done.stdout.rstrip().split("\n\n")
    assert failed.splitlines() == [
        "FAILED  merger: merger/merge: the fragment holds the external providers alone",
        "  expected: a file config/extra-providers.yaml",
        "  found:    no such file",
        "  contract: section 3, merger-fragment (MUST): " + requirements()["merger-fragment"].text,
    ]
    assert command == "merger: true {root}"
    assert counts == "FAILED        0/1  merger-fragment (MUST)"
    version = contract_version()
    assert verdict == f"1 of 1 vector failed of those selected from contract {version}"
    assert f"running 1 vector of contract {version}" in done.stderr


def test_what_passes_is_printed_too(cli: Cli) -> None:
    done = cli("conformance", "run", "--checker", "false {source}", "--select", "checker/image: no")
    assert done.returncode == 0
    assert done.stdout.splitlines() == [
        "checker: false {source}",
        "",
        "ok            1/1  image-metadata (MUST)",
        "",
        f"0 of 1 vector failed of those selected from contract {contract_version()}",
    ]


@pytest.mark.slow
def test_a_run_of_all_vectors_has_a_verdict(cli: Cli) -> None:
    words = ("conformance", "run", "--operator", "false {provider_file}", "--format")
    document = json.loads(cli(*words, "json").stdout)
    assert document["conformant"] is False
    assert document["not_run"] == 16
    last = cli(*words, "text").stdout.splitlines()[-1]
    failed = sum(not it["passed"] for it in document["results"])
    total = len(document["results"])
    counts = f"{failed} of {total} vectors failed, 16 not run"
    assert last == f"not conformant with contract {contract_version()}: {counts}"


def test_a_should_is_a_warning(cli: Cli, tmp_path: Path) -> None:
    report = tmp_path / "report.xml"
    done = cli(
        "conformance", "run", "--installer", "false {source} {root}",
        "--select", "installer-resolutions", "--junit", report,
    )  # fmt: skip
    assert done.returncode == 0
    assert "warning       0/1  installer-resolutions (SHOULD)" in done.stdout
    suite = fromstring(report.read_text()).find("testsuite")
    assert suite is not None
    assert (suite.get("tests"), suite.get("failures")) == ("1", "0")
    assert "WARNING: " in (suite.findtext("testcase/system-out") or "")


def test_json_and_junit_have_the_same_results(cli: Cli) -> None:
    document = json.loads(cli("conformance", "run", *ONE, "--format", "json").stdout)
    assert document["contract"] == contract_version()
    assert document["commands"] == {"merger": "true {root}"}
    assert document["conformant"] is None
    assert document["not_run"] == 0
    (result,) = document["results"]
    assert result == {
        "role": "merger",
        "vector": "merger/merge: the fragment holds the external providers alone",
        "requirement": "merger-fragment",
        "level": "must",
        "section": "3",
        "passed": False,
        "differences": [
            {"expected": "a file config/extra-providers.yaml", "found": "no such file"}
        ],
    }
    root = fromstring(cli("conformance", "run", *ONE, "--format", "junit").stdout)
    (case,) = root.iter("testcase")
    assert case.get("name") == result["vector"]
    assert case.get("classname") == "merger.merger-fragment"
    (failure,) = case
    assert failure.get("type") == "merger-fragment"
    assert failure.get("message") == (
        "expected a file config/extra-providers.yaml, found no such file"
    )
    assert "contract: section 3" in (failure.text or "")
    assert root[0].find("properties/property[@name='command']").get("value") == "true {root}"  # type: ignore[union-attr]


@pytest.mark.slow
def test_what_a_command_prints_is_escaped(cli: Cli, tmp_path: Path) -> None:
    script = tmp_path / "mine"
    script.write_text("#!/bin/sh\nprintf '\\033[31m\\377\\n' >&2\nexit 1\n")
    script.chmod(0o755)
    words = ("conformance", "run", "--merger", f"{script} {{root}}", "--select", "merger-fragment")
    for form in ("text", "json", "junit"):
        done = cli(*words, "--format", form)
        assert done.returncode == 1
        assert "\x1b" not in done.stdout + done.stderr
        assert "[31m" in done.stdout


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "status", "text"),
    [
        ((), 2, "Give the command of at least one role, such as --installer"),
        (("--merger", "true"), 2, "It does not name {root}."),
        (("--merger", "no-such-program {root}"), 3, "cannot be run: no-such-program"),
        (
            ("--merger", "true {root}", "--select", "no such vector"),
            2,
            "No vector matches --select",
        ),
        (("--merger", "true {root}", "--time-limit", "0"), 2, "--time-limit"),
        ((*ONE, "--junit", "/proc/no/report.xml"), 3, "Cannot write the JUnit report"),
    ],
)
def test_a_wrong_call_is_refused(cli: Cli, words: tuple[str, ...], status: int, text: str) -> None:
    done = cli("conformance", "run", *words)
    assert done.returncode == status
    assert text in done.stderr
    assert "Resolution: " in done.stderr
    assert done.stdout == ""


def test_an_interrupt_ends_the_commands_that_run(tmp_path: Path) -> None:
    script = tmp_path / "mine"
    script.write_text(f"#!/bin/sh\necho $$ > {tmp_path}/$$.new\nexec sleep 600\n")
    script.chmod(0o755)
    words = ("conformance", "run", "--merger", f"{script} {{root}}", "--select", "merger: merger/")
    with subprocess.Popen(
        [sys.executable, "-m", "lls_provider.cli", *words, "--jobs", "2"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        deadline = time.monotonic() + 60
        while len(pids := [int(it.stem) for it in tmp_path.glob("*.new")]) < 2:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert out == ""
    assert "stopped by SIGINT" in err
    assert not any(runs(pid) for pid in pids)


def test_the_vectors_are_listed_by_requirement(cli: Cli) -> None:
    done = cli("conformance", "list", "--role", "merger")
    assert done.returncode == 0
    lines = done.stdout.splitlines()
    assert lines[0] == "merger-entries (MUST, contract section 4)"
    assert lines[1] == "  merger: merger/merge: a provider joins a section"
    assert not any(line.startswith(("installer", "  installer")) for line in lines)
    # what is listed can be selected
    chosen = lines[1].strip()
    done = cli("conformance", "run", "--merger", "true {root}", "--select", chosen)
    assert "1 of 1 vector failed" in done.stdout
