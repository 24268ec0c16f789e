"""The sample searxng-search on both servers: a model calls its tool in the Responses API."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.samples.conftest import Served

pytestmark = [
    pytest.mark.network,
    pytest.mark.server,
    pytest.mark.engine,
    pytest.mark.xdist_group("samples"),
]


def answered(served: Served, question: str) -> tuple[Any, str]:
    """The call of the tool, and what the model says then."""
    reply = served.post(
        "/v1/responses",
        {
            "model": "openai-endpoint/agent",
            "input": question,
            "tools": [{"type": "web_search"}],
        },
    )
    call, message = reply["output"]
    assert call["type"] == "web_search_call"
    return call, message["content"][0]["text"]


def test_a_model_searches_and_gets_what_was_found(served: Served) -> None:
    call, text = answered(served, "herons")

    assert call["status"] == "completed"
    assert served.searxng.queries[-1]["q"] == "herons"
    assert text.startswith("Found: ")
    assert "https://birds.example.org/heron" in text


def test_a_search_that_fails_is_told_to_the_model(served: Served) -> None:
    call, text = answered(served, "forbidden")

    assert call["status"] == "failed"
    assert "add json to search.formats" in text
