"""Decision 2: an update equals a clean run of the new list, byte for byte."""

from __future__ import annotations

import compileall
import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from lls_provider.errors import Code, SdkError

if TYPE_CHECKING:
    MakeBundle = Callable[..., Path]
    MakeWheel = Callable[..., Path]
    Pod = Any
    MakePod = Callable[[str], Any]

pytestmark = pytest.mark.slow

Item = tuple[str, Path]  # providerId and source; the slot is the place in the list


def _install(pod: Pod, listed: list[Item], first: int = 0) -> None:
    for order, (provider_id, source) in enumerate(listed[first:], first):
        pod.install(source, provider_id, order=order, container=f"slot-{order}")


@pytest.fixture
def sources(make_bundle: MakeBundle, make_wheel: MakeWheel) -> dict[str, Path]:
    """Providers that share and replace each other's packages, with a zipapp each."""
    dep = [
        make_wheel("dep", f"{n}.0", {"dep.py": str(n), f"ns/only{n}.py": "", "ns/all.py": ""})
        for n in (1, 2, 3)
    ]
    made = {
        "echo": make_bundle("echo", requires=["dep"], dependencies=dep[:1]),
        "echo2": make_bundle("echo", version="2.0", requires=["dep"], dependencies=dep[1:2]),
        "guard": make_bundle("guard", requires=["dep>=2"], dependencies=dep[1:2]),
        "guard2": make_bundle("guard", version="2.0"),
        "third": make_bundle("third", requires=["dep>=3"], dependencies=dep[2:]),
        "third2": make_bundle("third", version="2.0", requires=["dep"], dependencies=dep[:1]),
        "other": make_bundle("other", dependencies=dep[2:]),
    }
    for name, source in made.items():
        (source / "lls-provider.pyz").write_bytes(name.encode())
    return made


NEW_LISTS = {
    "the first": ["echo2", "guard", "third"],
    "the last": ["echo", "guard", "third2"],
    "the middle": ["echo", "guard2", "third"],
    "another provider in the first slot": ["other", "guard", "third"],
    "another provider in the last slot": ["echo", "guard", "other"],
}


@pytest.mark.parametrize("new", NEW_LISTS.values(), ids=NEW_LISTS)
def test_an_update_and_the_way_back_equal_a_clean_run(
    make_pod: MakePod, sources: dict[str, Path], new: list[str]
) -> None:
    old = ["echo", "guard", "third"]
    listed = {
        name: [(n.rstrip("2"), sources[n]) for n in names]
        for name, names in (("old", old), ("new", new))
    }
    pod, clean_old, clean_new = make_pod("pod"), make_pod("old"), make_pod("new")
    _install(clean_old, listed["old"])
    _install(clean_new, listed["new"])
    _install(pod, listed["old"])
    changed = next(n for n in range(3) if old[n] != new[n])
    _install(pod, listed["new"], changed)
    assert pod.snapshot() == clean_new.snapshot()
    _install(pod, listed["old"], changed)
    assert pod.snapshot() == clean_old.snapshot()


def _compile(pod: Pod) -> None:
    """What preflight leaves on a writable volume: bytecode that is valid by time and size."""
    assert compileall.compile_dir(pod.packages, quiet=2)
    assert list(pod.packages.rglob("*.pyc"))


@pytest.mark.parametrize("new", NEW_LISTS.values(), ids=NEW_LISTS)
def test_bytecode_does_not_outlive_its_module(
    make_pod: MakePod, sources: dict[str, Path], new: list[str]
) -> None:
    old = ["echo", "guard", "third"]
    pod, clean = make_pod("pod"), make_pod("clean")
    _install(pod, [(name, sources[name]) for name in old])
    _compile(pod)
    changed = next(n for n in range(3) if old[n] != new[n])
    listed = [(name.rstrip("2"), sources[name]) for name in new]
    _install(pod, listed, changed)
    _install(clean, listed)
    for bytecode in pod.packages.rglob("*.pyc"):
        module = bytecode.parents[1] / f"{bytecode.name.partition('.')[0]}.py"
        assert module.is_file(), bytecode
    for one in (pod, clean):
        for cache in one.packages.rglob("__pycache__"):
            shutil.rmtree(cache)
    assert pod.snapshot().keys() == clean.snapshot().keys()


def test_a_module_of_equal_time_and_size_is_not_run_from_old_bytecode(
    make_pod: MakePod, sources: dict[str, Path]
) -> None:
    pod = make_pod("pod")
    _install(pod, [("echo", sources["echo"])])
    _compile(pod)
    before = (pod.packages / "dep.py").stat()
    _install(pod, [("echo", sources["echo2"])])
    after = (pod.packages / "dep.py").stat()
    assert (before.st_size, before.st_mtime) == (after.st_size, after.st_mtime)
    assert not list((pod.packages / "__pycache__").glob("dep.*"))


def test_a_cache_of_bytecode_that_is_a_link_is_not_followed(
    make_pod: MakePod, sources: dict[str, Path], tmp_path: Path
) -> None:
    pod = make_pod("pod")
    _install(pod, [("echo", sources["echo"])])
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "dep.cpython-312.pyc").write_bytes(b"")
    (pod.packages / "__pycache__").symlink_to(outside)
    _install(pod, [("echo", sources["echo2"])])
    assert list(outside.iterdir())


@pytest.mark.slow
def test_many_updates_in_a_row_leave_nothing_behind(
    make_pod: MakePod, sources: dict[str, Path]
) -> None:
    choice = random.Random(2)
    slots = [["echo", "echo2", "other"], ["guard", "guard2"], ["third", "third2"]]
    pod = make_pod("pod")
    names = [slot[0] for slot in slots]
    _install(pod, [(name.rstrip("2"), sources[name]) for name in names])
    for number in range(20):
        changed = choice.randrange(3)
        names[changed:] = [choice.choice(slot) for slot in slots[changed:]]
        listed = [(name.rstrip("2"), sources[name]) for name in names]
        clean = make_pod(f"clean-{number}")
        _install(clean, listed)
        _install(pod, listed)
        assert pod.snapshot() == clean.snapshot(), (number, names)


def test_an_update_that_cannot_be_leaves_the_old_provider_working(
    pod: Pod, make_bundle: MakeBundle, make_wheel: MakeWheel
) -> None:
    def wrong(text: str) -> str:
        name, _, rest = text.partition(",sha256=")
        return f"{name},sha256={'A' * 43}{rest[43:]}"

    pod.install(make_bundle(requires=["dep"], dependencies=[make_wheel("dep")]), order=0)
    pod.install(make_bundle("guard", requires=["dep<2"]), "guard", order=1)
    before = pod.snapshot()
    bad_wheel = make_bundle(version="2.0", dependencies=[make_wheel("more", record=wrong)])
    conflict = make_bundle(version="2.0", requires=["dep>=3"], dependencies=[make_wheel("dep")])
    for source, code in (
        (bad_wheel, Code.WHEEL_HASH_MISMATCH),
        (conflict, Code.DEPENDENCY_CONFLICT),
    ):
        with pytest.raises(SdkError) as caught:
            pod.install(source, order=0)
        assert caught.value.code is code
        assert pod.snapshot() == before


def test_where_both_do_not_fit_the_old_goes_first(
    pod: Pod, make_pod: MakePod, make_bundle: MakeBundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = make_bundle(files={"acme_echo/a.bin": os.urandom(200_000)})
    new = make_bundle(version="2.0", files={"acme_echo/b.bin": os.urandom(210_000)})
    pod.install(old)
    clean = make_pod("clean")
    clean.install(new)
    free = 100_000

    def statvfs(_path: object) -> os.statvfs_result:
        left = free if (pod.packages / "acme_echo" / "a.bin").exists() else free + 200_000
        return os.statvfs_result((1, 1, 10**6, left, left, 0, 0, 0, 0, 255))

    with monkeypatch.context() as patch:
        patch.setattr(os, "statvfs", statvfs)
        pod.install(new)
    assert pod.snapshot() == clean.snapshot()


def test_where_the_new_fits_not_even_then_the_old_stays(
    pod: Pod, make_bundle: MakeBundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    pod.install(make_bundle())
    before = pod.snapshot()
    full = os.statvfs_result((1, 1, 10**6, 100, 100, 0, 0, 0, 0, 255))
    monkeypatch.setattr(os, "statvfs", lambda _path: full)
    with pytest.raises(SdkError) as caught:
        pod.install(make_bundle(version="2.0", files={"acme_echo/b.bin": bytes(500_000)}))
    assert caught.value.code is Code.NO_SPACE
    assert "100 bytes are free" in caught.value.why
    assert pod.snapshot() == before
