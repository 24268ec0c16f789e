import asyncio
import io
from pathlib import Path
from typing import Any

import pytest
from fastapi import UploadFile

from text_file_processor._server import api
from text_file_processor.config import Config
from text_file_processor.file_processors import (
    TextProcessor,
    get_provider_impl,
    windows,
)

SAMPLE = (Path(__file__).parent / "sample.txt").read_bytes()


def processor() -> TextProcessor:
    return asyncio.run(get_provider_impl(Config(chunk_words=50), {}))


def process(content: bytes, strategy: Any = None) -> Any:
    request = api.ProcessFileRequest(chunking_strategy=strategy)
    upload = UploadFile(io.BytesIO(content), filename="sample.txt")
    return asyncio.run(processor().process_file(request, upload))


def test_without_a_strategy_the_file_is_one_chunk() -> None:
    response = process(SAMPLE)

    assert [chunk.content for chunk in response.chunks] == [SAMPLE.decode()]
    assert response.chunks[0].metadata["filename"] == "sample.txt"


def test_a_static_strategy_makes_chunks_that_overlap() -> None:
    static = {"max_chunk_size_tokens": 100, "chunk_overlap_tokens": 10}

    chunks = process(SAMPLE, {"type": "static", "static": static}).chunks

    assert len(chunks) > 1
    assert chunks[0].content.split()[-10:] == chunks[1].content.split()[:10]
    assert len({chunk.chunk_id for chunk in chunks}) == len(chunks)


def test_the_automatic_strategy_takes_the_size_of_the_configuration() -> None:
    chunks = process(SAMPLE, {"type": "auto"}).chunks

    assert len(chunks[0].content.split()) == 50


def test_an_empty_file_is_one_empty_chunk() -> None:
    assert [chunk.content for chunk in process(b"", {"type": "auto"}).chunks] == [""]


def test_an_overlap_as_large_as_a_chunk_is_refused() -> None:
    with pytest.raises(ValueError, match="does not fit"):
        list(windows("a b c", 2, 2))


def test_bytes_that_are_no_text_are_refused() -> None:
    with pytest.raises(ValueError, match="is no text in utf-8"):
        process(b"\xff\xfe")


def test_a_stored_file_is_refused() -> None:
    request = api.ProcessFileRequest(file_id="file-1")

    with pytest.raises(ValueError, match="not supported"):
        asyncio.run(processor().process_file(request))


def test_it_is_healthy() -> None:
    assert asyncio.run(processor().health())["status"] == api.HealthStatus.OK
