"""What the server asks first: which API this package implements, and with which module."""

from ._server import api

PROVIDER_TYPE = "remote::echo-inference"


def get_provider_spec() -> api.ProviderSpec:
    """Return the spec of this provider."""
    return api.RemoteProviderSpec(
        api=api.Api.inference,
        adapter_type="echo-inference",
        provider_type=PROVIDER_TYPE,
        config_class="echo_inference.config.EchoConfig",
        module="echo_inference.inference",
    )
