{%- set facts = cookiecutter._apis[cookiecutter.api] -%}
"""What the server asks first: which API this package implements, and with which module."""

from ._server import api

PROVIDER_TYPE = "{{ cookiecutter.__type }}"


def get_provider_spec() -> api.ProviderSpec:
{%- if facts.servers | length == 1 %}
    """Return the spec of this provider.

    Raises ImportError on a server without this API.
    """
    if not hasattr(api.Api, "{{ cookiecutter.api }}"):
        raise ImportError(
            f"{PROVIDER_TYPE} needs the {{ cookiecutter.api }} API, which this server ({api.__name__}) "
            "does not have. Run it on {{ cookiecutter._servers[facts.servers[0]] }}."
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
        config_class="{{ cookiecutter.__package }}.config.Config",
{%- if cookiecutter.kind == "remote" %}
        provider_data_validator="{{ cookiecutter.__package }}.config.ProviderData",
{%- endif %}
        module="{{ cookiecutter.__package }}.{{ cookiecutter.api }}",
{%- if cookiecutter.api == "tool_runtime" %}
        # the server registers the tools under this name when it starts
        toolgroup_id="{{ cookiecutter.name }}::tools",
{%- endif %}
{%- with needs = facts.get("needs", {}).get(cookiecutter.kind, []) %}
{%- if needs %}
        api_dependencies=[{% for need in needs %}api.Api.{{ need }}{{ ", " if not loop.last }}{% endfor %}],
{%- endif %}
{%- endwith %}
    )
