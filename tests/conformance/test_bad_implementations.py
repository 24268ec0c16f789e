"""An implementation that misbehaves fails its vectors, and takes neither the runner nor time."""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.processes import runs

from lls_provider.conformance import harness
from lls_provider.conformance.runner import run_conformance
from lls_provider.conformance.template import parse_template
from lls_provider.conformance.volume_state import VolumeState, read_volume

if TYPE_CHECKING:
    from lls_provider.conformance.report import ConformanceReport

pytestmark = pytest.mark.slow

BAD = Path(__file__).parent / "bad.py"
ONE = "installer/install: a provider with a dependency"
WAITS = ("hang", "deaf")  # these would run for minutes


def run(what: str, *select: str) -> ConformanceReport:
    template = parse_template("installer", f"{sys.executable} -I {BAD} {what} {{source}} {{root}}")
    limit = 2.0 if what in WAITS else 60.0
    return run_conformance([template], select=select or (ONE,), time_limit=limit, jobs=1)


def found(report: ConformanceReport) -> list[str]:
    return [it.found for result in report.failed for it in result.differences]


@pytest.mark.parametrize(
    ("what", "cause"),
    [
        ("hang", "it ran longer than the time limit (2 seconds)"),
        ("deaf", "it ran longer than the time limit (2 seconds)"),
        ("crash", "a signal ended it: SIGABRT"),
        ("flood", "it wrote more than the limit (1,048,576 bytes)"),
        ("bytes", "exit status 1; stderr ends in: "),
        ("delete", "the volume: No such file or directory"),
        ("many", "more than 5,000 files and directories"),
        ("garbage", "/deep: too deep"),
    ],
)
def test_what_it_did_is_reported(what: str, cause: str) -> None:
    started = time.monotonic()
    report = run(what)
    assert len(report.failed) == len(report.results) == 1
    assert any(cause in text for text in found(report)), found(report)
    assert report.status == 1
    assert time.monotonic() - started < 60


def test_it_fails_where_files_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    crd = "external-providers/metadata/acme-echo/crd-config.yaml"
    report = run("garbage", "installer/install: no configuration is no key")
    expected = [it.expected for result in report.failed for it in result.differences]
    assert f"{crd} is a YAML document" in expected
    assert list(tmp_path.iterdir()) == []  # what is shut and deep is removed too


@pytest.mark.parametrize(
    ("select", "expected"),
    [
        ("slots: a failed update", "run 2 of 2: a volume that can be read"),
        ("slots: a later image", "run 2 of 2: the files beside the volume left as they were"),
    ],
)
def test_what_is_beside_the_volume_may_go_too(select: str, expected: str) -> None:
    report = run("uproot", select)
    assert [it.expected for result in report.failed for it in result.differences][-1] == expected


def test_links_in_place_of_inputs_are_not_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OUTSIDE", str(tmp_path))
    (tmp_path / "kept").touch(0o600)
    tmp_path.chmod(0o711)
    assert run("link", "slots: the container runs again").failed
    assert (tmp_path / "kept").exists()
    assert tmp_path.stat().st_mode & 0o777 == 0o711


def test_what_it_left_in_the_background_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    pids: list[int] = []

    def reading(root: Path) -> VolumeState:
        state = read_volume(root)
        if text := state.text("pid"):
            pids.append(int(text))
        return state

    monkeypatch.setattr(harness, "read_volume", reading)
    started = time.monotonic()
    report = run("background")
    assert time.monotonic() - started < 20
    assert report.failed
    assert pids
    deadline = time.monotonic() + 10
    while runs(pids[0]) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not runs(pids[0])
