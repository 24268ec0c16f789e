"""What the server asks first: which API this package implements, and with which module."""

from ._server import api

PROVIDER_TYPE = "remote::openai-endpoint"


def get_provider_spec() -> api.ProviderSpec:
    """Return the spec of this provider."""
    return api.RemoteProviderSpec(
        api=api.Api.inference,
        adapter_type="openai-endpoint",
        provider_type=PROVIDER_TYPE,
        config_class="openai_endpoint.config.EndpointConfig",
        provider_data_validator="openai_endpoint.config.EndpointProviderData",
        module="openai_endpoint.inference",
    )
