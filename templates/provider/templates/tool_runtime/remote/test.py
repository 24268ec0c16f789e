"""The adapter against a real service: what is sent, what comes back, what fails."""

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest
from stand_in import KEY, StandIn

from {{ cookiecutter.__package }}._server import api
from {{ cookiecutter.__package }}.config import Config
from {{ cookiecutter.__package }}.tool_runtime import get_adapter_impl

{% include "remote/run.py" %}

def invoke(stand_in: StandIn, **arguments: Any) -> Any:
    return run(stand_in, lambda it: it.invoke_tool("web_search", arguments))


def test_the_tool_tells_a_model_what_it_takes(stand_in: StandIn) -> None:
    (tool,) = run(stand_in, lambda it: it.list_runtime_tools("any")).data

    assert tool.name == "web_search"
    assert tool.input_schema["required"] == ["query"]


def test_the_service_searches(stand_in: StandIn) -> None:
    result = invoke(stand_in, query="Where is Etna?")

    assert stand_in.requests[0].json == {"query": "Where is Etna?", "limit": 3}
    assert [it["text"] for it in json.loads(result.content)] == ["A volcano in Sicily."]
    assert result.metadata["sources"] == [{"url": "https://etna.example"}]


def test_a_model_is_told_that_the_service_failed(stand_in: StandIn) -> None:
    stand_in.fail_with = 503

    result = invoke(stand_in, query="Etna")

    assert result.error_code == 502
    assert "status 503" in result.error_message


@pytest.mark.parametrize("arguments", [{}, {"query": " "}, {"query": 1}])
def test_a_model_is_told_what_is_wrong(stand_in: StandIn, arguments: dict[str, Any]) -> None:
    assert invoke(stand_in, **arguments).error_code == 400
    assert not stand_in.requests


def test_another_tool_is_refused(stand_in: StandIn) -> None:
    with pytest.raises(ValueError, match="no tool calculate"):
        run(stand_in, lambda it: it.invoke_tool("calculate", {}))


def test_a_tool_group_of_the_configuration_is_accepted(stand_in: StandIn) -> None:
    group = api.ToolGroup(identifier="g", provider_resource_id="g", provider_id="any")

    run(stand_in, lambda it: it.register_toolgroup(group))
