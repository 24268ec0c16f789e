{%- set facts = cookiecutter._apis[cookiecutter.api] -%}
{%- set everywhere = facts.servers | length > 1 -%}
import importlib

import pytest
from pydantic import ValidationError

from {{ cookiecutter.__package }}._server import api
from {{ cookiecutter.__package }}.config import Config
from {{ cookiecutter.__package }}.provider import get_provider_spec
{% if not everywhere %}
HAS_API = hasattr(api.Api, "{{ cookiecutter.api }}")


@pytest.mark.skipif(not HAS_API, reason=f"{api.__name__} has no {{ cookiecutter.api }} API")
{%- else %}
{% endif %}
def test_the_spec_says_what_the_settings_say() -> None:
    spec = get_provider_spec()

    assert spec.provider_type == "{{ cookiecutter.__type }}"
    assert spec.api == api.Api.{{ cookiecutter.api }}
    assert callable(importlib.import_module(spec.module).{{ "get_adapter_impl" if cookiecutter.kind == "remote" else "get_provider_impl" }})
    module, _, name = spec.config_class.rpartition(".")
    assert getattr(importlib.import_module(module), name) is Config
{%- if not everywhere %}


@pytest.mark.skipif(HAS_API, reason=f"{api.__name__} has the {{ cookiecutter.api }} API")
def test_a_server_without_the_api_is_told_so() -> None:
    with pytest.raises(ImportError, match="needs the {{ cookiecutter.api }} API"):
        get_provider_spec()
{%- endif %}

{% if cookiecutter.kind == "remote" %}
def test_a_config_needs_the_address_of_the_service() -> None:
    assert Config(url="http://localhost:8000").api_key is None
    with pytest.raises(ValidationError, match="url"):
        Config.model_validate({})


def test_a_key_is_not_shown() -> None:
    config = Config.model_validate({"url": "http://localhost", "api_key": "secret"})

    assert "secret" not in repr(config)


def test_an_unknown_key_is_refused() -> None:
    with pytest.raises(ValidationError, match="Extra inputs"):
        Config.model_validate({"url": "http://localhost", "unknown": 1})
{%- else %}
def test_an_empty_config_has_defaults_and_an_unknown_key_is_refused() -> None:
    Config()
    with pytest.raises(ValidationError, match="Extra inputs"):
        Config.model_validate({"unknown": 1})
{%- endif %}
