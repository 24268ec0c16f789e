from __future__ import annotations

import json
import pwd
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from uv import find_uv_bin

from lls_provider.errors import Code, ExitStatus, SdkError
from lls_provider.wheels import interpreter as module
from lls_provider.wheels.interpreter import Interpreter, find_interpreter, lowest_minor
from lls_provider.wheels.missing_python import SEE_DOCTOR

# Versions that no machine has yet, so that what is installed here changes nothing.
FUTURE = (3, 18)
LATER = (3, 19)

Script = Callable[[Path, str], Path]


@pytest.fixture(autouse=True)
def bare_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home directory and a PATH in which no Python is."""
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    for name in (
        "LLS_PROVIDER_PYTHON",
        "PYENV_ROOT",
        "XDG_DATA_HOME",
        "UV_PYTHON_INSTALL_DIR",
        "ASDF_DATA_DIR",
        "MISE_DATA_DIR",
    ):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


@pytest.fixture
def on_path(bare_machine: Path) -> Path:
    return bare_machine / "bin"


def script(path: Path, body: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return path


def answering(
    path: Path,
    minor: tuple[int, int] = FUTURE,
    *,
    name: str = "cpython",
    level: str = "final",
    executable: Path | None = None,
) -> Path:
    """A program that answers as a Python of this version does."""
    answer = json.dumps([name, [*minor, 4], level, str(executable or path)])
    return script(path, f"echo '{answer}'")


def refusal(minimum: tuple[int, int] = FUTURE, explicit: str | None = None) -> SdkError:
    with pytest.raises(SdkError) as caught:
        find_interpreter(minimum=minimum, explicit=explicit)
    assert caught.value.code is Code.PYTHON_MISSING
    return caught.value


def test_the_python_that_was_run_tells_its_version() -> None:
    found = find_interpreter(explicit=sys.executable, minimum=(3, 11))
    assert found.version == sys.version_info[:3]
    assert found.minor == sys.version_info[:2]
    assert found.tag == f"cp3{sys.version_info.minor}"
    assert str(found) == f"Python {'.'.join(map(str, sys.version_info[:3]))} ({found.path})"


def test_the_lowest_suitable_one_is_taken(on_path: Path) -> None:
    answering(on_path / "python3.19", LATER)
    lower = answering(on_path / "python3.18")
    assert find_interpreter(minimum=FUTURE) == Interpreter(lower, (3, 18, 4))
    assert find_interpreter(minimum=LATER).version == (3, 19, 4)


def test_one_minor_version_can_be_asked_for(on_path: Path) -> None:
    answering(on_path / "python3.18")
    later = answering(on_path / "python3.19", LATER)
    assert find_interpreter(exactly=LATER).path == later
    assert find_interpreter(explicit="3.19").path == later


def test_the_first_on_path_wins_among_equals(
    bare_machine: Path, on_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = answering(bare_machine / "first" / "python3.18")
    answering(on_path / "python3.18")
    monkeypatch.setenv("PATH", f"{first.parent}:{on_path}")
    assert find_interpreter(minimum=FUTURE).path == first


def test_a_python_known_only_as_python3_is_found(on_path: Path) -> None:
    named = answering(on_path / "python3")
    assert find_interpreter(minimum=FUTURE).path == named


@pytest.mark.parametrize(
    "place",
    [
        ".pyenv/versions/3.18.4/bin/python3",
        ".local/share/uv/python/cpython-3.18.4-linux-x86_64-gnu/bin/python3",
        ".asdf/installs/python/3.18.4/bin/python3",
        ".local/share/mise/installs/python/3.18.4/bin/python3",
        "miniconda3/bin/python3",
        "miniforge3/bin/python3",
    ],
)
def test_version_managers_keep_them_off_the_path(bare_machine: Path, place: str) -> None:
    hidden = answering(bare_machine / "home" / place)
    assert find_interpreter(minimum=FUTURE).path == hidden


@pytest.mark.parametrize(
    ("variable", "place"),
    [
        ("PYENV_ROOT", "versions/3.18.4/bin/python3"),
        ("UV_PYTHON_INSTALL_DIR", "cpython-3.18/bin/python3"),
        ("ASDF_DATA_DIR", "installs/python/3.18.4/bin/python3"),
        ("MISE_DATA_DIR", "installs/python/3.18.4/bin/python3"),
        ("XDG_DATA_HOME", "uv/python/cpython-3.18/bin/python3"),
    ],
)
def test_version_managers_can_live_elsewhere(
    bare_machine: Path, monkeypatch: pytest.MonkeyPatch, variable: str, place: str
) -> None:
    hidden = answering(bare_machine / "elsewhere" / place)
    monkeypatch.setenv(variable, str(bare_machine / "elsewhere"))
    assert find_interpreter(minimum=FUTURE).path == hidden


def test_a_shim_that_fails_is_passed_over(bare_machine: Path, on_path: Path) -> None:
    shim = script(
        on_path / "python3.18",
        "echo 'pyenv: python3.18: command not found' >&2; echo more >&2; exit 127",
    )
    hidden = answering(bare_machine / "home" / ".pyenv/versions/3.18.4/bin/python3")
    assert find_interpreter(minimum=FUTURE).path == hidden
    hidden.unlink()
    assert f"{shim}: fails: pyenv: python3.18: command not found" in refusal().why


def test_a_shim_leads_to_the_python_that_it_chose(bare_machine: Path, on_path: Path) -> None:
    chosen = answering(bare_machine / "chosen" / "python3.18")
    answering(on_path / "python3.18", executable=chosen)
    assert find_interpreter(minimum=FUTURE).path == chosen


def test_one_program_under_many_names_is_asked_under_each(on_path: Path) -> None:
    """Some version managers link every shim to themselves and go by the name they are called."""
    answer = json.dumps(["cpython", [*FUTURE, 4], "final", str(on_path / "python3.18")])
    manager = script(
        on_path / "manager",
        f"case $0 in */python3.18) echo '{answer}';; *) echo 'not set' >&2; exit 1;; esac",
    )
    for name in ("python3.17", "python3.18", "python3"):
        (on_path / name).symlink_to(manager)
    assert find_interpreter(minimum=FUTURE).version == (3, 18, 4)


def test_one_python_under_many_names_is_run_once(on_path: Path) -> None:
    real = script(on_path / "python3.18", f"echo called >> {on_path}/calls; exit 1")
    (on_path / "python3").symlink_to(real)
    refusal()
    assert (on_path / "calls").read_text() == "called\n"


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("exit 3", "fails: exit 3"),
        ("echo hello", "is not a Python"),
        ("echo 18", "is not a Python"),
        ("echo '[1, 2]'", "is not a Python"),
        ("echo null", "is not a Python"),
        ("""echo '["cpython", ["a", "b", "c"], "final", ""]'""", "is not a Python"),
        ("""echo '["cpython", [3, 18, 0], "final", 7]'""", "is not a Python"),
        ("""echo '["pypy", [3, 18, 0], "final", ""]'""", "is pypy, not CPython"),
        ("""echo '["cpython", [3, 18, 0], "beta", ""]'""", "is a pre-release (beta)"),
        ("""echo '["cpython", [3, 7, 1], "final", ""]'""", "is Python 3.7.1, not 3.18 or later"),
        (
            "printf 'Traceback (most recent call last):\\nImportError: encodings' >&2; exit 1",
            "fails: ImportError: encodings",
        ),
    ],
)
def test_what_a_candidate_says_is_judged(on_path: Path, body: str, reason: str) -> None:
    path = script(on_path / "python3.18", body)
    assert f"  {path}: {reason}" in refusal().why.splitlines()


def test_a_candidate_that_hangs_is_given_up(on_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_TIMEOUT", 0.1)
    path = script(on_path / "python3.18", "exec /bin/sleep 60")
    assert f"{path}: gave no answer within" in refusal(explicit=str(path)).why


def test_a_candidate_that_no_kernel_runs(on_path: Path) -> None:
    path = on_path / "python3.18"
    path.parent.mkdir()
    path.write_bytes(b"\x7fELF, or so it says")
    path.chmod(0o755)
    assert f"{path}: Exec format error" in refusal().why


def test_a_candidate_that_may_not_be_run(on_path: Path) -> None:
    path = answering(on_path / "python3.18")
    path.chmod(0o644)
    assert f"{path}: is not executable" in refusal().why


def test_an_explicit_path_leaves_no_choice(bare_machine: Path, on_path: Path) -> None:
    answering(on_path / "python3.18")
    told = answering(bare_machine / "mine" / "python", LATER)
    assert find_interpreter(explicit=str(told)).path == told
    error = refusal(explicit=str(bare_machine / "gone" / "python"))
    assert str(bare_machine / "gone" / "python") in error.why
    assert str(on_path) not in error.why


def test_an_explicit_python_that_is_too_old_is_refused(on_path: Path) -> None:
    told = answering(on_path / "mine")
    assert "is Python 3.18.4, not 3.19 or later" in refusal(LATER, explicit=str(told)).why


def test_an_explicit_command_is_looked_up(on_path: Path) -> None:
    told = answering(on_path / "my-python")
    assert find_interpreter(explicit="my-python").path == told


def test_the_variable_names_one_too(
    bare_machine: Path, on_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answering(on_path / "python3.18")
    told = answering(bare_machine / "mine" / "python", LATER)
    monkeypatch.setenv("LLS_PROVIDER_PYTHON", str(told))
    assert find_interpreter(minimum=FUTURE).path == told
    assert find_interpreter(explicit=str(on_path / "python3.18")).version == (3, 18, 4)


@pytest.mark.parametrize("minimum", [FUTURE, (3, 12)])
def test_the_variable_serves_a_version_that_is_asked_for(
    bare_machine: Path, monkeypatch: pytest.MonkeyPatch, minimum: tuple[int, int]
) -> None:
    """As for an image, which names the version that it was built for."""
    told = answering(bare_machine / "mine" / "python")
    monkeypatch.setenv("LLS_PROVIDER_PYTHON", str(told))
    assert find_interpreter(minimum=minimum, explicit="3.18").path == told


def test_another_version_than_the_variables_is_searched(
    bare_machine: Path, on_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    later = answering(on_path / "python3.19", LATER)
    monkeypatch.setenv("LLS_PROVIDER_PYTHON", str(answering(bare_machine / "mine" / "python")))
    assert find_interpreter(minimum=FUTURE, explicit="3.19").path == later


def test_without_any_the_error_says_what_was_tried_and_what_to_do(on_path: Path) -> None:
    answering(on_path / "python3.18")
    error = refusal(LATER)
    assert error.status is ExitStatus.ENVIRONMENT
    assert error.what == "No Python 3.19 or later on this machine"
    assert f"{on_path / 'python3.18'}: is Python 3.18.4, not 3.19 or later" in error.why
    elsewhere = "For one in another place, give --python PATH or set LLS_PROVIDER_PYTHON=PATH."
    assert error.resolution.split("\n") == [
        "Install one, which is then found:",
        f"  {find_uv_bin()} python install 3.19",
        f"{elsewhere}{SEE_DOCTOR}",
    ]
    (on_path / "uv").symlink_to(find_uv_bin())
    assert "  uv python install 3.19" in refusal(LATER).resolution.splitlines()


@pytest.mark.parametrize("variable", ["", "XDG_DATA_HOME", "UV_PYTHON_INSTALL_DIR"])
def test_what_uv_installs_is_found(
    bare_machine: Path, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    """The real uv tells where it installs; a Python of its has this name there."""
    if variable:
        monkeypatch.setenv(variable, str(bare_machine / "elsewhere"))
    asked = [find_uv_bin(), "python", "dir", "--color=never"]
    told = subprocess.run(asked, check=True, capture_output=True, text=True).stdout.strip()
    name = "cpython-3.18.4-linux-x86_64-gnu"
    installed = answering(Path(told) / name / "bin" / "python3.18")
    (installed.parent / "python3").symlink_to("python3.18")
    (installed.parent / "python").symlink_to("python3.18")
    assert find_interpreter(minimum=FUTURE).version == (3, 18, 4)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("gone/python", "does not exist"),
        ("", "is a directory"),
        ("old", "is Python 3.18.4, not 3.19 or later"),
    ],
)
def test_a_variable_that_names_none_is_told_and_what_would_do(
    bare_machine: Path, on_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, reason: str
) -> None:
    answering(bare_machine / "mine" / "old")
    named = bare_machine / "mine" / name
    monkeypatch.setenv("LLS_PROVIDER_PYTHON", str(named))
    error = refusal(LATER)
    assert error.what == f"LLS_PROVIDER_PYTHON={named} is not a Python 3.19 or later"
    assert error.why == f"{named}: {reason}"
    assert error.resolution == (
        "Correct LLS_PROVIDER_PYTHON; or unset LLS_PROVIDER_PYTHON, and install one, which is then "
        f"found:\n  {find_uv_bin()} python install 3.19"
    )
    there = answering(on_path / "python3.19", LATER)
    assert refusal(LATER).resolution == (
        f"Correct LLS_PROVIDER_PYTHON, or unset LLS_PROVIDER_PYTHON: {there} is then found."
    )
    monkeypatch.delenv("LLS_PROVIDER_PYTHON")
    assert find_interpreter(minimum=LATER).path == there


def test_an_option_that_names_none_is_told_and_what_would_do(on_path: Path) -> None:
    there = answering(on_path / "python3.18")
    error = refusal(explicit="python4")
    assert error.what == "python4 is not a Python 3.18 or later"
    assert error.why == "python4: is not on PATH"
    assert error.resolution == (
        f"Correct --python, or `python` in [tool.lls-provider], or name none: {there} is then "
        "found."
    )


def test_a_version_that_is_not_there_can_be_installed_or_left_out(
    on_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = answering(on_path / "python3.18")
    error = refusal(explicit="3.19")
    assert error.what == "No Python 3.19 on this machine"
    other = "Or correct --python, or `python` in [tool.lls-provider]"
    assert error.resolution.splitlines()[1:] == [
        f"  {find_uv_bin()} python install 3.19",
        f"{other}; or name none: {there} is then found.{SEE_DOCTOR}",
    ]
    monkeypatch.setenv("LLS_PROVIDER_PYTHON", "3.19")
    assert "Or correct LLS_PROVIDER_PYTHON; or unset LLS_PROVIDER_PYTHON: " in refusal().resolution


@pytest.mark.parametrize("variable", ["PATH", "PYENV_ROOT"])
def test_a_place_that_cannot_be_looked_into_is_passed_over(
    bare_machine: Path, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    hidden = answering(bare_machine / "home" / "miniforge3/bin/python3")
    monkeypatch.setenv(variable, "/" + "x" * 300)
    assert find_interpreter(minimum=FUTURE).path == hidden


def test_a_user_without_a_home_still_has_a_path(
    on_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nobody(uid: int) -> pwd.struct_passwd:
        raise KeyError(uid)

    monkeypatch.delenv("HOME")
    monkeypatch.setattr(pwd, "getpwuid", nobody)
    there = answering(on_path / "python3.18")
    assert find_interpreter(minimum=FUTURE).path == there


@pytest.mark.parametrize(
    ("requires", "lowest"),
    [
        ("", (3, 11)),
        (">=3.8", (3, 11)),
        (">=3.12", (3, 12)),
        (">=3.12.4,<4", (3, 12)),
        (">3.12", (3, 12)),  # 3.12.1 is later
        ("==3.13.*", (3, 13)),
        ("<3.8", (3, 11)),  # none: resolving says so
        ("no specifier", (3, 11)),
    ],
)
def test_the_lowest_python_that_a_project_allows(requires: str, lowest: tuple[int, int]) -> None:
    assert lowest_minor(requires) == lowest
