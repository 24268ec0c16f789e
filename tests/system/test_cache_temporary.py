from __future__ import annotations

import errno
from pathlib import Path

import pytest

from lls_provider.errors import Code, SdkError
from lls_provider.system.cache import making_temporary, scratch


def test_a_temporary_folder_is_gone_whatever_happens() -> None:
    with pytest.raises(ZeroDivisionError), scratch("test") as folder:
        (folder / "file").write_text("")
        raise ZeroDivisionError
    assert not folder.exists()


def test_without_a_place_for_temporary_folders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "gone"))
    with pytest.raises(SdkError) as caught, scratch("test"):
        pytest.fail("there is no directory to work in")
    assert caught.value.code is Code.OUTPUT_UNWRITABLE
    assert str(tmp_path / "gone") in str(caught.value.where.file)


def test_a_temporary_folder_that_cannot_be_made_names_its_variable() -> None:
    """Where no directory will do, `tempfile` fails before there is a place to name."""
    with pytest.raises(SdkError) as caught, making_temporary():
        raise FileNotFoundError(errno.ENOENT, "No usable temporary directory found in ['/x']")
    assert caught.value.code is Code.OUTPUT_UNWRITABLE
    assert caught.value.what == "Cannot make a temporary directory"
    assert "No usable temporary directory" in caught.value.why
    assert caught.value.resolution == "Set TMPDIR to a directory that you can write."
