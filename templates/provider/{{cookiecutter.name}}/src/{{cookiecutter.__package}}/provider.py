"""What the server asks first: which API this package implements, and with which module."""

from ._server import api

PROVIDER_TYPE = "{{ cookiecutter.__type }}"


def get_provider_spec() -> api.ProviderSpec:
{%- if cookiecutter.api == "safety" %}
    """Return the spec of this provider.

    Raises ImportError on a server without the safety API, such as ogx 1.5.0.
    """
    if not hasattr(api.Api, "safety"):
        raise ImportError(
            f"{PROVIDER_TYPE} needs the safety API, which this server ({api.__name__}) does not "
            "have. Run it on llama-stack, for example {{ cookiecutter._llama_stack }}."
        )
{%- else %}
    """Return the spec of this provider."""
{%- endif %}
{%- if cookiecutter.kind == "remote" %}
    return api.RemoteProviderSpec(
        api=api.Api.{{ cookiecutter.api }},
        adapter_type="{{ cookiecutter.name }}",
{%- else %}
    return api.InlineProviderSpec(
        api=api.Api.{{ cookiecutter.api }},
{%- endif %}
        provider_type=PROVIDER_TYPE,
        config_class="{{ cookiecutter.__package }}.config.{% include cookiecutter.api ~ '/config_class' %}",
        module="{{ cookiecutter.__package }}.{{ cookiecutter.api }}",
    )
