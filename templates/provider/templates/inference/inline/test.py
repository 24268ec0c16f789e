import asyncio
from typing import Any

import pytest

from {{ cookiecutter.__package }}._server import api
from {{ cookiecutter.__package }}.config import Config
from {{ cookiecutter.__package }}.inference import (
    EchoModel,
    get_provider_impl,
)


def request(*, stream: bool = False, content: Any = "Hello") -> Any:
    return api.OpenAIChatCompletionRequestWithExtraBody.model_validate(
        {"model": "echo", "messages": [{"role": "user", "content": content}], "stream": stream}
    )


def model() -> EchoModel:
    return EchoModel(Config(prefix="You said: "))


def test_a_chat_completion_echoes_the_user() -> None:
    completion = asyncio.run(model().openai_chat_completion(request()))

    assert completion.model == "echo"
    assert completion.choices[0].message.content == "You said: Hello"
    assert completion.choices[0].finish_reason == "stop"


def test_the_parts_of_a_message_are_joined() -> None:
    parts = [{"type": "text", "text": "Hel"}, {"type": "text", "text": "lo"}]

    completion = asyncio.run(model().openai_chat_completion(request(content=parts)))

    assert completion.choices[0].message.content == "You said: Hello"


def test_a_stream_has_the_same_text() -> None:
    async def collect() -> list[Any]:
        stream = await model().openai_chat_completion(request(stream=True))
        return [chunk async for chunk in stream]

    chunks = asyncio.run(collect())

    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == "You said: Hello"
    assert [chunk.choices[0].finish_reason for chunk in chunks][-1] == "stop"
    assert len({chunk.id for chunk in chunks}) == 1


def test_the_server_gets_a_model_with_its_config() -> None:
    config = Config(prefix="> ")

    assert asyncio.run(get_provider_impl(config, {})).config is config


def test_other_calls_say_that_they_are_not_there() -> None:
    with pytest.raises(NotImplementedError, match="only chat completions"):
        asyncio.run(model().openai_completion(None))


def test_texts_that_share_words_have_embeddings_that_are_alike() -> None:
    texts = ["a red fox", "the red fox", "something else"]
    params = api.OpenAIEmbeddingsRequestWithExtraBody(model="echo", input=texts)

    answer = asyncio.run(model().openai_embeddings(params))

    first, second, third = (it.embedding for it in answer.data)
    assert sum(it * it for it in first) == pytest.approx(1)
    assert dot(first, second) > dot(first, third)
    assert answer.usage.prompt_tokens == 8


def test_tokens_cannot_be_embedded() -> None:
    params = api.OpenAIEmbeddingsRequestWithExtraBody(model="echo", input=[1, 2])

    with pytest.raises(ValueError, match="only texts"):
        asyncio.run(model().openai_embeddings(params))


def dot(left: list[float], right: list[float]) -> float:
    return sum(a * b for a, b in zip(left, right, strict=True))


def test_models_are_left_to_the_configuration() -> None:
    registered = api.Model(identifier="echo", provider_resource_id="echo", provider_id="any")

    assert asyncio.run(model().list_models()) is None
    assert asyncio.run(model().register_model(registered)) is registered


def test_it_is_healthy() -> None:
    assert asyncio.run(model().health())["status"] == api.HealthStatus.OK
