from __future__ import annotations

import csv
import io
from collections.abc import Callable
from pathlib import Path

import pytest
from packaging.version import Version
from tests.factories.wheels import record_hash

from lls_provider.contract.limits import WheelLimits
from lls_provider.errors import Code, SdkError
from lls_provider.runtime.wheelfile.contents import made, record_file
from lls_provider.runtime.wheelfile.wheel import check_total, read_wheel

MakeWheel = Callable[..., Path]


def test_identity_needs_and_modules_are_read(make_wheel: MakeWheel) -> None:
    path = make_wheel(
        "acme-echo",
        "1.0",
        {"acme_echo/__init__.py": "", "single.py": "", "data-only/x.txt": ""},
        requires=["dep>=2; python_version > '3.8'"],
        fields=["Requires-Python: >=3.11"],
    )
    wheel = read_wheel(path)
    assert (wheel.name, wheel.version, wheel.filename) == ("acme-echo", Version("1.0"), path.name)
    assert [str(requirement) for requirement in wheel.requires] == [
        'dep>=2; python_version > "3.8"'
    ]
    assert str(wheel.requires_python) == ">=3.11"
    assert wheel.top_levels == {"acme_echo", "single"}
    assert wheel.dist_info == "acme_echo-1.0.dist-info"


def test_data_folders_go_where_pip_puts_them(make_wheel: MakeWheel) -> None:
    wheel = read_wheel(
        make_wheel(
            "x",
            files={
                "x-1.0.data/purelib/pure.py": "",
                "x-1.0.data/platlib/plat.so": "",
                "x-1.0.data/scripts/run": "#!python -E\nprint()\n",
                "x-1.0.data/scripts/shell": "#!/bin/sh\n",
                "x-1.0.data/data/share/x.txt": "",
                "x-1.0.data/headers/x.h": "",
            },
        )
    )
    files = {file.path: file for file in wheel.files}
    assert {
        "pure.py",
        "plat.so",
        "bin/run",
        "bin/shell",
        "share/x.txt",
        "include/python/x/x.h",
    } <= set(files)
    assert files["bin/run"].content == b"#!/usr/bin/env python3\nprint()\n"
    assert files["bin/run"].executable
    assert files["bin/shell"].executable
    assert files["bin/shell"].member is not None


def test_console_scripts_are_made(make_wheel: MakeWheel) -> None:
    points = (
        "[console_scripts]\nx = pkg.mod:main.run [extra]\n[gui_scripts]\ny=pkg:f\n[other]\nz=z\n"
    )
    wheel = read_wheel(make_wheel("x", files={"x-1.0.dist-info/entry_points.txt": points}))
    files = {file.path: file.content for file in wheel.files}
    assert b"from pkg.mod import main\n" in files["bin/x"]
    assert b"sys.exit(main.run())" in files["bin/x"]
    assert "bin/y" in files
    assert "bin/z" not in files


def test_the_installed_record_lists_every_file_sorted(make_wheel: MakeWheel) -> None:
    wheel = read_wheel(make_wheel("x", files={"b.py": "b", "a.py": "a"}))
    lines = record_file(wheel.dist_info, wheel.files).content.decode().splitlines()
    assert [line.partition(",")[0] for line in lines] == [
        "a.py",
        "b.py",
        "x-1.0.dist-info/INSTALLER",
        "x-1.0.dist-info/METADATA",
        "x-1.0.dist-info/REQUESTED",
        "x-1.0.dist-info/WHEEL",
        "x-1.0.dist-info/RECORD",
    ]
    assert lines[0] == "a.py,sha256=ypeBEsobvcr6wjGzmiPcTaeG7_gUfE5yuYB3ha_uSLs,1"
    assert lines[-1] == "x-1.0.dist-info/RECORD,,"


@pytest.mark.parametrize("name", ["a b.py", "a,b.py", "ä.py", "semi;colon.py"])
def test_the_installed_record_is_the_csv_that_others_write(name: str) -> None:
    wanted = io.StringIO()
    file = made(name, b"x")
    rows = [(name, record_hash(b"x"), "1"), ("x,y-1.dist-info/RECORD", "", "")]
    csv.writer(wanted, lineterminator="\n").writerows(rows)
    assert record_file("x,y-1.dist-info", [file]).content.decode() == wanted.getvalue()


def _refused(path: Path, code: Code) -> str:
    with pytest.raises(SdkError) as caught:
        read_wheel(path)
    assert caught.value.code is code
    assert caught.value.where.file == str(path)
    assert caught.value.resolution
    return caught.value.why


INFO = "x-1.0.dist-info"
BROKEN: list[tuple[Code, dict[str, object], str]] = [
    (
        Code.WHEEL_RECORD_INCOMPLETE,
        {"unrecorded": {"behind.py": "x"}},
        "RECORD does not cover 'behind.py'",
    ),
    (
        Code.WHEEL_FILE_MISSING,
        {"record": lambda text: text + "gone.py,sha256=" + "A" * 43 + ",1\n"},
        "gone.py",
    ),
    (
        Code.WHEEL_HASH_WEAK,
        {"record": lambda text: text.replace("sha256=", "md5=", 1)},
        "no sha256",
    ),
    (
        Code.WHEEL_HASH_WEAK,
        {"record": lambda text: text.replace("sha256=", "sha256=!", 1)},
        "no sha256",
    ),
    (
        Code.WHEEL_RECORD_INVALID,
        {"record": lambda text: text + text.partition("\n")[0] + "7\n"},  # another size
        "again",
    ),
    (Code.WHEEL_PATH_UNSAFE, {"record": lambda text: text + "../x,,\n"}, "leaves its directory"),
    (Code.WHEEL_RECORD_INVALID, {"record": lambda text: text + "x\n"}, "1 fields"),
    (Code.WHEEL_RECORD_INVALID, {"record": lambda text: '"' + text}, "RECORD"),
    (
        Code.WHEEL_METADATA_INVALID,
        {"fields": ["Requires-Dist: not a requirement"]},
        "requirement",
    ),
    (Code.WHEEL_METADATA_INVALID, {"fields": ["Requires-Python: nonsense"]}, "nonsense"),
    (Code.WHEEL_METADATA_INVALID, {"fields": ["no header"]}, "METADATA"),
    (
        Code.WHEEL_NAME_MISMATCH,
        {"files": {f"{INFO}/METADATA": "Name: y\nVersion: 1.0\n"}},
        "says 'y' '1.0'",
    ),
    (
        Code.WHEEL_METADATA_INVALID,
        {"files": {f"{INFO}/METADATA": "Name: x\n"}},
        "the field Version is missing",
    ),
    (
        Code.WHEEL_VERSION_UNSUPPORTED,
        {"files": {f"{INFO}/WHEEL": "Wheel-Version: 2.0\n"}},
        "is not 1.x",
    ),
    (
        Code.WHEEL_DIST_INFO_INVALID,
        {"files": {"y-1.0.dist-info/METADATA": ""}},
        "one .dist-info directory",
    ),
    (Code.WHEEL_DATA_INVALID, {"files": {"x-1.0.data/other/a": ""}}, "no such .data directory"),
    (Code.WHEEL_DATA_INVALID, {"files": {"y-1.0.data/data/a": ""}}, "another wheel"),
    (
        Code.WHEEL_DUPLICATE_ENTRY,
        {"files": {"a": "", "x-1.0.data/purelib/a": "x"}},
        "two of its files",
    ),
    (
        Code.WHEEL_ENTRY_POINT_INVALID,
        {"files": {f"{INFO}/entry_points.txt": "[console_scripts]\n../x = a:b\n"}},
        "is not a script",
    ),
    (
        Code.WHEEL_ENTRY_POINT_INVALID,
        {"files": {f"{INFO}/entry_points.txt": "[console_scripts]\nx = a;b:c\n"}},
        "is not a script",
    ),
    (
        Code.WHEEL_ENTRY_POINT_INVALID,
        {"files": {f"{INFO}/entry_points.txt": "x = y\n"}},
        "entry_points.txt",
    ),
]


@pytest.mark.parametrize(("code", "change", "why"), BROKEN, ids=[why for _, _, why in BROKEN])
def test_a_broken_wheel_is_refused(
    make_wheel: MakeWheel, code: Code, change: dict[str, object], why: str
) -> None:
    assert why in _refused(make_wheel("x", **change), code)


@pytest.mark.parametrize("name", ["x.whl", "x-1.0.whl", "x-y-py3-none-any.whl"])
def test_a_name_that_is_no_wheels_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"")
    _refused(tmp_path / name, Code.WHEEL_NAME_INVALID)


def test_a_data_folder_in_another_spelling_is_the_wheels_own(make_wheel: MakeWheel) -> None:
    wheel = read_wheel(make_wheel("x", files={"X-1.0.0.data/purelib/a.py": ""}))
    assert "a.py" in {file.path for file in wheel.files}


def test_a_dist_info_of_another_version_is_refused(make_wheel: MakeWheel) -> None:
    path = make_wheel("x", "1.0")
    renamed = path.with_name("x-2.0-py3-none-any.whl")
    path.rename(renamed)
    assert "does not belong" in _refused(renamed, Code.WHEEL_NAME_MISMATCH)


def test_a_script_that_is_not_what_record_says_is_refused(make_wheel: MakeWheel) -> None:
    def other_hash(text: str) -> str:
        name, digest, rest = text.partition(",sha256=")
        return f"{name}{digest}{'A' * 43}{rest[43:]}"

    path = make_wheel("x", files={"x-1.0.data/scripts/run": "#!python\n"}, record=other_hash)
    why = _refused(path, Code.WHEEL_HASH_MISMATCH)
    assert "x-1.0.data/scripts/run is not what RECORD says" in why


def test_of_two_files_for_one_place_one_may_be_executable(make_wheel: MakeWheel) -> None:
    again = "x-1.0.data/purelib/tool.py"
    wheel = read_wheel(make_wheel("x", files={"tool.py": "x", again: "x"}, modes={again: 0o755}))
    (file,) = [it for it in wheel.files if it.path == "tool.py"]
    assert file.executable


def test_a_script_may_stand_there_as_it_will_be_written(make_wheel: MakeWheel) -> None:
    files = {
        "x-1.0.data/scripts/run": "#!python\nprint()\n",
        "x-1.0.data/data/bin/run": "#!/usr/bin/env python3\nprint()\n",
    }
    wheel = read_wheel(make_wheel("x", files=files))
    assert [it.path for it in wheel.files].count("bin/run") == 1


def test_who_installed_it_is_ours_to_say(make_wheel: MakeWheel) -> None:
    wheel = read_wheel(make_wheel("x", files={f"{INFO}/INSTALLER": "pip\n"}))
    (file,) = [it for it in wheel.files if it.path == f"{INFO}/INSTALLER"]
    assert file.content == b"lls-provider\n"


def test_a_data_folder_within_a_package_is_one_of_its_own(make_wheel: MakeWheel) -> None:
    paths = {file.path for file in read_wheel(make_wheel("x", files={"x/my.data/a": ""})).files}
    assert "x/my.data/a" in paths


def test_a_file_beside_the_packages_is_no_module(make_wheel: MakeWheel) -> None:
    assert read_wheel(make_wheel("x", files={"README.txt": "", "x.py": ""})).top_levels == {"x"}


def test_wheels_together_have_a_limit_of_files(make_wheel: MakeWheel, tmp_path: Path) -> None:
    wheels = [read_wheel(make_wheel("x")), read_wheel(make_wheel("y"))]
    count = sum(len(it.files) for it in wheels)
    check_total(wheels, tmp_path, WheelLimits(files=count))
    with pytest.raises(SdkError) as caught:
        check_total(wheels, tmp_path, WheelLimits(files=count - 1))
    assert caught.value.code is Code.WHEEL_LIMIT
    assert f"the 2 wheels have {count} files together" in caught.value.why


def test_a_folder_of_no_version_is_not_the_wheels_own(make_wheel: MakeWheel) -> None:
    path = make_wheel("x", files={"x-one.data/purelib/a.py": ""})
    assert "another wheel" in _refused(path, Code.WHEEL_DATA_INVALID)
