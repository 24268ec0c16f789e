from __future__ import annotations

from pathlib import Path

import pytest

from lls_provider.contract import models, names
from lls_provider.errors import ExitStatus
from lls_provider.runtime.cli import arguments
from lls_provider.runtime.cli.arguments import main, make_parser
from lls_provider.runtime.process import exit_guard

REQUIRED = ["--provider-id", "a", "--api", "safety", "--image", "i"]
VARIABLES = {
    "LLS_PROVIDER_ID": ("provider_id", "x"),
    "LLS_PROVIDER_API": ("api", "x"),
    "LLS_PROVIDER_IMAGE": ("image", "x"),
    "LLS_INIT_CONTAINER": ("container", "x"),
    "LLS_PROVIDER_ORDER": ("order", 5),
    "LLS_TARGET_PYTHON": ("python_tag", "x"),
}


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in (*VARIABLES, "LLS_PROVIDER_CONFIG"):
        monkeypatch.delenv(variable, raising=False)


def test_what_is_repeated_here_equals_its_source() -> None:
    assert arguments.IMAGE_ROOT == names.IMAGE_ROOT
    assert arguments.VOLUME_ROOT == names.VOLUME_ROOT
    assert exit_guard.TERMINATION_LOG == names.TERMINATION_LOG
    assert arguments.CONTAINER_PREFIX == models.INIT_CONTAINER_PREFIX
    assert ExitStatus.OK == arguments.OK
    assert ExitStatus.USAGE == arguments.USAGE


def test_the_defaults_are_those_of_the_design() -> None:
    options = make_parser().parse_args(["install", *REQUIRED])
    assert (options.source, options.root) == ("/lls-provider", "/opt/llama-stack")
    assert options.termination_log == "/dev/termination-log"
    assert options.order is None
    merge = make_parser().parse_args(["merge"])
    assert (merge.root, merge.base, merge.output_name) == ("/opt/llama-stack", None, "run.yaml")
    assert make_parser().parse_args(["preflight", "--run-yaml", "x"]).root == "/opt/llama-stack"


@pytest.mark.parametrize("variable", VARIABLES)
def test_a_variable_is_the_default_of_its_flag(
    monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    name, value = VARIABLES[variable]
    monkeypatch.setenv(variable, str(value))
    flag = "--" + name.replace("_", "-")
    given = list(REQUIRED)
    if flag in given:
        del given[given.index(flag) : given.index(flag) + 2]
    options = make_parser().parse_args(["install", *given])
    assert getattr(options, name) == value
    options = make_parser().parse_args(["install", *given, flag, "9"])
    assert str(getattr(options, name)) == "9"


def test_an_empty_variable_counts_as_not_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLS_PROVIDER_ORDER", "")
    assert make_parser().parse_args(["install", *REQUIRED]).order is None


@pytest.mark.parametrize("command", [[], ["install"], ["merge"], ["preflight"]])
def test_every_command_has_help(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*command, "--help"], prog="lls-provider") == 0
    out = capsys.readouterr().out
    assert out.startswith("usage: lls-provider")
    assert not command or "example:" in out


@pytest.mark.parametrize(
    "argv", [[], ["nope"], ["install"], ["merge", "--output-name", "../x"], ["merge", "--ro", "x"]]
)
def test_bad_usage_is_status_2(argv: list[str]) -> None:
    assert main(argv) == 2


def test_a_variable_with_a_bad_number_is_bad_usage(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLS_PROVIDER_ORDER", "first")
    assert main(["install", *REQUIRED]) == 2


def test_a_config_file_that_cannot_be_read_is_told_when_it_is_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name = str(tmp_path / ("x" * 300))
    words = ["install", "--provider-id", "a", "--api", "inference", "--image", "i"]
    assert main([*words, "--root", str(tmp_path), "--config-file", name]) != 0
    assert "File name too long" in capsys.readouterr().err


def test_an_image_that_is_not_there_is_not_up_to_date(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--source", str(tmp_path / "none"), "--root", str(tmp_path)]
    assert main(["install", *REQUIRED, *words]) == 1
    assert "ERROR: " in capsys.readouterr().err


def test_an_image_that_cannot_be_read_is_not_up_to_date(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = tmp_path / ("x" * 300)
    assert main(["install", *REQUIRED, "--source", str(source), "--root", str(tmp_path)]) != 0
    assert "ERROR: " in capsys.readouterr().err
