"""The adapter against a real service: what is kept, what comes back, what fails."""

import asyncio
import io
import zipfile
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi import UploadFile
from stand_in import KEY, StandIn

from {{ cookiecutter.__package }}._server import api
from {{ cookiecutter.__package }}.config import Config
from {{ cookiecutter.__package }}.service import ServiceError
from {{ cookiecutter.__package }}.skills import (
    SkillsAdapter,
    get_adapter_impl,
)

models = pytest.importorskip("ogx_api.skills.models", reason="this server has no skills API")


{% include "skills/checks.py" %}
{% include "remote/run.py" %}

def test_a_skill_is_kept_by_the_service(stand_in: StandIn) -> None:
    async def work(adapter: SkillsAdapter) -> None:
        skill = await adapter.create_skill(archive())
        assert (await adapter.get_skill(skill.id)).name == "Greeting"
        listed = await adapter.list_skills(models.ListSkillsRequest())
        assert [it.id for it in listed.data] == ["skill-1", "skill-2"]
        assert (await adapter.get_skill_content(skill.id)).body == b"an archive"
        assert (await adapter.delete_skill(skill.id)).deleted
        await adapter.get_skill(skill.id)

    with pytest.raises(api.ResourceNotFoundError):
        run(stand_in, work)

    assert b"SKILL.md" in stand_in.stored["archive"]


def test_a_skill_has_versions(stand_in: StandIn) -> None:
    async def work(adapter: SkillsAdapter) -> None:
        request = models.SkillVersionCreateRequest(default=True)
        made = await adapter.create_skill_version("skill-1", request, archive())
        assert made.version == "2"
        asked = models.ListSkillVersionsRequest()
        versions = (await adapter.list_skill_versions("skill-1", asked)).data
        assert [it.version for it in versions] == ["1"]
        assert (await adapter.get_skill_version("skill-1", "1")).skill_id == "skill-1"
        content = await adapter.get_skill_version_content("skill-1", "1")
        assert content.body == b"an archive"
        change = models.SkillUpdateRequest(default_version="2")
        assert (await adapter.update_skill("skill-1", change)).default_version == "2"

    run(stand_in, work)

    assert b'name="default"\r\n\r\ntrue' in stand_in.stored["archive"]


def test_the_refusal_to_delete_the_default_is_the_services(stand_in: StandIn) -> None:
    with pytest.raises(ServiceError, match="is the default") as caught:
        run(stand_in, lambda it: it.delete_skill_version("skill-1", "1"))

    assert caught.value.status_code == 409


def test_an_id_leads_nowhere_else(stand_in: StandIn) -> None:
    with pytest.raises(api.ResourceNotFoundError):
        run(stand_in, lambda it: it.get_skill("../admin"))

    assert stand_in.requests[0].path == "/skills/..%2Fadmin"
