import asyncio
import io
import zipfile
from pathlib import Path
from typing import Any

import pytest
from fastapi import UploadFile

from {{ cookiecutter.__package }}._server import api
from {{ cookiecutter.__package }}.config import Config
from {{ cookiecutter.__package }}.skills import (
    SkillStore,
    get_provider_impl,
)

models = pytest.importorskip("ogx_api.skills.models", reason="this server has no skills API")


{% include "skills/checks.py" %}

@pytest.fixture
def store(tmp_path: Path) -> SkillStore:
    config = Config(directory=str(tmp_path / "skills"))
    made: SkillStore = asyncio.run(get_provider_impl(config, {}))
    return made


def create(store: SkillStore, **more: Any) -> Any:
    return asyncio.run(store.create_skill(archive(**more)))


def add(store: SkillStore, skill_id: str, **more: Any) -> Any:
    request = models.SkillVersionCreateRequest(**more)
    return asyncio.run(store.create_skill_version(skill_id, request, archive()))


def names(content: Any) -> list[str]:
    return zipfile.ZipFile(io.BytesIO(content.body)).namelist()


def test_a_skill_comes_back_as_it_was(store: SkillStore) -> None:
    skill = create(store, folder="greeting/")

    assert (skill.name, skill.description) == ("Greeting", "Says hello.")
    assert asyncio.run(SkillStore(store.config).get_skill(skill.id)) == skill
    assert names(asyncio.run(store.get_skill_content(skill.id))) == ["greeting/SKILL.md"]


def test_a_skill_has_versions_and_one_is_the_default(store: SkillStore) -> None:
    skill = create(store)

    assert add(store, skill.id).version == "2"
    assert add(store, skill.id, default=True).version == "3"

    found = asyncio.run(store.get_skill(skill.id))
    assert (found.default_version, found.latest_version) == ("3", "3")
    request = models.SkillUpdateRequest(default_version="2")
    assert asyncio.run(store.update_skill(skill.id, request)).default_version == "2"


def test_the_default_version_cannot_be_deleted(store: SkillStore) -> None:
    skill = create(store)
    add(store, skill.id)

    assert asyncio.run(store.delete_skill_version(skill.id, "2")).version == "2"
    with pytest.raises(api.ResourceNotFoundError):
        asyncio.run(store.get_skill_version(skill.id, "2"))
    with pytest.raises(api.ConflictError, match="is the default"):
        asyncio.run(store.delete_skill_version(skill.id, "1"))


def test_skills_and_versions_are_listed_in_pages(store: SkillStore) -> None:
    made = {create(store).id for _ in range(3)}

    first = asyncio.run(store.list_skills(models.ListSkillsRequest(limit=2)))
    rest = asyncio.run(store.list_skills(models.ListSkillsRequest(after=first.last_id)))
    assert (first.has_more, rest.has_more) == (True, False)
    assert {it.id for page in (first, rest) for it in page.data} == made

    add(store, first.data[0].id)
    request = models.ListSkillVersionsRequest(order="asc")
    versions = asyncio.run(store.list_skill_versions(first.data[0].id, request))
    assert [it.version for it in versions.data] == ["1", "2"]


def test_a_deleted_skill_is_gone(store: SkillStore) -> None:
    skill = create(store)

    assert asyncio.run(store.delete_skill(skill.id)).deleted

    assert list(store.directory.iterdir()) == []
    with pytest.raises(api.ResourceNotFoundError):
        asyncio.run(store.get_skill(skill.id))


@pytest.mark.parametrize("skill_id", ["../skills", "skill_1", ""])
def test_an_id_leads_nowhere_else(store: SkillStore, skill_id: str) -> None:
    with pytest.raises(api.ResourceNotFoundError):
        asyncio.run(store.get_skill_content(skill_id))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("Say hello.", "does not begin with a name"),
        ("---\nname: Greeting\n---\n", "does not begin with a name"),
        ("---\nname: [\n---\n", "is not YAML"),
    ],
)
def test_an_archive_without_a_manifest_is_refused(
    store: SkillStore, text: str, reason: str
) -> None:
    with pytest.raises(ValueError, match=reason):
        create(store, text=text)


def test_a_file_that_is_no_archive_is_refused(store: SkillStore) -> None:
    with pytest.raises(ValueError, match="is not a skill"):
        asyncio.run(store.create_skill(UploadFile(io.BytesIO(b"no zip"), filename="x.zip")))


def test_a_directory_that_cannot_be_made_is_no_health(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    store = SkillStore(Config(directory=str(tmp_path / "file" / "skills")))

    assert asyncio.run(store.health())["status"] == api.HealthStatus.ERROR
