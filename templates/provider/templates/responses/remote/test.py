"""The adapter against a real service: what is sent, what comes back, what fails."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from stand_in import KEY, StandIn

from {{ cookiecutter.__package }}._server import api
from {{ cookiecutter.__package }}.config import Config
from {{ cookiecutter.__package }}.responses import (
    ResponsesAdapter,
    get_adapter_impl,
)
from {{ cookiecutter.__package }}.service import ServiceError

{% include "remote/run.py" %}

def asking(**more: Any) -> Any:
    return api.CreateResponseRequest.model_validate({"model": "m", "input": "Hello", **more})


async def streamed(adapter: ResponsesAdapter) -> list[Any]:
    stream = await adapter.create_openai_response(asking(stream=True))
    return [event async for event in stream]


def test_a_response_is_the_services(stand_in: StandIn) -> None:
    response = run(stand_in, lambda it: it.create_openai_response(asking(temperature=0.5)))

    assert response.output[0].content[0].text == "You said: Hello"
    assert stand_in.requests[0].json == {"model": "m", "input": "Hello", "temperature": 0.5}


def test_a_stream_has_the_same_text(stand_in: StandIn) -> None:
    events = run(stand_in, streamed)

    assert [event.sequence_number for event in events] == [0, 1, 2]
    assert events[1].delta == "You said: Hello"


def test_a_stream_that_fails_at_once_has_the_status(stand_in: StandIn) -> None:
    stand_in.fail_with = 429

    with pytest.raises(ServiceError) as caught:
        run(stand_in, streamed)

    assert caught.value.status_code == 429


def test_an_event_that_nobody_knows_is_the_services_fault(
    stand_in: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    from stand_in import Reply

    monkeypatch.setattr("stand_in.reply", lambda *_: Reply(events=({"type": "surprise"},)))

    with pytest.raises(ServiceError, match="unknown event"):
        run(stand_in, streamed)


def test_responses_are_kept_by_the_service(stand_in: StandIn) -> None:
    async def work(adapter: ResponsesAdapter) -> None:
        made = await adapter.create_openai_response(asking())
        listed = await adapter.list_openai_responses(api.ListResponsesRequest())
        assert [it.id for it in listed.data] == [made.id]
        items = api.ListResponseInputItemsRequest(response_id=made.id)
        (item,) = (await adapter.list_openai_response_input_items(items)).data
        assert item.content == "Hello"
        again = api.RetrieveResponseRequest(response_id=made.id)
        assert (await adapter.get_openai_response(again)).id == made.id
        forget = api.DeleteResponseRequest(response_id=made.id)
        assert (await adapter.delete_openai_response(forget)).deleted
        await adapter.get_openai_response(again)

    with pytest.raises(api.ResponseNotFoundError):
        run(stand_in, work)


def test_the_refusal_to_cancel_is_the_services(stand_in: StandIn) -> None:
    async def work(adapter: ResponsesAdapter) -> None:
        made = await adapter.create_openai_response(asking())
        await adapter.cancel_openai_response(api.CancelResponseRequest(response_id=made.id))

    with pytest.raises(ServiceError, match="is completed") as caught:
        run(stand_in, work)

    assert caught.value.status_code == 409
