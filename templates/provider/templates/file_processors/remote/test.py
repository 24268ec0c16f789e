"""The adapter against a real service: what is sent, what comes back, what fails."""

import asyncio
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi import UploadFile
from stand_in import KEY, StandIn

from {{ cookiecutter.__package }}._server import api
from {{ cookiecutter.__package }}.config import Config
from {{ cookiecutter.__package }}.file_processors import (
    get_adapter_impl,
    windows,
)
from {{ cookiecutter.__package }}.service import ServiceError

SAMPLE = (Path(__file__).parent / "sample.txt").read_bytes()

{% include "remote/run.py" %}

def process(stand_in: StandIn, content: bytes, strategy: Any = None) -> Any:
    request = api.ProcessFileRequest(chunking_strategy=strategy)
    upload = UploadFile(io.BytesIO(content), filename="sample.txt")
    return run(stand_in, lambda it: it.process_file(request, upload), chunk_words=50)


def test_without_a_strategy_the_text_is_one_chunk(stand_in: StandIn) -> None:
    response = process(stand_in, SAMPLE)

    assert [chunk.content for chunk in response.chunks] == [SAMPLE.decode()]
    assert response.chunks[0].metadata["filename"] == "sample.txt"
    assert b'filename="sample.txt"' in stand_in.requests[0].body


def test_a_static_strategy_makes_chunks_that_overlap(stand_in: StandIn) -> None:
    static = {"max_chunk_size_tokens": 100, "chunk_overlap_tokens": 10}

    chunks = process(stand_in, SAMPLE, {"type": "static", "static": static}).chunks

    assert len(chunks) > 1
    assert chunks[0].content.split()[-10:] == chunks[1].content.split()[:10]


def test_the_automatic_strategy_takes_the_size_of_the_configuration(stand_in: StandIn) -> None:
    chunks = process(stand_in, SAMPLE, {"type": "auto"}).chunks

    assert len(chunks[0].content.split()) == 50


def test_an_overlap_as_large_as_a_chunk_is_refused() -> None:
    with pytest.raises(ValueError, match="does not fit"):
        list(windows("a b c", 2, 2))


def test_a_file_that_the_service_cannot_read_is_the_callers_fault(stand_in: StandIn) -> None:
    with pytest.raises(ServiceError, match="no text") as caught:
        process(stand_in, b"\xff\xfe")

    assert caught.value.status_code == 422


def test_a_stored_file_is_refused(stand_in: StandIn) -> None:
    request = api.ProcessFileRequest(file_id="file-1")

    with pytest.raises(ValueError, match="not supported"):
        run(stand_in, lambda it: it.process_file(request))
