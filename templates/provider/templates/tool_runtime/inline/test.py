import asyncio
import json
from typing import Any

import pytest

from {{ cookiecutter.__package }}._server import api
from {{ cookiecutter.__package }}.config import Config
from {{ cookiecutter.__package }}.tool_runtime import (
    DocumentSearch,
    best,
    get_provider_impl,
)

DOCUMENTS = {"Etna": "A volcano in Sicily.", "Fuji": "A volcano in Japan.", "Nile": "A river."}


def search() -> DocumentSearch:
    tools: DocumentSearch = asyncio.run(get_provider_impl(Config(documents=DOCUMENTS), {}))
    return tools


def invoke(**arguments: Any) -> Any:
    return asyncio.run(search().invoke_tool("web_search", arguments))


def test_the_tool_tells_a_model_what_it_takes() -> None:
    (tool,) = asyncio.run(search().list_runtime_tools("any")).data

    assert tool.name == "web_search"
    assert tool.input_schema["required"] == ["query"]


def test_the_documents_that_share_words_are_found() -> None:
    result = invoke(query="Which VOLCANO is in Japan?")

    assert [it["title"] for it in json.loads(result.content)] == ["Fuji", "Etna"]
    assert result.error_message is None


def test_no_more_documents_than_allowed_are_returned() -> None:
    assert best("a", DOCUMENTS, 2) == ["Etna", "Fuji"]
    assert best("nothing of it", DOCUMENTS, 2) == []


@pytest.mark.parametrize("arguments", [{}, {"query": " "}, {"query": 1}])
def test_a_model_is_told_what_is_wrong(arguments: dict[str, Any]) -> None:
    assert invoke(**arguments).error_code == 400


def test_another_tool_is_refused() -> None:
    with pytest.raises(ValueError, match="no tool calculate"):
        asyncio.run(search().invoke_tool("calculate", {}))


def test_a_tool_group_of_the_configuration_is_accepted() -> None:
    group = api.ToolGroup(identifier="g", provider_resource_id="g", provider_id="any")

    asyncio.run(search().register_toolgroup(group))
