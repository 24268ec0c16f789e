import asyncio
import json
from collections.abc import Coroutine
from typing import Any

import pytest
from service import KEY, MODELS, OpenAIService

from openai_endpoint._server import api
from openai_endpoint.config import EndpointConfig
from openai_endpoint.endpoint import RefusedRequestError
from openai_endpoint.inference import EndpointAdapter, get_adapter_impl
from openai_endpoint.provider import get_provider_spec

if api.__name__ == "ogx_api":
    from ogx.core.request_headers import request_provider_data_context

    HEADER = "x-ogx-provider-data"
else:
    from llama_stack.core.request_headers import request_provider_data_context

    HEADER = "x-llamastack-provider-data"


def config(service: OpenAIService, **more: Any) -> EndpointConfig:
    return EndpointConfig.model_validate({"base_url": service.url, "api_key": KEY, **more})


def called(settings: EndpointConfig, call: Any, **headers: str) -> Any:
    """What the coroutine of a call returns, with a stream as the list of its parts."""

    async def run() -> Any:
        adapter = await get_adapter_impl(settings, {})
        adapter.__provider_spec__ = get_provider_spec()  # as the server does
        try:
            with request_provider_data_context(headers):
                found = await call(adapter)
                return [it async for it in found] if hasattr(found, "__aiter__") else found
        finally:
            await adapter.shutdown()

    return asyncio.run(run())


def chat(model: str = "tiny", *, stream: bool = False, **more: Any) -> Any:
    messages = [{"role": "user", "content": "Hello"}]
    params = api.OpenAIChatCompletionRequestWithExtraBody.model_validate(
        {"model": model, "messages": messages, "stream": stream, **more}
    )

    def call(adapter: EndpointAdapter) -> Coroutine[Any, Any, Any]:
        return adapter.openai_chat_completion(params)

    return call


def test_a_chat_is_answered_by_the_endpoint(service: OpenAIService) -> None:
    found = called(config(service), chat(temperature=0.5, top_k=3))

    assert found.choices[0].message.content == "You said: Hello"
    assert found.usage.total_tokens == 3
    ((path, headers, body),) = service.requests
    assert path == "/v1/chat/completions"
    assert headers["Authorization"] == f"Bearer {KEY}"
    # what the client said and nothing else; a parameter that the server does not know goes along
    assert body == {
        "model": "tiny",
        "messages": [{"role": "user", "content": "Hello"}],
        "stream": False,
        "temperature": 0.5,
        "top_k": 3,
    }


def test_a_stream_has_the_same_text(service: OpenAIService) -> None:
    chunks = called(config(service), chat(stream=True))

    assert "".join(it.choices[0].delta.content or "" for it in chunks) == "You said: Hello"
    assert len(chunks) > 3
    assert chunks[-1].choices[0].finish_reason == "stop"


def test_a_tool_call_comes_through(service: OpenAIService) -> None:
    tool = {"type": "function", "function": {"name": "look_up"}}

    found = called(config(service), chat("agent", tools=[tool]))

    (call,) = found.choices[0].message.tool_calls
    assert call.function.name == "look_up"
    assert json.loads(call.function.arguments) == {"query": "Hello"}


@pytest.mark.parametrize("stream", [False, True])
def test_a_text_is_continued(service: OpenAIService, stream: bool) -> None:
    params = api.OpenAICompletionRequestWithExtraBody(model="tiny", prompt="Once", stream=stream)

    found = called(config(service), lambda adapter: adapter.openai_completion(params))

    text = "".join(it.choices[0].text for it in (found if stream else [found]))
    assert text.strip() == "Once, and so on"


def test_texts_are_embedded(service: OpenAIService) -> None:
    params = api.OpenAIEmbeddingsRequestWithExtraBody(model="words", input=["a", "eel"])

    found = called(config(service), lambda adapter: adapter.openai_embeddings(params))

    assert [it.embedding for it in found.data] == [[1.1, 0.1, 0.1], [0.1, 2.1, 0.1]]


def test_the_models_are_those_of_the_endpoint(service: OpenAIService) -> None:
    settings = config(service, embedding_models={"words": 3})

    found = called(settings, lambda adapter: adapter.list_models())

    assert [it.provider_resource_id for it in found] == list(MODELS)
    (words,) = [it for it in found if it.model_type == api.ModelType.embedding]
    assert (words.identifier, words.metadata) == ("words", {"embedding_dimension": 3})


def test_models_are_listed_in_another_event_loop_than_chats_are_answered(
    service: OpenAIService,
) -> None:
    adapter = asyncio.run(get_adapter_impl(config(service), {}))
    adapter.__provider_spec__ = get_provider_spec()
    asyncio.run(adapter.list_models())  # as a server does, which then starts its own loop

    async def serve() -> Any:
        params = api.OpenAIChatCompletionRequestWithExtraBody.model_validate(
            {"model": "tiny", "messages": [{"role": "user", "content": "Hello"}]}
        )
        try:
            return await adapter.openai_chat_completion(params)
        finally:
            await adapter.shutdown()

    assert asyncio.run(serve()).choices[0].message.content == "You said: Hello"


def test_the_key_of_a_request_replaces_the_configured_one(service: OpenAIService) -> None:
    settings = config(service, api_key="wrong")
    data = json.dumps({"openai_endpoint_api_key": KEY})

    found = called(settings, chat(), **{HEADER: data})

    assert found.choices[0].message.content == "You said: Hello"


def test_a_wrong_key_is_the_fault_of_who_gave_it(service: OpenAIService) -> None:
    # the client's: it gets the endpoint's status
    data = json.dumps({"openai_endpoint_api_key": "wrong"})
    with pytest.raises(RefusedRequestError, match="Incorrect API key") as caught:
        called(config(service), chat(), **{HEADER: data})
    assert caught.value.status_code == 401
    # the platform's: the client cannot mend it
    with pytest.raises(ConnectionError, match="api_key of the configuration"):
        called(config(service, api_key="wrong"), chat())


def test_no_key_is_sent_where_none_is_configured(service: OpenAIService) -> None:
    service.key = None

    called(config(service, api_key=""), chat())

    ((_path, headers, _body),) = service.requests
    assert "Authorization" not in headers


@pytest.mark.parametrize("stream", [False, True])
def test_a_model_that_the_endpoint_lacks_is_the_clients_error(
    service: OpenAIService, stream: bool
) -> None:
    with pytest.raises(RefusedRequestError, match="`unheard-of` does not exist") as caught:
        called(config(service), chat("unheard-of", stream=stream))
    assert caught.value.status_code == 404


@pytest.mark.parametrize(
    ("model", "said"),
    [
        ("broken", "answers 500: out of memory"),
        ("garbled", "answers no JSON: '<html>"),
        ("empty", "is no OpenAIChatCompletion: "),
    ],
)
def test_an_endpoint_that_fails_is_a_bad_gateway(
    service: OpenAIService, model: str, said: str
) -> None:
    with pytest.raises(ConnectionError, match=said):
        called(config(service), chat(model))


@pytest.mark.parametrize(
    ("model", "said"),
    [
        ("halfway", r"ended its stream without \[DONE\]"),
        ("failing", "answers an error: the model crashed"),
        ("garbled", "text/event-stream"),
        ("broken", "answers 500: out of memory"),
    ],
)
def test_a_stream_that_fails_does_not_look_complete(
    service: OpenAIService, model: str, said: str
) -> None:
    with pytest.raises(ConnectionError, match=said):
        called(config(service), chat(model, stream=True))


@pytest.mark.parametrize("stream", [False, True])
def test_a_silent_endpoint_is_given_up(service: OpenAIService, stream: bool) -> None:
    with pytest.raises(TimeoutError, match=r"did not answer within 0.2 s"):
        called(config(service, timeout=0.2), chat("silent", stream=stream))


def test_an_endpoint_that_trickles_is_given_up(service: OpenAIService) -> None:
    with pytest.raises(TimeoutError, match=r"did not answer within 0.3 s"):
        called(config(service, timeout=0.3), chat("trickling"))


def test_an_endpoint_that_is_not_there_is_a_bad_gateway() -> None:
    settings = EndpointConfig.model_validate({"base_url": "http://127.0.0.1:1/v1"})

    with pytest.raises(ConnectionError, match=r"127\.0\.0\.1:1/v1 does not answer"):
        called(settings, chat())


def test_health_is_that_of_the_endpoint(service: OpenAIService) -> None:
    def health(adapter: EndpointAdapter) -> Coroutine[Any, Any, Any]:
        return adapter.health()

    assert called(config(service), health)["status"] == api.HealthStatus.OK
    found = called(config(service, api_key="wrong"), health)
    assert found["status"] == api.HealthStatus.ERROR
    assert "Incorrect API key provided" in found["message"]
