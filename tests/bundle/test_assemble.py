"""Writing bundles and reading them back."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from lls_provider import __version__
from lls_provider.bundle import assemble as room
from lls_provider.bundle.bundle import Bundle, hash_file, is_bundle, read_bundle, resolve_wheel_path
from lls_provider.bundle.zipapp import zipapp_path
from lls_provider.contract.models import BuildTarget, FileHash, ProviderPackage
from lls_provider.errors import Code, SdkError

MakeWheel = Callable[..., Path]
MakeBundle = Callable[..., Bundle]


def listing(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_the_tree_is_the_one_of_the_contract(make_bundle: MakeBundle) -> None:
    bundle = make_bundle()
    assert listing(bundle.root) == [
        "extra-providers.yaml",
        "lls-provider-spec.yaml",
        "lls-provider.pyz",
        "manifest.json",
        "packages",
        "sbom.cdx.json",
    ]
    assert [wheel.name for wheel in bundle.wheels] == [
        "acme_echo-1.0.0-py3-none-any.whl",
        "dep-1.0.0-py3-none-any.whl",
    ]
    assert bundle.own_wheel == bundle.wheels[0]
    assert bundle.dependencies == bundle.wheels[1:]
    assert bundle.tree.zipapp.read_bytes() == zipapp_path().read_bytes()
    assert bundle.tree.spec.read_text() == (
        "apiVersion: llamastack.io/v1alpha1\n"
        "kind: ProviderPackage\n"
        "metadata:\n"
        "  name: acme-echo\n"
        "  version: '1.0.0'\n"
        "  vendor: Acme\n"
        "  description: Says it again\n"
        "spec:\n"
        "  packageName: acme_echo\n"
        "  providerType: remote::acme-echo\n"
        "  api: inference\n"
        "  wheelPath: /lls-provider/packages/acme_echo-1.0.0-py3-none-any.whl\n"
        "  dependencyWheels:\n"
        "  - /lls-provider/packages/dep-1.0.0-py3-none-any.whl\n"
    )
    assert bundle.tree.fragment.read_text() == (
        "apiVersion: llamastack.io/v1alpha1\n"
        "kind: ExternalProviders\n"
        "providers:\n"
        "  inference:\n"
        "  - provider_id: acme-echo\n"
        "    provider_type: remote::acme-echo\n"
        "    module: acme_echo\n"
    )


def test_the_manifest_covers_every_other_file(make_bundle: MakeBundle) -> None:
    bundle = make_bundle(overrides=["dep<3"])
    manifest = bundle.manifest
    assert manifest is not None
    assert set(manifest.files) == {
        path.relative_to(bundle.root).as_posix()
        for path in bundle.root.rglob("*")
        if path.is_file() and path.name != "manifest.json"
    }
    for name, expected in manifest.files.items():
        data = (bundle.root / name).read_bytes()
        assert (hashlib.sha256(data).hexdigest(), len(data)) == (expected.sha256, expected.size)
    assert manifest.provided == {"llama-stack-api": "0.7.3"}
    assert manifest.distributions == ("llama-stack==0.7.3",)
    assert manifest.overrides == ("dep<3",)
    assert manifest.sdk == __version__
    assert manifest.installed_size > 0


def test_what_is_given_back_is_what_reading_gives(make_bundle: MakeBundle) -> None:
    bundle = make_bundle()
    assert bundle == read_bundle(bundle.root)
    assert [wheel.filename for wheel in bundle.contents] == [it.name for it in bundle.wheels]


def test_an_earlier_bundle_is_replaced_whole(
    make_bundle: MakeBundle, make_wheel: MakeWheel, tmp_path: Path
) -> None:
    make_bundle(dependencies=[make_wheel("dep"), make_wheel("other")])
    bundle = make_bundle()
    assert [wheel.name for wheel in bundle.dependencies] == ["dep-1.0.0-py3-none-any.whl"]
    assert listing(tmp_path) == ["bundle", "wheels"]


@pytest.mark.parametrize(
    "names", [["thesis.txt"], ["lls-provider-spec.yaml"], ["manifest.json", "notes.txt"]]
)
def test_anything_else_is_left_alone(
    make_bundle: MakeBundle, tmp_path: Path, names: list[str]
) -> None:
    (tmp_path / "bundle").mkdir()
    for name in names:
        (tmp_path / "bundle" / name).write_text("work of mine")
    with pytest.raises(SdkError) as caught:
        make_bundle()
    assert caught.value.code is Code.TARGET_EXISTS
    assert listing(tmp_path / "bundle") == names


def test_a_file_in_the_way_is_left_alone(make_bundle: MakeBundle, tmp_path: Path) -> None:
    (tmp_path / "bundle").write_text("work of mine")
    with pytest.raises(SdkError) as caught:
        make_bundle()
    assert caught.value.code is Code.TARGET_EXISTS


def test_a_wheel_that_is_not_what_was_resolved_leaves_nothing(
    make_bundle: MakeBundle, tmp_path: Path
) -> None:
    with pytest.raises(SdkError) as caught:
        make_bundle(expected={"dep-1.0.0-py3-none-any.whl": "0" * 64})
    assert caught.value.code is Code.HASH_MISMATCH
    assert "0" * 64 in caught.value.why
    assert listing(tmp_path) == ["wheels"]


def test_a_hash_that_was_taken_ahead_is_not_taken_again(
    make_bundle: MakeBundle, make_wheel: MakeWheel
) -> None:
    wheel = make_wheel("dep")
    told = FileHash("0" * 64, wheel.stat().st_size)
    ahead = {wheel: replace(hash_file(wheel), found=told)}
    manifest = make_bundle(dependencies=[wheel], hashed=ahead).manifest
    assert manifest is not None
    assert manifest.files[f"packages/{wheel.name}"] == told


@pytest.mark.parametrize("way", ["written to", "another file", "a copy"])
def test_a_hash_that_was_taken_ahead_of_a_change_does_not_hold(
    make_bundle: MakeBundle, make_wheel: MakeWheel, way: str
) -> None:
    # of one size: what says is which file it is and when it was written
    wheel, other = (make_wheel("dep", files={"dep.py": text}) for text in ("pass\n", "quit\n"))
    ahead = {wheel: hash_file(wheel)}
    if way == "written to":
        wheel.write_bytes(other.read_bytes())
        os.utime(wheel, ns=(0, 0))
    else:
        fresh = wheel.with_suffix(".new")
        (shutil.copy2 if way == "a copy" else os.link)(other, fresh)
        fresh.replace(wheel)
    expected = {wheel.name: ahead[wheel].found.sha256}
    with pytest.raises(SdkError) as caught:
        make_bundle(dependencies=[wheel], hashed=ahead, expected=expected)
    assert caught.value.code is Code.HASH_MISMATCH


def test_a_wheel_that_is_none_is_refused(make_bundle: MakeBundle, tmp_path: Path) -> None:
    broken = tmp_path / "dep-1.0.0-py3-none-any.whl"
    broken.write_bytes(b"<html>not found</html>")
    with pytest.raises(SdkError) as caught:
        make_bundle(dependencies=[broken])
    assert caught.value.code is Code.WHEEL_NOT_ZIP
    assert caught.value.where.file == str(broken)
    assert listing(tmp_path) == ["dep-1.0.0-py3-none-any.whl"] or not is_bundle(tmp_path / "bundle")


def test_one_file_name_cannot_mean_two_wheels(
    make_bundle: MakeBundle, make_wheel: MakeWheel
) -> None:
    one, other = make_wheel("dep"), make_wheel("dep", files={"dep/__init__.py": "x = 1\n"})
    with pytest.raises(SdkError, match="Two wheels are named"):
        make_bundle(dependencies=[one, other])


def test_metadata_that_would_not_be_valid_is_told_before_anything_is_published(
    make_wheel: MakeWheel, metadata: ProviderPackage, tmp_path: Path
) -> None:
    with pytest.raises(SdkError) as caught:
        room.assemble(
            tmp_path / "bundle",
            metadata=replace(metadata, api="inferense"),
            own_wheel=make_wheel("acme-echo"),
            dependencies=[],
            target=BuildTarget("cp312", (), "x86_64"),
            provided={},
        )
    assert caught.value.code is Code.FIELD_VALUE
    assert "inferense" in caught.value.render()
    assert listing(tmp_path) == ["wheels"]


def test_what_the_installer_would_refuse_is_refused_here_by_the_same_rule(
    make_bundle: MakeBundle, make_wheel: MakeWheel, tmp_path: Path
) -> None:
    dependencies = [make_wheel("dep", requires=["llama-stack-api>=0.8", "absent[x]>=1"])]
    with pytest.raises(SdkError) as caught:
        make_bundle(dependencies=dependencies)
    assert caught.value.code is Code.DEPENDENCY_CONFLICT
    assert caught.value.why == (
        "absent: not in the bundle nor assumed to be provided, but dep 1.0.0 needs absent[x]>=1\n"
        "llama-stack-api: the distribution is assumed to provide 0.7.3, "
        "but dep 1.0.0 needs llama-stack-api>=0.8"
    )
    assert not (tmp_path / "bundle").exists()


def test_a_folder_without_metadata_is_no_bundle(tmp_path: Path) -> None:
    assert not is_bundle(tmp_path)
    with pytest.raises(SdkError) as caught:
        read_bundle(tmp_path)
    assert caught.value.code is Code.FILE_MISSING


def test_an_own_wheel_that_is_not_there_is_told(make_bundle: MakeBundle) -> None:
    bundle = make_bundle()
    bundle.own_wheel.unlink()
    with pytest.raises(SdkError) as caught:
        _ = read_bundle(bundle.root).own_wheel
    assert caught.value.code is Code.BUNDLE_INVALID


@pytest.mark.parametrize(
    "text",
    [
        "",
        "/lls-provider",
        "/lls-provider/",
        "/lls-provider/../etc/passwd",
        "/lls-provider/packages/../../etc/passwd",
        "/lls-provider//etc/passwd",
        "/lls-provider/./x",
        "/lls-provider/x\0",
        "packages/x.whl",
        "/etc/passwd",
        "/lls-provider-evil/x.whl",
    ],
)
def test_a_wheel_path_cannot_leave_the_bundle(text: str) -> None:
    assert resolve_wheel_path(Path("/b"), text) is None


def test_a_wheel_path_is_read_below_the_source() -> None:
    found = resolve_wheel_path(Path("/b"), "/lls-provider/packages/x.whl")
    assert found == Path("/b/packages/x.whl")
