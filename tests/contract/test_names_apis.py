"""API names and the names of their sections in a CR."""

from __future__ import annotations

import pytest

from lls_provider.contract.names import APIS, cr_name, from_cr_name, unloadable


@pytest.mark.parametrize("api", APIS)
def test_a_section_name_leads_back_to_its_api(api: str) -> None:
    assert "_" not in cr_name(api)
    assert from_cr_name(cr_name(api)) == api


def test_datasetio_is_one_word_outside_of_a_cr() -> None:
    assert cr_name("datasetio") == "datasetIo"
    assert from_cr_name("vectorIo") == "vector_io"


def test_the_order_is_that_of_the_contract() -> None:
    assert APIS[:4] == ("inference", "safety", "agents", "vector_io")


def test_only_an_api_that_no_server_loads_says_so() -> None:
    assert {api for api in APIS if unloadable(api)} == {"container_runtime"}
    assert "no supported server can load a provider" in (unloadable("container_runtime") or "")


@pytest.mark.parametrize("api", ["messages", "interactions", "skills", "container_runtime"])
def test_apis_of_newer_servers_are_known(api: str) -> None:
    assert api in APIS
