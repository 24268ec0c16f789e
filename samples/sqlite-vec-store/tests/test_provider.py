import importlib

import pytest
from pydantic import ValidationError

from sqlite_vec_store._server import api
from sqlite_vec_store.config import StoreConfig
from sqlite_vec_store.provider import get_provider_spec


def test_the_spec_says_what_the_settings_say() -> None:
    spec = get_provider_spec()

    assert spec.provider_type == "inline::sqlite-vec-store"
    assert spec.api == api.Api.vector_io
    assert spec.api_dependencies == [api.Api.inference]
    assert callable(importlib.import_module(spec.module).get_provider_impl)
    module, _, name = spec.config_class.rpartition(".")
    assert getattr(importlib.import_module(module), name) is StoreConfig


def test_an_empty_config_has_defaults_and_an_unknown_key_is_refused() -> None:
    assert StoreConfig().db_path == ":memory:"
    with pytest.raises(ValidationError, match="Extra inputs"):
        StoreConfig.model_validate({"unknown": 1})
