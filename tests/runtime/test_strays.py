"""What is where something of ours belongs, or does not exist: each is reported by its own cause."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tests.recorder import Recorder

from lls_provider.errors import Code, SdkError
from lls_provider.runtime.install import install as installing
from lls_provider.runtime.install.install import install
from lls_provider.runtime.merge import merge
from lls_provider.runtime.messages import image_error, volume_error
from lls_provider.runtime.preflight.preflight import preflight

if TYPE_CHECKING:
    MakeBundle = Callable[..., Path]
    Pod = Any

pytestmark = pytest.mark.slow

MAKE: dict[str, Callable[[Path], object]] = {
    "file": lambda it: it.write_text("stray"),
    "folder": Path.mkdir,
    "link": lambda it: it.symlink_to("/nowhere"),
    "pipe": os.mkfifo,
}
PACKAGES = "external-providers/python-packages"
UNSAFE, UNWRITABLE = Code.VOLUME_UNSAFE, Code.VOLUME_UNWRITABLE


def _stray(path: Path, kind: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    MAKE[kind](path)
    return path


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()


def _refused(run: Callable[[], object]) -> SdkError:
    with pytest.raises(SdkError) as caught:
        run()
    assert caught.value.code is not Code.DEPENDENCY_CONFLICT
    return caught.value


@pytest.mark.parametrize(
    ("place", "kind", "code", "told"),
    [
        (f"{PACKAGES}/acme_echo", "file", UNSAFE, "acme_echo is a file that no installation"),
        (f"{PACKAGES}/acme_echo", "link", UNSAFE, "acme_echo is a link that no installation"),
        (f"{PACKAGES}/acme_echo", "pipe", UNSAFE, "acme_echo is a pipe that no installation"),
        (f"{PACKAGES}/acme_echo/__init__.py", "folder", UNSAFE, "__init__.py is a directory that"),
        (f"{PACKAGES}/acme_echo/__init__.py", "file", UNSAFE, "__init__.py is a file that no"),
        (f"{PACKAGES}/acme_echo/provider.py", "link", UNSAFE, "provider.py is a link that no"),
        (f"{PACKAGES}/acme_echo-1.0.dist-info", "file", UNSAFE, "dist-info is a file that no"),
        (f"{PACKAGES}/acme_echo-1.0.dist-info", "link", UNSAFE, "dist-info is a link that no"),
        (PACKAGES, "file", UNSAFE, "A directory belongs here, but it is not a directory"),
        (PACKAGES, "link", UNSAFE, "A directory belongs here, but it is a link"),
        ("external-providers", "file", UNWRITABLE, "a file is there"),
        ("external-providers", "link", UNWRITABLE, "a link is there"),
        ("", "file", UNWRITABLE, "a file is there"),
        ("external-providers/installed-packages.txt", "folder", UNWRITABLE, "a directory is"),
        ("external-providers/metadata", "file", UNSAFE, "it is not a directory"),
        ("external-providers/bin", "file", UNSAFE, "it is not a directory"),
    ],
)
def test_what_is_in_the_way_of_an_installation_is_told_and_may_be_removed(
    pod: Pod, make_bundle: MakeBundle, place: str, kind: str, code: Code, told: str
) -> None:
    stray = _stray(pod.root / place, kind)
    bundle = make_bundle()
    error = _refused(lambda: pod.install(bundle))
    assert error.code is code
    assert told in error.why
    assert str(stray) in error.render() or stray.name in error.why
    assert "new volume" in error.resolution
    # the advice, followed
    _remove(stray)
    pod.install(bundle)
    assert (pod.packages / "acme_echo" / "provider.py").is_file()


@pytest.mark.parametrize(
    "place", ["metadata/acme-echo", "metadata/acme-echo/other", ".replaced/x", ".staging/x"]
)
@pytest.mark.parametrize("kind", ["file", "folder", "link"])
def test_what_is_in_nobodys_way_is_passed_over_or_goes(
    pod: Pod, make_bundle: MakeBundle, place: str, kind: str
) -> None:
    _stray(pod.external / place, kind)
    pod.install(make_bundle())
    assert (pod.external / "metadata" / "acme-echo" / "crd-config.yaml").is_file()


def test_many_strays_are_told_once_each_and_not_all(pod: Pod, make_bundle: MakeBundle) -> None:
    files = {"acme_echo/__init__.py": "", "acme_echo/provider.py": ""}
    files |= {f"acme_echo/m{number}.py": "" for number in range(30)}
    for name in files:
        _stray(pod.root / PACKAGES / name, "file")
    error = _refused(lambda: pod.install(make_bundle(files=files)))
    assert error.why.count("no installation has put there") == 10
    assert error.why.endswith("and 22 more")


def test_a_stray_that_holds_what_belongs_there_is_taken_over(
    pod: Pod, make_bundle: MakeBundle
) -> None:
    path = pod.packages / "acme_echo" / "__init__.py"
    path.parent.mkdir(parents=True)
    path.write_text("")
    pod.install(make_bundle())
    assert path.read_text() == ""


@pytest.mark.parametrize("name", ["lls-provider-spec.yaml", "manifest.json"])
def test_a_folder_in_place_of_a_document_of_the_image_is_told(
    pod: Pod, make_bundle: MakeBundle, name: str
) -> None:
    bundle = make_bundle()
    (bundle / name).unlink()
    (bundle / name).mkdir()
    error = _refused(lambda: pod.install(bundle))
    assert error.code is Code.FILE_UNREADABLE
    assert error.where.file == str(bundle / name)
    assert error.why == "it is a directory"
    assert "creates a directory with its name" in error.resolution


MERGED = ["config/run.yaml", "config/merge-log.txt", "config/.merge-x"]


@pytest.mark.parametrize(
    ("place", "kind", "code", "told"),
    [
        *((place, "folder", UNWRITABLE, "a directory is there") for place in MERGED),
        ("config", "file", UNWRITABLE, "a file is there"),
        ("external-providers/metadata", "file", UNWRITABLE, "a file is there"),
        ("base-config/run.yaml", "folder", Code.FILE_UNREADABLE, "it is a directory"),
        (
            "external-providers/metadata/acme-echo/crd-config.yaml",
            "folder",
            Code.FILE_UNREADABLE,
            "it is a directory",
        ),
        (
            "external-providers/metadata/acme-echo/lls-provider-spec.yaml",
            "folder",
            Code.FILE_UNREADABLE,
            "it is a directory",
        ),
    ],
)
def test_what_is_in_the_way_of_a_merge_is_told_with_its_place(
    pod: Pod, make_bundle: MakeBundle, place: str, kind: str, code: Code, told: str
) -> None:
    _based(pod, make_bundle)
    path = pod.root / place
    if path.exists():
        _remove(path)
    _stray(path, kind)
    error = _refused(lambda: merge(pod.root))
    assert error.code is code
    assert error.where.file == str(path)
    assert told in error.why


def test_a_merge_of_a_volume_without_providers_says_so(pod: Pod, recorder: Recorder) -> None:
    base = pod.root / "base-config" / "run.yaml"
    base.parent.mkdir(parents=True)
    base.write_text("version: 2\n")
    merge(pod.root, progress=recorder)
    assert recorder.notes == [
        f"no provider is installed in {pod.external}: the base stays as it is"
    ]


def test_a_folder_of_no_provider_is_told_with_both_ways_out(
    pod: Pod, make_bundle: MakeBundle
) -> None:
    _based(pod, make_bundle)
    stray = pod.external / "metadata" / "stray"
    stray.mkdir()
    error = _refused(lambda: merge(pod.root))
    assert error.code is Code.METADATA_MISSING
    assert "remove the directory if it is not a provider's" in error.resolution
    stray.rmdir()
    assert merge(pod.root).providers == ("acme-echo",)


def _based(pod: Pod, make_bundle: MakeBundle) -> None:
    pod.install(make_bundle())
    base = pod.root / "base-config" / "run.yaml"
    base.parent.mkdir(parents=True)
    base.write_text("version: 2\n")


@pytest.mark.parametrize(
    ("gone", "instead", "reason", "way"),
    [
        ("", None, "The packages of the installed providers are missing", "--root"),
        ("", "file", "The packages of the installed providers are missing", "--root"),
        ("acme_echo-1.0.dist-info", None, "acme-echo 1.0 no longer exists", "new volume"),
        ("acme_echo", None, "A file of the package acme-echo 1.0 no longer exists", "new volume"),
        ("acme_echo/provider.py", None, "A file of the package acme-echo 1.0", "new volume"),
    ],
)
def test_packages_that_are_gone_are_not_told_as_a_wrong_package_name(
    pod: Pod, make_bundle: MakeBundle, gone: str, instead: str | None, reason: str, way: str
) -> None:
    _based(pod, make_bundle)
    path = merge(pod.root).path
    lost = pod.packages / gone if gone else pod.packages
    _remove(lost)
    if instead is not None:
        _stray(lost, instead)
    text = _refused(lambda: preflight(path, root=pod.root)).render()
    assert f"Reason: {reason}" in text or f"Reason: The package {reason}" in text
    assert "packageName" not in text
    assert way in text.rpartition("Resolution: ")[2]
    assert ("A file is there instead." in text) == (instead is not None)


def test_a_volume_that_is_not_mounted_is_not_told_as_a_wrong_package_name(
    pod: Pod, make_bundle: MakeBundle
) -> None:
    _based(pod, make_bundle)
    path = merge(pod.root).path
    shutil.rmtree(pod.external)
    text = _refused(lambda: preflight(path, root=pod.root)).render()
    assert "packageName" not in text
    assert "is installed below --root: mount the volume" in text


@pytest.mark.parametrize(
    ("number", "way"),
    [
        (errno.EROFS, "this mount is read-only"),
        (errno.EACCES, f"writable by the user of the container (uid {os.getuid()}"),
        (errno.EPERM, f"writable by the user of the container (uid {os.getuid()}"),
        (errno.EIO, "The storage below the volume fails"),
        (errno.ESTALE, "The storage below the volume fails"),
        (errno.EMFILE, "more memory and open files"),
        (errno.ENOSPC, "Raise the sizeLimit"),
        (errno.EEXIST, "Remove what is there"),
        (errno.ENOTDIR, "Remove what is there"),
        (errno.ELOOP, "Remove what is there"),
    ],
)
def test_each_failure_of_a_volume_has_its_own_way_out(
    tmp_path: Path, number: int, way: str
) -> None:
    error = OSError(number, os.strerror(number), str(tmp_path / "a" / "b"))
    told = volume_error(error, "installing the provider")
    assert way in told.resolution
    assert told.why.startswith(os.strerror(number))
    if number in (errno.EACCES, errno.EPERM):
        owner = f"{tmp_path} belongs to uid {os.getuid()}, gid {os.getgid()}, with mode 0700"
        assert owner in told.why
        assert owner in image_error(error).why


@pytest.mark.parametrize("what", ["volume", "image", "document"])
def test_what_the_user_may_not_touch_is_told_with_its_owner(
    pod: Pod, make_bundle: MakeBundle, what: str
) -> None:
    bundle = make_bundle()
    root = os.geteuid() == 0  # whom modes do not stop
    user = 12345 if root else os.getuid()
    for path in (*bundle.parents, *pod.root.parents) if root else ():
        if path != Path("/") and path.stat().st_uid == 0:
            path.chmod(path.stat().st_mode | 0o055)
    pod.root.mkdir()
    pod.root.chmod(0o777)
    places = {"volume": pod.root, "image": bundle, "document": bundle / "lls-provider-spec.yaml"}
    place = places[what]
    owner = place.stat().st_uid
    place.chmod(0o500 if root and what != "document" else 0)
    child = os.fork()
    if child == 0:
        status = 1
        try:
            if root:
                os.setgid(user)
                os.setuid(user)
            install(pod.request(bundle), workers=1)
        except SdkError as error:
            text = error.render()
            is_volume = "The volume failed" in text
            told = f"uid {user}" in text and is_volume == (what == "volume")
            status = 0 if told and (what == "document" or f"belongs to uid {owner}" in text) else 2
        finally:
            os._exit(status)
    ended = os.waitpid(child, 0)[1]
    place.chmod(0o700)
    assert os.waitstatus_to_exitcode(ended) == 0


def test_the_same_installation_twice_at_once_does_not_say_that_anything_differs(
    pod: Pod, make_bundle: MakeBundle
) -> None:
    from lls_provider.runtime.volume.volume import Volume

    argv = [sys.executable, "-m", "lls_provider.runtime", "install", "--api", "inference"]
    argv += ["--provider-id", "acme-echo", "--image", "a/b:1", "--root", str(pod.root)]
    argv += ["--source", str(make_bundle())]
    with Volume(pod.root).locked():
        runs = [
            subprocess.Popen([*argv, *more], stderr=subprocess.PIPE, text=True)
            for more in ((), (), ("--config", '{"a": 1}'))
        ]
        waiting = [str(run.stderr.readline()) for run in runs if run.stderr is not None]
        while any("waiting" not in line for line in waiting):
            waiting = [
                line if "waiting" in line else str(run.stderr.readline())
                for line, run in zip(waiting, runs, strict=True)
                if run.stderr is not None
            ]
    told = [run.communicate(timeout=60)[1] for run in runs]
    assert [run.returncode for run in runs] == [0, 0, 0]
    already = [text for text in told if "the packages are installed already" in text]
    assert len(already) == 2
    # of three runs, those that come after another with the same arguments, and those that do not
    same = [text for text in already if "with the same arguments" in text]
    differs = [text for text in already if "only the arguments differ" in text]
    assert len(same) + len(differs) == 2
    assert differs
    again = subprocess.run([*argv, "--config", '{"a": 2}'], capture_output=True, text=True)
    assert "only the arguments differ" in again.stderr


def test_the_file_system_of_an_image_may_fail() -> None:
    error = image_error(OSError(errno.EIO, os.strerror(errno.EIO), "/lls-provider/x.whl"))
    assert (error.code, error.why) == (Code.FILE_UNREADABLE, "Input/output error")
    assert error.where.file == "/lls-provider/x.whl"
    assert error.resolution == "Build the provider image again with 'lls-provider build'."


def test_an_error_of_the_volume_may_name_no_place_and_none_that_is_there() -> None:
    nameless = volume_error(OSError(errno.ENOTDIR, os.strerror(errno.ENOTDIR)), "writing")
    assert (nameless.why, nameless.where.file) == ("Not a directory", None)
    gone = OSError(errno.EACCES, os.strerror(errno.EACCES), "none/of/it")
    assert volume_error(gone, "writing").why == "Permission denied"


def test_an_image_that_cannot_be_read_while_it_is_summed_is_told(
    pod: Pod, make_bundle: MakeBundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_arguments: object) -> str:
        raise OSError(errno.EIO, os.strerror(errno.EIO), "/lls-provider")

    monkeypatch.setattr(installing, "bundle_fingerprint", fails)
    assert _refused(lambda: pod.install(make_bundle())).code is Code.FILE_UNREADABLE


def test_what_nobody_claims_is_told_when_it_goes(
    pod: Pod, make_bundle: MakeBundle, tmp_path: Path
) -> None:
    pod.install(make_bundle())
    shutil.rmtree(pod.external / "metadata" / "acme-echo")
    told = Recorder()
    guard = make_bundle("acme-guard")
    install(pod.request(guard, "acme-guard"), workers=1, progress=told)
    assert "removed acme_echo-1.0: no provider owns it" in told.notes
