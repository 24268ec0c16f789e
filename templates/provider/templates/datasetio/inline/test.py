import asyncio
from pathlib import Path
from typing import Any

import pytest

from {{ cookiecutter.__package }}._server import api
from {{ cookiecutter.__package }}.config import Config
from {{ cookiecutter.__package }}.datasetio import (
    RowFiles,
    get_provider_impl,
)

pytestmark = pytest.mark.skipif(
    not hasattr(api.Api, "datasetio"), reason=f"{api.__name__} has no datasetio API"
)


{% include "datasetio/checks.py" %}

@pytest.fixture
def files(tmp_path: Path) -> RowFiles:
    made: RowFiles = asyncio.run(get_provider_impl(Config(directory=str(tmp_path)), {}))
    return made


def register(files: RowFiles, **source: Any) -> None:
    asyncio.run(files.register_dataset(dataset(**source)))


def page(files: RowFiles, **asked: Any) -> tuple[list[Any], bool]:
    found = asyncio.run(files.iterrows(dataset_id="capitals", **asked))
    return found.data, found.has_more


def test_rows_come_in_pages(files: RowFiles) -> None:
    register(files, type="rows", rows=ROWS)

    assert page(files) == (ROWS, False)
    assert page(files, limit=-1) == (ROWS, False)
    assert page(files, start_index=0, limit=2) == (ROWS[:2], True)
    assert page(files, start_index=2, limit=2) == (ROWS[2:], False)
    assert page(files, start_index=9, limit=2) == ([], False)


def test_rows_of_a_request_can_be_added_to(files: RowFiles) -> None:
    register(files, type="rows", rows=ROWS)

    asyncio.run(files.append_rows(dataset_id="capitals", rows=[{"new": 1}]))

    assert page(files, start_index=3, limit=5) == ([{"new": 1}], False)
    assert len(ROWS) == 3


def test_rows_of_a_file_outlive_the_server(files: RowFiles) -> None:
    register(files, type="uri", uri="local://europe")
    assert page(files) == ([], False)

    for row in ROWS:
        asyncio.run(files.append_rows(dataset_id="capitals", rows=[row]))

    again = RowFiles(files.config)
    register(again, type="uri", uri="local://europe")
    assert page(again) == (ROWS, False)


@pytest.mark.parametrize("text", ['{"a": 1}\nno', '{"a": 1}\n[1]'])
def test_a_line_that_is_no_row_is_named(files: RowFiles, text: str) -> None:
    (files.directory / "europe.jsonl").write_text(text)
    register(files, type="uri", uri="local://europe")

    with pytest.raises(ValueError, match=r"europe.jsonl, line 2 is not"):
        page(files)


@pytest.mark.parametrize("uri", ["local://../x", "file:///etc/passwd", "local://"])
def test_an_address_leads_nowhere_else(files: RowFiles, uri: str) -> None:
    with pytest.raises(ValueError, match="is not local://NAME"):
        register(files, type="uri", uri=uri)


def test_a_dataset_that_was_forgotten_is_not_there(files: RowFiles) -> None:
    register(files, type="rows", rows=ROWS)
    asyncio.run(files.unregister_dataset("capitals"))

    with pytest.raises(api.DatasetNotFoundError):
        page(files)
