import importlib

import pytest
from pydantic import ValidationError

from openai_endpoint._server import api
from openai_endpoint.config import EndpointConfig, EndpointProviderData
from openai_endpoint.provider import get_provider_spec

URL = "http://127.0.0.1:8000/v1"


def named(path: str) -> object:
    module, _, name = path.rpartition(".")
    return getattr(importlib.import_module(module), name)


def test_the_spec_says_what_the_settings_say() -> None:
    spec = get_provider_spec()

    assert spec.provider_type == "remote::openai-endpoint"
    assert spec.api == api.Api.inference
    assert callable(named(f"{spec.module}.get_adapter_impl"))
    assert named(spec.config_class) is EndpointConfig
    assert named(spec.provider_data_validator) is EndpointProviderData


def test_a_url_is_needed_and_an_unknown_key_is_refused() -> None:
    with pytest.raises(ValidationError, match="base_url"):
        EndpointConfig.model_validate({})
    with pytest.raises(ValidationError, match="Extra inputs"):
        EndpointConfig.model_validate({"base_url": URL, "unknown": 1})


def test_a_variable_that_is_not_set_is_no_key() -> None:
    assert EndpointConfig.model_validate({"base_url": URL, "api_key": ""}).api_key is None


def test_a_key_is_not_shown() -> None:
    assert "s3cret" not in repr(
        EndpointConfig.model_validate({"base_url": URL, "api_key": "s3cret"})
    )
