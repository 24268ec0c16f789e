from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from lls_provider.errors import Code, SdkError
from lls_provider.runtime.volume.installed import open_regular
from lls_provider.runtime.volume.reconcile import (
    desired_state,
    move_tree,
    reconcile,
    recover_interrupted,
    remove_record,
    set_aside,
    source_of,
)
from lls_provider.runtime.volume.volume import (
    Volume,
    missing_packages,
    recorded_files,
    restore_zipapp,
)
from lls_provider.runtime.wheelfile.unpack import MTIME_NS, set_times

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


def test_whose_files_come_back_is_known_before_they_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An installer that ends in between leaves files whose distribution the next one finds."""
    source = _write(tmp_path / "s", {"a.py": "", "dep-1.dist-info/RECORD": "", "z.py": ""})
    target = _write(tmp_path / "t", {"kept": ""})
    rename = Path.rename

    def ends(path: Path, to: Path) -> Path:
        if (target / "dep-1.dist-info").exists() or path.suffix == ".py":
            raise KeyboardInterrupt
        return rename(path, to)

    monkeypatch.setattr(Path, "rename", ends)
    with pytest.raises(KeyboardInterrupt):
        move_tree(source, target)
    assert _tree(target) == {"kept": "", "dep-1.dist-info/RECORD": ""}


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
    """A volume that remembers which packages was there when its providers were suspended.

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
    """No one sees a provider whose dependency is only half back."""
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


def test_providers_that_others_made_visible_meanwhile_are_taken_over(
    pod: Pod, make_bundle: MakeBundle
) -> None:
    pod.install(make_bundle())
    volume = Volume(pod.root)
    volume.suspend()
    _write(
        volume.tree.metadata, {"acme-echo/crd-config.yaml": "newer", "other/crd-config.yaml": ""}
    )
    volume.resume()
    assert not volume.suspended.exists()
    assert (volume.tree.metadata / "acme-echo/crd-config.yaml").read_text() == "newer"
    assert [it.name for it in (volume.tree.metadata / "acme-echo").iterdir()] == ["crd-config.yaml"]
    assert (volume.tree.metadata / "other").is_dir()


def test_the_zipapp_stays_where_it_is_when_it_is_the_newest(
    pod: Pod, make_bundle: MakeBundle
) -> None:
    bundle = make_bundle()
    (bundle / "lls-provider.pyz").write_bytes(b"app")
    pod.install(bundle)
    volume = Volume(pod.root)
    before = pod.snapshot()
    restore_zipapp(volume, volume.records())
    assert volume.tree.zipapp.read_bytes() == b"app"
    assert pod.snapshot() == before


def test_a_record_with_overrides_that_nobody_can_read_has_none(
    pod: Pod, make_bundle: MakeBundle
) -> None:
    pod.install(make_bundle(overrides=["dep<3"]))
    (record,) = Volume(pod.root).records()
    assert [*source_of(record).overrides] == ["dep"]
    assert source_of(replace(record, overrides=("???",))).overrides == {}


def test_what_comes_back_is_found_where_it_waits_and_what_does_not_is_freed(
    pod: Pod, make_bundle: MakeBundle, make_wheel: MakeWheel
) -> None:
    old, new = (make_wheel("dep", f"{n}.0", {f"dep{n}.py": "x" * 9000}) for n in (1, 2))
    pod.install(make_bundle(requires=["dep"], dependencies=[old]))
    guard = make_bundle("acme-guard", requires=["dep>=2"], dependencies=[new])
    pod.install(guard, "acme-guard", order=1)
    volume = Volume(pod.root)
    echo = [record for record in volume.records() if record.provider_id == "acme-echo"]
    outlook = desired_state(volume, echo)
    assert outlook.find("dep1.py") == volume.replaced / "acme-guard/dep-1.0.dist-info/dep1.py"
    assert outlook.find("dep2.py") is None
    assert outlook.find("dep3.py") is None
    # without either of them, the old version goes too
    assert desired_state(volume, []).freed() >= outlook.freed() + 9000


@pytest.mark.parametrize(
    "place", ["x" * 300, "/proc/self/mem/x", "/nowhere/x"], ids=["too long", "not there", "gone"]
)
def test_reading_tells_what_is_not_there_from_what_fails(place: str) -> None:
    if len(place) > 255:
        with pytest.raises(OSError, match="too long"):
            open_regular(Path(place))
    else:
        assert open_regular(Path(place)) is None


def test_a_folder_that_cannot_be_removed_is_no_silence(
    pod: Pod, make_bundle: MakeBundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    pod.install(make_bundle())

    def fails(_self: Path) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(Path, "rmdir", fails)
    volume = Volume(pod.root)
    with pytest.raises(OSError, match="Input/output"):
        reconcile(volume, desired_state(volume, []))


def test_only_the_fixed_time_of_a_neighbours_folder_is_passed_over(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        set_times([str(tmp_path / "none")])


def test_a_provider_without_a_distribution_of_its_own_has_lost_nothing(
    pod: Pod, make_bundle: MakeBundle
) -> None:
    pod.install(make_bundle())
    (record,) = Volume(pod.root).records()
    assert missing_packages(Volume(pod.root).tree, replace(record, own=None), "acme_echo") is None


@pytest.mark.parametrize("kind", ["file", "link"])
def test_what_is_no_stash_goes_and_what_a_link_leads_to_stays(tmp_path: Path, kind: str) -> None:
    volume = Volume(tmp_path / "volume")
    other = _write(tmp_path / "other", {"a": "keep"})
    volume.replaced.mkdir(parents=True)
    stray = volume.replaced / "nobody"
    if kind == "file":
        stray.write_text("x")
    else:
        stray.symlink_to(other)
    reconcile(volume, desired_state(volume, []))
    assert not volume.replaced.exists()
    assert (other / "a").read_text() == "keep"


KINDS = ("file", "folder", "link")


def _make(path: Path, kind: str, text: str, outside: Path) -> None:
    if kind == "file":
        path.write_text(text)
    elif kind == "folder":
        _write(path, {text: text})
    else:
        path.symlink_to(outside)


@pytest.mark.parametrize("here", KINDS)
@pytest.mark.parametrize("there", KINDS)
def test_moving_merges_two_folders_and_nothing_else(tmp_path: Path, here: str, there: str) -> None:
    outside = _write(tmp_path / "outside", {"o": "o"})
    source, target = _write(tmp_path / "s", {}), _write(tmp_path / "t", {})
    source.mkdir()
    target.mkdir()
    _make(source / "x", here, "here", outside)
    _make(target / "x", there, "there", outside)
    before = _tree(target)
    move_tree(source, target)
    both = here == there == "folder"
    assert _tree(target) == ({"x/here": "here", "x/there": "there"} if both else before)
    assert (target / "x").is_symlink() is (there == "link")
    assert os.path.lexists(source / "x")
    assert _tree(outside) == {"o": "o"}


def test_moving_touches_the_time_of_no_folder_that_it_only_passes(tmp_path: Path) -> None:
    source = _write(tmp_path / "s", {"ns/a": ""})
    target = _write(tmp_path / "t", {"ns/other/b": ""})
    os.utime(target / "ns/other", ns=(1, 1))
    move_tree(source, target)
    assert (target / "ns/other").stat().st_mtime_ns == 1


def test_where_nothing_changes_no_folder_gets_another_time(
    pod: Pod, make_bundle: MakeBundle
) -> None:
    pod.install(make_bundle())
    strangers = _write(pod.packages / "strangers", {"a": ""})
    os.utime(strangers, ns=(1, 1))
    volume = Volume(pod.root)
    reconcile(volume, desired_state(volume, volume.records()))
    assert strangers.stat().st_mtime_ns == 1


def test_what_is_set_aside_leaves_what_others_share(
    pod: Pod, make_bundle: MakeBundle, make_wheel: MakeWheel
) -> None:
    shared = {"ns/shared.py": "x"}
    one = make_wheel("one", "1", {**shared, "ns/one.py": ""})
    two = make_wheel("two", "1", {**shared, "ns/two.py": ""})
    pod.install(make_bundle(dependencies=[one, two]))
    volume = Volume(pod.root)
    set_aside(volume, "acme-guard", ["one-1.dist-info"])
    stash = volume.replaced / "acme-guard" / "one-1.dist-info"
    assert {"ns/one.py", "one-1.dist-info/METADATA"} <= set(_tree(stash))
    assert "ns/shared.py" not in _tree(stash)
    assert {"ns/shared.py", "ns/two.py"} <= set(_tree(pod.packages))
    assert not (pod.packages / "ns/one.py").exists()
    assert {it.stat().st_mtime_ns for it in volume.replaced.rglob("*") if it.is_dir()} == {MTIME_NS}


def test_setting_nothing_aside_suspends_nobody(pod: Pod, make_bundle: MakeBundle) -> None:
    pod.install(make_bundle())
    volume = _Watched(pod.root)
    set_aside(volume, "acme-guard", [])
    assert volume.before == []
    assert not volume.replaced.exists()


def test_the_zipapp_of_who_leaves_goes_though_nothing_was_replaced(
    pod: Pod, make_bundle: MakeBundle
) -> None:
    pod.install(make_bundle())
    guard = make_bundle("acme-guard")
    (guard / "lls-provider.pyz").write_bytes(b"app")
    pod.install(guard, "acme-guard", order=1)
    volume = Volume(pod.root)
    assert volume.tree.zipapp.is_file()
    keep = [record for record in volume.records() if record.order == 0]
    volume.retract("acme-guard")
    reconcile(volume, desired_state(volume, keep))
    assert not volume.tree.zipapp.exists()


def test_what_is_freed_is_counted_in_blocks_of_the_file_system(
    pod: Pod, make_bundle: MakeBundle, make_wheel: MakeWheel
) -> None:
    dep = make_wheel("dep", "1", {"dep.py": "x" * 20_000, "deep/er.py": "y" * 9000})
    pod.install(make_bundle(dependencies=[dep], requires=["dep"]))
    newer = make_wheel("dep", "2", {"dep.py": "z" * 30_000})
    guard = make_bundle("acme-guard", requires=["dep>=2"], dependencies=[newer])
    pod.install(guard, "acme-guard", order=1)
    volume = Volume(pod.root)
    folders = (pod.packages, volume.replaced)
    files = [it for folder in folders for it in folder.rglob("*") if it.is_file()]
    zipapps = [it for it in files if it.name == volume.tree.zipapp.name]
    wanted = sum(it.lstat().st_blocks * 512 for it in files if it not in zipapps)
    assert wanted > 59_000
    assert desired_state(volume, []).freed() == wanted
