"""The tool web_search: what a model asks for is searched with SearXNG."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any
from urllib.parse import urlsplit

from ._server import api
from .config import SearchConfig
from .searxng import Result, SearchError, Searxng

TOOL = "web_search"


async def get_adapter_impl(config: SearchConfig, _deps: Mapping[Any, Any]) -> SearchAdapter:
    """Make the adapter; the server calls this once, when it starts."""
    return SearchAdapter(config)


class SearchAdapter:
    """The server's tool_runtime API. Names and parameters of the methods are the server's."""

    def __init__(self, config: SearchConfig) -> None:
        """Keep the validated configuration; connections are opened by the first search."""
        self.config = config
        self._searxng = Searxng(
            str(config.base_url),
            language=config.language,
            timeout=config.timeout,
            cache_seconds=config.cache_seconds,
        )

    async def shutdown(self) -> None:
        """Close the connections; the server calls this when it stops."""
        await self._searxng.close()

    async def health(self) -> api.HealthResponse:
        """Tell whether SearXNG answers."""
        problem = await self._searxng.problem()
        if problem is not None:
            return api.HealthResponse(status=api.HealthStatus.ERROR, message=problem)
        return api.HealthResponse(status=api.HealthStatus.OK)

    async def register_toolgroup(self, toolgroup: api.ToolGroup) -> None:
        """Accept a tool group: all have the one tool."""

    async def unregister_toolgroup(self, toolgroup_id: str) -> None:
        """Forget a tool group."""

    async def list_runtime_tools(
        self,
        tool_group_id: str | None = None,
        mcp_endpoint: api.URL | None = None,
        authorization: str | None = None,
    ) -> api.ListToolDefsResponse:
        """Describe the tool to a model."""
        query = {"type": "string", "description": "What to search for"}
        tool = api.ToolDef(
            name=TOOL,
            description="Search the web. Returns pages with title, URL and an excerpt.",
            input_schema={
                "type": "object",
                "properties": {"query": query},
                "required": ["query"],
            },
        )
        return api.ListToolDefsResponse(data=[tool])

    async def invoke_tool(
        self, tool_name: str, kwargs: dict[str, Any], authorization: str | None = None
    ) -> api.ToolInvocationResult:
        """Search. What goes wrong is told to the model, which can go on without an answer."""
        query = str(kwargs.get("query") or "").strip()
        if tool_name != TOOL:
            return _failed(404, f"searxng-search has the tool {TOOL}, not {tool_name}")
        if not query:
            return _failed(400, f"{TOOL} needs a query")
        try:
            found = await self._searxng.search(query)
        except SearchError as error:
            return _failed(502, str(error))
        # ogx passes on the domains that a request allows
        allowed = within(found, kwargs.get("allowed_domains") or ())
        results = [asdict(it) for it in allowed[: self.config.results]]
        return api.ToolInvocationResult(
            content=json.dumps({"query": query, "results": results}, ensure_ascii=False)
        )


def within(results: Iterable[Result], domains: Iterable[str]) -> list[Result]:
    """Return the results of these domains and the domains below them; all when there are none."""
    allowed = [it.casefold().strip(".") for it in domains]
    return [it for it in results if not allowed or _is_below(it.url, allowed)]


def _is_below(url: str, domains: Iterable[str]) -> bool:
    try:
        host = urlsplit(url).hostname or ""
    except ValueError:
        return False
    return any(host == domain or host.endswith(f".{domain}") for domain in domains)


def _failed(code: int, message: str) -> api.ToolInvocationResult:
    # without content a model is told no more than that the tool failed
    return api.ToolInvocationResult(content=message, error_code=code, error_message=message)
