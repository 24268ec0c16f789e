"""What the server asks first: which API this package implements, and with which module."""

from ._server import api

PROVIDER_TYPE = "inline::text-file-processor"


def get_provider_spec() -> api.ProviderSpec:
    """Return the spec of this provider."""
    return api.InlineProviderSpec(
        api=api.Api.file_processors,
        provider_type=PROVIDER_TYPE,
        config_class="text_file_processor.config.Config",
        module="text_file_processor.file_processors",
    )
