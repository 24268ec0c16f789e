"""What the server asks first: which API this package implements, and with which module."""

from ._server import api, available_providers

PROVIDER_TYPE = "remote::vllm"
"""The type of the server's own provider: this one is used in its place."""


def get_provider_spec() -> api.ProviderSpec:
    """Return the spec of the server's own provider, with our module and our configuration.

    What else it says, such as which keys a request may bring, is as the server has it.
    """
    own = next(it for it in available_providers() if it.provider_type == PROVIDER_TYPE)
    return own.model_copy(
        update={
            "config_class": "capped_vllm.config.CappedConfig",
            "module": "capped_vllm.inference",
        }
    )
