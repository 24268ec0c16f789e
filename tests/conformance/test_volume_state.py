"""What is read of a volume, and what is passed over."""

from __future__ import annotations

import os
from pathlib import Path

from lls_provider.conformance.volume_state import FILE_LIMIT, VolumeState, read_volume

PACKAGES = "external-providers/python-packages"


def test_files_are_read_and_nothing_else(tmp_path: Path) -> None:
    root = tmp_path / "volume"
    (root / "a").mkdir(parents=True)
    (root / "a" / "file").write_bytes(b"content")
    (tmp_path / "outside").write_text("secret")
    (root / "link").symlink_to(tmp_path / "outside")
    (root / "folder").symlink_to(tmp_path)
    os.mkfifo(root / "pipe")
    state = read_volume(root)
    assert state.files == {"a/file": b"content"}
    assert state.problems == ()
    assert state.text("a/file") == "content"
    assert state.text("link") is None


def test_a_large_file_is_cut(tmp_path: Path) -> None:
    (tmp_path / "large").touch()
    os.truncate(tmp_path / "large", FILE_LIMIT * 10)
    assert len(read_volume(tmp_path).files["large"]) == FILE_LIMIT + 1


def test_a_volume_that_is_gone_is_a_problem(tmp_path: Path) -> None:
    assert read_volume(tmp_path / "gone").problems == ("the volume: No such file or directory",)


def test_a_file_that_cannot_be_read_is_a_problem(tmp_path: Path) -> None:
    (tmp_path / "name").touch()
    real = os.open

    def refusing(path: object, *more: int) -> int:
        raise PermissionError(13, "Permission denied", path)

    os.open = refusing  # type: ignore[assignment]
    try:
        state = read_volume(tmp_path)
    finally:
        os.open = real
    assert state.problems == ("name: Permission denied",)


def test_the_contract_knows_packages_and_metadata_only() -> None:
    public = [
        f"{PACKAGES}/a/b.py",
        "external-providers/installed-packages.txt",
        "external-providers/metadata/acme/crd-config.yaml",
        "external-providers/metadata/acme/lls-provider-spec.yaml",
    ]
    private = [
        f"{PACKAGES}/a/__pycache__/b.pyc",
        "external-providers/metadata/acme/installed.json",
        "external-providers/.lock",
        "external-providers/bin/lls-provider.pyz",
        "config/run.yaml",
    ]
    state = VolumeState(dict.fromkeys([*public, *private], b""))
    assert list(state.public()) == public


def test_distributions_have_normalised_names_and_all_their_versions() -> None:
    names = ["Zope_Interface-2", "dep-1.0", "dep-2.0+local", "not-a-package"]
    files = {f"{PACKAGES}/{name}.dist-info/METADATA": b"" for name in names[:3]}
    files |= {f"{PACKAGES}/{names[3]}/METADATA": b""}
    assert VolumeState(files).distributions() == {
        "dep": "1.0 and 2.0+local",
        "zope-interface": "2",
    }
