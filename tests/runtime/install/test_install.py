"""Installing providers, start to end, on a real volume."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from lls_provider.errors import Code, SdkError
from lls_provider.runtime.install import install as install_module
from lls_provider.runtime.merge import read_providers

if TYPE_CHECKING:
    MakeBundle = Callable[..., Path]
    MakeWheel = Callable[..., Path]
    Pod = Any
    MakePod = Callable[[str], Any]


def _python(pod: Pod, code: str) -> str:
    return subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONPATH": str(pod.packages)},
        capture_output=True,
        text=True,
        check=True,
    ).stdout


def _refused(pod: Pod, source: Path, provider_id: str = "acme-echo", **more: Any) -> SdkError:
    with pytest.raises(SdkError) as caught:
        pod.install(source, provider_id, **more)
    return caught.value


def test_a_provider_is_importable_and_recorded(
    pod: Pod, make_bundle: MakeBundle, make_wheel: MakeWheel
) -> None:
    source = make_bundle(requires=["dep"], dependencies=[make_wheel("dep", "2.0")])
    pod.install(source, config={"url": "${env.URL:=http://x}"}, order=3)
    code = "import dep, acme_echo.provider as p; print(p.get_provider_spec().provider_type)"
    assert _python(pod, code) == "remote::acme-echo\n"
    folder = pod.external / "metadata" / "acme-echo"
    assert (folder / "lls-provider-spec.yaml").read_bytes() == (
        source / "lls-provider-spec.yaml"
    ).read_bytes()
    assert yaml.safe_load((folder / "crd-config.yaml").read_text()) == {
        "providerId": "acme-echo",
        "api": "inference",
        "config": {"url": "${env.URL:=http://x}"},
        "image": "registry.example.com/acme-echo:1.0",
        "initContainerName": "install-provider-acme-echo",
        "order": 3,
    }
    assert (pod.external / "installed-packages.txt").read_text() == (
        "acme-echo==1.0  # acme-echo\ndep==2.0  # acme-echo\n"
    )
    assert not list(pod.external.glob(".*"))


def test_the_installed_distribution_knows_itself(pod: Pod, make_bundle: MakeBundle) -> None:
    pod.install(make_bundle())
    code = (
        "import importlib.metadata as m; d = m.distribution('acme-echo'); "
        "print(d.version, d.read_text('INSTALLER').strip(), all(f.locate().exists() and "
        "(f.hash is None or f.read_binary() is not None) for f in d.files))"
    )
    assert _python(pod, code) == "1.0 lls-provider True\n"


def test_a_rerun_changes_nothing(pod: Pod, make_bundle: MakeBundle) -> None:
    source = make_bundle()
    pod.install(source, arguments="same")
    before = pod.snapshot()
    pod.install(source, arguments="same")
    assert pod.snapshot() == before


def test_the_result_depends_on_no_time_or_worker_count(
    make_pod: MakePod, make_bundle: MakeBundle, make_wheel: MakeWheel
) -> None:
    wheels = [make_wheel(f"dep{number}") for number in range(9)]
    source = make_bundle(dependencies=wheels)
    first, second = make_pod("first"), make_pod("second")
    first.install(source)
    second.workers = 3
    second.install(source)
    assert first.snapshot() == second.snapshot()


def test_two_providers_live_together_in_their_order(
    pod: Pod, make_bundle: MakeBundle, make_wheel: MakeWheel
) -> None:
    dep = make_wheel("dep")
    pod.install(make_bundle(requires=["dep"], dependencies=[dep]))
    guard = make_bundle("acme-guard", api="safety", requires=["dep"], dependencies=[dep])
    pod.install(guard, "acme-guard", api="safety")
    assert [p.crd.order for p in read_providers(_tree(pod))] == [0, 1]
    assert (pod.external / "installed-packages.txt").read_text() == (
        "acme-echo==1.0  # acme-echo\ndep==1.0  # acme-echo\nacme-guard==1.0  # acme-guard\n"
    )


def test_a_conflict_fails_with_the_layout_and_writes_nothing(
    pod: Pod, make_bundle: MakeBundle, make_wheel: MakeWheel
) -> None:
    pod.install(make_bundle(requires=["dep==1.0"], dependencies=[make_wheel("dep", "1.0")]))
    before = pod.snapshot()
    other = make_bundle(
        "acme-guard", requires=["dep==2.0"], dependencies=[make_wheel("dep", "2.0")]
    )
    error = _refused(pod, other, "acme-guard")
    assert error.code is Code.DEPENDENCY_CONFLICT
    assert error.render().startswith(
        "ERROR: Cannot install provider 'acme-guard' due to dependency conflict\n"
    )
    assert "dep: 1.0 is installed, this image brings 2.0\n" in error.render()
    assert pod.snapshot() == before


def test_a_replaced_package_comes_back_when_its_replacer_goes(
    pod: Pod, make_pod: MakePod, make_bundle: MakeBundle, make_wheel: MakeWheel
) -> None:
    echo = make_bundle(requires=["dep"], dependencies=[make_wheel("dep", "1.0", {"dep.py": "1"})])
    newer = make_wheel("dep", "2.0", {"dep.py": "2", "more.py": ""})
    guard = make_bundle("acme-guard", requires=["dep>=2"], dependencies=[newer])
    pod.install(echo)
    pod.install(guard, "acme-guard")
    assert (pod.packages / "dep.py").read_text() == "2"
    assert (pod.external / "installed-packages.txt").read_text() == (
        "acme-echo==1.0  # acme-echo\nacme-guard==1.0  # acme-guard\ndep==2.0  # acme-guard\n"
    )
    modest = make_bundle("acme-guard", version="1.1")
    pod.install(modest, "acme-guard")
    assert (pod.packages / "dep.py").read_text() == "1"
    clean = make_pod("clean")
    clean.install(echo)
    clean.install(modest, "acme-guard")
    assert pod.snapshot() == clean.snapshot()


def test_an_update_drops_its_slot_and_the_later_ones(
    pod: Pod, make_pod: MakePod, make_bundle: MakeBundle, make_wheel: MakeWheel
) -> None:
    old = make_bundle(dependencies=[make_wheel("gone")], requires=["gone"])
    new = make_bundle(version="2.0")
    guard = make_bundle("acme-guard")
    pod.install(old)
    pod.install(guard, "acme-guard")
    pod.install(new)
    assert sorted(path.name for path in (pod.external / "metadata").iterdir()) == ["acme-echo"]
    pod.install(guard, "acme-guard")
    clean = make_pod("clean")
    clean.install(new)
    clean.install(guard, "acme-guard")
    assert pod.snapshot() == clean.snapshot()


def test_other_arguments_rewrite_the_record_alone(
    pod: Pod, make_pod: MakePod, make_bundle: MakeBundle
) -> None:
    echo, guard = make_bundle(), make_bundle("acme-guard")
    pod.install(echo, config={"a": 1})
    pod.install(guard, "acme-guard")
    pod.install(echo, config={"a": 2}, order=0)
    clean = make_pod("clean")
    clean.install(echo, config={"a": 2})
    clean.install(guard, "acme-guard")
    assert pod.snapshot() == clean.snapshot()


def test_a_duplicate_id_names_both_images(pod: Pod, make_bundle: MakeBundle) -> None:
    source = make_bundle()
    pod.install(source)
    error = _refused(pod, source, container="install-provider-other", image="other/image:2")
    assert error.code is Code.PROVIDER_DUPLICATE
    assert "registry.example.com/acme-echo:1.0" in error.why
    assert "other/image:2" in error.why


@pytest.mark.parametrize("step", ["make_plan", "prepare_record", "stage", "swap", "publish_record"])
@pytest.mark.parametrize("after", [False, True])
def test_an_interrupted_run_is_invisible_and_the_next_ends_clean(
    pod: Pod,
    make_pod: MakePod,
    make_bundle: MakeBundle,
    make_wheel: MakeWheel,
    monkeypatch: pytest.MonkeyPatch,
    step: str,
    after: bool,
) -> None:
    echo = make_bundle(requires=["dep"], dependencies=[make_wheel("dep", "1.0", {"ns/a.py": "1"})])
    newer = make_wheel("dep", "2.0", {"ns/a.py": "2", "ns/b.py": ""})
    guard = make_bundle("acme-guard", requires=["dep>=2"], dependencies=[newer])
    pod.install(echo)
    with _killed_at(monkeypatch, step, after), pytest.raises(_Killed):
        pod.install(guard, "acme-guard")
    if not (step == "publish_record" and after):
        assert [p.crd.provider_id for p in read_providers(_tree(pod))] == ["acme-echo"]
    pod.install(guard, "acme-guard")
    clean = make_pod("clean")
    clean.install(echo)
    clean.install(guard, "acme-guard")
    assert pod.snapshot() == clean.snapshot()


def test_what_a_stranger_put_there_stays(pod: Pod, make_bundle: MakeBundle) -> None:
    stranger = pod.packages / "stranger-1.0.dist-info"
    stranger.mkdir(parents=True)
    (stranger / "METADATA").write_text("Name: stranger\nVersion: 1.0\n")
    (pod.packages / "stranger.py").write_text("")
    pod.install(make_bundle())
    pod.install(make_bundle(version="2.0"))
    assert (stranger / "METADATA").is_file()
    assert (pod.packages / "stranger.py").is_file()


def test_a_namespace_package_over_two_wheels_works(
    pod: Pod, make_bundle: MakeBundle, make_wheel: MakeWheel
) -> None:
    wheels = [make_wheel("ns-a", files={"ns/a.py": ""}), make_wheel("ns-b", files={"ns/b.py": ""})]
    pod.install(make_bundle(dependencies=wheels))
    pod.install(
        make_bundle("acme-guard", dependencies=[make_wheel("ns-c", files={"ns/c.py": ""})]),
        "acme-guard",
    )
    assert _python(pod, "import ns.a, ns.b, ns.c; print('ok')") == "ok\n"


def test_one_path_in_two_wheels_is_settled_by_the_rule(
    pod: Pod, make_bundle: MakeBundle, make_wheel: MakeWheel
) -> None:
    wheels = [
        make_wheel("b", files={"same.txt": "s", "other.txt": "from b"}),
        make_wheel("a", files={"same.txt": "s", "other.txt": "from a"}),
    ]
    result = pod.install(make_bundle(dependencies=wheels))
    assert (pod.packages / "other.txt").read_text() == "from a"
    assert len(result.plan.warnings) == 1
    assert "other.txt comes with a 1.0 and b 1.0" in result.plan.warnings[0]


def test_the_providers_own_module_is_not_hidden_by_anothers(
    pod: Pod, make_bundle: MakeBundle
) -> None:
    pod.install(make_bundle(files={"shared/provider.py": "1"}))
    error = _refused(
        pod, make_bundle("acme-guard", files={"shared/provider.py": "2"}), "acme-guard"
    )
    assert error.code is Code.DEPENDENCY_CONFLICT
    assert "shared/provider.py: acme-guard 1.0 is the provider itself" in error.why


def test_missing_metadata_names_image_and_container(pod: Pod, make_bundle: MakeBundle) -> None:
    source = make_bundle()
    (source / "lls-provider-spec.yaml").unlink()
    error = _refused(pod, source)
    assert error.code is Code.METADATA_MISSING
    assert error.render().startswith(
        "ERROR: Missing /lls-provider/lls-provider-spec.yaml in image registry.example.com/"
    )
    assert "Init Container: install-provider-acme-echo" in error.render()
    assert not pod.root.exists()


def test_a_wrong_section_is_refused_before_anything_is_written(
    pod: Pod, make_bundle: MakeBundle
) -> None:
    error = _refused(pod, make_bundle(), api="safety")
    assert error.code is Code.API_MISMATCH
    assert "Move the provider to externalProviders.inference section" in error.render()
    assert not pod.root.exists()


@pytest.mark.parametrize(
    ("more", "what"),
    [
        ({"provider_id": "../evil"}, "providerId"),
        ({"provider_id": "A"}, "providerId"),
        ({"api": "nope"}, "'nope' is not a server API"),
        ({"order": -1}, "order -1"),
        ({"python_tag": "3.12"}, "not a CPython tag"),
        ({"image": "a b"}, "image"),
        ({"container": ""}, "container"),
    ],
)
def test_arguments_that_cannot_be_are_bad_usage(
    pod: Pod, make_bundle: MakeBundle, more: dict[str, Any], what: str
) -> None:
    error = _refused(pod, make_bundle(), more.pop("provider_id", "acme-echo"), **more)
    assert error.code is Code.USAGE
    assert what in error.what
    assert not pod.root.exists()


@pytest.mark.parametrize(
    ("tag", "python_tag", "lines"),
    [
        ("cp311-cp311-manylinux_2_28_x86_64", None, "Expected Python: cp312\nFound: cp311-"),
        ("py3-none-any", "cp313", None),
        ("cp312-cp312-linux_x86_64", "cp313", "Expected Python: cp313\nFound: cp312-"),
        (
            "cp312-cp312-manylinux_2_28_s390x",
            None,
            "Expected architecture: linux/x86_64\nFound architecture: linux/s390x",
        ),
        (
            "cp312-cp312-win_amd64",
            None,
            "Expected architecture: linux/x86_64\nFound architecture: windows/x86_64",
        ),
        ("cp312-cp312-musllinux_1_2_x86_64", None, "Expected C library: glibc\nFound: cp312-"),
    ],
)
def test_wheel_tags_are_checked_against_the_target(
    pod: Pod,
    make_bundle: MakeBundle,
    make_wheel: MakeWheel,
    tag: str,
    python_tag: str | None,
    lines: str | None,
) -> None:
    source = make_bundle(dependencies=[make_wheel("dep", tag=tag)], machine="x86_64")
    if lines is None:
        pod.install(source, python_tag=python_tag)
        return
    error = _refused(pod, source, python_tag=python_tag)
    assert error.code is Code.WHEEL_INCOMPATIBLE
    assert "Package: dep\n" + lines in error.render()


def test_requires_python_is_checked_against_the_target(
    pod: Pod, make_bundle: MakeBundle, make_wheel: MakeWheel
) -> None:
    source = make_bundle(dependencies=[make_wheel("dep", fields=["Requires-Python: <3.12"])])
    assert "Requires-Python: <3.12" in _refused(pod, source).render()


def test_a_bundle_that_is_not_complete_is_refused(
    pod: Pod, make_bundle: MakeBundle, make_wheel: MakeWheel
) -> None:
    source = make_bundle(dependencies=[make_wheel("dep")])
    (source / "packages" / "dep-1.0-py3-none-any.whl").unlink()
    assert "manifest lists this file" in _refused(pod, source).why
    source = make_bundle(dependencies=[make_wheel("dep")])
    with (source / "packages" / "dep-1.0-py3-none-any.whl").open("ab") as stream:
        stream.write(b"x")
    assert "the manifest says" in _refused(pod, source).why
    source = make_bundle(manifest=False, metadata={"wheelPath": "/lls-provider/packages/no.whl"})
    assert "spec.wheelPath" in _refused(pod, source).why
    two = [make_wheel("dep", "1.0"), make_wheel("dep", "2.0")]
    assert "two wheels of dep" in _refused(pod, make_bundle(dependencies=two)).why
    assert not pod.root.exists()


def test_an_own_wheel_beside_the_packages_is_installed(pod: Pod, make_bundle: MakeBundle) -> None:
    source = make_bundle(
        manifest=False, metadata={"wheelPath": "/lls-provider/acme_echo-1.0-py3-none-any.whl"}
    )
    (source / "packages" / "acme_echo-1.0-py3-none-any.whl").rename(
        source / "acme_echo-1.0-py3-none-any.whl"
    )
    pod.install(source)
    assert (pod.packages / "acme_echo" / "provider.py").is_file()


def test_a_damaged_wheel_leaves_nothing(
    pod: Pod, make_bundle: MakeBundle, make_wheel: MakeWheel
) -> None:
    def wrong(text: str) -> str:
        name, _, rest = text.partition(",sha256=")
        return f"{name},sha256={'A' * 43}{rest[43:]}"

    error = _refused(pod, make_bundle(dependencies=[make_wheel("dep", record=wrong)]))
    assert error.code is Code.WHEEL_HASH_MISMATCH
    assert error.where.provider == "acme-echo"
    assert not pod.snapshot()


def test_no_space_is_told_with_numbers_before_anything_is_written(
    pod: Pod, make_bundle: MakeBundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = os.statvfs_result((4096, 4096, 1000, 0, 1, 1000, 900, 900, 0, 255))
    monkeypatch.setattr(os, "statvfs", lambda _path: full)
    error = _refused(pod, make_bundle())
    assert error.code is Code.NO_SPACE
    assert "4,096 bytes are free" in error.why


def test_the_space_that_is_asked_for_is_what_the_tree_takes(
    pod: Pod,
    make_pod: Callable[[str], Pod],
    make_bundle: MakeBundle,
    make_wheel: MakeWheel,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A block for each begun one of a file, and one for each directory."""
    files = {"deep/er/still/x.py": "x", "top.py": "y" * 4096, "big.bin": "z" * 4097, "none.py": ""}
    source = make_bundle(dependencies=[make_wheel("dep", files=files)])
    full = make_pod("full")
    full.install(source)
    tree = [full.packages, *full.packages.rglob("*")]
    sizes = [-(-path.stat().st_size // 4096) for path in tree if path.is_file()]
    blocks = sum(sizes) + sum(path.is_dir() for path in tree)

    def offer(free: int, inodes: int) -> None:
        state = os.statvfs_result((4096, 4096, 9999, free, free, 9999, inodes, inodes, 0, 255))
        monkeypatch.setattr(os, "statvfs", lambda _path: state)

    for free, inodes in ((blocks - 1, len(tree)), (blocks, len(tree) - 1)):
        offer(free, inodes)
        error = _refused(pod, source)
        assert error.code is Code.NO_SPACE
        assert error.why == (
            f"{len(tree)} files of {4096 * blocks:,} bytes in all are to be written; "
            f"{4096 * free:,} bytes are free, and room for {inodes} files"
        )
    offer(blocks, len(tree))
    pod.install(source)


def test_a_volume_that_is_a_file_is_told(pod: Pod, make_bundle: MakeBundle) -> None:
    pod.root.write_text("")
    error = _refused(pod, make_bundle())
    assert error.code is Code.VOLUME_UNWRITABLE
    assert "uid" in error.resolution


def test_a_record_of_another_installer_is_respected(pod: Pod, make_bundle: MakeBundle) -> None:
    folder = pod.external / "metadata" / "theirs"
    folder.mkdir(parents=True)
    (folder / "crd-config.yaml").write_text("providerId: theirs\napi: safety\nimage: their/image\n")
    error = _refused(pod, make_bundle("theirs"), "theirs", container="mine")
    assert error.code is Code.PROVIDER_DUPLICATE
    assert "their/image" in error.why
    pod.install(make_bundle())
    assert (folder / "crd-config.yaml").is_file()


def test_of_several_broken_wheels_the_first_is_reported(
    pod: Pod, make_bundle: MakeBundle, make_wheel: MakeWheel
) -> None:
    bundle = make_bundle()
    for name in ("bad-b", "bad-a"):
        make_wheel(
            name,
            record=lambda text: text.replace("sha256=", "md5="),
            folder=bundle / "packages",
        )
    error = _refused(pod, bundle)
    assert error.code is Code.WHEEL_HASH_WEAK
    assert "bad_a" in error.what


def test_what_the_image_assumed_is_recorded(pod: Pod, make_bundle: MakeBundle) -> None:
    pod.install(make_bundle(provided={"pydantic": "2.9"}, overrides=["x<3"]))
    record = json.loads((pod.external / "metadata" / "acme-echo" / "installed.json").read_text())
    assert record["provided"] == {"pydantic": "2.9"}
    assert record["overrides"] == ["x<3"]
    assert record["distributions"] == ["server==1"]


def _tree(pod: Pod) -> Any:
    from lls_provider.contract.names import VolumeTree

    return VolumeTree(pod.root)


class _Killed(BaseException):
    """Stands for SIGKILL: nothing is cleaned up."""


@contextlib.contextmanager
def _killed_at(monkeypatch: pytest.MonkeyPatch, step: str, after: bool) -> Iterator[None]:
    real = getattr(install_module, step)

    def die(*args: Any, **more: Any) -> None:
        if after:
            real(*args, **more)
        raise _Killed

    with monkeypatch.context() as patch:
        patch.setattr(install_module, step, die)
        patch.setattr("lls_provider.runtime.volume.volume.Volume.clean_staging", lambda _self: None)
        yield
