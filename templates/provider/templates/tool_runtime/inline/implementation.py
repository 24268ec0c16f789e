"""Runs tools for models: here a search in documents, in yours whatever a model needs."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from ._server import api
from .config import Config

{% include "tool_runtime/tool.py" %}

async def get_provider_impl(config: Config, _deps: Mapping[Any, Any]) -> DocumentSearch:
    """Make the tools; the server calls this once, when it starts."""
    return DocumentSearch(config)


class DocumentSearch:
    """The server's tool runtime API. Names and parameters of the methods are the server's."""

    def __init__(self, config: Config) -> None:
        """Keep the validated configuration; load an index here."""
        self.config = config

    async def shutdown(self) -> None:
        """Release what was loaded; the server calls this when it stops."""

    async def health(self) -> api.HealthResponse:
        """Tell whether the tools work; servers list it with the providers."""
        return api.HealthResponse(status=api.HealthStatus.OK)

{% include "tool_runtime/methods.py" %}
    async def invoke_tool(
        self, tool_name: str, kwargs: dict[str, Any], authorization: str | None = None
    ) -> api.ToolInvocationResult:
        """Run the tool; a model sees the content, or the error and may try again."""
        if tool_name != TOOL:
            raise ValueError(f"there is no tool {tool_name}")
        query = kwargs.get("query")
        if not isinstance(query, str) or not query.strip():
            return api.ToolInvocationResult(error_code=400, error_message="query is missing")
        found = best(query, self.config.documents, self.config.limit)
        content = json.dumps([{"title": it, "text": self.config.documents[it]} for it in found])
        return api.ToolInvocationResult(content=content, metadata={"query": query})


def best(query: str, documents: Mapping[str, str], limit: int) -> list[str]:
    """Return the titles of the documents that share most words with the query."""
    wanted = _words(query)
    shared = {title: len(wanted & _words(f"{title} {text}")) for title, text in documents.items()}
    found = [title for title in shared if shared[title]]
    return sorted(found, key=lambda title: -shared[title])[:limit]


def _words(text: str) -> set[str]:
    return set(re.findall(r"\w+", text.casefold()))
