from __future__ import annotations

from pathlib import Path

import pytest

from lls_provider.contract.models import CrdConfig
from lls_provider.contract.names import BundleTree
from lls_provider.errors import Code, SdkError
from lls_provider.runtime.install.install import crd_config_bytes
from lls_provider.runtime.install.provider_image import wheel_paths
from lls_provider.runtime.volume.volume import running_zipapp


def _crd(config: dict[str, object] | None) -> CrdConfig:
    return CrdConfig("a", "safety", config, "i", "c", 0)


def test_a_config_that_the_merge_could_not_read_is_refused_at_once() -> None:
    deep: dict[str, object] = {}
    for _ in range(100):
        deep = {"a": deep}
    with pytest.raises(SdkError) as caught:
        crd_config_bytes(_crd(deep))
    assert caught.value.code is Code.YAML_LIMIT


def test_without_a_config_there_is_no_key() -> None:
    assert crd_config_bytes(_crd(None)) == (
        b"providerId: a\napi: safety\nimage: i\ninitContainerName: c\norder: 0\n"
    )


def test_an_installed_sdk_is_no_zipapp() -> None:
    assert running_zipapp() is None


def test_a_folder_of_wheels_that_is_none_is_told_and_one_that_is_not_there_is_empty(
    tmp_path: Path,
) -> None:
    tree = BundleTree(tmp_path)
    assert wheel_paths(tree) == []
    tree.packages.touch()
    with pytest.raises(SdkError) as caught:
        wheel_paths(tree)
    assert caught.value.code is Code.FILE_UNREADABLE
    assert caught.value.where.file == str(tree.packages)
