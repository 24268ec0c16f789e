"""Has a service find messages that should not pass: one with the moderations call of OpenAI."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel

from ._server import api
from .config import Config
from .service import Adapter, ServiceError, read_as


class Judgement(BaseModel):
    """What the service says about one text."""

    flagged: bool
    categories: dict[str, bool] = {}
    category_scores: dict[str, float] = {}


class Moderation(BaseModel):
    """The service's answer: one judgement for each text."""

    id: str
    results: list[Judgement]


async def get_adapter_impl(config: Config, _deps: Mapping[Any, Any]) -> ModerationAdapter:
    """Make the adapter; the server calls this once, when it starts."""
    return ModerationAdapter(config)


class ModerationAdapter(Adapter):
    """The server's safety API. Names and parameters of the methods are the server's.

    A service that fails is an error, never a message that passes.
    """

    async def register_shield(self, shield: api.Shield) -> None:
        """Accept a shield of the configuration; raise ValueError for one you do not have."""

    async def unregister_shield(self, identifier: str) -> None:
        """Forget a shield."""

    async def run_shield(self, request: api.RunShieldRequest) -> api.RunShieldResponse:
        """Tell whether the messages violate what the service guards."""
        texts = [text_of(message.content) for message in request.messages]
        judged = (await self._judged([text for text in texts if text])).results
        categories = {name for it in judged for name, found in it.categories.items() if found}
        if not any(it.flagged for it in judged):
            return api.RunShieldResponse(violation=None)
        return api.RunShieldResponse(
            violation=api.SafetyViolation(
                violation_level=api.ViolationLevel.ERROR,
                user_message=self.config.message,
                metadata={"categories": sorted(categories)},
            )
        )

    async def run_moderation(self, request: api.RunModerationRequest) -> api.ModerationObject:
        """Classify each input, as the moderations call of OpenAI does."""
        inputs = [request.input] if isinstance(request.input, str) else request.input
        moderation = await self._judged(inputs)
        return api.ModerationObject(
            id=moderation.id,
            model=request.model or self.config.model,
            results=[self._moderated(it) for it in moderation.results],
        )

    async def _judged(self, texts: Sequence[str]) -> Moderation:
        if not texts:
            return Moderation(id="empty", results=[])
        asked = {"model": self.config.model, "input": list(texts)}
        answer = read_as(Moderation, await self.service.json("POST", "/moderations", json=asked))
        if len(answer.results) != len(texts):
            raise ServiceError(f"{len(answer.results)} judgements came for {len(texts)} texts")
        return answer

    def _moderated(self, judged: Judgement) -> api.ModerationObjectResults:
        applied = {name: ["text"] if found else [] for name, found in judged.categories.items()}
        return api.ModerationObjectResults(
            flagged=judged.flagged,
            categories=judged.categories,
            category_applied_input_types=applied,
            category_scores=judged.category_scores,
            user_message=self.config.message if judged.flagged else None,
        )


def text_of(content: Any) -> str:
    """Return the text of a message's content: a text, a list of parts, or nothing."""
    if content is None or isinstance(content, str):
        return content or ""
    return "".join(part.text for part in content if part.type == "text")
