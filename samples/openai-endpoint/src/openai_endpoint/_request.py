"""What a request brings besides its body: the server reads it from a header."""

from ._server import api

if api.__name__ == "ogx_api":
    from ogx.core.request_headers import NeedsRequestProviderData
else:
    from llama_stack.core.request_headers import NeedsRequestProviderData

__all__ = ["NeedsRequestProviderData"]
