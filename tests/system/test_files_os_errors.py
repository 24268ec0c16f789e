from __future__ import annotations

import errno
import os
import socket
from pathlib import Path

import pytest

from lls_provider.errors import Code
from lls_provider.system.files import OsCause, free_space, os_cause, os_error, os_reason, path_kind


@pytest.mark.parametrize(
    ("number", "cause"),
    [
        (errno.ENOSPC, OsCause.NO_SPACE),
        (errno.EDQUOT, OsCause.NO_SPACE),
        (errno.EFBIG, OsCause.NO_SPACE),
        (errno.EEXIST, OsCause.OBSTACLE),
        (errno.ENOTDIR, OsCause.OBSTACLE),
        (errno.EISDIR, OsCause.OBSTACLE),
        (errno.ELOOP, OsCause.OBSTACLE),
        (errno.ENOTEMPTY, OsCause.OBSTACLE),
        (errno.EACCES, OsCause.FORBIDDEN),
        (errno.EPERM, OsCause.FORBIDDEN),
        (errno.EROFS, OsCause.READ_ONLY),
        (errno.EIO, OsCause.STORAGE),
        (errno.ESTALE, OsCause.STORAGE),
        (errno.EMFILE, OsCause.PROCESS_LIMIT),
        (errno.ENOMEM, OsCause.PROCESS_LIMIT),
        (errno.EINVAL, OsCause.OTHER),
    ],
)
def test_each_number_has_one_cause(number: int, cause: OsCause) -> None:
    assert os_cause(OSError(number, os.strerror(number))) is cause


def test_an_error_without_a_number_has_a_cause_and_a_reason() -> None:
    error = OSError("the device went away")
    assert os_cause(error) is OsCause.OTHER
    assert os_reason(error) == "the device went away"


def test_an_error_says_what_the_system_says_and_then_the_detail() -> None:
    found = os_error(
        PermissionError(errno.EACCES, "Permission denied", "/a"),
        Code.OUTPUT_UNWRITABLE,
        "Cannot write /a",
        file="/a",
        resolution="Choose another place.",
        detail=": it belongs to root",
    )
    assert (found.code, found.what, found.where.file, found.resolution) == (
        Code.OUTPUT_UNWRITABLE,
        "Cannot write /a",
        "/a",
        "Choose another place.",
    )
    assert found.why == "Permission denied: it belongs to root"


def test_the_free_space_is_that_of_the_folder_that_is_there(tmp_path: Path) -> None:
    assert free_space(tmp_path / "not" / "there").endswith(" bytes are free")
    assert free_space(Path("relative-and-missing")).endswith(" bytes are free")


def test_the_kind_of_a_path_is_its_own(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "socket"))
        kinds = [path_kind(tmp_path / it) for it in ("file", "link", "pipe", "socket", "none", "")]
    assert kinds == ["a file", "a link", "a pipe", "a socket", "nothing", "a directory"]
    assert path_kind("/dev/null") == "a device"
