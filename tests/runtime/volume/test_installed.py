from __future__ import annotations

from pathlib import Path

import pytest

from lls_provider.errors import Code, SdkError
from lls_provider.runtime.volume.installed import (
    InstalledPackage,
    ProviderRecord,
    installed_packages_text,
)

PATH = Path("/volume/metadata/a/installed.json")


def _package(name: str, version: str) -> InstalledPackage:
    return InstalledPackage(name, version, f"{name}-{version}.dist-info", f"{name}-{version}.whl")


def _record(provider_id: str, order: int, *packages: InstalledPackage) -> ProviderRecord:
    return ProviderRecord(provider_id, "image", f"c-{provider_id}", order, packages=packages)


def test_a_record_comes_back_as_it_was() -> None:
    record = ProviderRecord(
        provider_id="a",
        image="i",
        container="c",
        order=2,
        bundle="b",
        arguments="x",
        own="a",
        packages=(_package("a", "1"),),
        replaced=("b-1.dist-info",),
        provided={"z": "1", "y": "2"},
        distributions=("server==1",),
        overrides=("y<3",),
    )
    assert ProviderRecord.load(record.dump(), PATH) == record


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"{}", b'{"format": 2}', b"\xff", b"null"])
def test_a_damaged_record_names_its_file_and_the_way_out(data: bytes) -> None:
    with pytest.raises(SdkError) as caught:
        ProviderRecord.load(data, PATH)
    assert caught.value.code is Code.DOCUMENT_INVALID
    assert caught.value.where.file == str(PATH)
    assert "/volume/metadata/a" in caught.value.resolution


def test_the_list_is_sorted_by_slot_and_name() -> None:
    records = [
        _record("b", 1, _package("z", "1"), _package("y", "1")),
        _record("a", 2, _package("x", "1")),
    ]
    assert installed_packages_text(records[::-1]) == "y==1  # b\nz==1  # b\nx==1  # a\n"


def test_a_replaced_package_has_no_line() -> None:
    second = ProviderRecord(
        "b", "i", "c", 1, packages=(_package("x", "2"),), replaced=("x-1.dist-info",)
    )
    assert installed_packages_text([_record("a", 0, _package("x", "1")), second]) == "x==2  # b\n"


def test_no_provider_is_an_empty_list() -> None:
    assert installed_packages_text([]) == ""


def test_a_folder_in_place_of_a_record_is_no_record() -> None:
    with pytest.raises(SdkError) as caught:
        ProviderRecord.load(None, PATH)
    assert caught.value.code is Code.DOCUMENT_INVALID
    assert "not a regular file" in caught.value.why
