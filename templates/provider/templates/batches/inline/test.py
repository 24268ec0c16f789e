import asyncio
import json
from types import SimpleNamespace
from typing import Any

import pytest

from {{ cookiecutter.__package }}._server import api
from {{ cookiecutter.__package }}.batches import (
    CHAT,
    ModelBatches,
    get_provider_impl,
)
from {{ cookiecutter.__package }}.config import Config


class Files:
    """The server's files, in memory."""

    def __init__(self, content: str) -> None:
        self.contents = {"file-1": content.encode()}

    async def openai_retrieve_file_content(self, request: Any) -> Any:
        if request.file_id not in self.contents:
            raise api.OpenAIFileObjectNotFoundError(request.file_id)
        return SimpleNamespace(body=self.contents[request.file_id])

    async def openai_upload_file(self, request: Any, file: Any) -> Any:
        self.contents["file-out"] = await file.read()
        return SimpleNamespace(id="file-out")


class Model:
    """A model that repeats the question; it does not know one, and never answers another."""

    async def openai_chat_completion(self, params: Any) -> Any:
        text = params.messages[0].content
        if text == "unknown":
            raise ValueError("no idea")
        if text == "hard":
            await asyncio.sleep(60)
        return SimpleNamespace(model_dump=lambda **_: {"text": f"You said: {text}"})


def line(text: str, **more: Any) -> str:
    body = {"model": "m", "messages": [{"role": "user", "content": text}]}
    return json.dumps({"custom_id": text, "method": "POST", "url": CHAT, "body": body, **more})


def request(file_id: str = "file-1", **more: Any) -> Any:
    asked = {"input_file_id": file_id, "endpoint": CHAT, "completion_window": "24h", **more}
    return api.CreateBatchRequest.model_validate(asked)


async def made(files: Files, **config: Any) -> ModelBatches:
    deps = {api.Api.inference: Model(), api.Api.files: files}
    batches: ModelBatches = await get_provider_impl(Config.model_validate(config), deps)
    return batches


def finished(files: Files, asked: Any = None, **config: Any) -> Any:
    """Return a batch when it has ended."""

    async def work() -> Any:
        batches = await made(files, **config)
        batch = await batches.create_batch(asked or request())
        assert batch.status == "validating"
        await asyncio.wait([batches._tasks[batch.id]])
        return await batches.retrieve_batch(api.RetrieveBatchRequest(batch_id=batch.id))

    return asyncio.run(work())


def answers(files: Files) -> list[Any]:
    return [json.loads(it) for it in files.contents["file-out"].decode().splitlines()]


def test_each_request_has_an_answer_in_the_order_of_the_file() -> None:
    files = Files(f"{line('one')}\n{line('two')}\n")

    batch = finished(files, at_once=1)

    assert (batch.status, batch.output_file_id) == ("completed", "file-out")
    assert [it["custom_id"] for it in answers(files)] == ["one", "two"]
    assert answers(files)[1]["response"]["body"] == {"text": "You said: two"}


def test_a_request_that_fails_does_not_fail_the_others() -> None:
    files = Files(f"{line('unknown')}\n{line('hard')}\n{line('easy')}\n")

    batch = finished(files, timeout=0.05)

    assert (batch.request_counts.completed, batch.request_counts.failed) == (1, 2)
    errors = [it["error"] and it["error"]["code"] for it in answers(files)]
    assert errors == ["ValueError", "TimeoutError", None]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (f"{line('a')}\nno JSON", "line 2 is not a request"),
        ('{"url": "/v1/chat/completions"}', "line 1 is not a request"),
        (line("a", url="/v1/embeddings"), "line 1 is not a request to /v1/chat/completions"),
        ("", "holds no requests"),
    ],
)
def test_a_file_without_requests_fails_the_batch(content: str, reason: str) -> None:
    batch = finished(Files(content))

    assert batch.status == "failed"
    assert reason in batch.errors.data[0].message


def test_a_missing_file_fails_the_batch() -> None:
    assert "file-2" in finished(Files(""), request("file-2")).errors.data[0].message


def test_another_endpoint_is_refused() -> None:
    with pytest.raises(ValueError, match="only batches of /v1/chat/completions"):
        finished(Files(""), request(endpoint="/v1/embeddings"))


def test_a_batch_can_be_stopped_once() -> None:
    async def work() -> None:
        batches = await made(Files(line("hard")))
        batch = await batches.create_batch(request())
        stop = api.CancelBatchRequest(batch_id=batch.id)
        assert (await batches.cancel_batch(stop)).status == "cancelled"
        await asyncio.wait([batches._tasks[batch.id]])
        await batches.cancel_batch(stop)

    with pytest.raises(api.ConflictError, match="has ended"):
        asyncio.run(work())


def test_the_same_key_begins_a_batch_once() -> None:
    async def work() -> None:
        batches = await made(Files(line("hard")))
        first = await batches.create_batch(request(idempotency_key="k"))
        assert (await batches.create_batch(request(idempotency_key="k"))).id == first.id
        assert (await batches.create_batch(request())).id != first.id
        listed = await batches.list_batches(api.ListBatchesRequest(limit=1))
        assert listed.has_more
        rest = await batches.list_batches(api.ListBatchesRequest(after=listed.last_id))
        assert [it.id for it in rest.data] == [first.id]
        await batches.shutdown()

    asyncio.run(work())


def test_no_more_batches_than_allowed_are_remembered() -> None:
    async def work() -> None:
        batches = await made(Files(line("a")), kept=1)
        first = await batches.create_batch(request())
        await asyncio.wait([batches._tasks[first.id]])
        await batches.create_batch(request())
        await batches.retrieve_batch(api.RetrieveBatchRequest(batch_id=first.id))

    with pytest.raises(api.BatchNotFoundError):
        asyncio.run(work())
