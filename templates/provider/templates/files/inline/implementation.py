"""Keeps uploaded files in a directory: each beside a JSON file that describes it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import time
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ._server import api
from .config import Config

if TYPE_CHECKING:
    from fastapi import Response, UploadFile

_DESCRIPTION = ".json"


async def get_provider_impl(config: Config, _deps: Mapping[Any, Any]) -> FileStore:
    """Make the store; the server calls this once, when it starts."""
    return FileStore(config)


class FileStore:
    """The server's files API. Names and parameters of the methods are the server's.

    Files are read and written in threads, so that a slow disk does not stop the server.
    """

    def __init__(self, config: Config) -> None:
        """Keep the validated configuration."""
        self.config = config
        self.directory = Path(config.directory).expanduser()

    async def shutdown(self) -> None:
        """Close what was opened; the server calls this when it stops."""

    async def health(self) -> api.HealthResponse:
        """Tell whether files can be written; servers list it with the providers."""
        try:
            await asyncio.to_thread(self._require_writable)
        except OSError as error:
            return api.HealthResponse(status=api.HealthStatus.ERROR, message=str(error))
        return api.HealthResponse(status=api.HealthStatus.OK)

    async def openai_upload_file(
        self, request: api.UploadFileRequest, file: UploadFile
    ) -> api.OpenAIFileObject:
        """Keep a file, for a time if the request says so."""
        content = await file.read()
        now = int(time.time())
        after = request.expires_after
        described = api.OpenAIFileObject.model_validate(
            {
                "id": f"file-{uuid.uuid4().hex}",
                "bytes": len(content),
                "created_at": now,
                "expires_at": now + after.seconds if after else None,
                "filename": file.filename or "file",
                "purpose": request.purpose.value,
                "status": "uploaded",
            }
        )
        await asyncio.to_thread(self._write, described, content)
        return described

    async def openai_list_files(self, request: api.ListFilesRequest) -> api.ListOpenAIFileResponse:
        """List the files, the newest first unless the request says otherwise."""
        found = [
            it
            for it in await asyncio.to_thread(lambda: list(self._all()))
            if request.purpose is None or it.purpose == request.purpose
        ]
        oldest_first = request.order == api.Order.asc
        found.sort(key=lambda it: (it.created_at, it.id), reverse=not oldest_first)
        if request.after is not None:
            ids = [it.id for it in found]
            found = found[ids.index(request.after) + 1 :] if request.after in ids else []
        page = found[: request.limit]
        return api.ListOpenAIFileResponse(
            data=page,
            has_more=len(page) < len(found),
            first_id=page[0].id if page else "",
            last_id=page[-1].id if page else "",
        )

    async def openai_retrieve_file(self, request: api.RetrieveFileRequest) -> api.OpenAIFileObject:
        """Describe a file."""
        return await asyncio.to_thread(self._described, request.file_id)

    async def openai_delete_file(
        self, request: api.DeleteFileRequest
    ) -> api.OpenAIFileDeleteResponse:
        """Delete a file."""
        await asyncio.to_thread(self._delete, request.file_id)
        return api.OpenAIFileDeleteResponse(id=request.file_id, deleted=True)

    async def openai_retrieve_file_content(
        self, request: api.RetrieveFileContentRequest
    ) -> Response:
        """Return the bytes of a file, to be saved under its name."""
        from fastapi import Response

        described = await asyncio.to_thread(self._described, request.file_id)
        content = await asyncio.to_thread((self.directory / described.id).read_bytes)
        name = re.sub(r"[^\w.-]", "_", described.filename, flags=re.ASCII)
        headers = {"Content-Disposition": f'attachment; filename="{name}"'}
        return Response(content, media_type="application/octet-stream", headers=headers)

    def _require_writable(self) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        if not os.access(self.directory, os.W_OK):
            raise PermissionError(f"{self.directory} cannot be written")

    def _write(self, described: api.OpenAIFileObject, content: bytes) -> None:
        """Write the bytes, then the description: a file without one does not exist."""
        self._require_writable()
        path = self.directory / described.id
        try:
            path.write_bytes(content)
            partial = path.with_suffix(".partial")
            partial.write_text(described.model_dump_json(), encoding="utf-8")
            partial.replace(path.with_suffix(_DESCRIPTION))
        except OSError:
            for left in (path, path.with_suffix(".partial")):
                with contextlib.suppress(OSError):
                    left.unlink(missing_ok=True)
            raise

    def _described(self, file_id: str) -> api.OpenAIFileObject:
        """Return what is known of a file. Raises the server's error for one that is not there."""
        # an ID comes from a request: it must not lead to another directory
        path = self.directory / f"{file_id}{_DESCRIPTION}"
        if not re.fullmatch(r"file-[0-9a-f]{32}", file_id) or not path.is_file():
            raise api.OpenAIFileObjectNotFoundError(file_id)
        found = api.OpenAIFileObject.model_validate(json.loads(path.read_bytes()))
        if found.expires_at is not None and found.expires_at <= time.time():
            self._remove(file_id)
            raise api.OpenAIFileObjectNotFoundError(file_id)
        return found

    def _all(self) -> Iterator[api.OpenAIFileObject]:
        for path in self.directory.glob(f"file-*{_DESCRIPTION}"):
            with contextlib.suppress(api.OpenAIFileObjectNotFoundError, FileNotFoundError):
                yield self._described(path.stem)

    def _delete(self, file_id: str) -> None:
        self._remove(self._described(file_id).id)

    def _remove(self, file_id: str) -> None:
        path = self.directory / file_id
        path.with_suffix(_DESCRIPTION).unlink(missing_ok=True)
        path.unlink(missing_ok=True)
