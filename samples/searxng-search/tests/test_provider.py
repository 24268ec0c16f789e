import importlib

import pytest
from pydantic import ValidationError

from searxng_search._server import api
from searxng_search.config import SearchConfig
from searxng_search.provider import get_provider_spec


def test_the_spec_says_what_the_settings_say() -> None:
    spec = get_provider_spec()

    assert spec.provider_type == "remote::searxng-search"
    assert spec.api == api.Api.tool_runtime
    assert spec.toolgroup_id == "builtin::websearch"
    assert callable(importlib.import_module(spec.module).get_adapter_impl)
    module, _, name = spec.config_class.rpartition(".")
    assert getattr(importlib.import_module(module), name) is SearchConfig


def test_a_url_is_needed_and_an_unknown_key_is_refused() -> None:
    with pytest.raises(ValidationError, match="base_url"):
        SearchConfig.model_validate({})
    with pytest.raises(ValidationError, match="Extra inputs"):
        SearchConfig.model_validate({"base_url": "http://127.0.0.1:8080", "unknown": 1})
