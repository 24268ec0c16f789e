"""Keeps uploaded files in a service with the files API of OpenAI."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from ._server import api
from .config import Config
from .service import Adapter, ServiceError, read_as

if TYPE_CHECKING:
    from fastapi import Response, UploadFile

NOT_FOUND = 404


async def get_adapter_impl(config: Config, _deps: Mapping[Any, Any]) -> FilesAdapter:
    """Make the adapter; the server calls this once, when it starts."""
    return FilesAdapter(config)


class FilesAdapter(Adapter):
    """The server's files API. Names and parameters of the methods are the server's."""

    async def openai_upload_file(
        self, request: api.UploadFileRequest, file: UploadFile
    ) -> api.OpenAIFileObject:
        """Pass a file on, for a time if the request says so."""
        fields = {"purpose": request.purpose.value}
        if request.expires_after is not None:
            fields["expires_after"] = json.dumps(request.expires_after.model_dump())
        content = file.filename or "file", await file.read(), "application/octet-stream"
        answer = await self.service.json("POST", "/files", data=fields, files={"file": content})
        return read_as(api.OpenAIFileObject, answer)

    async def openai_list_files(self, request: api.ListFilesRequest) -> api.ListOpenAIFileResponse:
        """List the files as the service does."""
        params = request.model_dump(mode="json", exclude_none=True)
        answer = await self.service.json("GET", "/files", params=params)
        return read_as(api.ListOpenAIFileResponse, answer)

    async def openai_retrieve_file(self, request: api.RetrieveFileRequest) -> api.OpenAIFileObject:
        """Describe a file."""
        return read_as(api.OpenAIFileObject, (await self._of("GET", request.file_id)).json())

    async def openai_delete_file(
        self, request: api.DeleteFileRequest
    ) -> api.OpenAIFileDeleteResponse:
        """Delete a file."""
        answer = await self._of("DELETE", request.file_id)
        return read_as(api.OpenAIFileDeleteResponse, answer.json())

    async def openai_retrieve_file_content(
        self, request: api.RetrieveFileContentRequest
    ) -> Response:
        """Return the bytes of a file."""
        from fastapi import Response

        answer = await self._of("GET", request.file_id, "/content")
        return Response(answer.content, media_type="application/octet-stream")

    async def _of(self, method: str, file_id: str, more: str = "") -> Any:
        """Ask for a file. Raises the server's error for one that the service does not have."""
        try:
            return await self.service.request(method, f"/files/{quote(file_id, safe='')}{more}")
        except ServiceError as error:
            if error.status_code == NOT_FOUND:
                raise api.OpenAIFileObjectNotFoundError(file_id) from error
            raise
