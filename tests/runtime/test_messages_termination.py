from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lls_provider.errors import Code, SdkError
from lls_provider.runtime.cli.arguments import main
from lls_provider.runtime.messages import (
    ERROR_FILE,
    cut_message,
    write_error_file,
    write_termination_log,
)
from lls_provider.runtime.preflight.probe_process import child_environment
from lls_provider.runtime.process import exit_guard


@pytest.mark.parametrize(
    ("given", "limit"),
    [("", 4096), ("877", 877), ("9999", 4096), ("0", 4096), ("-1", 4096), ("x", 4096), ("²", 4096)],
)
def test_a_message_keeps_its_resolution_in_the_share_of_its_container(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, given: str, limit: int
) -> None:
    monkeypatch.setenv("LLS_TERMINATION_LOG_LIMIT", given)
    log = tmp_path / "log"
    log.touch()
    write_termination_log(f"ERROR: {'x' * 5000}\n\nResolution: Do this.\n", str(log))
    message = log.read_text()
    assert len(message.encode()) == limit
    assert message.startswith("ERROR: x")
    assert message.endswith("\n\nResolution: Do this.\n")


def test_a_short_message_is_written_whole(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("old " * 100)
    write_termination_log("ERROR: x\n", str(log))
    assert log.read_text() == "ERROR: x\n"


def test_a_file_that_is_not_there_is_not_created(tmp_path: Path) -> None:
    write_termination_log("x", str(tmp_path / "log"))
    assert list(tmp_path.iterdir()) == []


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "target").write_text("keep")
    (tmp_path / "log").symlink_to("target")
    write_termination_log("x", str(tmp_path / "log"))
    assert (tmp_path / "target").read_text() == "keep"


def test_a_pipe_that_nobody_reads_does_not_hold_up(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "log")
    write_termination_log("x", str(tmp_path / "log"))


COMMANDS = {
    "install": ["install", "--provider-id", "a", "--api", "safety", "--image", "i"],
    "merge": ["merge", "--root", "/nowhere"],
    "preflight": ["preflight", "--run-yaml", "/nowhere"],
    "usage": ["install"],
}


@pytest.mark.parametrize("command", COMMANDS)
def test_an_error_is_left_as_data_where_a_variable_says(
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    command: str,
) -> None:
    place = tmp_path / "error.json"
    place.write_text("of a run before")
    place.chmod(0o444)
    monkeypatch.setenv(ERROR_FILE, str(place))
    status = main(COMMANDS[command])
    error = SdkError.from_json(place.read_bytes())
    assert error.status == status != 0
    shown = capfd.readouterr().err
    assert shown.endswith(f"{error.render()}\n")
    assert list(tmp_path.iterdir()) == [place]
    assert place.stat().st_mode & 0o777 == 0o600
    monkeypatch.delenv(ERROR_FILE)
    assert main(COMMANDS[command]) == status
    assert capfd.readouterr().err == shown


@pytest.mark.parametrize("place", ["no/folder", "folder", "nul\0", "x" * 300])
def test_an_error_file_that_cannot_be_written_changes_nothing(tmp_path: Path, place: str) -> None:
    (tmp_path / "folder").mkdir()
    error = SdkError(Code.USAGE, "x", resolution="y")
    write_error_file(error, f"{tmp_path}/{place}")
    assert [it.name for it in tmp_path.iterdir()] == ["folder"]


def test_a_process_that_a_module_ended_leaves_its_error_as_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert exit_guard._ERROR_FILE == ERROR_FILE
    place = tmp_path / "error.json"
    monkeypatch.setenv(ERROR_FILE, str(place))

    def work() -> int:
        raise SystemExit(0)

    status = exit_guard.guarded(work)
    error = SdkError.from_json(place.read_bytes())
    assert (error.code, error.status) == (Code.PROCESS_ENDED, status)
    assert error.where.file == __file__


def test_a_provider_is_not_told_of_the_error_file() -> None:
    values = child_environment((), {ERROR_FILE: "/x", "HOME": "/h"})
    assert ERROR_FILE not in values
    assert values["HOME"] == "/h"


@pytest.mark.parametrize("limit", range(60, 90))
@pytest.mark.parametrize("character", ["x", "é", "€", "😀"])
def test_no_character_is_cut_in_two(limit: int, character: str) -> None:
    message = f"ERROR: {character * 100}\n\nResolution: {character * 100}"
    data = cut_message(message, limit)
    assert len(data) <= limit
    text = data.decode()
    assert text.startswith("ERROR: ")
    assert "\n\nResolution: " in text
    assert len(data) > limit - 8  # and no more than a character is lost at each cut


@pytest.mark.parametrize(
    "kind",
    [
        "missing",
        "no directory",
        "folder",
        "full",
        "pipe",
        "link",
        "socket",
        "below a file",
        "no file",
    ],
)
def test_where_it_cannot_be_written_nothing_else_changes(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], kind: str
) -> None:
    log = tmp_path / "log"
    match kind:
        case "no directory":
            log = tmp_path / "nowhere" / "log"
        case "below a file":
            (tmp_path / "file").touch()
            log = tmp_path / "file" / "log"
        case "no file":
            log = Path("/proc/version")  # opens for root, and cannot be written
        case "socket":
            with socket.socket(socket.AF_UNIX) as unix:
                unix.bind(str(log))
        case "folder":
            log.mkdir()
        case "full":
            log = Path("/dev/full")
        case "pipe":
            os.mkfifo(log)
        case "link":
            log.symlink_to(tmp_path / "target")
    argv = [
        *("install", "--provider-id", "a", "--api", "safety", "--image", "i"),
        *("--source", "/nowhere", "--root", str(tmp_path / "volume")),
    ]
    told = []
    for place in (tmp_path / "fine", log):
        if place.name == "fine":
            place.touch()
        status = main([*argv, "--termination-log", str(place)])
        told.append((status, capfd.readouterr()))
    assert told[0] == told[1]
    assert told[0][0] == 1
    assert not (tmp_path / "nowhere").exists()
    assert (tmp_path / "fine").read_text() == told[0][1].err[told[0][1].err.index("ERROR:") :]


def test_a_pipe_that_somebody_reads_gets_the_message(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "log")
    reader = os.open(tmp_path / "log", os.O_RDONLY | os.O_NONBLOCK)
    write_termination_log("ERROR: x\n", str(tmp_path / "log"))
    assert os.read(reader, 100) == b"ERROR: x\n"
    os.close(reader)


def test_a_conflict_of_many_packages_fits_into_the_status_of_a_pod(
    tmp_path: Path, pod: Any, make_bundle: Callable[..., Path], capfd: pytest.CaptureFixture[str]
) -> None:
    """4,096 bytes, not characters, and the beginning, the first causes and the end stay."""
    image = f"registry.example.com/{'größe€😀' * 40}:1"
    needs = [f"missing-{number:03}" for number in range(200)]
    source = make_bundle(requires=needs, provided={})
    log = tmp_path / "log"
    log.touch()
    arguments = ["--provider-id", "echo", "--api", "inference", "--image", image]
    arguments += ["--source", str(source), "--root", str(pod.root), "--termination-log", str(log)]
    assert main(["install", *arguments]) == 1
    shown = capfd.readouterr().err
    assert len(shown.encode()) > 20_000
    data = log.read_bytes()
    assert 4080 < len(data) <= 4096
    head, _, tail = data.decode().partition("\n[…]\n")
    assert head.startswith("ERROR: Cannot install provider 'echo' due to dependency conflict\n\n")
    assert f"Image: {image}\nInit Container: install-provider-echo\n" in head
    assert "missing-000: neither this image nor the distribution provides it" in head
    assert head in shown
    assert tail.startswith("\n\nResolution: Update provider images")
    assert shown.endswith(tail)


def test_a_folder_is_no_reason_to_fail(tmp_path: Path) -> None:
    write_termination_log("x", str(tmp_path))
    write_termination_log("x", "/proc/\0")


def test_a_long_message_keeps_cause_and_resolution() -> None:
    message = "ERROR: cause\n\n" + "é details\n" * 5000 + "\nResolution: do this"
    data = cut_message(message, 4096)
    text = data.decode()
    assert len(data) <= 4096
    assert text.startswith("ERROR: cause\n")
    assert text.endswith("\n\nResolution: do this")
    assert "[…]" in text


def test_a_long_message_without_resolution_keeps_its_beginning() -> None:
    data = cut_message("é" * 5000, 4096)
    assert len(data) <= 4096
    assert data.decode().startswith("ééé")


def test_a_long_resolution_leaves_room_for_the_cause() -> None:
    data = cut_message("ERROR: cause\n\nResolution: " + "x" * 9000, 4096)
    assert len(data) <= 4096
    assert data.startswith(b"ERROR: cause")
    assert b"Resolution: xxx" in data
