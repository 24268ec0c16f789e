"""What the server asks first: which API this package implements, and with which module."""

from ._server import api

PROVIDER_TYPE = "inline::hashing-embeddings"


def get_provider_spec() -> api.ProviderSpec:
    """Return the spec of this provider."""
    return api.InlineProviderSpec(
        api=api.Api.inference,
        provider_type=PROVIDER_TYPE,
        config_class="hashing_embeddings.config.HashingConfig",
        module="hashing_embeddings.inference",
    )
