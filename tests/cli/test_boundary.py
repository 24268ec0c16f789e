"""Errors at the top: one look, on stderr, with the exit status of the table."""

from __future__ import annotations

import errno
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import click
import pytest

from lls_provider.cli.boundary import DEBUG, run
from lls_provider.errors import Code, SdkError, Where

Cli = Callable[..., "subprocess.CompletedProcess[str]"]

COMMAND = [sys.executable, "-m", "lls_provider.cli"]


def raising(error: BaseException) -> click.Command:
    @click.command("fails")
    def command() -> None:
        raise error

    return command


def shown(capsys: pytest.CaptureFixture[str], error: BaseException) -> tuple[int, str]:
    status = run(raising(error), [])
    out, err = capsys.readouterr()
    assert out == ""
    return status, err


@pytest.mark.parametrize("code", Code)
def test_an_error_of_ours_is_rendered_and_decides_the_status(
    capsys: pytest.CaptureFixture[str], code: Code
) -> None:
    error = SdkError(
        code, "It broke", why="Because", where=Where("a.toml", 3, 4), resolution="Mend it."
    )
    assert shown(capsys, error) == (code.status, error.render() + "\n")


def test_a_fault_of_ours_asks_for_a_report_without_a_traceback(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(DEBUG, raising=False)
    status, text = shown(capsys, ZeroDivisionError("by zero"))
    assert status == 1
    assert "ZeroDivisionError: by zero" in text
    assert "Resolution: Please report it" in text
    assert "Traceback" not in text
    assert re.search(r"lls-provider \d.*Python 3\.", text)


def test_the_traceback_is_there_for_who_asks(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(DEBUG, "1")
    _status, text = shown(capsys, ZeroDivisionError("by zero"))
    assert text.startswith("Traceback")


def test_a_disk_that_ran_full_unexpectedly_is_no_fault_of_ours(
    capfd: pytest.CaptureFixture[str],
) -> None:
    script = (
        "import errno, os, click\n"
        "from lls_provider.cli.boundary import run\n"
        "@click.command()\n"
        "def fails(): raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), 'a/file')\n"
        "raise SystemExit(run(fails, []))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 3
    assert os.strerror(errno.ENOSPC) in done.stderr
    assert "File: a/file" in done.stderr


@pytest.mark.parametrize(
    ("words", "what"),
    [
        (["chek"], "There is no command 'chek'. Did you mean 'check'"),
        (["zzz"], "There is no command 'zzz'"),
        (["--nope"], "--nope"),
        (["check"], "Missing argument"),
        (["check", ".", "--format", "yaml"], "'yaml' is not one of 'text', 'json', 'junit'"),
    ],
)
def test_bad_usage_has_the_look_of_every_error(cli: Cli, words: Sequence[str], what: str) -> None:
    done = cli(*words)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("ERROR: ")
    assert what in done.stderr.replace('"', "'")
    assert re.search(r"^Resolution: Run 'lls-provider.* --help'", done.stderr, re.MULTILINE)


def test_a_reader_that_has_gone_is_no_error() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = subprocess.run([*COMMAND, "--help"], stdout=writer, stderr=subprocess.PIPE)
    finally:
        os.close(writer)
    assert (done.returncode, done.stderr) == (0, b"")


def test_a_reader_that_goes_while_the_work_is_done_does_not_end_it(tmp_path: Path) -> None:
    script = (
        "import click, pathlib, sys\n"
        "from lls_provider.cli.boundary import run\n"
        "from lls_provider.cli.boundary import show\n"
        "@click.command()\n"
        "def works():\n"
        "    show('begun'); show('more'); pathlib.Path(sys.argv[1]).touch()\n"
        "raise SystemExit(run(works, []))\n"
    )
    reader, writer = os.pipe()
    os.close(reader)
    words = [sys.executable, "-c", script, str(tmp_path / "done")]
    try:
        done = subprocess.run(words, stdout=writer, stderr=subprocess.PIPE)
    finally:
        os.close(writer)
    assert (done.returncode, done.stderr) == (0, b"")
    assert (tmp_path / "done").exists()


def test_a_connection_that_breaks_is_no_success() -> None:
    script = (
        "import click\n"
        "from lls_provider.cli.boundary import run\n"
        "@click.command()\n"
        "def sends(): raise BrokenPipeError(32, 'Broken pipe')\n"
        "raise SystemExit(run(sends, []))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 1
    assert "BrokenPipeError: [Errno 32] Broken pipe" in done.stderr


@pytest.mark.parametrize("error", [SystemExit(0), SystemExit(), SystemExit("text")])
def test_who_ends_the_process_in_a_command_is_told(
    capfd: pytest.CaptureFixture[str], error: SystemExit
) -> None:
    assert run(raising(error), []) == 3
    told = capfd.readouterr().err
    assert told.startswith("ERROR: A module that is not ours ended the process\n\nFile: ")
    assert "was raised there. The work was not done." in told


def test_an_output_that_cannot_hold_the_result_is_told() -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run([*COMMAND, "--help"], stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 3
    assert done.stderr.startswith("ERROR: No space left to write the output")
    assert "Exception ignored" not in done.stderr


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["int", "term"]
)
def test_a_signal_ends_the_command_after_its_cleaning(number: signal.Signals, status: int) -> None:
    script = (
        "import click, signal\n"
        "from lls_provider.cli.boundary import run\n"
        "@click.command()\n"
        "def waits():\n"
        "    try:\n"
        "        click.echo('ready')\n"
        "        signal.pause()\n"
        "    finally:\n"
        "        click.echo('cleaned')\n"
        "raise SystemExit(run(waits, []))\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.send_signal(number)
    out, err = process.communicate(timeout=30)
    assert process.returncode == status
    assert out == "cleaned\n"
    assert err == f"lls-provider: stopped by {number.name}\n"


def test_closed_streams_do_no_harm() -> None:
    for closing in (">&-", "2>&-"):
        script = f'"$@" {closing}'
        done = subprocess.run(
            ["/bin/sh", "-c", script, "sh", *COMMAND, "chek"], capture_output=True, text=True
        )
        assert done.returncode == 2
