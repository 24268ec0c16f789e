"""Bundles whose files are not what they seem, and the limits of what they may unpack to."""

from __future__ import annotations

import errno
import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tests.factories.providers import build_target
from tests.factories.wheels import write_wheel

from lls_provider.bundle.assemble import assemble
from lls_provider.bundle.checks.bundle import check_bundle
from lls_provider.contract import limits
from lls_provider.contract.models import read_provider_package
from lls_provider.errors import Code, ExitStatus, SdkError
from lls_provider.runtime.install.install import install
from lls_provider.runtime.wheelfile.wheel import check_total, read_wheel

if TYPE_CHECKING:
    Refuse = Callable[..., Any]
    World = Any

WHEEL = "dep-1.0-py3-none-any.whl"


def to_victim(path: Path) -> None:
    path.symlink_to("../../../victim/secret.txt")


def to_itself(path: Path) -> None:
    path.symlink_to(path.name)


LINKS: list[tuple[str, str, Callable[[Path], None]]] = [
    ("a link out", "a link out of the bundle", to_victim),
    ("a link to a device", "a link out of the bundle", lambda it: it.symlink_to("/dev/zero")),
    ("a link to nothing", "leads nowhere", lambda it: it.symlink_to("nothing")),
    ("a link to itself", "leads nowhere", to_itself),
    ("a link to a directory", "not a regular file", lambda it: it.symlink_to(".")),
    ("a pipe", "not a regular file", os.mkfifo),
    ("a directory", "not a regular file", Path.mkdir),
]


@pytest.mark.parametrize(("why", "make"), [it[1:] for it in LINKS], ids=[it[0] for it in LINKS])
def test_a_wheel_that_is_no_file_is_refused_at_once(
    world: World, refuse: Refuse, why: str, make: Callable[[Path], None]
) -> None:
    make(world.packages / WHEEL)
    refuse(Code.WHEEL_NOT_FILE, why, names=WHEEL)


@pytest.mark.skipif(os.getuid() != 0, reason="only root makes devices")
def test_a_wheel_that_is_a_device_is_refused_at_once(world: World, refuse: Refuse) -> None:
    try:
        os.mknod(world.packages / WHEEL, 0o20666, os.makedev(1, 5))
    except PermissionError:
        pytest.skip("this container may not make devices")
    refuse(Code.WHEEL_NOT_FILE, "not a regular file", names=WHEEL)


def test_a_link_inside_of_the_bundle_is_followed(world: World) -> None:
    own = world.packages / "acme_echo-1.0-py3-none-any.whl"
    (world.source / "store").mkdir()
    own.rename(world.source / "store" / own.name)
    own.symlink_to(f"../store/{own.name}")
    assert install(world.request(), workers=1).record.own == "acme-echo"


def test_a_wheel_that_may_not_be_read_is_refused(
    world: World, refuse: Refuse, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.open

    def refusing(path: Any, *rest: Any, **more: Any) -> int:
        if str(path).endswith("acme_echo-1.0-py3-none-any.whl"):
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return real(path, *rest, **more)

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", refusing)
        with pytest.raises(SdkError) as caught:
            install(world.request(), workers=1)
    assert caught.value.code is Code.FILE_UNREADABLE
    assert "Permission denied" in caught.value.why


def test_a_folder_of_wheels_that_leads_out_is_refused(world: World, refuse: Refuse) -> None:
    outside = world.top / "victim" / "packages"
    world.packages.rename(outside)
    world.packages.symlink_to(outside)
    refuse(Code.BUNDLE_INVALID, "link out of the bundle", names="packages")


def test_a_wheel_path_that_leads_out_is_refused(world: World, refuse: Refuse) -> None:
    own = world.packages / "acme_echo-1.0-py3-none-any.whl"
    (world.source / "other").symlink_to(world.top / "victim")
    own.rename(world.top / "victim" / own.name)
    spec = world.source / "lls-provider-spec.yaml"
    spec.write_text(spec.read_text().replace("/packages/", "/other/"))
    refuse(Code.WHEEL_NOT_FILE, "a link out of the bundle", names=own.name)


@pytest.mark.parametrize("name", ["manifest.json", "lls-provider-spec.yaml"])
def test_a_document_that_is_a_pipe_stops_nobody(world: World, name: str) -> None:
    (world.source / name).unlink(missing_ok=True)
    os.mkfifo(world.source / name)
    with pytest.raises(SdkError):
        install(world.request(), workers=1)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["manifest.json", "lls-provider-spec.yaml", "config.yaml"])
def test_a_document_of_any_size_is_refused_without_being_read(
    world: World, refuse_in_zipapp: Callable[..., str], name: str
) -> None:
    """Within the memory that an init container has by default."""
    with (world.source / name).open("ab") as stream:
        stream.truncate(8 * 1024**3)  # a hole, which takes no space
    try:
        more = ["--config-file", str(world.source / name)] if name == "config.yaml" else []
        refuse_in_zipapp("1,048,576 bytes", *more, megabytes=512)
    finally:
        (world.source / name).unlink()


def bomb(folder: Path, name: str = "dep", megabytes: int = 80) -> Path:
    """A wheel that is valid, and unpacks to a thousand times its size."""
    return write_wheel(folder, name, files={f"{name}/zeros": bytes(megabytes * 1024 * 1024)})


def test_a_limit_can_be_raised(
    world: World, refuse: Refuse, monkeypatch: pytest.MonkeyPatch
) -> None:
    bomb(world.packages)
    refuse(Code.WHEEL_LIMIT, "LLS_PROVIDER_LIMITS", names=WHEEL)
    monkeypatch.setenv(limits.VARIABLE, "ratio=2000")
    install(world.request(), workers=1)
    zeros = world.root / "external-providers/python-packages/dep/zeros"
    assert zeros.stat().st_size == 80 * 1024 * 1024


@pytest.mark.parametrize(("told", "why"), [("files=3", "members"), ("bytes=100", "unpack to")])
def test_a_limit_can_be_lowered(
    world: World, refuse: Refuse, monkeypatch: pytest.MonkeyPatch, told: str, why: str
) -> None:
    monkeypatch.setenv(limits.VARIABLE, told)
    refuse(Code.WHEEL_LIMIT, why, names="acme_echo-1.0-py3-none-any.whl")


@pytest.mark.parametrize("text", ["ratio", "ratio=x", "ratio=-1", "depth=1", "ratio=" + "9" * 30])
def test_a_limit_that_cannot_be_is_bad_usage(
    world: World, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.setenv(limits.VARIABLE, text)
    with pytest.raises(SdkError) as caught:
        install(world.request(), workers=1)
    assert caught.value.status is ExitStatus.USAGE
    assert "ratio, bytes, files" in caught.value.resolution


def test_a_bomb_is_found_when_the_bundle_is_checked(world: World) -> None:
    bomb(world.packages)
    found = [it.problem for it in check_bundle(world.source, label="bundle").findings]
    codes = {problem.code for problem in found if problem is not None}
    assert Code.WHEEL_LIMIT in codes


def test_bombs_of_many_wheels_and_links_are_found_when_the_bundle_is_checked(
    world: World,
) -> None:
    for name in ("dep", "dip"):
        bomb(world.packages, name, 40)
    found = [it.problem for it in check_bundle(world.source, label="bundle").findings]
    assert Code.WHEEL_LIMIT in {problem.code for problem in found if problem is not None}
    to_victim(world.packages / "link-1.0-py3-none-any.whl")
    found = [it.problem for it in check_bundle(world.source, label="bundle").findings]
    assert Code.WHEEL_NOT_FILE in {problem.code for problem in found if problem is not None}


@pytest.mark.parametrize("count", [1, 2])
def test_bombs_are_not_built_into_a_bundle(world: World, tmp_path: Path, count: int) -> None:
    (tmp_path / "wheels").mkdir()
    megabytes = 80 // count
    bombs = [bomb(tmp_path / "wheels", name, megabytes) for name in ("dep", "dip")[:count]]
    with pytest.raises(SdkError) as caught:
        assemble(
            tmp_path / "bundle",
            metadata=read_provider_package(world.source / "lls-provider-spec.yaml"),
            own_wheel=world.packages / "acme_echo-1.0-py3-none-any.whl",
            dependencies=bombs,
            target=build_target(),
            provided={},
        )
    assert caught.value.code is Code.WHEEL_LIMIT
    assert not (tmp_path / "bundle").exists()


def test_a_large_wheel_is_no_bomb(tmp_path: Path) -> None:
    """Five gigabytes, as wheels with native code for accelerators have them."""
    size = 5 * 1024**3
    wheel = bomb(tmp_path, megabytes=0)
    info = "dep-1.0.dist-info"
    with zipfile.ZipFile(wheel) as archive:
        kept = {name: archive.read(name) for name in archive.namelist() if name != "dep/zeros"}
    kept[f"{info}/RECORD"] = kept[f"{info}/RECORD"].replace(b",0\n", b",%d\n" % size)
    assert b",%d\n" % size in kept[f"{info}/RECORD"]
    with wheel.open("wb") as stream, zipfile.ZipFile(stream, "w", allowZip64=True) as archive:
        entry = zipfile.ZipInfo("dep/zeros")
        entry.file_size = entry.compress_size = size
        entry.CRC = 0  # which no one reads: RECORD has the hash
        entry.header_offset = 0
        stream.write(entry.FileHeader(zip64=True))
        stream.seek(size, os.SEEK_CUR)  # a hole
        archive.start_dir = stream.tell()
        archive.filelist.append(entry)
        archive.NameToInfo[entry.filename] = entry
        archive._didModify = True  # type: ignore[attr-defined]
        for name, data in kept.items():
            archive.writestr(zipfile.ZipInfo(name), data)
    found = read_wheel(wheel)
    assert found.installed_size > size
    check_total([found], tmp_path)
