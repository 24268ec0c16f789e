"""Bytecode goes with its module, and nothing else does."""

from __future__ import annotations

from pathlib import Path

import pytest

from lls_provider.runtime.volume.reconcile import remove_bytecode


def _package(directory: Path, *cached: str) -> Path:
    cache = directory / "__pycache__"
    cache.mkdir()
    for name in cached:
        (cache / name).write_bytes(b"")
    return directory / "dep.py"


def test_the_bytecode_of_every_python_and_optimisation_goes(tmp_path: Path) -> None:
    module = _package(tmp_path, "dep.cpython-312.pyc", "dep.cpython-313.opt-1.pyc")
    remove_bytecode(module)
    assert not (tmp_path / "__pycache__").exists()


@pytest.mark.parametrize(
    "other", ["dependency.cpython-312.pyc", "a.dep.cpython-312.pyc", "dep.cpython-312.nbi", "dep"]
)
def test_what_is_not_bytecode_of_the_module_stays(tmp_path: Path, other: str) -> None:
    module = _package(tmp_path, "dep.cpython-312.pyc", other)
    remove_bytecode(module)
    assert [it.name for it in (tmp_path / "__pycache__").iterdir()] == [other]


def test_what_is_no_module_has_no_bytecode(tmp_path: Path) -> None:
    _package(tmp_path, "dep.cpython-312.pyc")
    remove_bytecode(tmp_path / "dep.json")
    assert (tmp_path / "__pycache__/dep.cpython-312.pyc").exists()


def test_a_module_that_was_never_compiled_has_none(tmp_path: Path) -> None:
    remove_bytecode(tmp_path / "dep.py")
    assert list(tmp_path.iterdir()) == []


def test_bytecode_that_another_process_removes_meanwhile_is_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = _package(tmp_path, "dep.cpython-312.pyc")
    unlink = Path.unlink

    def late(path: Path, missing_ok: bool = False) -> None:
        unlink(path)
        unlink(path, missing_ok=missing_ok)

    monkeypatch.setattr(Path, "unlink", late)
    remove_bytecode(module)
    assert not (tmp_path / "__pycache__").exists()


def test_a_cache_that_is_a_link_is_not_followed(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "dep.cpython-312.pyc").write_bytes(b"")
    package = tmp_path / "package"
    package.mkdir()
    (package / "__pycache__").symlink_to(outside)
    remove_bytecode(package / "dep.py")
    assert (outside / "dep.cpython-312.pyc").exists()
