"""The server's own provider for vLLM, with an upper limit of what a request may ask for."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any

from ._server import VLLMInferenceAdapter, api
from .config import CappedConfig


async def get_adapter_impl(config: CappedConfig, _deps: Mapping[Any, Any]) -> CappedAdapter:
    """Make the adapter; the server calls this once, when it starts."""
    adapter = CappedAdapter(config=config)
    await adapter.initialize()
    return adapter


class CappedAdapter(VLLMInferenceAdapter):
    """What it does not say itself is as the server has it: streams, embeddings, health, models."""

    config: CappedConfig

    async def openai_chat_completion(
        self, params: api.OpenAIChatCompletionRequestWithExtraBody
    ) -> api.OpenAIChatCompletion | AsyncIterator[api.OpenAIChatCompletionChunk]:
        """Answer a conversation, in no more tokens than the cap."""
        params = self._capped(params)
        if params.max_completion_tokens is not None:
            params.max_completion_tokens = min(params.max_completion_tokens, self.config.cap_tokens)
        return await super().openai_chat_completion(params)

    async def openai_completion(
        self, params: api.OpenAICompletionRequestWithExtraBody
    ) -> api.OpenAICompletion | AsyncIterator[api.OpenAICompletion]:
        """Continue a text, by no more tokens than the cap."""
        return await super().openai_completion(self._capped(params))

    def _capped(self, params: Any) -> Any:
        """Return a copy of a request that asks for no more than the cap."""
        params = params.model_copy()
        cap = self.config.cap_tokens
        params.max_tokens = min(params.max_tokens or cap, cap)
        return params
