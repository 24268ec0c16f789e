import importlib

import pytest
from pydantic import ValidationError

from {{ cookiecutter.__package }}._server import api
from {{ cookiecutter.__package }}.config import {% include cookiecutter.api ~ '/config_class' %}
from {{ cookiecutter.__package }}.provider import get_provider_spec
{% if cookiecutter.api == "safety" %}
HAS_API = hasattr(api.Api, "safety")


@pytest.mark.skipif(not HAS_API, reason=f"{api.__name__} has no safety API")
{%- else %}
{% endif %}
def test_the_spec_says_what_the_settings_say() -> None:
    spec = get_provider_spec()

    assert spec.provider_type == "{{ cookiecutter.__type }}"
    assert spec.api == api.Api.{{ cookiecutter.api }}
    assert callable(importlib.import_module(spec.module).{{ "get_adapter_impl" if cookiecutter.kind == "remote" else "get_provider_impl" }})
    module, _, name = spec.config_class.rpartition(".")
    assert getattr(importlib.import_module(module), name) is {% include cookiecutter.api ~ '/config_class' %}
{%- if cookiecutter.api == "safety" %}


@pytest.mark.skipif(HAS_API, reason=f"{api.__name__} has the safety API")
def test_a_server_without_the_safety_api_is_told_so() -> None:
    with pytest.raises(ImportError, match="needs the safety API"):
        get_provider_spec()
{%- endif %}


def test_an_empty_config_has_defaults_and_an_unknown_key_is_refused() -> None:
    {% include cookiecutter.api ~ '/config_class' %}()
    with pytest.raises(ValidationError, match="Extra inputs"):
        {% include cookiecutter.api ~ '/config_class' %}.model_validate({"unknown": 1})
