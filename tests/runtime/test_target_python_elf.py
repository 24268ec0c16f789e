from __future__ import annotations

import struct
import sys
from pathlib import Path

import pytest

from lls_provider.runtime.target_python import elf_machine, read_elf_machine, read_is_module


def _header(bits: int, machine: int, order: str = "<") -> bytes:
    ident = b"\x7fELF" + bytes([bits, 1 if order == "<" else 2]) + bytes(10)
    return ident + struct.pack(order + "HH", 3, machine)


@pytest.mark.parametrize(
    ("header", "machine"),
    [
        (_header(2, 62), "x86_64"),
        (_header(2, 183), "aarch64"),
        (_header(2, 22, ">"), "s390x"),
        (_header(1, 3), "i686"),
        (_header(2, 9999), "machine-9999"),
        (b"\x7fELF", None),
        (b"#!/bin/sh\n" * 3, None),
        (b"", None),
    ],
)
def test_the_machine_is_read_from_the_header(header: bytes, machine: str | None) -> None:
    assert elf_machine(header) == machine


def test_the_running_interpreter_is_of_this_machine() -> None:
    import os

    assert read_elf_machine(Path(sys.executable).resolve()) == os.uname().machine


def test_a_file_that_cannot_be_read_is_no_elf(tmp_path: Path) -> None:
    assert read_elf_machine(tmp_path / "none") is None


def test_only_a_file_with_an_init_function_of_its_name_is_a_module(tmp_path: Path) -> None:
    module, empty = tmp_path / "core.so", tmp_path / "empty.so"
    module.write_bytes(b"\x7fELF" + bytes(9) + b"\0PyInit_core\0")
    empty.touch()
    assert read_is_module(module)
    assert not read_is_module(module.rename(tmp_path / "other.so"))
    assert not read_is_module(empty)
    assert not read_is_module(tmp_path / "none.so")
