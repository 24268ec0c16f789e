import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from {{ cookiecutter.__package }}._server import api
from {{ cookiecutter.__package }}.config import Config
from {{ cookiecutter.__package }}.messages import (
    ModelMessages,
    get_provider_impl,
)

models = pytest.importorskip("ogx_api.messages.models", reason="this server has no messages API")


class Model:
    """A model that shows what it is told, and may not answer."""

    silent = False

    async def openai_chat_completion(self, params: Any) -> Any:
        if self.silent:
            await asyncio.sleep(60)
        told = "\n".join(f"{message.role}: {message.content}" for message in params.messages)
        choice = SimpleNamespace(message=SimpleNamespace(content=told), finish_reason="length")
        return SimpleNamespace(choices=[choice], usage=None)


def made(model: Model | None = None, **config: Any) -> ModelMessages:
    deps = {api.Api.inference: model or Model()}
    messages: ModelMessages = asyncio.run(get_provider_impl(Config.model_validate(config), deps))
    return messages


def asking(content: Any = "Hello", **more: Any) -> Any:
    turn = {"role": "user", "content": content}
    asked = {"model": "m", "max_tokens": 9, "messages": [turn], **more}
    return models.AnthropicCreateMessageRequest.model_validate(asked)


def answer(request: Any, **made_of: Any) -> Any:
    return asyncio.run(made(**made_of).create_message(request))


def test_a_model_answers() -> None:
    message = answer(asking(system="Be brief."))

    assert message.content[0].text == "system: Be brief.\nuser: Hello"
    assert (message.role, message.stop_reason) == ("assistant", "max_tokens")


def test_the_blocks_of_a_message_are_read() -> None:
    blocks = [{"type": "text", "text": "Hel"}, {"type": "text", "text": "lo"}]

    assert answer(asking(blocks)).content[0].text == "user: Hello"


def test_a_stream_has_the_same_text() -> None:
    async def work() -> list[Any]:
        stream = await made_of.create_message(asking(system="Be brief.", stream=True))
        return [event async for event in stream]

    made_of = made()
    events = asyncio.run(work())

    deltas = [event.delta.text for event in events if event.type == "content_block_delta"]
    assert "".join(deltas) == "system: Be brief.\nuser: Hello"
    assert [events[0].type, events[-1].type] == ["message_start", "message_stop"]


def test_words_are_counted_in_place_of_tokens() -> None:
    request = models.AnthropicCountTokensRequest.model_validate(
        {"model": "m", "system": "Be brief.", "messages": [{"role": "user", "content": "Hello"}]}
    )

    assert asyncio.run(made().count_message_tokens(request)).input_tokens == 3


def test_a_model_that_does_not_answer_is_given_up() -> None:
    model = Model()
    model.silent = True

    with pytest.raises(TimeoutError):
        answer(asking(), model=model, timeout=0.05)


def test_tools_and_images_are_refused() -> None:
    with pytest.raises(NotImplementedError, match="tools"):
        answer(asking(tools=[{"name": "t", "input_schema": {}}]))
    image = {"type": "image", "source": {"type": "url", "url": "https://x"}}
    with pytest.raises(NotImplementedError, match="only texts"):
        answer(asking([image]))


def test_batches_are_refused() -> None:
    with pytest.raises(NotImplementedError, match="batches"):
        asyncio.run(made().create_message_batch(None))
