"""What the configuration of a server may say about this provider."""

from pydantic import BaseModel, ConfigDict{% set fields %}{% include cookiecutter.api ~ "/" ~ cookiecutter.kind ~ "/fields.py" ignore missing %}{% endset %}{% if cookiecutter.kind == "remote" or "Field(" in fields %}, Field{% endif %}{% if cookiecutter.kind == "remote" %}, SecretStr{% endif %}


class Config(BaseModel):
    """The ``config`` of this provider; the server validates it before anything runs."""

    model_config = ConfigDict(extra="forbid")
{% if cookiecutter.kind == "remote" %}
    url: str = Field(min_length=1, description="Where the service is, such as https://host/v1.")
    api_key: SecretStr | None = Field(
        default=None, description="The key for the service, unless a caller sends another."
    )
    timeout: float = Field(
        default=30.0, gt=0, description="The seconds in which the service has to answer."
    )
{%- endif %}
{%- if fields | trim %}
{{ fields | trim("\n") }}
{%- endif %}
{%- if cookiecutter.kind == "remote" %}


class ProviderData(BaseModel):
    """What a caller may send for this provider, as JSON in a header of the request.

    llama-stack reads X-LlamaStack-Provider-Data, ogx X-OGX-Provider-Data. The header is for all
    providers, so that its keys bear our name.
    """

    api_key: SecretStr | None = Field(
        default=None,
        min_length=1,
        alias="{{ cookiecutter.__package }}_api_key",
        description="The caller's own key for the service.",
    )
{%- endif %}
