import importlib

import pytest
from pydantic import ValidationError

from hashing_embeddings._server import api
from hashing_embeddings.config import HashingConfig
from hashing_embeddings.provider import get_provider_spec


def test_the_spec_says_what_the_settings_say() -> None:
    spec = get_provider_spec()

    assert spec.provider_type == "inline::hashing-embeddings"
    assert spec.api == api.Api.inference
    assert callable(importlib.import_module(spec.module).get_provider_impl)
    module, _, name = spec.config_class.rpartition(".")
    assert getattr(importlib.import_module(module), name) is HashingConfig


def test_an_empty_config_has_defaults_and_an_unknown_key_is_refused() -> None:
    assert HashingConfig().dimension == 256
    with pytest.raises(ValidationError, match="Extra inputs"):
        HashingConfig.model_validate({"unknown": 1})
