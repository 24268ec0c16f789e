from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tests.factories.projects import backend

from lls_provider.errors import Code, ExitStatus, SdkError
from lls_provider.wheels.pep517 import build_wheel
from lls_provider.wheels.reproducible import backend_epoch, source_date_epoch
from lls_provider.wheels.uv import run_uv

if TYPE_CHECKING:
    from lls_provider.wheels.interpreter import Interpreter

pytestmark = pytest.mark.slow

SECONDS = "It must be a whole number of seconds since 1970, written in digits only."
WRONG = {
    "yesterday": SECONDS,
    "1e9": SECONDS,
    "-1": SECONDS,
    "+1": SECONDS,
    "1.5": SECONDS,
    "1_000": SECONDS,
    " 1700000000": SECONDS,
    "1700000000\n": SECONDS,
    "0x10": SECONDS,
    "\u0661\u0662": SECONDS,  # digits, but not those of ASCII
    "1700000000000": "As milliseconds it would be 2023-11-14.",
    "1700000000000000": "As microseconds it would be 2023-11-14.",
    "1700000000000000000": "As nanoseconds it would be 2023-11-14.",
    "8589934592": "this one is after the year 2242.",
    "9" * 30: "after the year 2242",
    "9" * 5000: "after the year 2242",
}
# writes the time that it is given into its wheel, as the backends do
ZIP_TIME = backend(
    before='pathlib.Path("told").write_text(os.environ["SOURCE_DATE_EPOCH"])',
    date='time.localtime(int(os.environ["SOURCE_DATE_EPOCH"]))[:6]',
)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project whose backend cannot say other years than zip can."""
    folder = tmp_path / "project"
    (folder / "demo").mkdir(parents=True)
    (folder / "demo" / "provider.py").write_text("")
    (folder / "backend.py").write_text(ZIP_TIME)
    (folder / "pyproject.toml").write_text(
        '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
        '[project]\nname = "demo"\nversion = "1.0"\n'
        '[tool.lls-provider]\napi = "inference"\nprovider-type = "remote::demo"\n'
        'module = "demo"\nvendor = "Acme"\n'
    )
    return folder


@pytest.mark.parametrize(("text", "why"), WRONG.items(), ids=lambda it: it[:20])
def test_what_is_no_time_is_refused_with_the_reason(text: str, why: str) -> None:
    with pytest.raises(SdkError) as caught:
        source_date_epoch({"SOURCE_DATE_EPOCH": text})
    assert caught.value.code is Code.USAGE
    assert why in caught.value.why
    assert len(caught.value.render()) < 400
    assert "Unset it, or set it to `git log -1 --pretty=%ct`." in caught.value.resolution


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, 0),
        ({"SOURCE_DATE_EPOCH": ""}, 0),
        ({"SOURCE_DATE_EPOCH": "0"}, 0),
        ({"SOURCE_DATE_EPOCH": "0000000000000000001"}, 1),
        ({"SOURCE_DATE_EPOCH": "1700000000"}, 1700000000),
        ({"SOURCE_DATE_EPOCH": "8589934591"}, 8589934591),
    ],
)
def test_what_is_a_time_is_read(environment: dict[str, str], expected: int) -> None:
    assert source_date_epoch(environment) == expected


@pytest.mark.parametrize("zone", ["UTC", "America/Los_Angeles", "Asia/Tokyo", "XXX+23:59"])
@pytest.mark.parametrize("text", ["", "0", "1", "315532799", "1700000000", "4354819200", "5" * 10])
def test_a_zip_can_say_what_a_backend_is_told(
    text: str, zone: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        told = int(backend_epoch({"SOURCE_DATE_EPOCH": text}))
        assert 1980 <= time.localtime(told).tm_year <= 2107
        assert 1980 <= time.gmtime(told).tm_year <= 2107
    finally:
        monkeypatch.undo()
        time.tzset()


def test_a_time_that_a_zip_can_say_is_told_as_it_is() -> None:
    assert backend_epoch({"SOURCE_DATE_EPOCH": "1700000000"}) == "1700000000"


@pytest.mark.parametrize("text", [None, "", "0", "1700000000", "4354819200", "8589934591"])
def test_any_time_builds_the_same_wheel(
    project: Path,
    interpreter: Interpreter,
    tmp_path: Path,
    text: str | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if text is None:
        monkeypatch.delenv("SOURCE_DATE_EPOCH", raising=False)
    else:
        monkeypatch.setenv("SOURCE_DATE_EPOCH", text)
    wheel = build_wheel(project, tmp_path / "out", interpreter=interpreter)
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "86400")
    other = build_wheel(project, tmp_path / "other", interpreter=interpreter)
    assert wheel.read_bytes() == other.read_bytes()


@pytest.mark.parametrize("text", ["1e9", "1700000000000"])
def test_no_command_of_uv_runs_a_backend_with_a_wrong_time(
    text: str, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """uv runs build backends when it locks and installs."""
    monkeypatch.setenv("SOURCE_DATE_EPOCH", text)
    with pytest.raises(SdkError, match="SOURCE_DATE_EPOCH is not a time"):
        run_uv(["pip", "compile", "pyproject.toml"], doing="resolving", cwd=project)
    assert not (project / "told").exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    "command",
    [
        ("build", ".", "--output", "oci:image"),
        ("check", ".", "--distribution", f"python:{sys.executable}"),
        ("test", ".", "--distribution", f"python:{sys.executable}"),
    ],
    ids=lambda it: it[0],
)
def test_a_wrong_time_is_told_before_anything_is_built(
    project: Path, cli: Callable[..., Any], command: tuple[str, ...]
) -> None:
    done = cli(*command, cwd=project, env={"SOURCE_DATE_EPOCH": "1700000000000"})
    assert done.returncode == ExitStatus.USAGE, done.stderr
    assert "ERROR: SOURCE_DATE_EPOCH is not a time: '1700000000000'" in done.stderr
    assert not (project / "told").exists()
    assert not (project / "image").exists()
