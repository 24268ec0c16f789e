"""Runs tools for models: here a search by a service, in yours whatever your service can."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from ._server import api
from .config import Config
from .service import Adapter, ServiceError, read_as

{% include "tool_runtime/tool.py" %}

class Found(BaseModel):
    """A result of the service."""

    title: str
    url: str
    text: str


class Answer(BaseModel):
    """The service's answer to a search."""

    results: list[Found]


async def get_adapter_impl(config: Config, _deps: Mapping[Any, Any]) -> SearchAdapter:
    """Make the adapter; the server calls this once, when it starts."""
    return SearchAdapter(config)


class SearchAdapter(Adapter):
    """The server's tool runtime API. Names and parameters of the methods are the server's."""

{% include "tool_runtime/methods.py" %}
    async def invoke_tool(
        self, tool_name: str, kwargs: dict[str, Any], authorization: str | None = None
    ) -> api.ToolInvocationResult:
        """Run the tool; a model sees the content, or the error and may go on without."""
        if tool_name != TOOL:
            raise ValueError(f"there is no tool {tool_name}")
        query = kwargs.get("query")
        if not isinstance(query, str) or not query.strip():
            return api.ToolInvocationResult(error_code=400, error_message="query is missing")
        asked = {"query": query, "limit": self.config.limit}
        try:
            answer = read_as(Answer, await self.service.json("POST", "/search", json=asked))
        except ServiceError as error:
            return api.ToolInvocationResult(error_code=error.status_code, error_message=str(error))
        return api.ToolInvocationResult(
            content=json.dumps([it.model_dump() for it in answer.results]),
            metadata={"query": query, "sources": [{"url": it.url} for it in answer.results]},
        )
