"""What the server asks first: which API this package implements, and with which module."""

from ._server import api

PROVIDER_TYPE = "inline::sqlite-vec-store"


def get_provider_spec() -> api.ProviderSpec:
    """Return the spec of this provider."""
    return api.InlineProviderSpec(
        api=api.Api.vector_io,
        provider_type=PROVIDER_TYPE,
        config_class="sqlite_vec_store.config.StoreConfig",
        module="sqlite_vec_store.vector_io",
        # a query is a text: the embedding model of its store makes it a vector
        api_dependencies=[api.Api.inference],
    )
