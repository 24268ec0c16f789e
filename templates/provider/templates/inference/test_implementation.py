import asyncio
from typing import Any

import pytest

from {{ cookiecutter.__package }}._server import api
from {{ cookiecutter.__package }}.config import EchoConfig
from {{ cookiecutter.__package }}.inference import EchoAdapter, get_adapter_impl


def request(*, stream: bool = False, content: Any = "Hello") -> Any:
    return api.OpenAIChatCompletionRequestWithExtraBody.model_validate(
        {"model": "echo", "messages": [{"role": "user", "content": content}], "stream": stream}
    )


def adapter() -> EchoAdapter:
    return EchoAdapter(EchoConfig(prefix="You said: "))


def test_a_chat_completion_echoes_the_user() -> None:
    completion = asyncio.run(adapter().openai_chat_completion(request()))

    assert completion.model == "echo"
    assert completion.choices[0].message.content == "You said: Hello"
    assert completion.choices[0].finish_reason == "stop"


def test_the_parts_of_a_message_are_joined() -> None:
    parts = [{"type": "text", "text": "Hel"}, {"type": "text", "text": "lo"}]

    completion = asyncio.run(adapter().openai_chat_completion(request(content=parts)))

    assert completion.choices[0].message.content == "You said: Hello"


def test_a_stream_has_the_same_text() -> None:
    async def collect() -> list[Any]:
        stream = await adapter().openai_chat_completion(request(stream=True))
        return [chunk async for chunk in stream]

    chunks = asyncio.run(collect())

    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == "You said: Hello"
    assert [chunk.choices[0].finish_reason for chunk in chunks][-1] == "stop"
    assert len({chunk.id for chunk in chunks}) == 1


def test_the_server_gets_an_adapter_with_its_config() -> None:
    config = EchoConfig(prefix="> ")

    assert asyncio.run(get_adapter_impl(config, {})).config is config


def test_other_calls_say_that_they_are_not_there() -> None:
    with pytest.raises(NotImplementedError, match="only chat completions"):
        asyncio.run(adapter().openai_completion(None))
    with pytest.raises(NotImplementedError, match="only chat completions"):
        asyncio.run(adapter().openai_embeddings(None))


def test_models_are_left_to_the_configuration() -> None:
    model = api.Model(identifier="echo", provider_resource_id="echo", provider_id="any")

    assert asyncio.run(adapter().list_models()) is None
    assert asyncio.run(adapter().register_model(model)) is model
