"""Checks messages: here for keywords, in yours with whatever finds what should not pass."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from typing import Any

from ._server import api
from .config import Config


async def get_provider_impl(config: Config, _deps: Mapping[Any, Any]) -> KeywordShield:
    """Make the shield; the server calls this once, when it starts."""
    return KeywordShield(config)


class KeywordShield:
    """The server's safety API. Names and parameters of the methods are the server's."""

    def __init__(self, config: Config) -> None:
        """Keep the validated configuration; load models here."""
        self.config = config

    async def shutdown(self) -> None:
        """Release what was loaded; the server calls this when it stops."""

    async def health(self) -> api.HealthResponse:
        """Tell whether messages can be judged; servers list it with the providers."""
        return api.HealthResponse(status=api.HealthStatus.OK)

    async def register_shield(self, shield: api.Shield) -> None:
        """Accept a shield of the configuration; raise ValueError for one you do not have."""

    async def unregister_shield(self, identifier: str) -> None:
        """Forget a shield."""

    async def run_shield(self, request: api.RunShieldRequest) -> api.RunShieldResponse:
        """Tell whether the messages violate what this shield guards."""
        found = self.blocked_words(text_of(message.content) for message in request.messages)
        if not found:
            return api.RunShieldResponse(violation=None)
        return api.RunShieldResponse(
            violation=api.SafetyViolation(
                violation_level=api.ViolationLevel.ERROR,
                user_message=self.config.message,
                metadata={"words": found},
            )
        )

    async def run_moderation(self, request: api.RunModerationRequest) -> api.ModerationObject:
        """Classify each input, as the moderations call of OpenAI does."""
        inputs = [request.input] if isinstance(request.input, str) else request.input
        return api.ModerationObject(
            id=f"modr-{uuid.uuid4()}",
            model=request.model or "keywords",
            results=[self._moderated(text) for text in inputs],
        )

    def blocked_words(self, texts: Iterable[str]) -> list[str]:
        """Return the blocked words that stand in the texts, in the order of the configuration."""
        folded = "\n".join(texts).casefold()
        return [word for word in self.config.blocked if word.casefold() in folded]

    def _moderated(self, text: str) -> api.ModerationObjectResults:
        flagged = bool(self.blocked_words([text]))
        return api.ModerationObjectResults(
            flagged=flagged,
            categories={"keywords": flagged},
            category_applied_input_types={"keywords": ["text"] if flagged else []},
            category_scores={"keywords": 1.0 if flagged else 0.0},
            user_message=self.config.message if flagged else None,
        )


def text_of(content: Any) -> str:
    """Return the text of a message's content: a text, a list of parts, or nothing."""
    if content is None or isinstance(content, str):
        return content or ""
    return "".join(part.text for part in content if part.type == "text")
