from __future__ import annotations

import pytest

from lls_provider.contract.models import CrdConfig
from lls_provider.errors import Code, SdkError
from lls_provider.runtime.install.install import crd_config_bytes
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
