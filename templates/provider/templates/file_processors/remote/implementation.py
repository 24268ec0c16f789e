"""Has a service make text of files, and chunks of the text."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from ._server import api
from .config import Config
from .service import Adapter, read_as

if TYPE_CHECKING:
    from fastapi import UploadFile

PROCESSOR = "{{ cookiecutter.name }}"


class Converted(BaseModel):
    """The service's answer: the text of a file."""

    text: str


async def get_adapter_impl(config: Config, _deps: Mapping[Any, Any]) -> ConverterAdapter:
    """Make the adapter; the server calls this once, when it starts."""
    return ConverterAdapter(config)


class ConverterAdapter(Adapter):
    """The server's file processors API. Names and parameters are the server's."""

    async def process_file(
        self, request: api.ProcessFileRequest, file: UploadFile | None = None
    ) -> api.ProcessFileResponse:
        """Return the file's text, whole or in the chunks that the request asks for."""
        if file is None:
            raise ValueError("send the file itself: stored files (file_id) are not supported")
        name = file.filename or "file"
        kind = file.content_type or "application/octet-stream"
        content = name, await file.read(), kind
        answer = await self.service.json("POST", "/convert", files={"file": content})
        text = read_as(Converted, answer).text
        return self._processed(text, name, request.chunking_strategy)

{% include "file_processors/parts.py" %}

{% include "file_processors/chunks.py" %}