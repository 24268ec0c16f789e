from __future__ import annotations

import argparse
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from lls_provider.errors import Code, ExitStatus, SdkError
from lls_provider.runtime.cli import arguments, commands
from lls_provider.runtime.cli.commands import read_config
from lls_provider.runtime.merge import merge
from lls_provider.runtime.process.signals import StoppedBySignal

if TYPE_CHECKING:
    MakeBundle = Callable[..., Path]
    Pod = Any


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (b"{}", {}),
        (b'{"a":\t1e3}', {"a": 1000.0}),
        (b'{"a": "\\/ \\ud83d\\ude00"}', {"a": "/ \U0001f600"}),
        (b"a: ${env.X:=y}\nb: [1]\n", {"a": "${env.X:=y}", "b": [1]}),
    ],
)
def test_a_config_is_json_or_yaml(text: bytes, value: dict[str, Any]) -> None:
    assert read_config(text, "--config") == value


def test_the_modes_of_an_installation_do_not_depend_on_the_umask(
    pod: Pod, make_bundle: MakeBundle, make_wheel: Callable[..., Path]
) -> None:
    source = make_bundle(dependencies=[make_wheel(f"dep{number}") for number in range(9)])
    words = ["--provider-id", "acme-echo", "--api", "inference", "--image", "x:1"]
    before = os.umask(0o077)
    try:
        status = arguments.main(
            ["install", *words, "--source", str(source), "--root", str(pod.root)]
        )
        after = os.umask(before)
    finally:
        os.umask(before)
    assert (status, after) == (0, 0o077)
    found = [path.lstat().st_mode for path in [pod.external, *pod.external.rglob("*")]]
    assert {stat.S_IMODE(it) for it in found if stat.S_ISDIR(it)} == {0o775}
    assert {stat.S_IMODE(it) for it in found if stat.S_ISREG(it)} == {0o644}


def test_a_library_call_leaves_the_umask_alone(
    pod: Pod, make_bundle: MakeBundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "umask", None)
    pod.install(make_bundle())


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (b'{"a": NaN}', "nan"),
        (b'{"a": Infinity}', "inf"),
        (b'{"a": [-Infinity]}', "[-inf]"),
        (b'{"a": 1e400}', "inf"),
        (b"a: .nan", "nan"),
        (b'{"a": "NaN"}', "'NaN'"),
        (b"a: NaN", "'NaN'"),  # YAML, in which it is text
    ],
)
def test_a_number_that_is_none_stays_one_through_install_and_merge(
    pod: Pod, make_bundle: MakeBundle, text: bytes, shown: str
) -> None:
    config = read_config(text, "--config")
    assert repr(config["a"]) == shown
    base = pod.root / "base-config" / "run.yaml"
    base.parent.mkdir(parents=True)
    base.write_text("version: 2\n")
    pod.install(make_bundle(), config=config)
    final = yaml.safe_load(merge(pod.root).path.read_text())
    assert repr(final["providers"]["inference"][0]["config"]["a"]) == shown


@pytest.mark.parametrize(
    ("text", "what"),
    [
        (b"2026-11-22", "text"),
        (b"!!set {a}", "a set"),
        (b"!!binary aGk=", "binary data"),
        (b"on", "true or false"),
        (b"1:30", "a number"),
        (b"1.5", "a number"),
        (b"~ # x", "nothing"),
        (b"!!omap [a: 1]", "a list"),
    ],
)
def test_a_config_that_is_no_mapping_is_told_by_its_kind(text: bytes, what: str) -> None:
    with pytest.raises(SdkError) as caught:
        read_config(text, "--config")
    assert caught.value.code is Code.FIELD_TYPE
    assert caught.value.why == f"it is {what}"


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (b"[1]", Code.FIELD_TYPE),
        (b'"text"', Code.FIELD_TYPE),
        (b"{", Code.YAML_INVALID),
        (b"\xff", Code.YAML_INVALID),
        (b'{"a": 1, "a": 2}', Code.DUPLICATE_KEY),
        (b"a: !!python/object:os.system x\n", Code.YAML_INVALID),
        (b"[" * 100_000, Code.YAML_LIMIT),
        (b"", Code.YAML_INVALID),
    ],
)
def test_a_config_that_is_none_is_refused_with_its_place(text: bytes, code: Code) -> None:
    with pytest.raises(SdkError) as caught:
        read_config(text, "--config")
    assert caught.value.code is code
    assert caught.value.where.file == "--config"


def _options(tmp_path: Path, command: str) -> argparse.Namespace:
    log = tmp_path / "log"
    log.write_text("")
    return argparse.Namespace(
        command=command, termination_log=str(log), form="text", quiet=False, verbose=False
    )


def _run_with(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, action: Callable[[], None]
) -> tuple[int, str]:
    def command(_options: object, _console: object) -> int:
        action()
        return 0

    monkeypatch.setitem(commands._COMMANDS, "test", command)
    status = commands.run(_options(tmp_path, "test"))
    return status, (tmp_path / "log").read_text()


def test_what_nobody_foresaw_is_told_without_a_traceback(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail() -> None:
        raise ZeroDivisionError("oops")

    status, log = _run_with(monkeypatch, tmp_path, fail)
    err = capsys.readouterr().err
    assert status == 1
    assert "ZeroDivisionError: oops" in err
    assert "test_commands.py:" in err
    assert "Resolution: Report this" in err
    assert "Traceback" not in err
    assert log == err


@pytest.mark.parametrize("status", [ExitStatus.TERMINATED, ExitStatus.INTERRUPTED])
def test_a_command_that_was_stopped_says_so_with_its_status(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    status: ExitStatus,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def stop() -> None:
        raise StoppedBySignal(status)

    found, log = _run_with(monkeypatch, tmp_path, stop)
    assert found == status
    assert capsys.readouterr().err == "lls-provider: stopped before 'test' was done\n"
    assert log == ""


def test_the_three_phases_run_in_this_process_too(
    pod: Pod, make_bundle: MakeBundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "config.json"
    config.write_text('{"a": 1}')
    root = ["--root", str(pod.root)]
    install = [
        *("install", "--provider-id", "acme-echo", "--api", "inference", "--image", "i:1"),
        *("--source", str(make_bundle()), "--config-file", str(config), *root),
    ]
    assert arguments.main(install) == 0
    assert arguments.main(install) == 0
    assert "installed already" in capsys.readouterr().err
    config.write_text('{"a": 2}')
    assert arguments.main(install) == 0
    base = tmp_path / "base.yaml"
    base.write_text("version: 2\n")
    assert arguments.main(["merge", "--base", str(base), *root]) == 0
    run_yaml = pod.root / "config" / "run.yaml"
    assert "a: 2" in run_yaml.read_text()
    assert arguments.main(["preflight", "--run-yaml", str(run_yaml), *root]) == 0
    assert capsys.readouterr().out.endswith("All providers validated successfully\n")


@pytest.mark.parametrize(
    "text",
    [
        "s3cret",
        '["s3cret"]',
        '{"api_key": "s3cret',
        "api_key: s3cret: x",
        "api_key: *s3cret",
        "api_key: !s3cret",
        "api_key: !!int s3cret",
        "api_key: !!timestamp s3cret",
        "api_key: 's3cret\x01'",
        '{"api_key": "\\ud800s3cret"}',
    ],
)
def test_what_is_wrong_with_a_configuration_is_told_without_its_values(
    text: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """A configuration holds keys and passwords, and its error is in the Pod's status."""
    log = tmp_path / "log"
    log.touch()
    argv = ["install", "--provider-id", "a", "--api", "safety", "--image", "i"]
    argv += ["--root", str(tmp_path / "volume"), "--termination-log", str(log)]
    assert arguments.main([*argv, "--config", text]) == 1
    shown = capfd.readouterr()
    assert "s3cret" not in shown.out + shown.err + log.read_text()
    assert "--config:1:" in shown.err
