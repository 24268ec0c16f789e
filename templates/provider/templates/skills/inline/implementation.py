"""Keeps versioned skills, zip archives with a SKILL.md, in a directory."""

from __future__ import annotations

import asyncio
import io
import json
import re
import time
import uuid
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from ._server import api
from .config import Config

if TYPE_CHECKING:
    from fastapi import Response, UploadFile
    from ogx_api.skills import models

_MANIFEST = "SKILL.md"
_ABOUT = "skill.json"
_LIMIT = 50 * 1024 * 1024  # bytes of all files of a skill, unpacked


async def get_provider_impl(config: Config, _deps: Mapping[Any, Any]) -> SkillStore:
    """Make the store; the server calls this once, when it starts."""
    return SkillStore(config)


class SkillStore:
    """The server's skills API. Names and parameters of the methods are the server's.

    A skill is a directory: ``skill.json`` describes it, ``1.zip`` and so on are its versions.
    """

    def __init__(self, config: Config) -> None:
        """Keep the validated configuration."""
        self.config = config
        self.directory = Path(config.directory).expanduser()
        self._lock = asyncio.Lock()

    async def shutdown(self) -> None:
        """Close what was opened; the server calls this when it stops."""

    async def health(self) -> api.HealthResponse:
        """Tell whether skills can be kept; servers list it with the providers."""
        try:
            await asyncio.to_thread(self.directory.mkdir, parents=True, exist_ok=True)
        except OSError as error:
            return api.HealthResponse(status=api.HealthStatus.ERROR, message=str(error))
        return api.HealthResponse(status=api.HealthStatus.OK)

    async def create_skill(self, file: UploadFile) -> models.Skill:
        """Keep a skill as its first version."""
        content = await file.read()
        name, description = manifest(content)
        about = {
            "id": f"skill_{uuid.uuid4().hex}",
            "created_at": int(time.time()),
            "name": name,
            "description": description,
            "default_version": "1",
            "latest_version": "1",
            "versions": {},
        }
        async with self._lock:
            return _skill(await asyncio.to_thread(self._add, about, "1", content))

    async def list_skills(self, request: models.ListSkillsRequest) -> models.ListSkillsResponse:
        """List the skills, the newest first unless the request says otherwise."""
        from ogx_api.skills.models import ListSkillsResponse

        found = [_skill(it) for it in await asyncio.to_thread(self._all)]
        found.sort(key=lambda it: (it.created_at, it.id))
        return ListSkillsResponse.model_validate(_page(found, request, lambda it: str(it.id)))

    async def get_skill(self, skill_id: str) -> models.Skill:
        """Describe a skill."""
        return _skill(await asyncio.to_thread(self._about, skill_id))

    async def update_skill(self, skill_id: str, request: models.SkillUpdateRequest) -> models.Skill:
        """Choose the version that is used when none is named."""
        async with self._lock:
            about = await asyncio.to_thread(self._version, skill_id, request.default_version)
            about["default_version"] = request.default_version
            await asyncio.to_thread(self._describe, about)
        return _skill(about)

    async def delete_skill(self, skill_id: str) -> models.SkillDeleteResponse:
        """Delete a skill with all its versions."""
        from ogx_api.skills.models import SkillDeleteResponse

        async with self._lock:
            await asyncio.to_thread(self._remove, skill_id)
        return SkillDeleteResponse(id=skill_id)

    async def get_skill_content(self, skill_id: str) -> Response:
        """Return the archive of the default version."""
        about = await asyncio.to_thread(self._about, skill_id)
        return await self.get_skill_version_content(skill_id, about["default_version"])

    async def create_skill_version(
        self, skill_id: str, request: models.SkillVersionCreateRequest, file: UploadFile
    ) -> models.SkillVersion:
        """Keep another version of a skill."""
        content = await file.read()
        manifest(content)
        async with self._lock:
            about = await asyncio.to_thread(self._about, skill_id)
            version = str(int(about["latest_version"]) + 1)
            about["latest_version"] = version
            if request.default:
                about["default_version"] = version
            return _of_version(await asyncio.to_thread(self._add, about, version, content), version)

    async def list_skill_versions(
        self, skill_id: str, request: models.ListSkillVersionsRequest
    ) -> models.ListSkillVersionsResponse:
        """List the versions of a skill, the newest first unless the request says otherwise."""
        from ogx_api.skills.models import ListSkillVersionsResponse

        about = await asyncio.to_thread(self._about, skill_id)
        found = [_of_version(about, it) for it in sorted(about["versions"], key=int)]
        page = _page(found, request, lambda it: str(it.version))
        return ListSkillVersionsResponse.model_validate(page)

    async def get_skill_version(self, skill_id: str, version: str) -> models.SkillVersion:
        """Describe a version."""
        return _of_version(await asyncio.to_thread(self._version, skill_id, version), version)

    async def get_skill_version_content(self, skill_id: str, version: str) -> Response:
        """Return the archive of a version."""
        from fastapi import Response

        about = await asyncio.to_thread(self._version, skill_id, version)
        path = self.directory / about["id"] / f"{version}.zip"
        content = await asyncio.to_thread(path.read_bytes)
        return Response(content, media_type="application/zip")

    async def delete_skill_version(
        self, skill_id: str, version: str
    ) -> models.SkillVersionDeleteResponse:
        """Delete a version that is not the default one."""
        from ogx_api.skills.models import SkillVersionDeleteResponse

        async with self._lock:
            about = await asyncio.to_thread(self._version, skill_id, version)
            if version == about["default_version"]:
                raise api.ConflictError(f"version {version} is the default; choose another first")
            del about["versions"][version]
            await asyncio.to_thread(self._describe, about)
            path = self.directory / skill_id / f"{version}.zip"
            await asyncio.to_thread(path.unlink, missing_ok=True)
        return SkillVersionDeleteResponse(id=skill_id, version=version)

    def _add(self, about: dict[str, Any], version: str, content: bytes) -> dict[str, Any]:
        """Write an archive, then the description: a version that it does not name is not there."""
        name, description = manifest(content)
        entry = {"name": name, "description": description, "created_at": int(time.time())}
        about["versions"][version] = entry
        folder = self.directory / about["id"]
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{version}.zip").write_bytes(content)
        self._describe(about)
        return about

    def _describe(self, about: Mapping[str, Any]) -> None:
        path = self.directory / about["id"] / _ABOUT
        partial = path.with_suffix(".partial")
        partial.write_text(json.dumps(about), encoding="utf-8")
        partial.replace(path)

    def _about(self, skill_id: str) -> dict[str, Any]:
        """Return what is known of a skill. Raises the server's error if it is not there."""
        # an ID comes from a request: it must not lead to another directory
        path = self.directory / skill_id / _ABOUT
        if not re.fullmatch(r"skill_[0-9a-f]{32}", skill_id) or not path.is_file():
            raise api.ResourceNotFoundError(
                skill_id, resource_type="Skill", client_command="skills.list"
            )
        found: dict[str, Any] = json.loads(path.read_bytes())
        return found

    def _version(self, skill_id: str, version: str) -> dict[str, Any]:
        """Return what is known of a skill that has a version."""
        about = self._about(skill_id)
        if version not in about["versions"]:
            raise api.ResourceNotFoundError(
                f"{skill_id} {version}", resource_type="Skill version", client_command="skills.list"
            )
        return about

    def _all(self) -> list[dict[str, Any]]:
        return [self._about(path.parent.name) for path in self.directory.glob(f"skill_*/{_ABOUT}")]

    def _remove(self, skill_id: str) -> None:
        folder = self.directory / self._about(skill_id)["id"]
        (folder / _ABOUT).unlink()
        for path in folder.iterdir():
            path.unlink()
        folder.rmdir()


def manifest(content: bytes) -> tuple[str, str]:
    """Return the name and the description in an archive. Raises ValueError without them."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            if sum(member.file_size for member in archive.infolist()) > _LIMIT:
                raise ValueError(f"the skill unpacks to more than {_LIMIT} bytes")
            # the archive may hold a folder that holds the skill
            names = [it for it in archive.namelist() if it.rpartition("/")[2] == _MANIFEST]
            if not names:
                raise ValueError(f"the archive has no {_MANIFEST}")
            text = archive.read(min(names, key=len)).decode()
    except (zipfile.BadZipFile, UnicodeDecodeError) as error:
        raise ValueError(f"the file is not a skill: {error}") from error
    front = re.match(r"---\n(.*?)\n---\n", text, re.DOTALL)
    try:
        fields = yaml.safe_load(front[1]) if front else None
    except yaml.YAMLError as error:
        raise ValueError(f"the front matter of {_MANIFEST} is not YAML: {error}") from error
    if not isinstance(fields, dict) or not all(fields.get(it) for it in ("name", "description")):
        raise ValueError(f"{_MANIFEST} does not begin with a name and a description")
    return str(fields["name"]), str(fields["description"])


def _skill(about: Mapping[str, Any]) -> models.Skill:
    from ogx_api.skills.models import Skill

    return Skill.model_validate({key: it for key, it in about.items() if key != "versions"})


def _of_version(about: Mapping[str, Any], version: str) -> models.SkillVersion:
    from ogx_api.skills.models import SkillVersion

    entry = about["versions"][version]
    place = {"id": f"{about['id']}_{version}", "skill_id": about["id"], "version": version}
    return SkillVersion.model_validate({**entry, **place})


def _page(found: Sequence[Any], request: Any, key: Any) -> dict[str, Any]:
    """Return a page of what was found, which is sorted from the oldest to the newest."""
    items = list(found) if request.order == "asc" else list(reversed(found))
    if request.after is not None:
        keys = [key(it) for it in items]
        items = items[keys.index(request.after) + 1 :] if request.after in keys else []
    page = items[: request.limit]
    return {
        "data": page,
        "has_more": len(page) < len(items),
        "first_id": key(page[0]) if page else None,
        "last_id": key(page[-1]) if page else None,
    }
