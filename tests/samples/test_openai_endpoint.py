"""The sample openai-endpoint on both servers, in front of a real service."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from tests.samples.conftest import KEY

if TYPE_CHECKING:
    from tests.samples.conftest import Served

pytestmark = [
    pytest.mark.network,
    pytest.mark.server,
    pytest.mark.engine,
    pytest.mark.xdist_group("samples"),
]

ANSWER = "You said: Hello"


def test_a_chat_is_answered_with_the_key_of_the_servers_environment(served: Served) -> None:
    reply = served.chat("openai-endpoint/tiny")

    assert reply.body["choices"][0]["message"]["content"] == ANSWER
    _path, headers, body = served.openai.requests[-1]
    assert headers["Authorization"] == f"Bearer {KEY}"
    assert body["model"] == "tiny"


def test_a_stream_arrives_in_parts(served: Served) -> None:
    reply = served.chat("openai-endpoint/tiny", stream=True)

    events = [line.removeprefix("data: ") for line in reply.text.splitlines() if line]
    choices = [it for event in events for it in json.loads(event)["choices"]]
    parts = [it["delta"]["content"] for it in choices if it["delta"]["content"]]
    assert "".join(parts) == ANSWER
    assert len(parts) > 1
    assert choices[-1]["finish_reason"] == "stop"


def test_a_request_may_bring_its_own_key(served: Served) -> None:
    served.openai.key = "mine"
    try:
        reply = served.chat("openai-endpoint/tiny", data={"openai_endpoint_api_key": "mine"})
        assert reply.body["choices"][0]["message"]["content"] == ANSWER
        refused = served.chat("openai-endpoint/tiny", data={"openai_endpoint_api_key": "other"})
        assert refused.status == 401
        # the configured key: the request cannot mend that
        assert served.chat("openai-endpoint/tiny").status == 502
    finally:
        served.openai.key = KEY


@pytest.mark.parametrize(
    ("model", "status", "said"),
    [
        ("broken", 502, "out of memory"),
        ("garbled", 502, "answers no JSON"),
        ("silent", 504, "did not answer within 1 s"),
    ],
)
def test_a_failure_of_the_service_is_told_apart(
    served: Served, model: str, status: int, said: str
) -> None:
    reply = served.chat(f"openai-endpoint/{model}")

    assert reply.status == status
    assert said in reply.text
