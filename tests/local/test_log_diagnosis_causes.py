"""The true cause is found in logs that real servers wrote (see logs/README.md)."""

from __future__ import annotations

from pathlib import Path

import pytest

from lls_provider.local.log_diagnosis import last_lines, port_in_use, true_cause

LOGS = Path(__file__).parent / "logs"
OVERLAY = Path("/opt/llama-stack/external-providers/python-packages")
SERVERS = ("ls", "ogx")
BOTH = pytest.mark.parametrize("server", SERVERS)


def log(name: str, server: str) -> str:
    return (LOGS / f"{name}.{server}.log").read_text("utf-8")


@pytest.mark.parametrize(
    ("name", "reason", "module"),
    [
        ("bad_import", "ModuleNotFoundError: No module named 'absent_dependency'", "provider"),
        ("bad_impl", "ModuleNotFoundError: No module named 'another_absent'", None),
        ("bad_call", "RuntimeError: no licence file at /etc/licence", "provider"),
        ("bad_reply", "KeyError: 'answer'", "adapter"),
    ],
)
@BOTH
def test_a_providers_failure_is_found_with_its_place(
    name: str, reason: str, module: str | None, server: str
) -> None:
    cause = true_cause(log(name, server))
    assert cause is not None
    assert cause.reason == reason
    expected = name if module is None else f"{name}.{module}"
    assert cause.module_below(OVERLAY) == expected
    assert cause.text().startswith(f"{reason}\n  at {OVERLAY}/{name}/")


@BOTH
def test_the_missing_module_is_named_and_not_the_servers_translation_of_it(server: str) -> None:
    text = log("bad_import", server)
    assert "get_provider_spec not found" in text
    cause = true_cause(text)
    assert cause is not None
    assert cause.missing_module == "absent_dependency"
    assert "get_provider_spec" not in cause.reason


def test_the_cause_is_found_in_a_log_that_the_handler_wrapped() -> None:
    cause = true_cause(log("bad_import_narrow", "ogx"))
    assert cause is not None
    assert cause.missing_module == "absent_dependency"
    assert cause.module_below(OVERLAY) == "bad_import.provider"


@BOTH
def test_a_message_of_several_lines_is_kept_whole(server: str) -> None:
    cause = true_cause(log("bad_config", server))
    assert cause is not None
    assert "ValidationError" in cause.reason
    for line in ("EchoConfig", "prefix", "Input should be a valid string"):
        assert line in cause.reason
    assert "category=" not in cause.reason


def test_a_system_exit_with_a_message_is_a_cause() -> None:
    cause = true_cause(log("bad_exit", "ogx"))
    assert cause is not None
    assert cause.reason == "SystemExit: set ACME_TOKEN first"


def test_a_log_without_any_error_names_none() -> None:
    # llama-stack swallows a SystemExit whole
    assert true_cause(log("bad_exit", "ls")) is None
    assert true_cause("") is None


@BOTH
def test_a_taken_port_is_recognised(server: str) -> None:
    assert port_in_use(log("port", server))


def test_a_port_that_a_provider_wants_is_not_the_servers() -> None:
    text = """\
ERROR    2026-01-01T00:00:00 x: failed
Traceback (most recent call last):
  File "/srv/a.py", line 1, in one
    listen()
OSError: [Errno 98] Address already in use
"""
    assert not port_in_use(text)


@pytest.mark.parametrize("path", sorted(LOGS.glob("*.log")), ids=lambda path: path.stem)
def test_no_other_failure_is_taken_for_a_taken_port(path: Path) -> None:
    assert port_in_use(path.read_text("utf-8")) is path.name.startswith("port.")


@pytest.mark.parametrize("path", sorted(LOGS.glob("*.log")), ids=lambda path: path.stem)
def test_a_log_cut_anywhere_is_read_without_failing(path: Path) -> None:
    lines = path.read_text("utf-8").splitlines(keepends=True)
    for end in range(0, len(lines), 3):
        true_cause("".join(lines[:end]))


def test_what_was_raised_while_handling_something_else_is_the_cause() -> None:
    text = """\
Traceback (most recent call last):
  File "/srv/a.py", line 1, in one
    {}["key"]
KeyError: 'key'

During handling of the above exception, another exception occurred:

Traceback (most recent call last):
  File "/srv/b.py", line 2, in two
    raise RuntimeError("no key")
RuntimeError: no key
"""
    cause = true_cause(text)
    assert cause is not None
    assert cause.reason == "RuntimeError: no key"


def test_an_import_error_that_was_translated_without_from_is_the_cause() -> None:
    text = """\
Traceback (most recent call last):
  File "/srv/a.py", line 1, in <module>
    import torch
ModuleNotFoundError: No module named 'torch'

During handling of the above exception, another exception occurred:

Traceback (most recent call last):
  File "/srv/b.py", line 2, in two
    raise RuntimeError("not available")
RuntimeError: not available
"""
    cause = true_cause(text)
    assert cause is not None
    assert cause.missing_module == "torch"


def test_an_import_error_while_another_is_handled_is_the_cause_itself() -> None:
    """Of two libraries that would do, the second one is what a provider cannot do without."""
    text = """\
Traceback (most recent call last):
  File "/srv/a.py", line 1, in <module>
    import orjson
ModuleNotFoundError: No module named 'orjson'

During handling of the above exception, another exception occurred:

Traceback (most recent call last):
  File "/srv/a.py", line 3, in <module>
    import simplejson
ModuleNotFoundError: No module named 'simplejson'
"""
    cause = true_cause(text)
    assert cause is not None
    assert cause.reason == "ModuleNotFoundError: No module named 'simplejson'"
    assert [frame.line for frame in cause.frames] == [3]


def test_the_last_lines_lose_the_handlers_padding() -> None:
    assert last_lines("a   \nb  \nc \n", 2) == "b\nc"
