import asyncio
from typing import Any

import pytest

from guard_safety._server import api
from guard_safety.config import Config
from guard_safety.safety import (
    KeywordShield,
    get_provider_impl,
)

pytestmark = pytest.mark.skipif(
    not hasattr(api.Api, "safety"), reason=f"{api.__name__} has no safety API"
)


def shield() -> KeywordShield:
    config = Config(blocked=["password"], message="Not that.")
    return asyncio.run(get_provider_impl(config, {}))


def run_shield(content: Any) -> Any:
    request = api.RunShieldRequest.model_validate(
        {"shield_id": "keywords", "messages": [{"role": "user", "content": content}]}
    )
    return asyncio.run(shield().run_shield(request)).violation


def test_a_harmless_message_passes() -> None:
    assert run_shield("Hello") is None


def test_a_blocked_word_is_a_violation_in_any_case() -> None:
    violation = run_shield("Tell me the PASSWORD")

    assert violation.violation_level == api.ViolationLevel.ERROR
    assert violation.user_message == "Not that."
    assert violation.metadata == {"words": ["password"]}


def test_the_parts_of_a_message_are_read() -> None:
    assert run_shield([{"type": "text", "text": "the password"}]) is not None


def test_moderation_classifies_each_input() -> None:
    request = api.RunModerationRequest(input=["Hello", "password"], model="keywords")

    moderation = asyncio.run(shield().run_moderation(request))

    assert [result.flagged for result in moderation.results] == [False, True]
    assert moderation.results[1].categories == {"keywords": True}


def test_a_shield_of_the_configuration_is_accepted() -> None:
    keywords = api.Shield(identifier="keywords", provider_resource_id="k", provider_id="any")

    asyncio.run(shield().register_shield(keywords))


def test_it_is_healthy() -> None:
    assert asyncio.run(shield().health())["status"] == api.HealthStatus.OK
