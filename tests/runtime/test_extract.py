"""Phase 2: where a distribution's configuration is looked for, and what is said when it is not."""

from __future__ import annotations

from pathlib import Path

import pytest

from lls_provider.contract.names import CONFIG_VARIABLES, DISTRIBUTION_CONFIGS
from lls_provider.errors import Code, SdkError
from lls_provider.runtime.cli.arguments import main
from lls_provider.runtime.extract import extract


@pytest.fixture(autouse=True)
def _plain(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in CONFIG_VARIABLES:
        monkeypatch.delenv(name, raising=False)


def _image(folder: Path, *paths: str) -> Path:
    for path in paths:
        file = folder / path[1:]
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"# {path}\n")
    return folder


@pytest.mark.parametrize("path", DISTRIBUTION_CONFIGS)
def test_each_known_path_is_found(tmp_path: Path, path: str) -> None:
    image = _image(tmp_path / "image", path)
    assert extract(tmp_path, image_root=image) == image / path[1:]
    assert (tmp_path / "base-config" / "run.yaml").read_text() == f"# {path}\n"


def test_the_known_paths_are_tried_in_the_order_of_the_contract(tmp_path: Path) -> None:
    image = _image(tmp_path / "image", *DISTRIBUTION_CONFIGS)
    assert extract(tmp_path, image_root=image) == image / "opt/app-root/run.yaml"


def test_a_variable_of_the_image_comes_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = _image(tmp_path / "image", "/my/config.yaml", "/etc/ogx/config.yaml")
    monkeypatch.setenv("OGX_CONFIG", "/my/config.yaml")
    assert extract(tmp_path, image_root=image) == image / "my/config.yaml"
    monkeypatch.setenv("OGX_CONFIG", "/not/there.yaml")
    assert extract(tmp_path, image_root=image) == image / "etc/ogx/config.yaml"


def test_a_path_that_is_given_is_the_only_one(tmp_path: Path) -> None:
    image = _image(tmp_path / "image", "/my/config.yaml", "/etc/ogx/config.yaml")
    assert extract(tmp_path, given="/my/config.yaml", image_root=image) == image / "my/config.yaml"
    with pytest.raises(SdkError) as caught:
        extract(tmp_path, given="/your/config.yaml", image_root=image)
    assert caught.value.what.endswith("has no configuration at /your/config.yaml")


def test_a_distribution_without_a_configuration_is_told_with_the_paths_and_the_way_out(
    tmp_path: Path,
) -> None:
    with pytest.raises(SdkError) as caught:
        extract(tmp_path, image_root=tmp_path / "image")
    error = caught.value
    assert (error.code, error.status) == (Code.FILE_MISSING, 1)
    for path in DISTRIBUTION_CONFIGS:
        assert f"  {path}" in error.why.splitlines()
    assert "ConfigMap" in error.resolution
    assert "--config-path" in error.resolution
    given = _image(tmp_path / "other", "/x.yaml") / "x.yaml"
    assert extract(tmp_path, given=str(given)) == given  # the advice
    assert not (tmp_path / "base-config" / ".run.yaml").exists()


def test_a_relative_path_is_one_of_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(_image(tmp_path / "here", "/run.yaml"))
    assert extract(tmp_path, given="run.yaml") == Path("run.yaml")


def test_a_volume_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    image = _image(tmp_path / "image", "/etc/ogx/config.yaml")
    (tmp_path / "base-config").write_text("")
    with pytest.raises(SdkError) as caught:
        extract(tmp_path, image_root=image)
    assert str(tmp_path / "base-config") in caught.value.render()
    assert (tmp_path / "base-config").read_text() == ""


def test_the_command_says_where_it_was(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = _image(tmp_path / "image", "/x.yaml") / "x.yaml"
    assert main(["extract", "--root", str(tmp_path), "--config-path", str(given)]) == 0
    assert capsys.readouterr().out == f"Copied the distribution's configuration from {given}\n"
