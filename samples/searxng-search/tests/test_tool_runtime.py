import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest
from service import RESULTS, SearxngService

from searxng_search._server import api
from searxng_search.config import SearchConfig
from searxng_search.searxng import Result
from searxng_search.tool_runtime import SearchAdapter, get_adapter_impl, within


def with_adapter(url: str, call: Callable[[SearchAdapter], Any], **more: Any) -> Any:
    async def run() -> Any:
        config = SearchConfig.model_validate({"base_url": url, **more})
        adapter = await get_adapter_impl(config, {})
        try:
            return await call(adapter)
        finally:
            await adapter.shutdown()

    return asyncio.run(run())


def searched(url: str, query: str, *, results: int = 5, timeout: float = 10, **more: Any) -> Any:
    arguments = {"query": query, **more}
    return with_adapter(
        url,
        lambda adapter: adapter.invoke_tool("web_search", arguments),
        results=results,
        timeout=timeout,
    )


def test_a_model_gets_what_was_found(service: SearxngService) -> None:
    found = json.loads(searched(service.url, " herons ").content)

    assert found["query"] == "herons"
    assert found["results"] == [
        {"title": it["title"], "url": it["url"], "content": it["content"] or ""} for it in RESULTS
    ]
    assert service.queries == [{"q": "herons", "format": "json", "language": "auto"}]


def test_it_gets_as_many_as_are_configured(service: SearxngService) -> None:
    assert len(json.loads(searched(service.url, "herons", results=1).content)["results"]) == 1


def test_nothing_found_is_no_failure(service: SearxngService) -> None:
    found = searched(service.url, "empty")

    assert json.loads(found.content) == {"query": "empty", "results": []}
    assert found.error_message is None


def test_only_allowed_domains_are_returned(service: SearxngService) -> None:
    found = searched(service.url, "herons", allowed_domains=["Example.org"])

    assert [it["title"] for it in json.loads(found.content)["results"]] == ["Heron"]


def test_an_url_that_is_none_is_of_no_domain() -> None:
    broken = Result("", "http://[", "")

    assert within([broken], ["example.org"]) == []
    assert within([broken], []) == [broken]


@pytest.mark.parametrize(("seconds", "asked"), [(60, 1), (0, 2)])
def test_the_same_search_is_asked_once_in_a_while(
    service: SearxngService, seconds: float, asked: int
) -> None:
    async def twice(adapter: SearchAdapter) -> Any:
        first = await adapter.invoke_tool("web_search", {"query": "herons"})
        return first, await adapter.invoke_tool("web_search", {"query": "herons"})

    first, second = with_adapter(service.url, twice, cache_seconds=seconds)

    assert first == second
    assert len(service.queries) == asked


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("forbidden", "add json to search.formats in its settings.yml"),
        ("limited", "its limiter is on"),
        ("broken", "answers 500"),
        ("page", "does not answer like a SearXNG"),
        ("other", "does not answer like a SearXNG"),
    ],
)
def test_a_failure_is_told_to_the_model_and_not_remembered(
    service: SearxngService, query: str, said: str
) -> None:
    async def twice(adapter: SearchAdapter) -> Any:
        await adapter.invoke_tool("web_search", {"query": query})
        return await adapter.invoke_tool("web_search", {"query": query})

    found = with_adapter(service.url, twice)

    assert found.error_code == 502
    assert said in found.error_message
    assert found.content == found.error_message
    assert len(service.queries) == 2


def test_a_silent_service_is_given_up(service: SearxngService) -> None:
    found = searched(service.url, "silent", timeout=0.2)

    assert found.error_message == f"{service.url} did not answer within 0.2 s"


def test_a_service_that_is_not_there_is_reported() -> None:
    assert "127.0.0.1:1 does not answer" in searched("http://127.0.0.1:1", "herons").error_message


@pytest.mark.parametrize(
    ("tool", "arguments", "code"),
    [("web_search", {}, 400), ("web_search", {"query": " "}, 400), ("fetch", {"query": "x"}, 404)],
)
def test_what_cannot_be_searched_is_told(
    service: SearxngService, tool: str, arguments: dict[str, str], code: int
) -> None:
    found = with_adapter(service.url, lambda adapter: adapter.invoke_tool(tool, arguments))

    assert found.error_code == code
    assert service.queries == []


def test_the_tool_is_described(service: SearxngService) -> None:
    (tool,) = with_adapter(service.url, lambda adapter: adapter.list_runtime_tools()).data

    assert tool.name == "web_search"
    assert tool.input_schema["required"] == ["query"]


def test_health_is_that_of_the_service(service: SearxngService) -> None:
    assert with_adapter(service.url, lambda it: it.health())["status"] == api.HealthStatus.OK
    found = with_adapter("http://127.0.0.1:1", lambda it: it.health())
    assert found["status"] == api.HealthStatus.ERROR
    found = with_adapter(f"{service.url}/elsewhere", lambda it: it.health(), timeout=0.5)
    assert found["status"] == api.HealthStatus.ERROR
