"""The installed tree equals that of ``pip install --target``, but for docs/equality.md's list."""

from __future__ import annotations

import csv
import stat
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.factories.wheels import record_hash

if TYPE_CHECKING:
    from tests.equality.conftest import Trees

pytestmark = [pytest.mark.network, pytest.mark.xdist_group("equality")]

INTERPRETER = b"#!/usr/bin/env python3\n"


def test_the_wheels_have_all_that_wheels_can_have(trees: Trees) -> None:
    """The comparison below would prove little if a kind of file were missing."""
    names = [name for wheel in trees.wheels for name in zipfile.ZipFile(wheel).namelist()]
    for kind in ("scripts", "data", "headers"):
        assert any(f".data/{kind}/" in name for name in names), kind
    assert sum(name.endswith(".so") for name in names) > 30
    for namespace in ("google", "opentelemetry"):
        assert f"{namespace}/__init__.py" not in names
        assert len({name.split("/")[1] for name in names if name.startswith(namespace + "/")}) > 2
    assert len(trees.wheels) >= 55


def test_the_paths_are_the_same(trees: Trees) -> None:
    assert set(_files(trees.ours)) == set(_files(trees.pip))


def test_the_modes_of_files_are_the_same(trees: Trees) -> None:
    pip, ours = _files(trees.pip), _files(trees.ours)
    assert {path: _mode(file) for path, file in ours.items()} == {
        path: _mode(file) for path, file in pip.items()
    }
    assert set(map(_mode, ours.values())) == {"-rw-r--r--", "-rwxr-xr-x"}


def test_the_bytes_are_the_same(trees: Trees) -> None:
    pip, ours = _files(trees.pip), _files(trees.ours)
    different = {path for path in ours if ours[path].read_bytes() != pip[path].read_bytes()}
    documented = {path for path in ours if _name(path) in ("RECORD", "INSTALLER")}
    commands = {path for path in different - documented if path.startswith("bin/")}
    assert different - documented - commands == set()
    for path in commands:
        first, _, rest = pip[path].read_bytes().partition(b"\n")
        assert first.startswith(b"#!/"), path
        assert ours[path].read_bytes() == INTERPRETER + rest, path
    installers = {ours[path].read_bytes() for path in ours if _name(path) == "INSTALLER"}
    assert installers == {b"lls-provider\n"}


def test_the_records_tell_the_same_files(trees: Trees) -> None:
    """Of pip's lines only those differ whose files do; where pip notes ``../../bin`` it is bin."""
    records = [path for path in _files(trees.ours) if _name(path) == "RECORD"]
    assert len(records) == len(trees.wheels)
    for path in records:
        pip, ours = _record(trees.pip / path), _record(trees.ours / path)
        assert {_in_target(name) for name in pip} == set(ours), path
        for name, line in pip.items():
            if line != ours[_in_target(name)]:
                assert _name(name) == "INSTALLER" or _in_target(name).startswith("bin/"), name


def test_every_line_of_our_records_is_true(trees: Trees) -> None:
    for path, file in _files(trees.ours).items():
        if _name(path) != "RECORD":
            continue
        lines = _record(file)
        assert list(lines) == [*sorted(name for name in lines if name != path), path]
        for name, (digest, size) in lines.items():
            data = (trees.ours / name).read_bytes()
            if name != path:
                assert (digest, size) == (record_hash(data), str(len(data))), name


def _files(tree: Path) -> dict[str, Path]:
    """Everything that is not a directory, by path."""
    return {
        path.relative_to(tree).as_posix(): path
        for path in sorted(tree.rglob("*"))
        if path.is_symlink() or not path.is_dir()
    }


def _mode(path: Path) -> str:
    return stat.filemode(path.lstat().st_mode)


def _name(path: str) -> str:
    """The name of a file of a dist-info directory, of others nothing."""
    folder, _, name = path.partition("/")
    return name if folder.endswith(".dist-info") else ""


def _record(path: Path) -> dict[str, tuple[str, str]]:
    with path.open(encoding="utf-8", newline="") as stream:
        return {name: (digest, size) for name, digest, size in csv.reader(stream)}


def _in_target(name: str) -> str:
    return name.removeprefix("../../")
