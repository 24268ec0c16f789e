"""Runs the requests of a file with the server's own models, several at once."""

from __future__ import annotations

import asyncio
import io
import json
import time
import uuid
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ._server import api
from .config import Config

if TYPE_CHECKING:
    from openai.types import Batch

CHAT = "/v1/chat/completions"
DAY = 24 * 60 * 60
_ENDED = {"completed", "failed", "cancelled"}


async def get_provider_impl(config: Config, deps: Mapping[Any, Any]) -> ModelBatches:
    """Make the implementation; the server calls this once, when it starts."""
    return ModelBatches(config, deps[api.Api.inference], deps[api.Api.files])


class ModelBatches:
    """The server's batches API. Names and parameters of the methods are the server's.

    Batches are remembered as long as the server runs; their results are files.
    """

    def __init__(self, config: Config, inference: Any, files: Any) -> None:
        """Keep the validated configuration, the server's models and its files."""
        self.config = config
        self._inference = inference
        self._files = files
        self._batches: dict[str, Batch] = {}
        self._by_key: dict[str, str] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}

    async def shutdown(self) -> None:
        """Stop what runs; the server calls this when it stops."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def health(self) -> api.HealthResponse:
        """Tell whether batches can run; servers list it with the providers."""
        return api.HealthResponse(status=api.HealthStatus.OK)

    async def create_batch(self, request: api.CreateBatchRequest) -> Batch:
        """Begin a batch; the same idempotency key begins it only once."""
        from openai.types import Batch

        if request.endpoint != CHAT:
            raise ValueError(f"only batches of {CHAT} are implemented")
        key = request.idempotency_key
        if key is not None and key in self._by_key:
            return self._found(self._by_key[key])
        now = int(time.time())
        batch = Batch(
            id=f"batch_{uuid.uuid4().hex}",
            object="batch",
            endpoint=request.endpoint,
            input_file_id=request.input_file_id,
            completion_window=request.completion_window,
            status="validating",
            created_at=now,
            expires_at=now + DAY,
            metadata=request.metadata,
        )
        self._forget_oldest()
        self._batches[batch.id] = batch
        if key is not None:
            self._by_key[key] = batch.id
        self._tasks[batch.id] = asyncio.create_task(self._run(batch.id))
        return batch

    async def retrieve_batch(self, request: api.RetrieveBatchRequest) -> Batch:
        """Tell how a batch goes."""
        return self._found(request.batch_id)

    async def cancel_batch(self, request: api.CancelBatchRequest) -> Batch:
        """Stop a batch."""
        if self._found(request.batch_id).status in _ENDED:
            raise api.ConflictError(f"the batch {request.batch_id} has ended")
        self._tasks[request.batch_id].cancel()
        return self._change(request.batch_id, "cancelled", cancelled_at=int(time.time()))

    async def list_batches(self, request: api.ListBatchesRequest) -> api.ListBatchesResponse:
        """List the batches, the newest first."""
        found = list(reversed(self._batches.values()))
        if request.after is not None:
            ids = [it.id for it in found]
            found = found[ids.index(request.after) + 1 :] if request.after in ids else []
        page = found[: request.limit]
        return api.ListBatchesResponse(
            data=page,
            first_id=page[0].id if page else None,
            last_id=page[-1].id if page else None,
            has_more=len(page) < len(found),
        )

    def _found(self, batch_id: str) -> Batch:
        if batch_id not in self._batches:
            raise api.BatchNotFoundError(batch_id)
        return self._batches[batch_id]

    def _forget_oldest(self) -> None:
        ended = [batch_id for batch_id, task in self._tasks.items() if task.done()]
        for batch_id in ended[: max(len(self._batches) - self.config.kept + 1, 0)]:
            del self._batches[batch_id], self._tasks[batch_id]
        self._by_key = {key: it for key, it in self._by_key.items() if it in self._batches}

    def _change(self, batch_id: str, status: str, **more: Any) -> Batch:
        changed = self._found(batch_id).model_copy(update={"status": status, **more})
        self._batches[batch_id] = changed
        return changed

    async def _run(self, batch_id: str) -> None:
        batch = self._found(batch_id)
        try:
            requests = _requests(await self._content(batch.input_file_id))
            self._change(batch_id, "in_progress", in_progress_at=int(time.time()))
            gate = asyncio.Semaphore(self.config.at_once)
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(self._answered(it, gate)) for it in requests]
            answers = [task.result() for task in tasks]
            output = await self._written(f"{batch_id}_output.jsonl", answers)
        except Exception as error:  # whatever it is, the batch has failed and says why
            self._change(batch_id, "failed", failed_at=int(time.time()), errors=_errors(error))
            return
        failed = sum(answer["error"] is not None for answer in answers)
        counts = {"total": len(answers), "completed": len(answers) - failed, "failed": failed}
        self._change(
            batch_id,
            "completed",
            completed_at=int(time.time()),
            output_file_id=output,
            request_counts=_counts(counts),
        )

    async def _content(self, file_id: str) -> bytes:
        request = api.RetrieveFileContentRequest(file_id=file_id)
        response = await self._files.openai_retrieve_file_content(request)
        if hasattr(response, "body"):
            return bytes(response.body)
        return b"".join([bytes(chunk) async for chunk in response.body_iterator])

    async def _answered(
        self, request: Mapping[str, Any], gate: asyncio.Semaphore
    ) -> dict[str, Any]:
        """Return the line of the output for one request; its failure is not that of the batch."""
        line: dict[str, Any] = {"custom_id": request["custom_id"], "response": None, "error": None}
        try:
            params = api.OpenAIChatCompletionRequestWithExtraBody.model_validate(request["body"])
            async with gate, asyncio.timeout(self.config.timeout):
                completion = await self._inference.openai_chat_completion(params)
        except Exception as error:
            reason = str(error) or type(error).__name__
            return {**line, "error": {"code": type(error).__name__, "message": reason}}
        body = completion.model_dump(mode="json")
        return {**line, "response": {"status_code": 200, "body": body}}

    async def _written(self, name: str, answers: Sequence[Any]) -> str:
        from fastapi import UploadFile

        content = "".join(json.dumps(answer) + "\n" for answer in answers).encode()
        request = api.UploadFileRequest.model_validate({"purpose": "batch"})
        file = UploadFile(io.BytesIO(content), filename=name, size=len(content))
        return str((await self._files.openai_upload_file(request, file)).id)


def _requests(content: bytes) -> list[dict[str, Any]]:
    """Return the requests of a file. Raises ValueError with the wrong line."""
    requests: list[dict[str, Any]] = []
    for number, line in enumerate(content.decode().splitlines(), 1):
        try:
            request = json.loads(line)
            known = request["url"], bool(request["custom_id"]), dict(request["body"])
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"line {number} is not a request: {error!r}") from error
        if known[0] != CHAT or known[2].get("stream"):
            raise ValueError(f"line {number} is not a request to {CHAT} without a stream")
        requests.append(request)
    if not requests:
        raise ValueError("the file holds no requests")
    return requests


def _errors(error: Exception) -> Any:
    from openai.types.batch import Errors

    entry = {"code": type(error).__name__, "message": str(error) or type(error).__name__}
    return Errors.model_validate({"object": "list", "data": [entry]})


def _counts(counts: Mapping[str, int]) -> Any:
    from openai.types.batch_request_counts import BatchRequestCounts

    return BatchRequestCounts.model_validate(counts)
