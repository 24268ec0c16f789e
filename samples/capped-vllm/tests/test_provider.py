import importlib

import pytest
from pydantic import ValidationError

from capped_vllm._server import VLLMInferenceAdapterConfig, api
from capped_vllm.config import CappedConfig
from capped_vllm.provider import get_provider_spec


def test_the_spec_is_that_of_the_servers_own_provider_with_our_module() -> None:
    spec = get_provider_spec()

    assert spec.provider_type == "remote::vllm"
    assert spec.api == api.Api.inference
    assert spec.provider_data_validator.endswith(".VLLMProviderDataValidator")
    assert callable(importlib.import_module(spec.module).get_adapter_impl)
    module, _, name = spec.config_class.rpartition(".")
    assert getattr(importlib.import_module(module), name) is CappedConfig


def test_the_config_is_the_servers_with_a_cap() -> None:
    own = {"base_url": "http://127.0.0.1:8000/v1", "max_tokens": 100}

    config = CappedConfig.model_validate({**own, "cap_tokens": 50})

    assert isinstance(config, VLLMInferenceAdapterConfig)
    assert (config.max_tokens, config.cap_tokens) == (100, 50)
    with pytest.raises(ValidationError, match="greater than or equal to 1"):
        CappedConfig.model_validate({**own, "cap_tokens": 0})
