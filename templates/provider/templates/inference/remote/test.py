"""The adapter against a real service: what is sent, what comes back, what fails."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from stand_in import KEY, Reply, StandIn

from {{ cookiecutter.__package }}._server import api
from {{ cookiecutter.__package }}.config import Config
from {{ cookiecutter.__package }}.inference import (
    InferenceAdapter,
    get_adapter_impl,
)
from {{ cookiecutter.__package }}.service import ServiceError

{% include "remote/run.py" %}

def request(**more: Any) -> Any:
    messages = [{"role": "user", "content": "Hello"}]
    return api.OpenAIChatCompletionRequestWithExtraBody.model_validate(
        {"model": "echo", "messages": messages, **more}
    )


async def streamed(adapter: InferenceAdapter) -> list[Any]:
    stream = await adapter.openai_chat_completion(request(stream=True))
    return [chunk async for chunk in stream]


def test_a_chat_completion_is_the_services(stand_in: StandIn) -> None:
    completion = run(stand_in, lambda it: it.openai_chat_completion(request(temperature=0.5)))

    assert completion.choices[0].message.content == "You said: Hello"
    sent = stand_in.requests[0].json
    assert sent["messages"] == [{"role": "user", "content": "Hello"}]
    assert sent["temperature"] == 0.5


def test_a_stream_has_the_same_text(stand_in: StandIn) -> None:
    chunks = run(stand_in, streamed)

    texts = [choice.delta.content or "" for chunk in chunks for choice in chunk.choices]
    assert "".join(texts) == "You said: Hello"


def test_a_stream_that_fails_at_once_has_the_status(stand_in: StandIn) -> None:
    stand_in.fail_with = 429

    with pytest.raises(ServiceError) as caught:
        run(stand_in, lambda it: it.openai_chat_completion(request(stream=True)))

    assert caught.value.status_code == 429


def test_an_answer_of_another_shape_is_the_services_fault(
    stand_in: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stand_in._chat", lambda _asked: Reply({"choices": "none"}))

    with pytest.raises(ServiceError, match="sent no OpenAIChatCompletion"):
        run(stand_in, lambda it: it.openai_chat_completion(request()))


def test_embeddings_are_the_services(stand_in: StandIn) -> None:
    params = api.OpenAIEmbeddingsRequestWithExtraBody(model="echo", input=["a", "bcd"])

    answer = run(stand_in, lambda it: it.openai_embeddings(params))

    assert [it.embedding[0] for it in answer.data] == [1.0, 3.0]


def test_plain_completions_say_that_they_are_not_there(stand_in: StandIn) -> None:
    with pytest.raises(NotImplementedError, match="only chat completions"):
        run(stand_in, lambda it: it.openai_completion(None))


def test_models_are_left_to_the_configuration(stand_in: StandIn) -> None:
    model = api.Model(identifier="echo", provider_resource_id="echo", provider_id="any")

    assert run(stand_in, lambda it: it.list_models()) is None
    assert run(stand_in, lambda it: it.register_model(model)) is model
