"""What the server asks first: which API this package implements, and with which module."""

from ._server import api

PROVIDER_TYPE = "inline::guard-safety"


def get_provider_spec() -> api.ProviderSpec:
    """Return the spec of this provider.

    Raises ImportError on a server without this API.
    """
    if not hasattr(api.Api, "safety"):
        raise ImportError(
            f"{PROVIDER_TYPE} needs the safety API, which this server ({api.__name__}) "
            "does not have. Run it on llama-stack==0.7.3."
        )
    return api.InlineProviderSpec(
        api=api.Api.safety,
        provider_type=PROVIDER_TYPE,
        config_class="guard_safety.config.Config",
        module="guard_safety.safety",
    )
