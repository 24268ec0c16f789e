"""What a TARGET names is found out, or given with what was looked for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from tests.factories.images import write_small_image
from tests.factories.provider_files import ECHO, GUARD, SERVER

from lls_provider.errors import Code, SdkError
from lls_provider.operations.targets import (
    SourceKind,
    is_provider_file,
    resolve_source,
    resolve_targets,
)


def layout(path: Path) -> Path:
    path.mkdir(parents=True)
    (path / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')
    return path


def bundle(path: Path) -> Path:
    path.mkdir(parents=True)
    (path / "lls-provider-spec.yaml").write_text("kind: ProviderPackage\n")
    return path


def project(path: Path) -> Path:
    path.mkdir(parents=True)
    (path / "pyproject.toml").write_text("")
    return path


def test_each_kind_is_told_by_its_marker_file(tmp_path: Path) -> None:
    for make, kind in (
        (layout, SourceKind.IMAGE),
        (bundle, SourceKind.BUNDLE),
        (project, SourceKind.PROJECT),
    ):
        path = make(tmp_path / kind.value)
        target = resolve_source(str(path))
        assert target.kind is kind
        assert kind is SourceKind.IMAGE or target.path == path
        assert target.text == str(path)


@pytest.mark.parametrize("prefix", ["oci:", ""])
def test_a_layout_may_have_prefix_and_tag(tmp_path: Path, prefix: str) -> None:
    path = layout(tmp_path / "oci")
    target = resolve_source(f"{prefix}{path}:v1")
    assert (target.kind, target.text) == (SourceKind.IMAGE, f"{prefix}{path}:v1")


def test_a_bundle_inside_a_project_is_not_taken_for_the_project(tmp_path: Path) -> None:
    path = project(tmp_path / "both")
    (path / "lls-provider-spec.yaml").write_text("kind: ProviderPackage\n")
    assert resolve_source(str(path)).kind is SourceKind.BUNDLE


def test_a_directory_without_any_marker_tells_what_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(SdkError) as caught:
        resolve_source(str(tmp_path))
    assert caught.value.code is Code.PROJECT_INVALID
    for name in ("oci-layout", "lls-provider-spec.yaml", "pyproject.toml"):
        assert str(tmp_path / name) in caught.value.why


@pytest.mark.parametrize("prefix", ["oci:", ""])
def test_a_missing_directory_is_named(tmp_path: Path, prefix: str) -> None:
    path = tmp_path / "absent"
    with pytest.raises(SdkError) as caught:
        resolve_source(f"{prefix}{path}")
    assert caught.value.code is Code.FILE_MISSING
    assert str(path) in caught.value.what


@pytest.mark.parametrize(
    "text",
    [
        "{}/image.tar",
        "oci-archive:{}/image.tar:v1",
        "docker-archive:{}/image.tar:acme/echo:1",
        "docker://registry.example.com/acme/echo:1",
        "docker-daemon:acme/echo",
    ],
)
def test_an_image_may_be_anywhere_and_is_not_asked_for(tmp_path: Path, text: str) -> None:
    (tmp_path / "image.tar").touch()
    assert resolve_source(text.format(tmp_path)).kind is SourceKind.IMAGE


@pytest.mark.parametrize("kind", ["oci-archive", "docker-archive"])
def test_a_missing_archive_is_named(tmp_path: Path, kind: str) -> None:
    for path in (tmp_path / "absent.tar", tmp_path):
        with pytest.raises(SdkError) as caught:
            resolve_source(f"{kind}:{path}")
        assert caught.value.code is Code.FILE_MISSING
        assert str(path) in caught.value.what


def test_a_name_of_a_registry_is_told_how_it_is_written() -> None:
    with pytest.raises(SdkError) as caught:
        resolve_source("registry.example.com/acme/echo:1")
    assert "docker://registry.example.com/acme/echo:1" in caught.value.resolution
    for path in ("acme-echo", "acme/echo", "./registry.example.com/x", "/nothing"):
        with pytest.raises(SdkError) as caught:
            resolve_source(path)
        assert f"docker://{path}" not in caught.value.resolution


def test_oci_without_a_layout_is_an_image_error(tmp_path: Path) -> None:
    with pytest.raises(SdkError) as caught:
        resolve_source(f"oci:{project(tmp_path / 'project')}")
    assert caught.value.code is Code.IMAGE_INVALID


@pytest.mark.parametrize("text", ["oci:", "docker://", "docker://UPPER", "docker-daemon:A"])
def test_a_place_that_cannot_be_is_refused(text: str) -> None:
    with pytest.raises(SdkError) as caught:
        resolve_source(text)
    assert caught.value.code is Code.USAGE


def test_a_provider_file_stands_for_its_images(write_file: Callable[..., Path]) -> None:
    path = write_file(GUARD, ECHO, server=SERVER)
    found = resolve_targets([str(path)])
    assert [it.text for it in found.sources] == [
        "docker://registry.example.com/acme/guard:1.0",
        "docker://registry.example.com/acme/echo:1.0",
    ]
    assert [it.label for it in found.sources] == [GUARD["image"], ECHO["image"]]
    assert found.server_images == ("docker://registry.example.com/distribution:1.0",)
    assert resolve_targets([str(write_file(ECHO))]).server_images == ()


def test_a_layout_or_directory_with_the_name_of_a_file_is_no_provider_file(tmp_path: Path) -> None:
    layout = write_small_image(tmp_path / "image.yaml", {})
    assert not is_provider_file(str(layout))
    assert not is_provider_file("oci:providers.yaml")
    assert is_provider_file(str(tmp_path / "absent.yml"))


def test_a_provider_file_in_which_all_are_disabled_is_refused(
    write_file: Callable[..., Path],
) -> None:
    path = write_file({**ECHO, "enabled": False})
    with pytest.raises(SdkError) as caught:
        resolve_targets([str(path)])
    assert caught.value.code is Code.FIELD_MISSING
    assert caught.value.where.file == str(path)


def test_a_command_that_takes_no_provider_file_names_the_one_that_does(
    write_file: Callable[..., Path],
) -> None:
    path = write_file(ECHO)
    with pytest.raises(SdkError) as caught:
        resolve_source(str(path))
    assert caught.value.code is Code.USAGE
    assert f"lls-provider compat {path}" in caught.value.resolution
    assert resolve_targets([str(path)]).sources  # the advice


@pytest.mark.parametrize(("make", "prefix"), [(project, ""), (bundle, ""), (layout, "oci:")])
def test_a_misspelt_directory_is_recognised(
    make: Callable[[Path], Path], prefix: str, tmp_path: Path
) -> None:
    path = make(tmp_path / "my-guard")
    (tmp_path / "my-gard2").mkdir()  # nearer, but nothing is in it
    with pytest.raises(SdkError) as caught:
        resolve_source(f"{prefix}{tmp_path / 'my-gard'}")
    assert caught.value.what.endswith(f"; did you mean '{path}'?")
    assert caught.value.resolution == f"Name {prefix}{path}."
    resolve_source(f"{prefix}{path}")
