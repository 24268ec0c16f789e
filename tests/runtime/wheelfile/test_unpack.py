from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from lls_provider.errors import Code, SdkError
from lls_provider.runtime.wheelfile.unpack import (
    MTIME_NS,
    Unpacking,
    set_directory_times,
    set_times,
    unpack,
)
from lls_provider.runtime.wheelfile.wheel import read_wheel

MakeWheel = Callable[..., Path]


def _unpack(path: Path, folder: Path, workers: int = 1) -> None:
    folder.mkdir()
    wheel = read_wheel(path)
    unpack([Unpacking(wheel, wheel.files)], folder, workers=workers)


@pytest.mark.parametrize("workers", [1, 3])
def test_files_arrive_with_their_content_modes_and_the_fixed_time(
    tmp_path: Path, make_wheel: MakeWheel, workers: int
) -> None:
    big = os.urandom(9_000_000)
    path = make_wheel(
        "x",
        files={"x/a.py": "a", "x/deep/er/run.sh": "#!/bin/sh\n", "x/big.bin": big, "top.py": ""},
        modes={"x/deep/er/run.sh": 0o755},
    )
    out = tmp_path / "out"
    _unpack(path, out, workers)
    assert (out / "x/big.bin").read_bytes() == big
    assert stat.S_IMODE((out / "x/a.py").stat().st_mode) == 0o644
    assert stat.S_IMODE((out / "x/deep/er/run.sh").stat().st_mode) == 0o755
    assert {p.stat().st_mtime_ns for p in out.rglob("*") if p.is_file()} == {MTIME_NS}
    set_directory_times(out)
    assert {p.stat().st_mtime_ns for p in out.rglob("*")} == {MTIME_NS}


@pytest.mark.parametrize("workers", [1, 3])
def test_content_that_record_does_not_know_is_refused(
    tmp_path: Path, make_wheel: MakeWheel, workers: int
) -> None:
    def wrong(text: str) -> str:
        name, digest, rest = text.partition(",sha256=")
        return f"{name}{digest}{'A' * 43}{rest[43:]}"

    path = make_wheel("x", files={"x/a.py": "a"}, record=wrong)
    with pytest.raises(SdkError, match="not valid") as caught:
        _unpack(path, tmp_path / "out", workers)
    assert caught.value.code is Code.WHEEL_HASH_MISMATCH
    assert "x/a.py is not what RECORD says" in caught.value.why


def test_a_name_that_is_file_and_folder_is_refused(tmp_path: Path, make_wheel: MakeWheel) -> None:
    path = make_wheel("x", files={"x": "", "x/a.py": ""})
    with pytest.raises(SdkError) as caught:
        _unpack(path, tmp_path / "out")
    assert caught.value.code is Code.WHEEL_PATH_CONFLICT


def test_nothing_is_written_through_a_link(tmp_path: Path, make_wheel: MakeWheel) -> None:
    wheel = read_wheel(make_wheel("x", files={"x.py": "new"}))
    out, victim = tmp_path / "out", tmp_path / "victim"
    out.mkdir()
    victim.write_text("old")
    (out / "x.py").symlink_to(victim)
    with pytest.raises(SdkError):
        unpack([Unpacking(wheel, wheel.files)], out, workers=1)
    assert victim.read_text() == "old"


def test_a_wheel_may_end_with_what_is_a_job_of_its_own(
    tmp_path: Path, make_wheel: MakeWheel
) -> None:
    path = make_wheel("x", files={"x/a.py": "a"})
    wheel = read_wheel(path)
    large = make_wheel("y", files={"y/a.py": "a", "y/big.bin": bytes(9_000_000)})
    files = tuple(sorted(read_wheel(large).files, key=lambda it: it.size))
    out = tmp_path / "out"
    out.mkdir()
    unpack([Unpacking(read_wheel(large), files), Unpacking(wheel, wheel.files)], out, workers=1)
    assert (out / "y/big.bin").stat().st_size == 9_000_000
    assert (out / "x/a.py").read_text() == "a"


def test_the_folder_of_another_user_keeps_its_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Root may change it all the same: so the system's answer is given here."""
    seen: list[str] = []

    def utime(path: str, **_more: object) -> None:
        seen.append(path)
        raise PermissionError(errno.EPERM, "Operation not permitted", path)

    monkeypatch.setattr(os, "utime", utime)
    set_times([str(tmp_path), "/another"])
    assert seen == [str(tmp_path), "/another"]
