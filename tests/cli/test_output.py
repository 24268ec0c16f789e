"""--format, --quiet and --verbose: one mechanism, in every command; and what a stream can show."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import click
import pytest
from tests import results

from lls_provider.cli.boundary import run
from lls_provider.cli.group import COMMANDS, RuntimeCommand, group
from lls_provider.cli.output import PLAIN_ERRORS, encodable, fitted, is_unicode, prepare_streams

Cli = Callable[..., "subprocess.CompletedProcess[str]"]

ECHO = Path(__file__).parents[2] / "samples" / "echo-inference"
PODS = Path(__file__).parents[1] / "deploy" / "pods"


def commands() -> dict[str, click.Command]:
    """Every command of the author's side by name, those of groups too."""
    found: dict[str, click.Command] = {}
    context = click.Context(group)
    for name in COMMANDS:
        command = group.get_command(context, name)
        assert command is not None
        if isinstance(command, click.Group):
            found |= {f"{name} {it}": command.commands[it] for it in command.commands}
        elif not isinstance(command, RuntimeCommand):
            found[name] = command
    return found


@pytest.mark.parametrize("name", commands())
def test_every_command_has_the_options_and_a_schema(name: str) -> None:
    options = {option for it in commands()[name].params for option in it.opts}
    assert {"--format", "--quiet", "--verbose", "-q", "-v"} <= options
    assert (results.SCHEMAS / f"{name.replace(' ', '-')}-1.json").is_file()


def test_every_schema_is_named_as_its_documents_are() -> None:
    known = {f"{name.replace(' ', '-')}-1" for name in commands()} | {"error-1"}
    # start becomes the server, and install-all writes what install does
    known |= {"install-1", "extract-1", "merge-1", "preflight-1", "new-update-1"}
    assert {file.stem for file in results.SCHEMAS.glob("*.json")} == known
    for file in results.SCHEMAS.glob("*.json"):
        schema = json.loads(file.read_text("utf-8"))
        command, _, version = file.stem.rpartition("-")
        assert schema["properties"]["schema"] == {"const": f"lls-provider/{command}/{version}"}
        assert schema["$id"].endswith(f"/results/{file.name}")
        results.validator(f"lls-provider/{command}/{version}")


def test_the_reference_lists_every_schema() -> None:
    page = (results.SCHEMAS.parents[2] / "docs" / "reference" / "output.md").read_text("utf-8")
    listed = re.findall(r"`([a-z-]+)/(\d+)`", page)
    assert sorted(f"{name}-{version}" for name, version in listed) == sorted(
        file.stem for file in results.SCHEMAS.glob("*.json")
    )


@pytest.mark.parametrize(
    ("words", "schema"),
    [
        (["check", str(ECHO.parent / "nothing")], "error/1"),
        (["check", "--no-such-option"], "error/1"),
        (["chek"], "error/1"),
        (["cache", "dir"], "cache-dir/1"),
        (["completion", "fish"], "completion/1"),
        (["diagnose", str(PODS / "list.json")], "diagnose/1"),
        (["doctor", "diagnose"], "doctor/1"),
    ],
)
def test_stdout_holds_one_document_whatever_happens(
    cli: Cli, words: Sequence[str], schema: str
) -> None:
    done = cli(*words, "--format", "json")
    (document,) = results.check(done.stdout)
    assert document["schema"] == f"lls-provider/{schema}"
    if schema == "error/1":
        assert document["exit_status"] == done.returncode
        assert document["error"]["message"] == done.stderr.rstrip("\n")


def test_an_equals_sign_is_understood_even_if_the_rest_is_not(cli: Cli) -> None:
    assert results.check(cli("check", "--nope", "--format=json").stdout)
    # behind a -- it is an argument of another program
    assert cli("test", "--nope", "--", "--format", "json").stdout == ""


def test_a_document_is_not_followed_by_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    status = run(group, ["diagnose", str(PODS / "failed-conflict.json"), "--format", "json"])
    assert status == 1
    assert len(results.check(capsys.readouterr().out)) == 1


def test_quiet_leaves_the_result_warnings_and_errors(cli: Cli, tmp_path: Path) -> None:
    loud = cli("new", tmp_path / "one", "--no-input", "name=acme-echo")
    quiet = cli("new", tmp_path / "two", "--no-input", "name=acme-echo", "--quiet")
    assert loud.stderr.startswith("making acme-echo in ")
    assert quiet.stderr == ""
    assert quiet.stdout == loud.stdout.replace("/one", "/two")
    assert cli("check", tmp_path / "none", "-q").stderr.startswith("ERROR: ")


def test_verbose_shows_times_processes_and_requests(cli: Cli) -> None:
    done = cli("doctor", "test", "-v", env={"UV_OFFLINE": "1"})
    assert "[   0." in done.stderr
    assert "] asking uv for its version\n" in done.stderr
    assert "uv --version\n" in done.stderr


def test_quiet_and_verbose_exclude_each_other(cli: Cli) -> None:
    done = cli("cache", "dir", "-v", "-q")
    assert done.returncode == 2
    assert "--quiet and --verbose exclude each other" in done.stderr


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        (["cache", "prun"], "'prune'"),
        (["cache", "prune", "fils"], "'files'"),
        (["check", ".", "--formt", "json"], "'--format'"),
        (["check", ".", "--format", "jsno"], "'json'"),
        (["render", "deploymnt", "x.yaml"], "'deployment'"),
        (["completion", "bsh"], "'bash'"),
        (["doctor", "biuld"], "'build'"),
        (["new", "x", "--no-input", "api=infrence"], "'inference'"),
        (["new", "x", "--no-input", "vender=acme"], "'vendor'"),
        (["install", "--provder-id", "x"], "'--provider-id'"),
        (["build", "--package", "x==1", "--api", "infrence", "--output", "oci:x"], "'inference'"),
        (["build", "--output", "ocii:x"], "'oci:x'"),
    ],
)
def test_what_was_meant_is_suggested(
    cli: Cli, tmp_path: Path, words: Sequence[str], meant: str
) -> None:
    done = cli(*words, cwd=tmp_path)
    assert done.returncode == 2
    assert "did you mean" in done.stderr.lower()
    assert meant in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    "variables",
    [
        {"LC_ALL": "C"},
        {"LC_ALL": "POSIX"},
        {"PYTHONIOENCODING": "ascii"},
        {"LC_ALL": "C", "PYTHONUTF8": "0"},
    ],
)
@pytest.mark.parametrize("words", [["build", "--help"], ["check", "säm\udcff…"], ["--version"]])
def test_a_terminal_that_knows_only_ascii_gets_ascii(
    words: Sequence[str], variables: dict[str, str]
) -> None:
    cleared = {k: v for k, v in os.environ.items() if not k.startswith(("LC_", "LANG", "PYTHON"))}
    done = subprocess.run(
        [sys.executable, "-m", "lls_provider.cli", *map(os.fsencode, words)],
        capture_output=True,
        env={**cleared, **variables},
        check=False,
    )
    said = done.stdout + done.stderr
    assert said.isascii()
    assert b"Traceback" not in said
    assert done.returncode == (1 if words[0] == "check" else 0)
    if words[0] == "check":
        # without UTF-8 mode Python decodes the arguments as ASCII as well
        spelt = b"s\\xc3\\xa4m" if "PYTHONUTF8" in variables else b"s\\xe4m\\xff..."
        assert b"There is no directory " + spelt in said
    if words[0] == "build":
        assert b"remote::... or inline::...." in said


def test_typographic_signs_become_ascii_and_others_escapes() -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding="latin-1")
    assert encodable("a… \u2014 é ✓", stream) == "a... - é \\u2713"
    assert encodable("a… ✓", io.StringIO()) == "a… ✓"
    with pytest.raises(UnicodeDecodeError):
        b"\xff".decode("ascii", PLAIN_ERRORS)


def test_lines_are_broken_between_words_and_not_in_what_is_quoted() -> None:
    text = "ERROR: no\n\n  It was 'a b c d e f' and more of it\n/a/long/path/of/one/word"
    assert fitted(text, 20) == (
        "ERROR: no\n\n  It was\n  'a b c d e f' and\n  more of it\n/a/long/path/of/one/word"
    )
    assert fitted(text, None) == fitted(text, 200) == text


@pytest.mark.parametrize(
    ("encoding", "unicode"), [("utf-8", True), ("UTF_16", True), ("latin-1", False), (None, False)]
)
def test_which_encodings_represent_everything(encoding: str | None, unicode: bool) -> None:
    assert is_unicode(encoding) is unicode


def test_streams_that_are_no_files_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    monkeypatch.setattr(sys, "stderr", None)
    prepare_streams({"LC_ALL": "C"})
    assert isinstance(sys.stdout, io.StringIO)
