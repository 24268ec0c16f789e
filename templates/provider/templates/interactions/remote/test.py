"""The adapter against a real service: what is sent, what comes back, what fails."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi import HTTPException
from stand_in import KEY, StandIn

from {{ cookiecutter.__package }}.config import Config
from {{ cookiecutter.__package }}.interactions import (
    InteractionsAdapter,
    get_adapter_impl,
)
from {{ cookiecutter.__package }}.service import ServiceError

models = pytest.importorskip("ogx_api.interactions.models", reason="this server has no such API")

{% include "remote/run.py" %}

def asking(**more: Any) -> Any:
    asked = {"model": "m", "input": "Hello", **more}
    return models.GoogleCreateInteractionRequest.model_validate(asked)


async def streamed(adapter: InteractionsAdapter) -> list[Any]:
    stream = await adapter.create_interaction(asking(stream=True))
    return [event async for event in stream]


def test_an_interaction_is_the_services(stand_in: StandIn) -> None:
    request = asking(system_instruction="Be brief.")

    response = run(stand_in, lambda it: it.create_interaction(request))

    assert response.outputs[0].text == "You said: Hello"
    assert stand_in.requests[0].json["system_instruction"] == "Be brief."


def test_a_stream_has_the_same_text(stand_in: StandIn) -> None:
    events = run(stand_in, streamed)

    deltas = [event.delta.text for event in events if event.event_type == "content.delta"]
    assert deltas == ["You said: Hello"]


@pytest.mark.parametrize("stream", [False, True])
def test_a_failure_of_the_service_has_its_status(stand_in: StandIn, stream: bool) -> None:
    stand_in.fail_with = 429

    with pytest.raises(HTTPException) as caught:
        run(stand_in, lambda it: it.create_interaction(asking(stream=stream)))

    assert caught.value.status_code == 429


def test_an_event_that_nobody_knows_is_the_services_fault(
    stand_in: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    from stand_in import Reply

    begun = {"event_type": "interaction.start", "interaction": {"id": "i"}}
    surprise = {"event_type": "surprise"}
    monkeypatch.setattr("stand_in.reply", lambda *_: Reply(events=(begun, surprise)))

    with pytest.raises(ServiceError, match="unknown event"):
        run(stand_in, streamed)
