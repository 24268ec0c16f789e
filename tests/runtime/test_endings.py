"""Providers that leave no traceback: each is reported with its place and its own solution."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lls_provider.errors import Code, SdkError
from lls_provider.runtime.cli.arguments import main
from lls_provider.runtime.preflight.preflight import failure_layout
from lls_provider.runtime.preflight.probe_client import (
    ProbeFailure,
    parse_seconds,
    probe,
    time_limit,
)

pytestmark = pytest.mark.slow

GOOD = """
class Spec:
    api = "inference"
    provider_type = "remote::x"
    module = "bad.adapter"
    config_class = "bad.adapter.Config"
def get_provider_spec(): return Spec()
"""
ADAPTER = "class Config: ...\nasync def get_adapter_impl(config, deps): ...\n"
# two calls below the line that ends it all
CALLED = "def outer():\n    inner()\ndef inner():\n    {}\nouter()\n"


def probed(folder: Path, source: str, *, timeout: float = 30) -> ProbeFailure | None:
    package = folder / "bad"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "provider.py").write_text(source)
    (package / "adapter.py").write_text(ADAPTER)
    return probe(Path(sys.executable), "bad", path=[folder], timeout=timeout).failure


def told(folder: Path, source: str, *, timeout: float = 30) -> tuple[ProbeFailure, str]:
    failure = probed(folder, source, timeout=timeout)
    assert failure is not None
    return failure, failure_layout(failure, "acme-echo", "bad", None)


ENDINGS: dict[str, tuple[str, str, str]] = {
    "native crash": ("import ctypes; ctypes.string_at(0)", "SIGSEGV", "native code"),
    "abort": ("import os; os.abort()", "SIGABRT", "native code"),
    "illegal instruction": (
        "import os, signal; os.kill(os.getpid(), signal.SIGILL)",
        "SIGILL",
        "native code",
    ),
    "os._exit(0)": ("import os; os._exit(0)", "exit status 0", "os._exit()"),
    "os._exit(3)": ("from os import _exit; _exit(3)", "exit status 3", "os._exit()"),
}


@pytest.mark.parametrize("kind", ENDINGS)
def test_who_ended_the_process_is_shown_innermost_call_first(tmp_path: Path, kind: str) -> None:
    source, reason, way = ENDINGS[kind]
    failure, text = told(tmp_path, CALLED.format(source))
    assert reason in failure.reason
    file = tmp_path / "bad" / "provider.py"
    frames = [line for line in failure.traceback.splitlines() if line.startswith("  File")]
    shown = [f'  File "{file}", line {number}, in ' for number in (4, 2, 5)]
    ours = [line for line in frames if str(file) in line]
    assert [line.rpartition(" in ")[0] + " in " for line in ours] == shown, failure.traceback
    assert "lls-provider" not in failure.traceback
    assert "importlib" not in failure.traceback
    resolution = text.rpartition("\n\nResolution: ")[2]
    assert resolution.startswith("The traceback shows where that happens. ")
    assert way in resolution


def test_a_crash_below_an_endless_recursion_is_told_in_a_few_lines(tmp_path: Path) -> None:
    source = (
        "import sys, ctypes\nsys.setrecursionlimit(10**6)\n"
        "def f(n):\n    if n == 0: ctypes.string_at(0)\n    f(n - 1)\nf(90)\n"
    )
    failure, _ = told(tmp_path, source)
    assert "SIGSEGV" in failure.reason
    assert "more times]" in failure.traceback
    assert len(failure.traceback.splitlines()) < 12


def test_without_memory_it_is_the_limit_that_is_raised(tmp_path: Path) -> None:
    failure, text = told(tmp_path, "import os, signal; os.kill(os.getpid(), signal.SIGKILL)\n")
    assert failure.reason == "loading it killed the Python process: SIGKILL"
    assert "traceback" not in text.rpartition("Resolution: ")[2]
    assert "resources.limits.memory" in text


def test_another_program_in_its_place_is_no_answer(tmp_path: Path) -> None:
    failure, text = told(tmp_path, "import os; os.execv('/bin/true', ['true'])\n")
    assert failure.reason == "loading it ended the Python process with exit status 0"
    assert "os.exec*()" in text.rpartition("Resolution: ")[2]
    assert "traceback" not in text.rpartition("Resolution: ")[2]


DEADLOCK = (
    "import threading; lock = threading.Lock(); lock.acquire()\n"
    "    other = threading.Thread(target=lock.acquire); other.start(); other.join()"
)
HANGS = {
    "sleep in C": ("import time; time.sleep(600)", 1),
    "a loop": ("while True: pass", 1),
    "one call of C": ("import re; re.match(r'(a+)+$', 'a' * 64 + 'b')", 1),
    "an event": ("import threading; threading.Event().wait()", 1),
    "a pipe": ("import os; os.read(os.pipe()[0], 1)", 1),
    "a socket": ("import socket; s = socket.create_server(('', 0)); s.accept()", 1),
    "a thread": (
        "import threading as t; a = t.Thread(target=t.Event().wait); a.start(); a.join()",
        2,
    ),
    "a deadlock": (DEADLOCK, 2),
}


@pytest.mark.parametrize("kind", HANGS)
def test_at_the_time_limit_every_thread_is_shown(tmp_path: Path, kind: str) -> None:
    source, threads = HANGS[kind]
    failure, text = told(tmp_path, CALLED.format(source), timeout=3)
    assert failure.reason == "loading it did not end within 3 seconds"
    last = 4 + source.count("\n")
    assert f'provider.py", line {last}, in inner\n  File "{tmp_path}' in failure.traceback
    assert "Fatal Python error" not in text  # it was ours
    if threads > 1:
        assert failure.traceback.startswith("main thread:\n  File ")
        assert "\nthread 2:\n  File " in failure.traceback
    resolution = text.rpartition("\n\nResolution: ")[2]
    assert resolution.startswith("The traceback shows where that happens. ")
    assert "LLS_PREFLIGHT_TIMEOUT=SECONDS" in resolution


def test_one_that_takes_no_signal_is_given_up_all_the_same(tmp_path: Path) -> None:
    source = (
        "import faulthandler, signal, time\nfaulthandler.disable()\n"
        "signal.signal(signal.SIGABRT, signal.SIG_IGN)\ntime.sleep(600)\n"
    )
    begin = time.monotonic()
    failure, text = told(tmp_path, source, timeout=3)
    assert time.monotonic() - begin < 30
    assert failure.traceback == ""
    assert "The traceback" not in text
    assert "LLS_PREFLIGHT_TIMEOUT=SECONDS" in text


def test_threads_that_never_end_are_no_failure(tmp_path: Path) -> None:
    source = (
        "import threading, time\nthreading.Thread(target=time.sleep, args=(600,)).start()\n" + GOOD
    )
    begin = time.monotonic()
    assert probed(tmp_path, source) is None
    assert time.monotonic() - begin < 30


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("input()", "EOFError: EOF when reading a line"),
        ("open('/dev/tty').read()", "OSError: [Errno 6] No such device or address: '/dev/tty'"),
        ("import sys; sys.exit()", "the module ended the process: SystemExit()"),
        (
            "import sys; sys.exit('no licence')",
            "the module ended the process: SystemExit(no licence)",
        ),
        ("raise KeyboardInterrupt", "KeyboardInterrupt"),
        ("exit()", "the module ended the process: SystemExit(None)"),
    ],
)
def test_what_python_itself_raises_keeps_its_traceback(
    tmp_path: Path, source: str, reason: str
) -> None:
    failure, text = told(tmp_path, CALLED.format(source))
    assert failure.reason == reason or failure.reason.startswith(reason[:-1])
    assert 'provider.py", line 4, in inner' in failure.traceback
    assert "where the traceback points to" in text


def test_a_core_file_is_nowhere(tmp_path: Path) -> None:
    source = "import resource\nraise ValueError(resource.getrlimit(resource.RLIMIT_CORE)[0])\n"
    failure, _ = told(tmp_path, source)
    assert failure.reason in ("ValueError: 0", "ValueError: 1")


CLOSERS = {
    "all": "import os; os.closerange(3, 4096)",
    "some": "import os; os.closerange(3, 1024)",
    "one by one": "import os\nfor n in range(3, 4096):\n  try: os.close(n)\n  except OSError: pass",
    "and opens others": (
        "import os; os.closerange(3, 4096)\nkept = [open({witness!r}, 'w') for _ in range(400)]"
    ),
    "all with stdout": "import os; os.closerange(0, 4096)",
}


@pytest.mark.parametrize("kind", CLOSERS)
@pytest.mark.parametrize("then", [GOOD, "import os; os.abort()\n"], ids=["passes", "crashes"])
def test_who_closes_descriptors_is_named_and_writes_to_no_other_file(
    tmp_path: Path, kind: str, then: str
) -> None:
    witness = tmp_path / "witness"
    source = CLOSERS[kind].replace("{witness!r}", repr(str(witness)))
    failure, text = told(tmp_path, f"{source}\n{then}")
    if then == GOOD:
        assert failure.reason == "loading it closed file descriptors that it did not open"
        assert "Close only what the provider opened" in text.rpartition("Resolution: ")[2]
    else:
        assert "SIGABRT" in failure.reason
    assert not witness.exists() or witness.read_text() == ""


@pytest.mark.parametrize(
    "data", ["b'x\\n'", "b'[]\\n'", "b'{\"specs\": 1}\\n'", "b'[' * 60000 + b'\\n'", "b'x' * 65536"]
)
def test_who_writes_to_our_descriptor_is_named(tmp_path: Path, data: str) -> None:
    times = 1 if "n'" in data else 400  # without a line's end it is a flood
    source = (
        f"import os\nfor n in list(range(3, 1024)) * {times}:\n"
        f"  try: os.write(n, {data})\n  except OSError: pass\n"
    )
    failure, text = told(tmp_path, source + GOOD)
    assert failure.reason == "loading it wrote to a file descriptor that it did not open"
    assert "Write only to what the provider opened" in text.rpartition("Resolution: ")[2]


def test_a_fork_of_the_provider_may_end_as_it_likes(tmp_path: Path) -> None:
    source = "import os\nif os.fork() == 0: os._exit(0)\nos.wait()\n" + GOOD
    assert probed(tmp_path, source) is None


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("60", 60.0), ("1.5", 1.5), ("0.25", 0.25), ("86400", 86_400.0)]
    + [(text, None) for text in ("0", "0.0", "-1", "nan", "inf", "1e3", "60s", " 60", "1_0", "")]
    + [(text, None) for text in ("٦٠", "86401", "1" * 400, ".5", "5.", "0x10", "true")],
)
def test_a_limit_is_a_number_of_seconds(text: str, seconds: float | None) -> None:
    assert parse_seconds(text) == seconds
    if text:
        if seconds is None:
            with pytest.raises(SdkError) as caught:
                time_limit({"LLS_PREFLIGHT_TIMEOUT": text})
            assert caught.value.code is Code.USAGE
            assert "LLS_PREFLIGHT_TIMEOUT=" in caught.value.what
        else:
            assert time_limit({"LLS_PREFLIGHT_TIMEOUT": text}) == seconds


def test_nothing_told_is_a_minute() -> None:
    assert time_limit({}) == time_limit({"LLS_PREFLIGHT_TIMEOUT": ""}) == 60


SLOW = "import time; time.sleep(600)\n"


@pytest.mark.parametrize("how", ["flag", "variable", "flag wins"])
def test_preflight_waits_as_long_as_it_is_told(
    pod: Any,
    make_bundle: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    how: str,
) -> None:
    from lls_provider.runtime.merge import merge

    pod.install(make_bundle(files={"acme_echo/provider.py": SLOW}))
    base = Path(pod.root) / "base-config" / "run.yaml"
    base.parent.mkdir(parents=True, exist_ok=True)
    base.write_text("version: 2\n")
    words = ["preflight", "--root", str(pod.root), "--run-yaml", str(merge(pod.root).path)]
    if how != "flag":
        monkeypatch.setenv("LLS_PREFLIGHT_TIMEOUT", "3" if how == "variable" else "3000")
    if how != "variable":
        words += ["--timeout", "3"]
    assert main(words) == 1
    err = capsys.readouterr().err
    assert "Reason: loading it did not end within 3 seconds" in err
    assert 'provider.py", line 1, in <module>' in err


@pytest.mark.parametrize("text", ["0", "-1", "nan", "soon", "1e3"])
@pytest.mark.parametrize("how", ["flag", "variable"])
def test_a_bad_limit_is_bad_usage(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], text: str, how: str
) -> None:
    words = ["preflight", "--run-yaml", "/nowhere"]
    if how == "flag":
        words.append(f"--timeout={text}")
    else:
        monkeypatch.setenv("LLS_PREFLIGHT_TIMEOUT", text)
    assert main(words) == 2
    err = capsys.readouterr().err
    assert f"'{text}' is not a number of seconds" in err
    assert "--timeout" in err


@pytest.mark.parametrize(
    "words",
    [["build", ".", "--output", "oci:x"], ["check", "."], ["up", "."], ["compat", "."]],
    ids=lambda it: it[0],
)
def test_the_authors_commands_take_the_same_limit(words: list[str], tmp_path: Path) -> None:
    import subprocess

    done = subprocess.run(
        [sys.executable, "-m", "lls_provider.cli", *words],
        cwd=tmp_path,
        env={**os.environ, "LLS_PREFLIGHT_TIMEOUT": "soon"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert "LLS_PREFLIGHT_TIMEOUT='soon' is not a number of seconds" in done.stderr
