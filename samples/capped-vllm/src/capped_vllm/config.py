"""What the configuration of a server may say about this provider: what vLLM's may, and a cap."""

from pydantic import Field

from ._server import VLLMInferenceAdapterConfig


class CappedConfig(VLLMInferenceAdapterConfig):
    """The ``config`` of this provider; the server validates it before anything runs."""

    cap_tokens: int = Field(
        default=1024,
        ge=1,
        description="How many tokens a reply may have, whatever a request asks for.",
    )
