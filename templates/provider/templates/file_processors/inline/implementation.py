"""Turns files into chunks: here plain text, in yours whatever format you can read."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from ._server import api
from .config import Config

if TYPE_CHECKING:
    from fastapi import UploadFile

PROCESSOR = "{{ cookiecutter.name }}"


async def get_provider_impl(config: Config, _deps: Mapping[Any, Any]) -> TextProcessor:
    """Make the processor; the server calls this once, when it starts."""
    return TextProcessor(config)


class TextProcessor:
    """The server's file processors API. Names and parameters are the server's."""

    def __init__(self, config: Config) -> None:
        """Keep the validated configuration; load models here."""
        self.config = config

    async def shutdown(self) -> None:
        """Release what was loaded; the server calls this when it stops."""

    async def health(self) -> api.HealthResponse:
        """Tell whether files can be read; servers list it with the providers."""
        return api.HealthResponse(status=api.HealthStatus.OK)

    async def process_file(
        self, request: api.ProcessFileRequest, file: UploadFile | None = None
    ) -> api.ProcessFileResponse:
        """Return the file's text, whole or in the chunks that the request asks for."""
        if file is None:
            raise ValueError("send the file itself: stored files (file_id) are not supported")
        name = file.filename or "file"
        try:
            text = (await file.read()).decode(self.config.encoding)
        except UnicodeDecodeError as error:
            raise ValueError(f"{name} is no text in {self.config.encoding}: {error}") from error
        return self._processed(text, name, request.chunking_strategy)

{% include "file_processors/parts.py" %}

{% include "file_processors/chunks.py" %}