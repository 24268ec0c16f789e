"""The questions of `new`, in a pseudo terminal and without one."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from tests.cli.terminal import CTRL_C, CTRL_D, DOWN, ENTER, UP, Terminal

from lls_provider.cli.asking import index_of
from lls_provider.project.answers import name_problem
from lls_provider.project.template_apis import template_apis

pytestmark = pytest.mark.slow

APIS = list(template_apis())
FULL = {"TERM": "xterm-256color"}
# what is asked when only the name is known
QUESTIONS = ("api", "kind", "vendor", "description", "maintainer", "license", "ci")


def answers(project: Path) -> dict[str, Any]:
    settings = tomllib.loads((project / "pyproject.toml").read_text("utf-8"))
    recorded: dict[str, Any] = settings["tool"]["lls-provider"]["template"]["answers"]
    return recorded


def terminal(
    cwd: Path, *arguments: str, columns: int = 100, environment: Mapping[str, str] = FULL
) -> Terminal:
    return Terminal("new", *arguments, cwd=cwd, columns=columns, environment=environment)


def test_choices_are_made_with_the_arrow_keys_and_texts_are_typed(tmp_path: Path) -> None:
    with terminal(tmp_path, "acme-echo", columns=120) as screen:
        screen.until("its type and providerId come from it: [Enter: acme-echo]")
        screen.type(ENTER)
        seen = screen.until(template_apis()[APIS[-1]].about)
        assert "the API that it implements (arrow keys or first letters, then Enter)" in seen
        assert "> inference" in seen
        screen.type(DOWN * APIS.index("safety") + ENTER)
        screen.until("> inline")
        screen.type(ENTER)
        screen.until("vendor: the organisation that makes it: [Enter: Acme]")
        screen.type("Söhne" + ENTER)  # nothing has to be deleted first
        screen.until("in one sentence: [Enter: Inline safety provider acme-echo]")
        screen.type(ENTER)
        screen.until("maintainer: a contact e-mail address, or nothing: [Enter: nothing]")
        screen.type("nobody" + ENTER)
        screen.until("maintainer cannot be 'nobody'")  # and nothing is lost: it goes on
        screen.type("@acme.example" + ENTER)
        screen.until("PyPI refuses it")
        screen.type(UP + UP + ENTER)  # round to the end, and one up
        screen.until("no files for CI")
        screen.type(DOWN + DOWN + ENTER)
        screen.until("lls-provider test acme-echo")
        assert screen.status() == 0
    made = answers(tmp_path / "acme-echo")
    assert made | {"sdk": "", "sdk_index": ""} == {
        "name": "acme-echo",
        "api": "safety",
        "kind": "inline",
        "vendor": "Söhne",
        "description": "Inline safety provider acme-echo",
        "maintainer": "nobody@acme.example",
        "license": "proprietary",
        "ci": "gitlab",
        "sdk": "",
        "sdk_index": "",
    }


def test_letters_find_a_choice_and_its_name_alone_stays(tmp_path: Path) -> None:
    given = ("name=acme", "vendor=A", "description=d", "maintainer=", "license=MIT")
    with terminal(tmp_path, "acme", *given) as screen:
        screen.until(APIS[-1])
        screen.type("file_" + UP + "xsaf")  # an arrow key ends a word; no api has an x
        screen.until("> safety")
        screen.type(ENTER)
        screen.until("? api: safety\r\n")
        screen.until("> inline")
        screen.type("R")
        screen.until("> remote")
        screen.type(ENTER)
        screen.until("? kind: remote\r\n")
        screen.type("gitlab" + ENTER)
        screen.until("? ci: gitlab\r\n")
        assert screen.status() == 0
    assert [answers(tmp_path / "acme")[key] for key in ("api", "kind", "ci")] == [
        "safety",
        "remote",
        "gitlab",
    ]


def test_a_name_that_is_in_use_here_is_refused_at_its_question(tmp_path: Path) -> None:
    for name in ("acme-echo", "acme-echo-2"):
        (tmp_path / name / "precious").mkdir(parents=True)
    given = ("api=safety", "kind=inline", "vendor=A", "description=d", "maintainer=", "license=MIT")
    with terminal(tmp_path, *given, "ci=none") as screen:
        screen.until("come from it:")
        screen.type(ENTER)
        screen.until("acme-echo is not empty; acme-echo-3 is free\r\n")
        screen.until("come from it:")
        screen.type("\x7f" * len("acme-echo") + "acme-echo-3" + ENTER)
        assert screen.status() == 0
    assert answers(tmp_path / "acme-echo-3")["name"] == "acme-echo-3"


def test_a_long_problem_is_whole_in_a_terminal_of_80_columns(tmp_path: Path) -> None:
    with terminal(tmp_path, "acme", columns=80) as screen:
        screen.until("[Enter: acme]")
        screen.type("My Guard" + ENTER)
        screen.until(name_problem("My Guard") or "")
        screen.until("My Guard")  # there to be corrected
        screen.type(CTRL_C)
        assert screen.status() == 130


@pytest.mark.parametrize(
    ("letters", "found"), [("f", "files"), ("FILE_", "file_processors"), ("ile", None), ("", "x")]
)
def test_letters_find_the_first_value_that_begins_with_them(
    letters: str, found: str | None
) -> None:
    values = ("x", "files", "file_processors")
    assert index_of(values, letters) == (None if found is None else values.index(found))


def test_what_is_given_is_not_asked(tmp_path: Path) -> None:
    given = [f"{key}={value}" for key, value in {"name": "acme", "vendor": "Acme"}.items()]
    with terminal(
        tmp_path, *given, "api=inference", "kind=remote", "description=d", "license=MIT"
    ) as screen:
        screen.until("maintainer")
        screen.type(ENTER)
        screen.until("ci: the systems that test, build and push it")
        screen.type(ENTER)
        assert screen.status() == 0
        assert "name:" not in screen.text.partition("Made")[0]
    assert answers(tmp_path / "acme")["license"] == "MIT"


@pytest.mark.parametrize(
    ("keys", "status", "words"),
    [(CTRL_C, 130, ""), (CTRL_D, 2, "ERROR: No answer to 'vendor'")],
)
def test_a_question_can_be_left(tmp_path: Path, keys: str, status: int, words: str) -> None:
    with terminal(tmp_path, "acme", "name=acme", "api=inference", "kind=remote") as screen:
        screen.until("vendor: the organisation that makes it: [Enter: Acme]")
        screen.type(keys)
        assert screen.status() == status
        assert words in screen.text
        assert "Traceback" not in screen.text
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("columns", [40, 60])
def test_a_choice_is_one_line_in_a_narrow_terminal(tmp_path: Path, columns: int) -> None:
    with terminal(tmp_path, "acme", "name=acme", "vendor=A", columns=columns) as screen:
        seen = screen.until("> inference")
        screen.until(APIS[-1])
        screen.type(ENTER)
        screen.until("kind")
        lines = (seen + screen.text).splitlines()
        choices = [line for line in lines if "safety" in line and "provider" not in line]
        assert choices
        assert max(map(len, choices)) < columns


def test_without_a_cursor_a_choice_is_a_number(tmp_path: Path) -> None:
    with terminal(
        tmp_path, "acme", "name=acme", "vendor=A", environment={"TERM": "dumb"}
    ) as screen:
        number = APIS.index("safety") + 1
        assert f"{number:>3}) safety" in screen.until("A number or a name [Enter: inference]")
        screen.type("99\n")
        screen.until("api cannot be '99'")
        screen.type(f"{number}\n")
        for _ in set(QUESTIONS) - {"api", "vendor"}:
            screen.until("[Enter: ")
            screen.type("\n")
        assert screen.status() == 0
        assert "\x1b" not in screen.text
    assert answers(tmp_path / "acme")["api"] == "safety"


def test_a_locale_without_unicode_is_asked_in_ascii(tmp_path: Path) -> None:
    environment = {**FULL, "LC_ALL": "POSIX", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    with terminal(tmp_path, "acme", "name=acme", "vendor=A", environment=environment) as screen:
        screen.until(APIS[-1])
        assert screen.text.isascii()
        screen.type(ENTER)
        screen.until("kind")
        screen.type(ENTER)
        screen.until("Remote inference provider acme")
        screen.type(CTRL_C)
        assert screen.status() == 130


def piped(text: bytes, cwd: Path) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "lls_provider.cli", "new", "acme", "name=acme"]
    return subprocess.run(command, input=text, cwd=cwd, capture_output=True, check=False)


def test_answers_may_come_through_a_pipe(tmp_path: Path) -> None:
    done = piped(b"safety\n\n\n\nme@acme.example\n2\nnone\n", tmp_path)

    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(b"Made acme\n")
    made = answers(tmp_path / "acme")
    assert [made[key] for key in QUESTIONS] == [
        "safety",
        "inline",
        "Acme",
        "Inline safety provider acme",
        "me@acme.example",
        "MIT",
        "none",
    ]


def test_bytes_that_are_no_text_are_refused_and_asked_again(tmp_path: Path) -> None:
    done = piped(b"safety\n\n\xff\xfe\nAcme\n", tmp_path)

    assert done.returncode == 2
    assert b"vendor must be one line of printable text" in done.stderr
    assert b"ERROR: No answer to 'description'" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_only_a_question_imports_the_library_that_draws_it(tmp_path: Path) -> None:
    script = (
        "import sys; from lls_provider.cli import main\n"
        "try: main(['new', 'acme', '--no-input'])\n"
        "finally: print(*sys.modules, file=sys.stderr)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert "lls_provider.project.scaffold" in done.stderr.split()
    assert {"questionary", "prompt_toolkit"} & set(done.stderr.split()) == set()
