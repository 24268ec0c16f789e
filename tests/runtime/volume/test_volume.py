from __future__ import annotations

import fcntl
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from lls_provider.errors import Code, SdkError
from lls_provider.runtime.volume.reconcile import (
    desired_state,
    move_tree,
    reconcile,
    recover_interrupted,
    remove_record,
)
from lls_provider.runtime.volume.volume import Volume, recorded_files
from lls_provider.runtime.wheelfile.unpack import MTIME_NS

if TYPE_CHECKING:
    MakeBundle = Callable[..., Path]
    MakeWheel = Callable[..., Path]
    Pod = Any


def _tree(root: Path) -> dict[str, str]:
    return {
        path.relative_to(root).as_posix(): path.read_text()
        for path in root.rglob("*")
        if path.is_file()
    }


def _write(root: Path, files: dict[str, str]) -> Path:
    for path, text in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    return root


def test_moving_merges_folders_and_overwrites_nothing(tmp_path: Path) -> None:
    source = _write(tmp_path / "s", {"ns/a": "new", "ns/b": "new", "whole/x": "new"})
    target = _write(tmp_path / "t", {"ns/a": "old", "ns/c": "old"})
    move_tree(source, target)
    assert _tree(target) == {"ns/a": "old", "ns/b": "new", "ns/c": "old", "whole/x": "new"}
    assert (target / "ns").stat().st_mtime_ns == MTIME_NS


def test_the_lock_excludes_and_dies_with_its_descriptor(tmp_path: Path) -> None:
    volume = Volume(tmp_path)

    def held() -> bool:
        descriptor = os.open(volume.tree.external, os.O_RDONLY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(descriptor)
        return False

    with volume.locked():
        assert held()
    assert not held()


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "external-providers").write_text("")
    with pytest.raises(SdkError) as caught, Volume(tmp_path).locked():
        pass
    assert caught.value.code is Code.VOLUME_UNWRITABLE


def test_an_empty_volume_holds_nothing(tmp_path: Path) -> None:
    volume = Volume(tmp_path)
    assert volume.records() == []
    assert desired_state(volume, []).distributions() == []
    assert recover_interrupted(volume, []) == []


def test_distributions_know_who_put_them_there(
    pod: Pod, make_bundle: MakeBundle, make_wheel: MakeWheel
) -> None:
    pod.install(make_bundle(requires=["dep"], dependencies=[make_wheel("dep")]))
    stranger = pod.packages / "stranger-1.dist-info"
    _write(stranger, {"METADATA": "Name: stranger\nVersion: 1\nRequires-Dist: ?!\n"})
    _write(pod.packages / "broken-1.dist-info", {"METADATA": "nothing\n"})
    volume = Volume(pod.root)
    found = {
        str(item.candidate.name): item
        for item in desired_state(volume, volume.records()).distributions()
    }
    assert sorted(found) == ["acme-echo", "dep", "stranger"]
    assert found["acme-echo"].candidate.is_own
    assert found["dep"].candidate.source is not None
    assert found["dep"].candidate.source.provider == "acme-echo"
    assert found["stranger"].candidate.source is None
    assert [found[name].ours for name in sorted(found)] == [True, True, False]


def test_what_no_record_claims_goes_and_what_is_shared_stays(
    pod: Pod, make_bundle: MakeBundle, make_wheel: MakeWheel
) -> None:
    pod.install(make_bundle(files={"ns/shared.py": "", "ns/mine.py": ""}))
    before = pod.snapshot()
    files = {"ns/shared.py": "", "ns/theirs.py": "", "bin/tool": "", "lib/deep/x.py": ""}
    pod.install(make_bundle("acme-guard", files=files), "acme-guard")
    volume = Volume(pod.root)
    keep = [record for record in volume.records() if record.provider_id == "acme-echo"]
    volume.retract("acme-guard")
    assert recover_interrupted(volume, keep) == ["acme_guard-1.0.dist-info"]
    after = {path: value for path, value in pod.snapshot().items() if "metadata" not in path}
    (pod.external / "installed-packages.txt").write_text("acme-echo==1.0  # acme-echo\n")
    assert set(after) == {path for path in before if "metadata" not in path}


class _Watched(Volume):
    """A volume that remembers which packages stood there when its providers were suspended.

    And which providers were taken off it, in their order.
    """

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.before: list[set[str]] = []
        self.retracted: list[str] = []

    def retract(self, provider_id: str) -> None:
        self.retracted.append(provider_id)
        super().retract(provider_id)

    def suspend(self) -> None:
        self.before.append({path.name for path in self.tree.python_packages.iterdir()})
        super().suspend()


def test_providers_are_suspended_before_a_package_comes_back(
    pod: Pod, make_bundle: MakeBundle, make_wheel: MakeWheel
) -> None:
    """Nobody sees a provider whose dependency is only half back."""
    old, new = (make_wheel("dep", f"{n}.0", {f"dep{n}.py": ""}) for n in (1, 2))
    pod.install(make_bundle(requires=["dep"], dependencies=[old]))
    guard = make_bundle("acme-guard", requires=["dep>=2"], dependencies=[new])
    pod.install(guard, "acme-guard", order=1)
    volume = _Watched(pod.root)
    keep = [record for record in volume.records() if record.provider_id == "acme-echo"]
    volume.retract("acme-guard")
    reconcile(volume, desired_state(volume, keep))
    (before,) = volume.before
    assert {"dep2.py", "dep-2.0.dist-info"} <= before
    assert not {"dep1.py", "dep-1.0.dist-info"} & before
    assert (pod.packages / "dep1.py").is_file()
    assert not (pod.packages / "dep2.py").exists()
    assert not volume.tree.metadata.exists()
    volume.resume()
    assert [path.name for path in volume.tree.metadata.iterdir()] == ["acme-echo"]


def test_providers_stay_visible_while_something_goes_that_nothing_takes_the_place_of(
    pod: Pod, make_bundle: MakeBundle
) -> None:
    pod.install(make_bundle())
    pod.install(make_bundle("acme-guard"), "acme-guard", order=1)
    volume = _Watched(pod.root)
    keep = [record for record in volume.records() if record.provider_id == "acme-echo"]
    volume.retract("acme-guard")
    reconcile(volume, desired_state(volume, keep))
    assert volume.before == []
    assert not (pod.packages / "acme_guard").exists()
    assert volume.tree.metadata.is_dir()


def test_providers_are_forgotten_from_the_last_slot_on(pod: Pod, make_bundle: MakeBundle) -> None:
    """Whoever dies in between leaves what a shorter list of providers would have."""
    for order, name in enumerate(("acme-echo", "acme-guard", "acme-third")):
        pod.install(make_bundle(name), name, order=order)
    volume = _Watched(pod.root)
    remove_record(volume, [record for record in volume.records() if record.order > 0])
    assert volume.retracted == ["acme-third", "acme-guard"]
    assert volume.before == []  # they had replaced nothing: the others stay visible
    assert [path.name for path in volume.tree.metadata.iterdir()] == ["acme-echo"]


def test_who_replaced_a_package_is_forgotten_while_all_are_suspended(
    pod: Pod, make_bundle: MakeBundle, make_wheel: MakeWheel
) -> None:
    old, new = (make_wheel("dep", f"{n}.0") for n in (1, 2))
    pod.install(make_bundle(requires=["dep"], dependencies=[old]))
    guard = make_bundle("acme-guard", requires=["dep>=2"], dependencies=[new])
    pod.install(guard, "acme-guard", order=1)
    volume = _Watched(pod.root)
    remove_record(volume, [record for record in volume.records() if record.order > 0])
    assert volume.before
    assert [path.name for path in volume.suspended.iterdir()] == ["acme-echo"]


def test_the_folders_that_something_left_have_the_fixed_time_again(
    pod: Pod, make_bundle: MakeBundle
) -> None:
    files = {"ns/shared.py": "", "ns/deep/mine.py": ""}
    pod.install(make_bundle(files=files))
    pod.install(make_bundle("acme-guard", files={"ns/deep/theirs.py": ""}), "acme-guard", order=1)
    volume = Volume(pod.root)
    keep = [record for record in volume.records() if record.order == 0]
    volume.retract("acme-guard")
    recover_interrupted(volume, keep)
    folders = [pod.packages, *(it for it in pod.packages.rglob("*") if it.is_dir())]
    assert {folder.stat().st_mtime_ns for folder in folders} == {MTIME_NS}


def test_a_file_that_is_gone_already_frees_nothing(tmp_path: Path) -> None:
    volume = Volume(tmp_path)
    _write(
        volume.tree.python_packages / "x-1.dist-info",
        {"INSTALLER": "lls-provider\n", "RECORD": "gone.py,,\n"},
    )
    outlook = desired_state(volume, [])
    assert outlook.leaving_files == ("gone.py",)
    assert outlook.freed() == 0


def test_record_names_that_leave_the_folder_are_never_touched(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("keep")
    volume = Volume(tmp_path / "v")
    info = _write(
        volume.tree.python_packages / "x-1.dist-info",
        {
            "METADATA": "Name: x\nVersion: 1\n",
            "INSTALLER": "lls-provider\n",
            "RECORD": "../../../victim,,\n/etc/hostname,,\nx.py,,\nx-1.dist-info/RECORD,,\n",
        },
    )
    assert recorded_files(info) == ["x.py", "x-1.dist-info/RECORD"]
    assert recover_interrupted(volume, []) == ["x-1.dist-info"]
    assert victim.read_text() == "keep"
    assert not info.exists()


def test_a_damaged_record_of_files_drops_the_folder_alone(tmp_path: Path) -> None:
    volume = Volume(tmp_path)
    info = volume.tree.python_packages / "x-1.dist-info"
    _write(info, {"INSTALLER": "lls-provider\n"})
    (info / "RECORD").write_bytes(b"\xff\xfe")
    assert recover_interrupted(volume, []) == ["x-1.dist-info"]
    assert list(volume.tree.python_packages.iterdir()) == []


def test_folders_of_no_provider_are_passed_over(tmp_path: Path) -> None:
    volume = Volume(tmp_path)
    _write(volume.tree.metadata, {".hidden/installed.json": "{", "Not An ID/crd-config.yaml": "x"})
    (volume.tree.metadata / "empty").mkdir()
    assert volume.records() == []
