"""The adapter against a real service: what is kept, what comes back, what fails."""

import asyncio
import io
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi import UploadFile
from stand_in import KEY, StandIn

from {{ cookiecutter.__package }}._server import api
from {{ cookiecutter.__package }}.config import Config
from {{ cookiecutter.__package }}.files import (
    FilesAdapter,
    get_adapter_impl,
)
from {{ cookiecutter.__package }}.service import ServiceError

{% include "remote/run.py" %}

async def uploaded(adapter: FilesAdapter, content: bytes = b"\x00\xff", **more: Any) -> Any:
    request = api.UploadFileRequest.model_validate({"purpose": "assistants", **more})
    file = UploadFile(io.BytesIO(content), filename="a.bin")
    return await adapter.openai_upload_file(request, file)


def test_a_file_comes_back_as_it_was(stand_in: StandIn) -> None:
    async def work(adapter: FilesAdapter) -> Any:
        made = await uploaded(adapter)
        asked = api.RetrieveFileRequest(file_id=made.id)
        assert await adapter.openai_retrieve_file(asked) == made
        content = api.RetrieveFileContentRequest(file_id=made.id)
        return made, await adapter.openai_retrieve_file_content(content)

    made, answer = run(stand_in, work)

    assert (made.filename, made.bytes, answer.body) == ("a.bin", 2, b"\x00\xff")


def test_how_long_a_file_lives_is_passed_on(stand_in: StandIn) -> None:
    lives = {"anchor": "created_at", "seconds": 3600}

    run(stand_in, lambda it: uploaded(it, expires_after=lives))

    assert b'{"anchor": "created_at", "seconds": 3600}' in stand_in.requests[0].body


def test_files_are_listed_by_purpose(stand_in: StandIn) -> None:
    async def work(adapter: FilesAdapter) -> Any:
        await uploaded(adapter)
        made = await uploaded(adapter, purpose="batch")
        request = api.ListFilesRequest.model_validate({"purpose": "batch"})
        assert [it.id for it in (await adapter.openai_list_files(request)).data] == [made.id]

    run(stand_in, work)


def test_a_deleted_file_is_gone(stand_in: StandIn) -> None:
    async def work(adapter: FilesAdapter) -> None:
        made = await uploaded(adapter)
        asked = api.DeleteFileRequest(file_id=made.id)
        assert (await adapter.openai_delete_file(asked)).deleted
        await adapter.openai_delete_file(asked)

    with pytest.raises(api.OpenAIFileObjectNotFoundError):
        run(stand_in, work)


def test_an_id_leads_nowhere_else(stand_in: StandIn) -> None:
    request = api.RetrieveFileRequest(file_id="../admin")

    with pytest.raises(api.OpenAIFileObjectNotFoundError):
        run(stand_in, lambda it: it.openai_retrieve_file(request))

    assert stand_in.requests[0].path == "/files/..%2Fadmin"


def test_a_failure_of_the_service_is_told(stand_in: StandIn) -> None:
    stand_in.fail_with = 507

    with pytest.raises(ServiceError, match="status 507"):
        run(stand_in, uploaded)
