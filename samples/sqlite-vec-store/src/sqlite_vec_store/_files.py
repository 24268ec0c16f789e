"""The calls about files of a vector store, which this provider does not have.

A server starts only with a provider that has every method of its API.
"""

from __future__ import annotations

from typing import Any, NoReturn

_WHY = "sqlite-vec-store keeps chunks, not files: insert chunks with POST /v1/vector-io/insert"


class WithoutFiles:
    """Answers each call about files with 501. Names and parameters are the server's."""

    async def openai_attach_file_to_vector_store(self, vector_store_id: str, request: Any) -> Any:
        """Refuse."""
        _refuse()

    async def openai_list_files_in_vector_store(
        self,
        vector_store_id: str,
        limit: int | None = 20,
        order: str | None = "desc",
        after: str | None = None,
        before: str | None = None,
        filter: Any = None,
    ) -> Any:
        """Refuse."""
        _refuse()

    async def openai_retrieve_vector_store_file(self, vector_store_id: str, file_id: str) -> Any:
        """Refuse."""
        _refuse()

    async def openai_retrieve_vector_store_file_contents(
        self,
        vector_store_id: str,
        file_id: str,
        include_embeddings: bool | None = False,
        include_metadata: bool | None = False,
    ) -> Any:
        """Refuse."""
        _refuse()

    async def openai_update_vector_store_file(
        self, vector_store_id: str, file_id: str, request: Any
    ) -> Any:
        """Refuse."""
        _refuse()

    async def openai_delete_vector_store_file(self, vector_store_id: str, file_id: str) -> Any:
        """Refuse."""
        _refuse()

    async def openai_create_vector_store_file_batch(self, vector_store_id: str, params: Any) -> Any:
        """Refuse."""
        _refuse()

    async def openai_retrieve_vector_store_file_batch(
        self, batch_id: str, vector_store_id: str
    ) -> Any:
        """Refuse."""
        _refuse()

    async def openai_list_files_in_vector_store_file_batch(
        self,
        batch_id: str,
        vector_store_id: str,
        after: str | None = None,
        before: str | None = None,
        filter: str | None = None,
        limit: int | None = 20,
        order: str | None = "desc",
    ) -> Any:
        """Refuse."""
        _refuse()

    async def openai_cancel_vector_store_file_batch(
        self, batch_id: str, vector_store_id: str
    ) -> Any:
        """Refuse."""
        _refuse()


def _refuse() -> NoReturn:
    raise NotImplementedError(_WHY)
