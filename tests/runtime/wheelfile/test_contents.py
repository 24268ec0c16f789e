from __future__ import annotations

import time

import pytest

from lls_provider.runtime.wheelfile.contents import Command, parse_entry_points, with_shebang


def test_commands_of_both_sections_are_read() -> None:
    text = b"""\
# made by a tool
; and another
[console_scripts]
a = pkg.mod:main
b=pkg:Class.run [extra]
[other.group]
anything = goes here
alone

[gui_scripts]
c = pkg:c
"""
    assert parse_entry_points(text) == [
        Command("a", "pkg.mod", "main"),
        Command("b", "pkg", "Class.run"),
        Command("c", "pkg", "c"),
    ]


def test_a_command_calls_what_it_names() -> None:
    source = Command("b", "pkg", "Class.run").source().decode()
    assert source.startswith("#!/usr/bin/env python3\n")
    assert "from pkg import Class\n" in source
    assert "sys.exit(Class.run())" in source
    compile(source, "b", "exec")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (b"a = b:c\n", "is in no section"),
        (b"[console_scripts]\na\n", "line 2"),
        (b"[console_scripts]\na = b\n", "is not a script"),
        (b"[console_scripts]\na = b:c\na = b:d\n", "twice"),
        (b"[console_scripts]\na = b:c \xff\n", "utf-8"),
    ],
)
def test_what_is_no_command_is_refused(text: bytes, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        parse_entry_points(text)


def test_a_long_line_takes_no_longer_than_its_length() -> None:
    start = time.process_time()
    with pytest.raises(ValueError, match="is not a script"):
        parse_entry_points(b"[console_scripts]\na" + b" " * 4_000_000 + b"b")
    assert time.process_time() - start < 5  # configparser takes hours


def test_the_first_line_of_a_script_is_replaced() -> None:
    assert with_shebang(b"#!python -E\nx\ny\n") == b"#!/usr/bin/env python3\nx\ny\n"
