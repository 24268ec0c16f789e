"""The adapter against a real service: what is sent, what comes back, what fails."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from stand_in import KEY, StandIn

from {{ cookiecutter.__package }}.config import Config
from {{ cookiecutter.__package }}.messages import (
    MessagesAdapter,
    get_adapter_impl,
)
from {{ cookiecutter.__package }}.service import ServiceError

models = pytest.importorskip("ogx_api.messages.models", reason="this server has no messages API")

{% include "remote/run.py" %}

def asking(**more: Any) -> Any:
    messages = [{"role": "user", "content": "Hello"}]
    asked = {"model": "m", "max_tokens": 9, "messages": messages, **more}
    return models.AnthropicCreateMessageRequest.model_validate(asked)


async def streamed(adapter: MessagesAdapter) -> list[Any]:
    stream = await adapter.create_message(asking(stream=True))
    return [event async for event in stream]


def test_a_message_is_the_services(stand_in: StandIn) -> None:
    message = run(stand_in, lambda it: it.create_message(asking(top_k=3)))

    assert message.content[0].text == "You said: Hello"
    assert stand_in.requests[0].json["top_k"] == 3
    assert stand_in.requests[0].headers["anthropic-version"] == "2023-06-01"


def test_a_stream_has_the_same_text(stand_in: StandIn) -> None:
    events = run(stand_in, streamed)

    deltas = [event.delta.text for event in events if event.type == "content_block_delta"]
    assert deltas == ["You said: Hello"]
    assert [events[0].type, events[-1].type] == ["message_start", "message_stop"]


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


def test_the_service_counts_tokens(stand_in: StandIn) -> None:
    messages = [{"role": "user", "content": "Hello"}]
    asked = {"model": "m", "messages": messages}
    request = models.AnthropicCountTokensRequest.model_validate(asked)

    assert run(stand_in, lambda it: it.count_message_tokens(request)).input_tokens == 7


def test_batches_are_refused(stand_in: StandIn) -> None:
    with pytest.raises(NotImplementedError, match="batches"):
        run(stand_in, lambda it: it.create_message_batch(None))
