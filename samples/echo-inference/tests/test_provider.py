import importlib

import pytest
from pydantic import ValidationError

from echo_inference._server import api
from echo_inference.config import EchoConfig
from echo_inference.provider import get_provider_spec


def test_the_spec_says_what_the_settings_say() -> None:
    spec = get_provider_spec()

    assert spec.provider_type == "remote::echo-inference"
    assert spec.api == api.Api.inference
    assert callable(importlib.import_module(spec.module).get_adapter_impl)
    module, _, name = spec.config_class.rpartition(".")
    assert getattr(importlib.import_module(module), name) is EchoConfig


def test_an_empty_config_has_defaults_and_an_unknown_key_is_refused() -> None:
    EchoConfig()
    with pytest.raises(ValidationError, match="Extra inputs"):
        EchoConfig.model_validate({"unknown": 1})
