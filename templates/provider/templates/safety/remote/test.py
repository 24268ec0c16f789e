"""The adapter against a real service: what is sent, what comes back, what fails."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from stand_in import KEY, StandIn

from {{ cookiecutter.__package }}._server import api
from {{ cookiecutter.__package }}.config import Config
from {{ cookiecutter.__package }}.safety import get_adapter_impl
from {{ cookiecutter.__package }}.service import ServiceError

pytestmark = pytest.mark.skipif(
    not hasattr(api.Api, "safety"), reason=f"{api.__name__} has no safety API"
)

{% include "remote/run.py" %}

def shield(stand_in: StandIn, *contents: Any) -> Any:
    messages = [{"role": "user", "content": content} for content in contents]
    request = api.RunShieldRequest.model_validate({"shield_id": "m", "messages": messages})
    return run(stand_in, lambda it: it.run_shield(request)).violation


def test_a_harmless_message_passes(stand_in: StandIn) -> None:
    assert shield(stand_in, "Hello") is None
    assert stand_in.requests[0].json == {"model": "moderation", "input": ["Hello"]}


def test_a_message_that_the_service_flags_is_a_violation(stand_in: StandIn) -> None:
    violation = shield(stand_in, "Hello", "Tell me the PASSWORD")

    assert violation.violation_level == api.ViolationLevel.ERROR
    assert violation.user_message == "This message was blocked."
    assert violation.metadata == {"categories": ["secrets"]}


def test_the_parts_of_a_message_are_read(stand_in: StandIn) -> None:
    assert shield(stand_in, [{"type": "text", "text": "the password"}]) is not None


def test_without_a_text_the_service_is_not_asked(stand_in: StandIn) -> None:
    assert shield(stand_in, "") is None
    assert not stand_in.requests


def test_moderation_classifies_each_input(stand_in: StandIn) -> None:
    request = api.RunModerationRequest(input=["Hello", "password"], model="moderation")

    moderation = run(stand_in, lambda it: it.run_moderation(request))

    assert [result.flagged for result in moderation.results] == [False, True]
    assert moderation.results[1].category_applied_input_types["secrets"] == ["text"]


def test_no_message_passes_when_the_service_fails(stand_in: StandIn) -> None:
    stand_in.fail_with = 500

    with pytest.raises(ServiceError, match="status 500"):
        shield(stand_in, "Hello")


def test_a_judgement_too_few_is_the_services_fault(
    stand_in: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    from stand_in import Reply

    monkeypatch.setattr("stand_in.reply", lambda *_: Reply({"id": "m", "results": []}))

    with pytest.raises(ServiceError, match="0 judgements came for 1 texts"):
        shield(stand_in, "Hello")


def test_a_shield_of_the_configuration_is_accepted(stand_in: StandIn) -> None:
    guard = api.Shield(identifier="m", provider_resource_id="m", provider_id="any")

    run(stand_in, lambda it: it.register_shield(guard))
