from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest

from sqlite_vec_store.database import Database, Store

NOTES = Store("notes", dimension=2, model="letters", created_at=1)
OTHERS = Store("others", dimension=2, model="letters", created_at=2)


@pytest.fixture
def database() -> Iterator[Database]:
    opened = Database(":memory:", busy_timeout=0)
    opened.put_store(NOTES)
    opened.put_store(OTHERS)
    yield opened
    opened.close()


def found(database: Database, store: Store, count: int = 9) -> list[str]:
    return [hit.content for hit in database.nearest(store, [1, 0], count)]


def test_the_native_extension_runs(database: Database) -> None:
    assert database.version().startswith("v0.")


def test_the_nearest_chunks_of_one_store_come_first(database: Database) -> None:
    database.put_chunks(NOTES, [("a", "far", [0, 1]), ("b", "near", [1, 0.1])])
    database.put_chunks(OTHERS, [("a", "elsewhere", [1, 0])])

    assert found(database, NOTES) == ["near", "far"]
    assert found(database, NOTES, count=1) == ["near"]
    (hit,) = database.nearest(OTHERS, [2, 0], 9)
    assert hit.score == pytest.approx(1)  # the angle counts, not the length


def test_a_chunk_with_the_same_id_replaces_it(database: Database) -> None:
    database.put_chunks(NOTES, [("a", "old", [0, 1])])
    database.put_chunks(NOTES, [("a", "new", [1, 0])])

    assert found(database, NOTES) == ["new"]


def test_chunks_are_removed(database: Database) -> None:
    database.put_chunks(NOTES, [("a", "first", [0, 1]), ("b", "second", [1, 0])])

    database.remove_chunks(NOTES, ["b", "not there"])

    assert found(database, NOTES) == ["first"]


def test_a_store_is_removed_with_its_chunks(database: Database) -> None:
    database.put_chunks(NOTES, [("a", "first", [0, 1])])

    database.remove_store(NOTES)

    assert database.find_store("notes") is None
    assert database.stores() == [OTHERS]
    database.put_store(NOTES)
    assert found(database, NOTES) == []


@pytest.mark.parametrize(
    ("vector", "said"), [([1, 0, 0], "2 dimensions, not 3"), ([0, 0], "has no direction")]
)
def test_a_vector_that_does_not_fit_is_refused_with_all_others(
    database: Database, vector: list[float], said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        database.put_chunks(NOTES, [("a", "good", [1, 0]), ("b", "bad", vector)])
    with pytest.raises(ValueError, match=said):
        database.nearest(NOTES, vector, 1)

    assert found(database, NOTES) == []


def test_a_file_keeps_everything(tmp_path: Path) -> None:
    path = str(tmp_path / "vectors.db")
    first = Database(path, busy_timeout=0)
    first.put_store(NOTES)
    first.put_chunks(NOTES, [("a", "kept", [1, 0])])
    first.close()

    again = Database(path, busy_timeout=0)

    assert again.stores() == [NOTES]
    assert found(again, NOTES) == ["kept"]
    again.close()


def test_a_file_that_cannot_be_opened_is_named(tmp_path: Path) -> None:
    with pytest.raises(OSError, match=r"absent/vectors\.db cannot be opened"):
        Database(str(tmp_path / "absent" / "vectors.db"), busy_timeout=0)
    (tmp_path / "text").write_text("no database, but long enough to be read as one" * 100)
    with pytest.raises(OSError, match=r"cannot be opened: .*not a database"):
        Database(str(tmp_path / "text"), busy_timeout=0)


def test_waiting_for_another_process_has_a_limit(tmp_path: Path) -> None:
    path = str(tmp_path / "vectors.db")
    database = Database(path, busy_timeout=0.05)
    other = apsw.Connection(path)
    other.execute("BEGIN EXCLUSIVE")

    with pytest.raises(TimeoutError, match="locked by another process"):
        database.put_store(NOTES)

    other.execute("ROLLBACK")
    database.put_store(NOTES)
    other.close()
    database.close()
