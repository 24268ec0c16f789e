"""Completion in real shells: commands, options, APIs, servers, and images in a layout."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.engines.terminal import Screen, terminal

from lls_provider.cli import boundary, shells
from lls_provider.cli.group import COMMANDS, group
from lls_provider.contract.names import APIS

Cli = Callable[..., "subprocess.CompletedProcess[str]"]
Engine = Callable[[str], str]

BIN = Path(sys.executable).parent
LAYOUT = ["oci:layout/", "oci:layout", "oci:layout:1.0", "oci:layout:2.0"]


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A directory with a layout of two images, a provider file and other things."""
    entries = [{"annotations": {"org.opencontainers.image.ref.name": it}} for it in ("1.0", "2.0")]
    (tmp_path / "layout").mkdir()
    (tmp_path / "layout" / "index.json").write_text(json.dumps({"manifests": [*entries, {}]}))
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "index.json").write_text('{"manifests": 1}')
    (tmp_path / "providers.yaml").touch()
    (tmp_path / "notes.md").touch()
    (tmp_path / "image.tar").touch()
    (tmp_path / ".hidden").mkdir()
    (tmp_path / "bad\nname").mkdir()
    return tmp_path


def asked(cli: Cli, place: Path, line: str, shell: str = "bash") -> list[str]:
    """The candidates for a line, as the script gets them."""
    env = {shells.VARIABLE: f"{shell}_complete", "COMP_LINE": line}
    done = cli(cwd=place, env=env)
    assert (done.returncode, done.stderr) == (0, "")
    return [it.partition(",")[2] for it in done.stdout.splitlines() if it]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        ("", list(COMMANDS)),
        ("c", [name for name in COMMANDS if name.startswith("c")]),
        ("--v", ["--version"]),
        ("build --plat", ["--platform"]),
        ("check --format ", ["text", "json", "junit"]),
        ("build --api in", ["inference", "interactions"]),
        ("build --api ", list(APIS)),
        ("up x --server profile:o", ["profile:ogx-1.5.0"]),
        ("check l", ["layout/"]),
        ("check p", ["providers.yaml"]),
        ("check oci:l", LAYOUT),
        ("check oci:layout:2", ["oci:layout:2.0"]),
        ("check oci:b", ["oci:broken/"]),
        ("inspect oci-archive:i", ["oci-archive:image.tar"]),
        ("push do", ["docker-archive:", "docker-daemon:", "docker://"]),
        ("build --output oci:la", LAYOUT),
        ("check .h", [".hidden/"]),
        ("check nothing/", []),
        ("new x a", ["api="]),
        ("new x api=sa", ["api=safety"]),
        ("cache ", ["dir", "list", "prune"]),
        ("cache prune f", ["files"]),
        ("doctor bu", ["build"]),
        ("completion z", ["zsh"]),
        ("merge --b", ["--base"]),
        ("render po", ["pod"]),
    ],
)
def test_what_fits_is_offered(cli: Cli, place: Path, line: str, wanted: list[str]) -> None:
    assert sorted(asked(cli, place, f"lls-provider {line}")) == sorted(wanted)


def test_a_question_that_is_none_is_answered_by_silence(
    cli: Cli, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert cli(env={shells.VARIABLE: "csh_complete"}).returncode == 1

    def fails(*_words: object) -> int:
        raise OSError("gone")

    monkeypatch.setattr(shells, "answer", fails)
    monkeypatch.setenv(shells.VARIABLE, "bash_complete")
    assert boundary.run(group, []) == 1
    assert capsys.readouterr() == ("", "")


def test_the_variable_is_named_once() -> None:
    assert boundary._COMPLETE == shells.VARIABLE


@pytest.fixture
def shell(request: pytest.FixtureRequest, engine: Engine, place: Path) -> Iterator[Screen]:
    """A shell in a terminal that has read the script."""
    name = request.param
    start = {"bash": ["--norc", "--noprofile"], "zsh": ["-f"]}[name]
    path = f"{BIN}{os.pathsep}{os.environ['PATH']}"
    variables = {"PATH": path, "PS1": "ready> ", "TERM": "screen", "HOME": str(place)}
    words = [engine(name), *start, "-i"]
    with terminal(
        engine("tmux"), words, width=120, height=40, cwd=place, variables=variables
    ) as screen:
        screen.until(lambda text: "ready>" in text)
        if name == "zsh":
            screen.type("autoload -Uz compinit && compinit -u -D", "Enter")
        screen.type(f"source <(lls-provider completion {name}); clear", "Enter")
        screen.until(lambda text: text == "ready>\n")
        yield screen


@pytest.mark.engine
@pytest.mark.parametrize("shell", ["bash", "zsh"], indirect=True)
@pytest.mark.parametrize(
    ("typed", "line"),
    [
        ("lls-provider insp", "lls-provider inspect"),
        ("lls-provider check oci:layout:2", "lls-provider check oci:layout:2.0"),
        ("lls-provider inspect oci-a", "lls-provider inspect oci-archive:"),
        ("lls-provider new x api=sa", "lls-provider new x api=safety"),
        ("lls-provider build --api inf", "lls-provider build --api inference"),
        ("lls-provider check prov", "lls-provider check providers.yaml"),
    ],
)
def test_a_real_shell_completes_at_the_tab_key(shell: Screen, typed: str, line: str) -> None:
    shell.type(typed, "Tab")
    shell.until(lambda text: text.endswith(f"ready> {line}\n"))
    # no space may stand behind what goes on
    shell.type("X")
    goes_on = line.endswith(":")
    shell.until(lambda text: text.endswith(f"{line}X\n" if goes_on else f"{line} X\n"))


@pytest.mark.engine
def test_fish_completes(engine: Engine, cli: Cli, place: Path) -> None:
    (place / "script.fish").write_text(cli("completion", "fish").stdout)

    path = f"{BIN}{os.pathsep}{os.environ['PATH']}"

    def candidates(line: str) -> list[str]:
        done = subprocess.run(
            [engine("fish"), "-c", f"source script.fish; complete -C '{line}'"],
            capture_output=True,
            text=True,
            cwd=place,
            env={**os.environ, "PATH": path, "HOME": str(place)},
            check=True,
        )
        return done.stdout.splitlines()

    assert candidates("lls-provider insp") == [f"inspect\t{COMMANDS['inspect']}"]
    assert candidates("lls-provider check oci:layout:2") == ["oci:layout:2.0"]
    assert candidates("lls-provider build --api inf") == ["inference"]


@pytest.mark.parametrize("name", shells.SHELLS)
def test_the_script_is_the_same_whatever_the_terminal_is(cli: Cli, name: str) -> None:
    done = cli("completion", name, env={"COLUMNS": "20"})
    assert done.stdout == shells.script(name).rstrip("\n") + "\n"
    assert done.stderr == ""
