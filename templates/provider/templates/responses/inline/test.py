import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from {{ cookiecutter.__package }}._server import api
from {{ cookiecutter.__package }}.config import Config
from {{ cookiecutter.__package }}.responses import (
    ModelResponses,
    get_provider_impl,
)


class Model:
    """A model that counts the messages and repeats the last one."""

    silent = False

    async def openai_chat_completion(self, params: Any) -> Any:
        if self.silent:
            await asyncio.sleep(60)
        said = [message.content for message in params.messages]
        message = SimpleNamespace(content=f"{len(said)}: {said[-1]}")
        return SimpleNamespace(choices=[SimpleNamespace(message=message)])


async def made(model: Model | None = None, **config: Any) -> ModelResponses:
    responses: ModelResponses = await get_provider_impl(
        Config.model_validate(config), {api.Api.inference: model or Model()}
    )
    return responses


def asking(text: Any = "Hello", **more: Any) -> Any:
    return api.CreateResponseRequest.model_validate({"model": "m", "input": text, **more})


def answer(request: Any, **config: Any) -> Any:
    async def work() -> Any:
        return await (await made(**config)).create_openai_response(request)

    return asyncio.run(work())


def text(response: Any) -> str:
    return str(response.output[0].content[0].text)


def test_a_model_answers() -> None:
    response = answer(asking(instructions="Be brief."))

    assert (text(response), response.status) == ("2: Hello", "completed")


def test_the_parts_of_a_message_are_read() -> None:
    parts = [{"type": "input_text", "text": "Hel"}, {"type": "input_text", "text": "lo"}]

    assert text(answer(asking([{"role": "user", "content": parts}]))) == "1: Hello"


def test_a_conversation_goes_on() -> None:
    async def work() -> None:
        responses = await made()
        first = await responses.create_openai_response(asking())
        second = await responses.create_openai_response(asking(previous_response_id=first.id))
        third = await responses.create_openai_response(asking(previous_response_id=second.id))
        assert [text(it) for it in (first, second, third)] == ["1: Hello", "3: Hello", "5: Hello"]

    asyncio.run(work())


def test_a_stream_has_the_same_text() -> None:
    async def work() -> list[Any]:
        stream = await (await made()).create_openai_response(asking("one\ntwo", stream=True))
        return [event async for event in stream]

    events = asyncio.run(work())

    kinds = ["response.created", *["response.output_text.delta"] * 2, "response.completed"]
    assert [event.type for event in events] == kinds
    assert "".join(event.delta for event in events[1:-1]) == "1: one\ntwo"
    assert [event.sequence_number for event in events] == [0, 1, 2, 3]


def test_responses_are_kept_listed_and_forgotten() -> None:
    async def work() -> None:
        responses = await made(kept=2)
        ids = [(await responses.create_openai_response(asking(str(n)))).id for n in range(3)]
        listed = await responses.list_openai_responses(api.ListResponsesRequest(limit=1))
        assert (listed.data[0].id, listed.has_more) == (ids[2], True)
        rest = await responses.list_openai_responses(api.ListResponsesRequest(after=ids[2]))
        assert [it.id for it in rest.data] == [ids[1]]
        items = await responses.list_openai_response_input_items(
            api.ListResponseInputItemsRequest(response_id=ids[1])
        )
        assert items.data[0].content == "1"
        await responses.delete_openai_response(api.DeleteResponseRequest(response_id=ids[1]))
        await responses.get_openai_response(api.RetrieveResponseRequest(response_id=ids[1]))

    with pytest.raises(api.ResponseNotFoundError):
        asyncio.run(work())


def test_what_is_not_to_be_stored_is_not_kept() -> None:
    async def work() -> Any:
        responses = await made()
        await responses.create_openai_response(asking(store=False))
        return await responses.list_openai_responses(api.ListResponsesRequest())

    assert asyncio.run(work()).data == []


def test_a_model_that_does_not_answer_is_given_up() -> None:
    model = Model()
    model.silent = True

    with pytest.raises(TimeoutError):
        answer(asking(), model=model, timeout=0.05)


@pytest.mark.parametrize(
    ("more", "name"),
    [({"tools": [{"type": "web_search"}]}, "tools"), ({"background": True}, "background")],
)
def test_what_is_not_implemented_is_refused(more: dict[str, Any], name: str) -> None:
    with pytest.raises(NotImplementedError, match=name):
        answer(asking(**more))


def test_a_complete_response_cannot_be_cancelled() -> None:
    async def work() -> None:
        responses = await made()
        made_one = await responses.create_openai_response(asking())
        await responses.cancel_openai_response(api.CancelResponseRequest(response_id=made_one.id))

    with pytest.raises(api.ConflictError):
        asyncio.run(work())
