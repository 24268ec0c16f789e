"""The sample capped-vllm on both servers, in place of the distribution's own provider."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.samples.conftest import Served

pytestmark = [
    pytest.mark.network,
    pytest.mark.server,
    pytest.mark.engine,
    pytest.mark.xdist_group("samples"),
]

WARNING = """\
WARNING: External provider 'vllm' overrides base provider in API 'inference'
  Base type: remote::vllm
  External type: remote::vllm"""


def test_who_overrides_the_distributions_provider_is_told(served: Served) -> None:
    assert WARNING in served.warnings


def test_there_is_one_provider_of_that_id(served: Served) -> None:
    assert served.listed()["vllm"] == ("inference", "remote::vllm")


def test_the_distributions_model_is_served_by_the_sample(served: Served) -> None:
    reply = served.chat("vllm/chat", max_tokens=100_000)

    assert reply.body["choices"][0]["message"]["content"] == "You said: Hello"
    _path, _headers, body = served.openai.requests[-1]
    assert (body["model"], body["max_tokens"]) == ("chat", 256)
