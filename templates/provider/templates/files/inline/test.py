import asyncio
import io
from pathlib import Path
from typing import Any

import pytest
from fastapi import UploadFile

from {{ cookiecutter.__package }}._server import api
from {{ cookiecutter.__package }}.config import Config
from {{ cookiecutter.__package }}.files import (
    FileStore,
    get_provider_impl,
)


@pytest.fixture
def store(tmp_path: Path) -> FileStore:
    config = Config(directory=str(tmp_path / "files"))
    made: FileStore = asyncio.run(get_provider_impl(config, {}))
    return made


def upload(store: FileStore, content: bytes = b"Hello", name: str = "a.txt", **more: Any) -> Any:
    request = api.UploadFileRequest.model_validate({"purpose": "assistants", **more})
    file = UploadFile(io.BytesIO(content), filename=name)
    return asyncio.run(store.openai_upload_file(request, file))


def retrieve(store: FileStore, file_id: str) -> Any:
    return asyncio.run(store.openai_retrieve_file(api.RetrieveFileRequest(file_id=file_id)))


def content(store: FileStore, file_id: str) -> Any:
    request = api.RetrieveFileContentRequest(file_id=file_id)
    return asyncio.run(store.openai_retrieve_file_content(request))


def listed(store: FileStore, **more: Any) -> Any:
    request = api.ListFilesRequest.model_validate(more)
    return asyncio.run(store.openai_list_files(request))


def test_a_file_comes_back_as_it_was(store: FileStore) -> None:
    made = upload(store, b"\x00\xff", 'a "quoted" name')

    assert (made.bytes, made.filename) == (2, 'a "quoted" name')
    assert retrieve(store, made.id) == made
    answer = content(store, made.id)
    assert answer.body == b"\x00\xff"
    assert answer.headers["Content-Disposition"] == 'attachment; filename="a__quoted__name"'


def test_files_outlive_the_server(store: FileStore) -> None:
    made = upload(store)

    assert retrieve(FileStore(store.config), made.id) == made


def test_files_are_listed_in_pages(store: FileStore) -> None:
    made = {upload(store).id for _ in range(3)}

    first = listed(store, limit=2)
    second = listed(store, limit=2, after=first.last_id)

    assert (first.has_more, second.has_more) == (True, False)
    assert {it.id for page in (first, second) for it in page.data} == made
    assert listed(store, after="another").data == []


def test_files_are_listed_by_purpose(store: FileStore) -> None:
    made = upload(store, purpose="batch")
    upload(store)

    assert [it.id for it in listed(store, purpose="batch").data] == [made.id]


def test_a_deleted_file_is_gone(store: FileStore) -> None:
    made = upload(store)

    deleted = asyncio.run(store.openai_delete_file(api.DeleteFileRequest(file_id=made.id)))

    assert deleted.deleted
    assert list(store.directory.iterdir()) == []
    with pytest.raises(api.OpenAIFileObjectNotFoundError):
        retrieve(store, made.id)


def test_a_file_lives_as_long_as_was_asked(
    store: FileStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = upload(store, expires_after={"anchor": "created_at", "seconds": 3600})
    assert retrieve(store, made.id) == made

    monkeypatch.setattr("time.time", lambda: made.created_at + 3600)

    assert listed(store).data == []
    with pytest.raises(api.OpenAIFileObjectNotFoundError):
        content(store, made.id)


@pytest.mark.parametrize("file_id", ["../files/x", "file-1", "", "file-" + "g" * 32])
def test_an_id_leads_nowhere_else(store: FileStore, file_id: str) -> None:
    upload(store)

    with pytest.raises(api.OpenAIFileObjectNotFoundError):
        content(store, file_id)


def test_a_failed_upload_leaves_nothing(store: FileStore, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_arguments: Any, **_options: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)

    with pytest.raises(OSError, match="No space left"):
        upload(store)

    assert list(store.directory.iterdir()) == []


def test_a_directory_that_cannot_be_made_is_no_health(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    store = FileStore(Config(directory=str(tmp_path / "file" / "files")))

    assert asyncio.run(store.health())["status"] == api.HealthStatus.ERROR


def test_an_empty_store_is_healthy(store: FileStore) -> None:
    assert asyncio.run(store.health())["status"] == api.HealthStatus.OK
    assert listed(store).data == []
