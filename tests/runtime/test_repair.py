"""Wheels whose RECORD breaks the rules, as published ones do: what the message says mends them."""

from __future__ import annotations

import base64
import re
import shlex
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import uv

from lls_provider.errors import Code, SdkError
from lls_provider.runtime.wheelfile.wheel import read_wheel

MakeWheel = Callable[..., Path]

INFO = "acme_echo-1.0.dist-info"
FILES = {"acme_echo/__init__.py": "NAME = 'echo'\n", "acme_echo/data.bin": b"\0" * 99}


def _hexadecimal(text: str) -> str:
    """As furo 2022.12.7 has it."""
    return re.sub(
        r"sha256=([\w-]+)",
        lambda it: f"sha256={base64.urlsafe_b64decode(it[1] + '=').hex()}",
        text,
    )


def _absolute(text: str) -> str:
    """As selenium 4.1.0 has it."""
    return "".join(f"/{line}" for line in text.splitlines(keepends=True))


def _incomplete(text: str) -> str:
    """As FMPy 0.3.15 has it."""
    return "".join(line for line in text.splitlines(keepends=True) if "data.bin" not in line)


DEFECTS: list[tuple[Code, str, Callable[[str], str]]] = [
    (Code.WHEEL_HASH_WEAK, "written in hexadecimal", _hexadecimal),
    (Code.WHEEL_PATH_UNSAFE, "the path is absolute", _absolute),
    (Code.WHEEL_RECORD_INCOMPLETE, "does not cover 'acme_echo/data.bin'", _incomplete),
    (Code.WHEEL_HASH_WEAK, "no sha256", lambda text: re.sub("sha256=[^,]+", "", text)),
    (Code.WHEEL_RECORD_INVALID, "2 fields", lambda text: text + "a,b\n"),
    (Code.WHEEL_FILE_MISSING, "does not exist", lambda text: text + f"a.py,sha256={'A' * 43},1\n"),
]


def _refused(wheel: Path) -> SdkError:
    with pytest.raises(SdkError) as caught:
        read_wheel(wheel)
    return caught.value


@pytest.mark.network
@pytest.mark.parametrize(("code", "why", "record"), DEFECTS, ids=[why for _, why, _ in DEFECTS])
def test_a_record_is_repaired_as_the_message_says(
    make_wheel: MakeWheel, code: Code, why: str, record: Callable[[str], str]
) -> None:
    wheel = make_wheel("acme-echo", files=FILES, record=record)
    error = _refused(wheel)
    assert error.code is code
    assert why in error.why
    assert "use another version of the package" in error.resolution
    commands = [shlex.split(it) for it in re.findall("`(.+?)`", error.resolution)]
    assert [command[0] for command in commands] == ["python3", "wheel"]
    runner = {
        "python3": [sys.executable],
        "wheel": [uv.find_uv_bin(), "tool", "run", "wheel"],
    }
    for command in commands:
        subprocess.run(
            [*runner[command[0]], *command[1:]], cwd=wheel.parent, check=True, capture_output=True
        )
    repaired = read_wheel(wheel)
    assert set(FILES) < {file.path for file in repaired.files}
    with zipfile.ZipFile(wheel) as archive:
        assert archive.read("acme_echo/data.bin") == FILES["acme_echo/data.bin"]


@pytest.mark.parametrize(
    "change",
    [
        {"files": {**FILES, "acme_echo/../../x.py": ""}},
        {"files": {"a/b.py": "", "A/b.py": ""}},
        {"files": {"a.py": "", "acme_echo-1.0.data/purelib/a.py": "x"}},
        {"fields": ["Requires-Dist: not a requirement"]},
    ],
)
def test_what_no_record_could_mend_is_not_told_to_be_mended_so(
    make_wheel: MakeWheel, change: dict[str, object]
) -> None:
    resolution = _refused(make_wheel("acme-echo", **change)).resolution
    assert "wheel pack" not in resolution
    assert "where that brings the same file, use another version of the package" in resolution
