"""--format, --quiet and --verbose of the phases, and what is suggested for a wrong argument."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from tests import results

from lls_provider.runtime.cli.arguments import main, make_parser
from lls_provider.runtime.cli.commands import output_arguments
from lls_provider.runtime.cli.suggestions import asks_for_json, suggestions

MakeBundle = Callable[..., Path]
Pod = Any


@pytest.fixture
def phases(pod: Pod, make_bundle: MakeBundle, tmp_path: Path) -> dict[str, list[str]]:
    """The arguments of each phase, which all succeed in this order."""
    root = ["--root", str(pod.root)]
    base = tmp_path / "base.yaml"
    base.write_text("version: 2\n")
    names = ["--provider-id", "acme-echo", "--api", "inference", "--image", "x:1"]
    return {
        "install": ["install", *names, "--source", str(make_bundle()), *root],
        "extract": ["extract", "--config-path", str(base), *root],
        "merge": ["merge", *root],
        "preflight": ["preflight", "--run-yaml", str(base), *root],
    }


def test_each_phase_has_its_result_as_json(
    phases: dict[str, list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    found = {}
    for name, words in phases.items():
        assert main([*words, "--format", "json"]) == 0, capsys.readouterr().err
        (found[name],) = results.check(capsys.readouterr().out)
    assert found["install"]["up_to_date"] is False
    assert [it["name"] for it in found["install"]["packages"]] == ["acme-echo"]
    assert found["merge"]["providers"] == ["acme-echo"]


def test_a_run_that_finds_all_in_place_says_so(
    phases: dict[str, list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(phases["install"]) == 0
    capsys.readouterr()
    assert main([*phases["install"], "--format", "json"]) == 0
    out, err = capsys.readouterr()
    assert results.check(out) == [
        {"schema": "lls-provider/install/1", "provider_id": "acme-echo", "up_to_date": True}
    ]
    assert err == "lls-provider: 'acme-echo' is installed already\n"
    assert main([*phases["install"], "--quiet"]) == 0
    assert capsys.readouterr() == ("", "")


def test_quiet_leaves_the_result_and_verbose_adds_times(
    phases: dict[str, list[str]], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert main([*phases["install"], "-q"]) == 0
    out, err = capsys.readouterr()
    assert out.startswith("Installed provider 'acme-echo'")
    assert err == ""
    other = [it.replace("acme-echo", "other") for it in phases["install"]]
    assert main([*other[:-1], str(tmp_path / "other"), "-v"]) != 2
    assert "[  0.0" in capsys.readouterr().err


def test_an_error_is_a_document_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["extract", "--root", str(tmp_path), "--config-path", "/no", "--format=json"]) == 1
    out, err = capsys.readouterr()
    (document,) = results.check(out)
    assert document["schema"] == "lls-provider/error/1"
    assert document["error"]["message"] == err.rstrip("\n")


def test_wrong_arguments_are_a_document_too(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = ["--termination-log", str(tmp_path / "log")]
    assert main(["install", "--provder-id", "x", "--format", "json", *log]) == 2
    (document,) = results.check(capsys.readouterr().out)
    assert document["exit_status"] == 2
    assert "did you mean '--provider-id'?" in document["error"]["why"]
    assert main(["install", "--provder-id", "x", *log]) == 2
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        ([], []),
        (["instal"], ["There is no instal; did you mean 'install'?"]),
        (["zzz"], []),
        (["merge", "--bas", "x"], ["There is no --bas; did you mean '--base'?"]),
        (["merge", "--bas=x"], ["There is no --bas; did you mean '--base'?"]),
        (["merge", "--base", "x", "-q", "--zzzzzz"], []),
        (["start", "--", "--bas"], []),
    ],
)
def test_the_nearest_is_suggested(argv: Sequence[str], said: list[str]) -> None:
    assert list(suggestions(argv, make_parser().help_of_commands())) == said


@pytest.mark.parametrize(
    ("argv", "asks"),
    [
        (["x", "--format", "json"], True),
        (["x", "--format=json"], True),
        (["x", "--format", "text"], False),
        (["x", "--", "--format", "json"], False),
    ],
)
def test_json_is_asked_for_even_if_nothing_can_be_parsed(argv: list[str], asks: bool) -> None:
    assert asks_for_json(argv) is asks


def test_start_has_its_phases_write_alike(make_bundle: MakeBundle, tmp_path: Path) -> None:
    base = tmp_path / "run.yaml"
    base.write_text("version: 2\n")
    provider = {"id": "acme-echo", "api": "inference", "image": "x:1"}
    providers = json.dumps([{**provider, "source": str(make_bundle())}])
    words = ["start", "--providers", providers, "--root", str(tmp_path), "--merged", str(base)]
    done = subprocess.run(
        [
            *(sys.executable, "-m", "lls_provider.runtime", *words),
            *("--format", "json", "-q", "--", "/bin/echo", "[]"),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    *phases, server = results.documents(done.stdout)
    assert [it["schema"] for it in phases] == ["lls-provider/install/1", "lls-provider/preflight/1"]
    assert server == []


def test_what_is_passed_on() -> None:
    parsed = make_parser().parse_args(["merge", "--verbose"])
    assert output_arguments(parsed) == ["--format", "text", "--verbose"]
