import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from {{ cookiecutter.__package }}._server import api
from {{ cookiecutter.__package }}.config import Config
from {{ cookiecutter.__package }}.interactions import (
    ModelInteractions,
    get_provider_impl,
)

models = pytest.importorskip("ogx_api.interactions.models", reason="this server has no such API")


class Model:
    """A model that counts the messages and repeats the last one; it may not answer."""

    silent = False

    async def openai_chat_completion(self, params: Any) -> Any:
        if self.silent:
            await asyncio.sleep(60)
        self.told = params
        said = [message.content for message in params.messages]
        message = SimpleNamespace(content=f"{len(said)}: {said[-1]}")
        usage = SimpleNamespace(prompt_tokens=1, completion_tokens=2, total_tokens=3)
        return SimpleNamespace(choices=[SimpleNamespace(message=message)], usage=usage)


async def made(model: Model | None = None, **config: Any) -> ModelInteractions:
    interactions: ModelInteractions = await get_provider_impl(
        Config.model_validate(config), {api.Api.inference: model or Model()}
    )
    return interactions


def asking(given: Any = "Hello", **more: Any) -> Any:
    asked = {"model": "m", "input": given, **more}
    return models.GoogleCreateInteractionRequest.model_validate(asked)


def answer(request: Any, **made_of: Any) -> Any:
    async def work() -> Any:
        return await (await made(**made_of)).create_interaction(request)

    return asyncio.run(work())


def test_a_model_answers() -> None:
    model = Model()

    response = answer(
        asking(system_instruction="Be brief.", generation_config={"max_output_tokens": 9}),
        model=model,
    )

    assert response.outputs[0].text == "2: Hello"
    assert response.usage.total_tokens == 3
    assert model.told.max_tokens == 9


def test_the_turns_of_a_conversation_are_read() -> None:
    turns = [
        {"role": "user", "content": "Hello"},
        {"role": "model", "content": [{"text": "Hi"}]},
        {"role": "user", "content": [{"type": "text", "text": "Bye"}]},
    ]

    assert answer(asking(turns)).outputs[0].text == "3: Bye"


def test_a_conversation_goes_on_as_long_as_it_is_kept() -> None:
    async def work() -> None:
        interactions = await made(kept=1)
        first = await interactions.create_interaction(asking())
        after_first = asking(previous_interaction_id=first.id)
        second = await interactions.create_interaction(after_first)
        assert second.outputs[0].text == "3: Hello"
        await interactions.create_interaction(after_first)

    with pytest.raises(ValueError, match="there is no interaction"):
        asyncio.run(work())


def test_a_stream_has_the_same_text() -> None:
    async def work() -> list[Any]:
        stream = await (await made()).create_interaction(asking("one\ntwo", stream=True))
        return [event async for event in stream]

    events = asyncio.run(work())

    deltas = [event.delta.text for event in events if event.event_type == "content.delta"]
    assert "".join(deltas) == "1: one\ntwo"
    ends = [events[0].event_type, events[-1].event_type]
    assert ends == ["interaction.start", "interaction.complete"]


def test_a_model_that_does_not_answer_is_given_up() -> None:
    model = Model()
    model.silent = True

    with pytest.raises(TimeoutError):
        answer(asking(), model=model, timeout=0.05)


def test_tools_are_refused() -> None:
    tool = {"function_declarations": [{"name": "t"}]}

    with pytest.raises(NotImplementedError, match="tools"):
        answer(asking(tools=[tool]))
