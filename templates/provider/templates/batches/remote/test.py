"""The adapter against a real service: what is sent, what comes back, what fails."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from stand_in import KEY, StandIn

from {{ cookiecutter.__package }}._server import api
from {{ cookiecutter.__package }}.batches import (
    BatchesAdapter,
    get_adapter_impl,
)
from {{ cookiecutter.__package }}.config import Config
from {{ cookiecutter.__package }}.service import ServiceError

{% include "remote/run.py" %}

def request(**more: Any) -> Any:
    asked = {"input_file_id": "file-1", "endpoint": "/v1/chat/completions", **more}
    return api.CreateBatchRequest.model_validate({**asked, "completion_window": "24h"})


def test_a_batch_is_the_services(stand_in: StandIn) -> None:
    async def work(adapter: BatchesAdapter) -> None:
        batch = await adapter.create_batch(request(metadata={"a": "b"}))
        assert (batch.status, batch.metadata) == ("validating", {"a": "b"})
        found = await adapter.retrieve_batch(api.RetrieveBatchRequest(batch_id=batch.id))
        assert found.id == batch.id
        stopped = await adapter.cancel_batch(api.CancelBatchRequest(batch_id=batch.id))
        assert stopped.status == "cancelled"
        listed = await adapter.list_batches(api.ListBatchesRequest())
        assert [it.id for it in listed.data] == [batch.id]

    run(stand_in, work)

    assert "idempotency_key" not in stand_in.requests[0].json


def test_the_idempotency_key_is_passed_on(stand_in: StandIn) -> None:
    async def work(adapter: BatchesAdapter) -> None:
        first = await adapter.create_batch(request(idempotency_key="key"))
        assert (await adapter.create_batch(request(idempotency_key="key"))).id == first.id

    run(stand_in, work)

    assert stand_in.requests[0].headers["idempotency-key"] == "key"


def test_a_batch_that_the_service_does_not_have_is_not_found(stand_in: StandIn) -> None:
    with pytest.raises(api.BatchNotFoundError):
        run(stand_in, lambda it: it.retrieve_batch(api.RetrieveBatchRequest(batch_id="b")))


def test_a_failure_of_the_service_is_told(stand_in: StandIn) -> None:
    stand_in.fail_with = 503

    with pytest.raises(ServiceError, match="status 503"):
        run(stand_in, lambda it: it.create_batch(request()))
