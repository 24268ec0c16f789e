"""The database: SQLite with the extension sqlite-vec, both native code that the image brings.

Python's own sqlite3 will not do: many builds of Python, pyenv's among them, cannot load an
extension. apsw brings an SQLite that can.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import apsw
import sqlite_vec

_SCHEMA = """
CREATE TABLE IF NOT EXISTS stores (
    id TEXT PRIMARY KEY,
    dimension INTEGER NOT NULL,
    model TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    name TEXT NOT NULL,
    metadata TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS chunks (
    number INTEGER PRIMARY KEY,
    store TEXT NOT NULL,
    id TEXT NOT NULL,
    content TEXT NOT NULL,
    UNIQUE (store, id)
);
"""
# a virtual table has one dimension; the stores of that dimension share it
_VECTORS = """
CREATE VIRTUAL TABLE IF NOT EXISTS vectors_{dimension} USING vec0(
    store TEXT PARTITION KEY,
    embedding FLOAT[{dimension}] DISTANCE_METRIC=cosine
)
"""

_MOST = 4096  # what sqlite-vec returns at most


@dataclass(frozen=True, slots=True)
class Store:
    """A vector store: how long its vectors are, and which model makes them."""

    id: str
    dimension: int
    model: str
    created_at: int
    name: str = ""
    metadata: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Hit:
    """A chunk that was found, as JSON, and its cosine similarity to the query."""

    content: str
    score: float


class Database:
    """The stores and their chunks. It blocks, and takes one call at a time."""

    def __init__(self, path: str, *, busy_timeout: float) -> None:
        """Open or make the database. Raises OSError where that is not possible."""
        try:
            self._connection = apsw.Connection(path)
            self._connection.set_busy_timeout(round(busy_timeout * 1000))
            self._connection.enable_load_extension(True)
            self._connection.load_extension(sqlite_vec.loadable_path())
            self._connection.enable_load_extension(False)
            self._connection.execute(_SCHEMA)
        except apsw.Error as error:
            raise OSError(f"The database {path} cannot be opened: {error}") from error

    def close(self) -> None:
        """Close the database."""
        self._connection.close()

    def version(self) -> str:
        """Return the version of sqlite-vec, which shows that its code runs."""
        with self._transaction():
            return str(self._connection.execute("SELECT vec_version()").get)

    def put_store(self, store: Store) -> None:
        """Add a store, or change what is said of it."""
        with self._transaction():
            self._connection.execute(_VECTORS.format(dimension=int(store.dimension)))
            self._connection.execute(
                "INSERT INTO stores VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET "
                "model = excluded.model, name = excluded.name, metadata = excluded.metadata",
                (
                    *(store.id, store.dimension, store.model, store.created_at, store.name),
                    json.dumps(dict(store.metadata)),
                ),
            )

    def find_store(self, store_id: str) -> Store | None:
        """Return a store, or None."""
        return next(iter(self._stores("WHERE id = ?", (store_id,))), None)

    def stores(self) -> list[Store]:
        """Return all stores, the newest first."""
        return self._stores("ORDER BY created_at DESC, id", ())

    def remove_store(self, store: Store) -> None:
        """Remove a store and its chunks."""
        with self._transaction():
            self._connection.execute(
                f"DELETE FROM vectors_{store.dimension:d} WHERE store = ?", (store.id,)
            )
            self._connection.execute("DELETE FROM chunks WHERE store = ?", (store.id,))
            self._connection.execute("DELETE FROM stores WHERE id = ?", (store.id,))

    def put_chunks(self, store: Store, chunks: Sequence[tuple[str, str, Sequence[float]]]) -> None:
        """Add chunks: ID, content and vector of each. One with an ID that is there replaces it.

        All are added or, when one does not fit, none.
        """
        vectors = [_packed(vector, store) for _, _, vector in chunks]
        with self._transaction():
            for (chunk_id, content, _), vector in zip(chunks, vectors, strict=True):
                number = self._connection.execute(
                    "INSERT INTO chunks (store, id, content) VALUES (?, ?, ?) "
                    "ON CONFLICT (store, id) DO UPDATE SET content = excluded.content "
                    "RETURNING number",
                    (store.id, chunk_id, content),
                ).get
                self._connection.execute(
                    f"DELETE FROM vectors_{store.dimension:d} WHERE rowid = ?", (number,)
                )
                self._connection.execute(
                    f"INSERT INTO vectors_{store.dimension:d} (rowid, store, embedding) "
                    "VALUES (?, ?, ?)",
                    (number, store.id, vector),
                )

    def remove_chunks(self, store: Store, chunk_ids: Sequence[str]) -> None:
        """Remove chunks; one that is not there is passed over."""
        with self._transaction():
            for chunk_id in chunk_ids:
                number = self._connection.execute(
                    "DELETE FROM chunks WHERE store = ? AND id = ? RETURNING number",
                    (store.id, chunk_id),
                ).get
                self._connection.execute(
                    f"DELETE FROM vectors_{store.dimension:d} WHERE rowid = ?", (number,)
                )

    def nearest(self, store: Store, vector: Sequence[float], count: int) -> list[Hit]:
        """Return the chunks nearest to a vector, the nearest first."""
        packed = _packed(vector, store)
        with self._transaction():
            rows = self._connection.execute(
                f"""
                SELECT content, distance
                FROM (
                    SELECT rowid AS number, distance FROM vectors_{store.dimension:d}
                    WHERE store = ? AND embedding MATCH ? AND k = ?
                )
                JOIN chunks USING (number) ORDER BY distance
                """,
                (store.id, packed, min(count, _MOST)),
            )
            return [Hit(content, 1 - distance) for content, distance in rows]

    def _stores(self, clause: str, values: tuple[str, ...]) -> list[Store]:
        with self._transaction():
            rows = self._connection.execute(
                f"SELECT id, dimension, model, created_at, name, metadata FROM stores {clause}",
                values,
            )
            return [
                Store(store_id, dimension, model, created_at, name, json.loads(metadata))
                for store_id, dimension, model, created_at, name, metadata in rows
            ]

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        """All or nothing; an error of SQLite as what a server makes of it."""
        try:
            with self._connection:
                yield
        except apsw.BusyError as error:
            raise TimeoutError("The database is locked by another process") from error
        except apsw.Error as error:
            raise OSError(f"The database fails: {error}") from error


def _packed(vector: Sequence[float], store: Store) -> bytes:
    """Return a vector as sqlite-vec reads it. Raises ValueError for one that does not fit."""
    if len(vector) != store.dimension:
        raise ValueError(
            f"The vector store {store.id} has vectors of {store.dimension} dimensions, "
            f"not {len(vector)}"
        )
    if not any(vector):
        raise ValueError("A vector of zeros alone has no direction, so nothing is near to it")
    return struct.pack(f"{len(vector)}f", *vector)
