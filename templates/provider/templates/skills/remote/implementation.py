"""Keeps versioned skills in a service with the skills API of OpenAI."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from ._server import api
from .config import Config
from .service import Adapter, ServiceError, read_as

if TYPE_CHECKING:
    from fastapi import Response, UploadFile
    from ogx_api.skills import models

NOT_FOUND = 404


async def get_adapter_impl(config: Config, _deps: Mapping[Any, Any]) -> SkillsAdapter:
    """Make the adapter; the server calls this once, when it starts."""
    return SkillsAdapter(config)


class SkillsAdapter(Adapter):
    """The server's skills API. Names and parameters of the methods are the server's."""

    async def create_skill(self, file: UploadFile) -> models.Skill:
        """Pass a skill on."""
        from ogx_api.skills.models import Skill

        answer = await self.service.json("POST", "/skills", files=await _files(file))
        return read_as(Skill, answer)

    async def list_skills(self, request: models.ListSkillsRequest) -> models.ListSkillsResponse:
        """List the skills as the service does."""
        from ogx_api.skills.models import ListSkillsResponse

        params = request.model_dump(mode="json", exclude_none=True)
        return read_as(ListSkillsResponse, await self.service.json("GET", "/skills", params=params))

    async def get_skill(self, skill_id: str) -> models.Skill:
        """Describe a skill."""
        from ogx_api.skills.models import Skill

        return read_as(Skill, (await self._of("GET", skill_id)).json())

    async def update_skill(self, skill_id: str, request: models.SkillUpdateRequest) -> models.Skill:
        """Choose the version that is used when none is named."""
        from ogx_api.skills.models import Skill

        answer = await self._of("POST", skill_id, json=request.model_dump(mode="json"))
        return read_as(Skill, answer.json())

    async def delete_skill(self, skill_id: str) -> models.SkillDeleteResponse:
        """Delete a skill with all its versions."""
        from ogx_api.skills.models import SkillDeleteResponse

        return read_as(SkillDeleteResponse, (await self._of("DELETE", skill_id)).json())

    async def get_skill_content(self, skill_id: str) -> Response:
        """Return the archive of the default version."""
        return _archive(await self._of("GET", skill_id, "content"))

    async def create_skill_version(
        self, skill_id: str, request: models.SkillVersionCreateRequest, file: UploadFile
    ) -> models.SkillVersion:
        """Pass another version of a skill on."""
        from ogx_api.skills.models import SkillVersion

        fields = {"default": str(request.default).lower()}
        files = await _files(file)
        answer = await self._of("POST", skill_id, "versions", data=fields, files=files)
        return read_as(SkillVersion, answer.json())

    async def list_skill_versions(
        self, skill_id: str, request: models.ListSkillVersionsRequest
    ) -> models.ListSkillVersionsResponse:
        """List the versions of a skill as the service does."""
        from ogx_api.skills.models import ListSkillVersionsResponse

        params = request.model_dump(mode="json", exclude_none=True)
        answer = await self._of("GET", skill_id, "versions", params=params)
        return read_as(ListSkillVersionsResponse, answer.json())

    async def get_skill_version(self, skill_id: str, version: str) -> models.SkillVersion:
        """Describe a version."""
        from ogx_api.skills.models import SkillVersion

        answer = await self._of("GET", skill_id, "versions", version)
        return read_as(SkillVersion, answer.json())

    async def get_skill_version_content(self, skill_id: str, version: str) -> Response:
        """Return the archive of a version."""
        return _archive(await self._of("GET", skill_id, "versions", version, "content"))

    async def delete_skill_version(
        self, skill_id: str, version: str
    ) -> models.SkillVersionDeleteResponse:
        """Delete a version; the service refuses the default one."""
        from ogx_api.skills.models import SkillVersionDeleteResponse

        answer = await self._of("DELETE", skill_id, "versions", version)
        return read_as(SkillVersionDeleteResponse, answer.json())

    async def _of(self, method: str, *parts: str, **options: Any) -> Any:
        """Ask for a skill. Raises the server's error for one that the service does not have."""
        path = "/".join(["/skills", *(quote(part, safe="") for part in parts)])
        try:
            return await self.service.request(method, path, **options)
        except ServiceError as error:
            if error.status_code == NOT_FOUND:
                raise api.ResourceNotFoundError(
                    parts[0], resource_type="Skill", client_command="skills.list"
                ) from error
            raise


async def _files(file: UploadFile) -> dict[str, Any]:
    return {"files": (file.filename or "skill.zip", await file.read(), "application/zip")}


def _archive(answer: Any) -> Response:
    from fastapi import Response

    return Response(answer.content, media_type="application/zip")
