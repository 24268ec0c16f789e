"""That pytest ends with 0 says that the tests passed; that the process does, says nothing."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from lls_provider.errors import Code
from lls_provider.project.settings import read_settings
from lls_provider.project.tests import _NOT_ENDED, _failed, _pytest

QUIET = ["-q", "-p", "no:cacheprovider"]
WRONG = "def test_wrong(): assert False\n"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("file", "source"),
    [
        ("conftest.py", "raise SystemExit(0)\n"),
        ("conftest.py", "import os\nos._exit(0)\n"),
        ("test_exits.py", "import os\ndef test_exits(): os._exit(0)\n"),
        ("yaml.py", "import os\nos._exit(0)\n"),
    ],
)
def test_who_ends_the_process_has_not_passed(tmp_path: Path, file: str, source: str) -> None:
    (tmp_path / "test_wrong.py").write_text(f"import yaml\n{WRONG}" if file == "yaml.py" else WRONG)
    (tmp_path / file).write_text(source)
    assert (
        _pytest(Path(sys.executable), tmp_path, ["-q", "-p", "no:cacheprovider"], None)
        == _NOT_ENDED
    )


@pytest.mark.slow
@pytest.mark.parametrize(("source", "status"), [("def test_a(): pass\n", 0), (WRONG, 1), ("", 5)])
def test_who_ends_as_pytest_does_is_believed(tmp_path: Path, source: str, status: int) -> None:
    (tmp_path / "test_some.py").write_text(source)
    assert _pytest(Path(sys.executable), tmp_path, QUIET, None) == status


SKIPPED = "import pytest\n@pytest.mark.skip(reason='no safety here')\ndef test_a(): pass\n"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "shown"), [([], True), (["-rA"], True), (["-rf"], True), (["-rN"], False)]
)
def test_the_reason_of_a_skipped_test_is_shown(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], arguments: list[str], shown: bool
) -> None:
    (tmp_path / "test_some.py").write_text(SKIPPED + WRONG)
    assert _pytest(Path(sys.executable), tmp_path, [*QUIET, *arguments], None) == 1
    out = capfd.readouterr().out
    assert ("no safety here" in out) is shown
    assert ("FAILED test_some.py::test_wrong" in out) is shown, "what is shown anyway stays"


def test_it_is_told_with_what_to_look_for(project: Path) -> None:
    error = _failed(read_settings(project), _NOT_ENDED, Path(sys.executable))
    assert error.code is Code.TESTS_FAILED
    assert error.what == "acme-echo ends Python in its tests"
    assert "exit status 0 before pytest did" in error.why
    assert "sys.exit(), exit() and os._exit()" in error.resolution
