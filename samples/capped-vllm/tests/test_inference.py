import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from service import VLLM

from capped_vllm._server import api
from capped_vllm.config import CappedConfig
from capped_vllm.inference import get_adapter_impl
from capped_vllm.provider import get_provider_spec


class Models:
    """The registry of models, which the server hands to a provider; it has none."""

    async def has_model(self, _identifier: str) -> bool:
        return False


@pytest.fixture
def vllm(monkeypatch: pytest.MonkeyPatch) -> Iterator[VLLM]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with VLLM() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def asked(vllm: VLLM, method: str, params: Any) -> dict[str, Any]:
    """What vLLM is asked for when the server calls a method."""

    async def run() -> None:
        url = f"http://127.0.0.1:{vllm.server_port}/v1"
        adapter = await get_adapter_impl(CappedConfig(base_url=url, cap_tokens=50), {})
        adapter.model_store = Models()
        adapter.__provider_id__ = "vllm"
        adapter.__provider_spec__ = get_provider_spec()
        reply = await getattr(adapter, method)(params)
        assert reply.choices[0].finish_reason == "stop"

    asyncio.run(run())
    (body,) = vllm.bodies
    return body


@pytest.mark.parametrize(
    ("wanted", "sent"),
    [
        ({}, {"max_tokens": 50}),
        ({"max_tokens": 20}, {"max_tokens": 20}),
        ({"max_tokens": 9000}, {"max_tokens": 50}),
        ({"max_completion_tokens": 9000}, {"max_tokens": 50, "max_completion_tokens": 50}),
        ({"max_completion_tokens": 20}, {"max_tokens": 50, "max_completion_tokens": 20}),
    ],
)
def test_a_chat_is_capped(vllm: VLLM, wanted: dict[str, int], sent: dict[str, int]) -> None:
    messages = [{"role": "user", "content": "Hello"}]
    params = api.OpenAIChatCompletionRequestWithExtraBody.model_validate(
        {"model": "tiny", "messages": messages, **wanted}
    )

    body = asked(vllm, "openai_chat_completion", params)

    assert {name: value for name, value in body.items() if name.startswith("max_")} == sent
    # the server's own request is not changed
    assert params.max_tokens == wanted.get("max_tokens")


@pytest.mark.parametrize(("wanted", "sent"), [(None, 50), (20, 20), (9000, 50)])
def test_a_text_is_capped(vllm: VLLM, wanted: int | None, sent: int) -> None:
    params = api.OpenAICompletionRequestWithExtraBody(
        model="tiny", prompt="Once", max_tokens=wanted
    )

    assert asked(vllm, "openai_completion", params)["max_tokens"] == sent
