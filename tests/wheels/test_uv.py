from __future__ import annotations

import os
import stat
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import uv

from lls_provider.errors import Code, ExitStatus, SdkError
from lls_provider.wheels.uv import run_uv, uv_error
from lls_provider.wheels.uv_messages import names_dependency, yanked

if TYPE_CHECKING:
    from lls_provider.wheels.interpreter import Interpreter

UNSATISFIABLE = """\
error: No solution found when resolving dependencies
  cause: Because acme==1.0 depends on demo>=2 and you require demo==1.0, we can conclude that \
your requirements are unsatisfiable.
"""
REFUSED = """\
error: Failed to fetch: https://index.example/simple/demo/
  cause: error sending request for url (https://index.example/simple/demo/)
  cause: client error (Connect)
  cause: tcp connect error
  cause: Connection refused (os error 111)
"""
FULL = """\
error: Failed to write to the distribution cache
  cause: failed to write to file `/cache/.tmp1/demo.py`: No space left on device (os error 28)
"""


def failure(said: str) -> SdkError:
    return uv_error(said, 2, "resolving demo")


@pytest.mark.parametrize(
    ("said", "code"),
    [
        (UNSATISFIABLE, Code.RESOLUTION_FAILED),
        (REFUSED, Code.NETWORK),
        (FULL, Code.NO_SPACE),
        ("error: unexpected argument '--nonsense' found", Code.TOOL_FAILED),
        ("", Code.TOOL_FAILED),
    ],
)
def test_each_kind_of_failure_is_known_by_its_text(said: str, code: Code) -> None:
    error = failure(said)
    assert error.code is code
    assert "resolving demo" in error.what
    assert error.resolution


@pytest.mark.parametrize(
    "cause",
    [
        "dns error",
        "tunnel error: failed to create underlying connection",
        "invalid peer certificate: UnknownIssuer",
        "operation timed out",
        "HTTP status server error (503 Service Unavailable) for url (https://index.example/)",
        "HTTP status server error (500 Internal Server Error) for url (https://index.example/)",
        "HTTP status client error (407 Proxy Authentication Required) for url (https://i.example/)",
        "HTTP status client error (429 Too Many Requests) for url (https://index.example/)",
        "error decoding response body for url (https://index.example/simple/demo/)",
    ],
)
def test_an_index_that_does_not_answer_is_the_network(cause: str) -> None:
    error = failure(f"error: Failed to fetch: https://index.example/\n  cause: {cause}\n")
    assert error.code is Code.NETWORK
    assert error.status is ExitStatus.ENVIRONMENT
    assert cause in error.why


@pytest.mark.parametrize(
    "hint",
    [
        "Packages were unavailable because the network was disabled.",
        "An index could not be queried due to a lack of valid authentication credentials (401)",
        "An index (https://i.example/simple) returned a 403 Forbidden error.",
    ],
)
def test_an_index_that_was_not_heard_does_not_make_a_package_impossible(hint: str) -> None:
    said = "error: No solution found when resolving dependencies\n  cause: Because demo was not "
    error = failure(f"{said}found in the package registry, …\n\nhint: {hint}\n")
    assert error.code is Code.NETWORK
    assert hint in error.why


@pytest.mark.parametrize(
    ("said", "place"),
    [
        (
            (
                "error: Failed to initialize cache at `/home/acme/.cache/uv`\n"
                "  cause: failed to create directory `/home/acme/.cache/uv`: Permission denied "
                "(os error 13)\n"
            ),
            "/home/acme/.cache/uv",
        ),
        (
            (
                "error: Failed to initialize cache at `/elsewhere`\n"
                "  cause: failed to create directory `/elsewhere`: File exists (os error 17)\n"
            ),
            "/elsewhere",
        ),
        (
            (
                "error: Failed to initialize cache at `/ours/uv`\n"
                "  cause: failed to open file `/ours/uv/sdists-v11/.git`: Read-only file system "
                "(os error 30)\n"
            ),
            "/ours/uv",
        ),
        (
            (
                "error: Failed to write to the distribution cache\n"
                "  cause: failed to write to file `/ours/uv/archive-v0/x`: Permission denied "
                "(os error 13)\n"
            ),
            "/ours/uv",
        ),
        (
            (
                "error: Could not acquire lock\n"
                "  cause: Could not create temporary file\n"
                '  cause: Permission denied (os error 13) at path "/ours/uv/.tmpXlr4Kg"\n'
            ),
            "/ours/uv",
        ),
        (
            (
                "error: Failed to create virtual environment\n"
                "  cause: failed to create directory `/ours/environments/ogx-1`: Permission denied "
                "(os error 13)\n"
            ),
            "/ours",
        ),
    ],
)
def test_a_cache_that_cannot_be_written_is_told_as_ours_is(
    said: str, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LLS_PROVIDER_CACHE", "/ours")
    monkeypatch.delenv("UV_CACHE_DIR", raising=False)
    error = failure(said)
    assert error.code is Code.CACHE_UNWRITABLE
    assert error.status is ExitStatus.ENVIRONMENT
    assert error.what == f"Cannot write the cache {place}"
    assert error.resolution.startswith("Set LLS_PROVIDER_CACHE to a directory that you can write.")


def test_a_place_that_is_no_cache_is_left_to_what_uv_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLS_PROVIDER_CACHE", "/ours")
    said = "error: failed to open file `/project/pyproject.toml`: Permission denied (os error 13)"
    assert failure(said).code is Code.TOOL_FAILED


def test_a_full_disk_is_told_before_the_network_that_it_breaks() -> None:
    assert failure(FULL + REFUSED).code is Code.NO_SPACE


def test_the_explanation_comes_without_headings_and_labels() -> None:
    assert failure(UNSATISFIABLE).why == (
        "Because acme==1.0 depends on demo>=2 and you require demo==1.0, we can conclude that "
        "your requirements are unsatisfiable."
    )


def test_colours_are_removed() -> None:
    error = failure("\x1b[1m\x1b[31merror\x1b[39m\x1b[0m: the \x1b[36mfile\x1b[39m is wrong")
    assert error.why == "the file is wrong"


@pytest.mark.parametrize(
    "credentials", ["user:hunter2", "hunter2", "user:p@hunter2", "user:%68unter2"]
)
def test_credentials_are_removed(credentials: str) -> None:
    error = failure(f"error: Failed to fetch: https://{credentials}@index.example/simple/demo/")
    assert error.why == "Failed to fetch: https://index.example/simple/demo/"


def test_an_at_sign_after_the_host_is_no_credential() -> None:
    said = "error: Failed to fetch: https://index.example/@scope/demo"
    assert "index.example/@scope/demo" in failure(said).why


def test_of_a_long_output_the_end_is_shown() -> None:
    why = failure("\n".join(f"line {number}" for number in range(1000))).why
    assert "line 999" in why
    assert len(why.splitlines()) <= 40


def test_what_uv_prints_is_returned() -> None:
    assert run_uv(["--version"], doing="asking").startswith("uv ")


def test_what_uv_refuses_is_told() -> None:
    with pytest.raises(SdkError) as caught:
        run_uv(["--nonsense"], doing="trying")
    assert caught.value.code is Code.TOOL_FAILED
    assert "--nonsense" in caught.value.why


def test_the_folder_and_the_input_are_handed_over(tmp_path: Path) -> None:
    (tmp_path / "wanted.txt").write_text("")
    out = run_uv(
        ["pip", "compile", "-", "--quiet", "--no-header", "--offline"],
        stdin="-r wanted.txt\n",
        cwd=tmp_path,
        doing="resolving nothing",
    )
    assert out == ""


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Put a program in uv's place."""

    def write(text: str) -> Path:
        path = tmp_path / "uv"
        path.write_text(textwrap.dedent(text))
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
        monkeypatch.setattr(uv, "find_uv_bin", lambda: str(path))
        return path

    return write


def test_uv_does_not_take_the_surrounding_environment(
    stand_in: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in("#!/bin/sh\nenv\n")
    monkeypatch.setenv("VIRTUAL_ENV", "/somewhere")
    monkeypatch.setenv("UV_DEFAULT_INDEX", "https://index.example/simple")
    said = run_uv([], doing="asking", environ={"SOURCE_DATE_EPOCH": "1"}).splitlines()
    assert not [line for line in said if line.startswith("VIRTUAL_ENV=")]
    assert "UV_DEFAULT_INDEX=https://index.example/simple" in said
    assert "SOURCE_DATE_EPOCH=1" in said
    assert "UV_PYTHON_DOWNLOADS=never" in said
    assert os.environ["VIRTUAL_ENV"] == "/somewhere"


def test_bytes_that_are_no_text_do_no_harm(stand_in: Any) -> None:
    stand_in("#!/bin/sh\nprintf 'caf\\351\\n' >&2\nexit 7\n")
    with pytest.raises(SdkError) as caught:
        run_uv([], doing="asking")
    assert "caf" in caught.value.why
    assert "exit 7" in caught.value.what


def test_something_else_is_done_while_uv_runs(stand_in: Any, tmp_path: Path) -> None:
    stand_in(f"#!/bin/sh\nuntil [ -e '{tmp_path}/done' ]; do sleep 0.01; done\necho waited\n")
    said = run_uv([], doing="asking", meanwhile=(tmp_path / "done").touch)
    assert said == "waited\n"


def test_what_fails_meanwhile_ends_uv(stand_in: Any, tmp_path: Path) -> None:
    new, pid = tmp_path / "new", tmp_path / "pid"
    stand_in(f"#!/bin/sh\necho $$ >'{new}'\nmv '{new}' '{pid}'\nexec sleep 600\n")

    def fails() -> None:
        while not pid.exists():
            pass
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_uv([], doing="asking", meanwhile=fails)
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid.read_text()), 0)


def test_uv_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    def gone() -> str:
        raise FileNotFoundError("no uv in any of 3 places")

    monkeypatch.setattr(uv, "find_uv_bin", gone)
    with pytest.raises(SdkError) as caught:
        run_uv(["--version"], doing="asking")
    assert caught.value.code is Code.TOOL_MISSING
    assert "3 places" in caught.value.why


@pytest.mark.parametrize("mode", [0o644, None])
def test_uv_that_cannot_be_run(stand_in: Any, mode: int | None) -> None:
    path = stand_in("#!/bin/sh\n")
    if mode is None:
        path.unlink()
    else:
        path.chmod(mode)
    with pytest.raises(SdkError) as caught:
        run_uv(["--version"], doing="asking")
    assert caught.value.code is Code.TOOL_MISSING


def test_a_narrow_terminal_does_not_break_uvs_sentences(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "20")
    (tmp_path / "wanted").write_text("pydantic==2.14.4\npydantic<2\n")
    with pytest.raises(SdkError) as caught:
        run_uv(
            ["pip", "compile", "--offline", "--no-index", str(tmp_path / "wanted")],
            doing="resolving",
        )
    assert "we can conclude that your requirements are unsatisfiable" in caught.value.why


@pytest.mark.parametrize(
    ("why", "expected"),
    [
        ("acme==1 depends on open<2 and", True),
        ("acme==1 depends on openai<2 and", False),
        ("acme==1 depends on open-telemetry and", False),
        ("acme==1 depends on open.telemetry and", False),
        ("all versions of acme depend on open[x]>1, we", True),
        ("acme==1 depends on open{sys_platform == 'linux'}>1, we", True),
        ("acme==1 depends on open.", True),
        ("open depends on acme", False),
    ],
)
def test_a_dependency_is_named_by_its_whole_name(why: str, expected: bool) -> None:
    assert names_dependency(why, "open") is expected


@pytest.mark.network
def test_a_yanked_version_is_read_from_what_uv_says(interpreter: Interpreter) -> None:
    """Of a project's own pin, and of a distribution's."""
    said: list[str] = []
    run_uv(
        ["pip", "compile", "-", f"--python={interpreter.path}"],
        stdin="attrs==21.1.0\n",
        doing="testing",
        warned=said.append,
    )
    told = [found for line in said if (found := yanked(line))]
    assert told == ["attrs==21.1.0 is yanked: Installable but not importable on Python 3.4."]
