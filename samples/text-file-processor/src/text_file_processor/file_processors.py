"""Turns files into chunks: here plain text, in yours whatever format you can read."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from ._server import api
from .config import Config

if TYPE_CHECKING:
    from fastapi import UploadFile

PROCESSOR = "text-file-processor"


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

    def _processed(self, text: str, name: str, strategy: Any) -> api.ProcessFileResponse:
        document_id = str(uuid.uuid4())
        chunks = [
            _chunk(document_id, index, part, name)
            for index, part in enumerate(self._parts(text, strategy))
        ]
        metadata = {"processor": PROCESSOR, "characters": len(text)}
        return api.ProcessFileResponse(chunks=chunks, metadata=metadata)

    def _parts(self, text: str, strategy: Any) -> Iterator[str]:
        if strategy is None:
            return iter([text])
        if strategy.type == "auto":
            return windows(text, self.config.chunk_words, 0)
        if strategy.type == "static":
            static = strategy.static
            return windows(text, static.max_chunk_size_tokens, static.chunk_overlap_tokens)
        raise ValueError(f"chunking strategy '{strategy.type}' is not supported")


def windows(text: str, size: int, overlap: int) -> Iterator[str]:
    """Yield windows of ``size`` words that share ``overlap`` words, at least one window.

    A word counts as one token. Raises ValueError when the overlap leaves no way forward.
    """
    if overlap >= size:
        raise ValueError(f"an overlap of {overlap} does not fit into chunks of {size}")
    words = text.split()
    last = max(len(words) - overlap, 1)
    for start in range(0, last, size - overlap):
        yield " ".join(words[start : start + size])


def _chunk(document_id: str, index: int, text: str, name: str) -> api.Chunk:
    chunk_id = f"{document_id}-{index}"
    return api.Chunk(
        content=text,
        chunk_id=chunk_id,
        metadata={"document_id": document_id, "filename": name},
        chunk_metadata=api.ChunkMetadata(
            chunk_id=chunk_id,
            document_id=document_id,
            source=name,
            content_token_count=len(text.split()),
        ),
    )
