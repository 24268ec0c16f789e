import importlib

import pytest
from pydantic import ValidationError

from guard_safety._server import api
from guard_safety.config import Config
from guard_safety.provider import get_provider_spec

HAS_API = hasattr(api.Api, "safety")


@pytest.mark.skipif(not HAS_API, reason=f"{api.__name__} has no safety API")
def test_the_spec_says_what_the_settings_say() -> None:
    spec = get_provider_spec()

    assert spec.provider_type == "inline::guard-safety"
    assert spec.api == api.Api.safety
    assert callable(importlib.import_module(spec.module).get_provider_impl)
    module, _, name = spec.config_class.rpartition(".")
    assert getattr(importlib.import_module(module), name) is Config


@pytest.mark.skipif(HAS_API, reason=f"{api.__name__} has the safety API")
def test_a_server_without_the_api_is_told_so() -> None:
    with pytest.raises(ImportError, match="needs the safety API"):
        get_provider_spec()


def test_an_empty_config_has_defaults_and_an_unknown_key_is_refused() -> None:
    Config()
    with pytest.raises(ValidationError, match="Extra inputs"):
        Config.model_validate({"unknown": 1})
