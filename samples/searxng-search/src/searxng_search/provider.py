"""What the server asks first: which API this package implements, and with which module."""

from ._server import api

PROVIDER_TYPE = "remote::searxng-search"


def get_provider_spec() -> api.ProviderSpec:
    """Return the spec of this provider."""
    return api.RemoteProviderSpec(
        api=api.Api.tool_runtime,
        adapter_type="searxng-search",
        provider_type=PROVIDER_TYPE,
        config_class="searxng_search.config.SearchConfig",
        module="searxng_search.tool_runtime",
        # the server registers this group by itself; its tool web_search is what the Responses API
        # calls for a tool of the type web_search
        toolgroup_id="builtin::websearch",
    )
