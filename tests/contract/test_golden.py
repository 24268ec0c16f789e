"""The golden messages: complete, and made of the values that they name.

That the runtime prints them is tested beside its messages module.
"""

from __future__ import annotations

from typing import Any

import pytest

from lls_provider import resources
from lls_provider.contract.document import load_file
from lls_provider.contract.names import cr_name

FOLDER = resources.data_path("contract/golden")
MESSAGES: list[dict[str, Any]] = load_file(FOLDER / "golden.yaml").value["messages"]
LAYOUTS = {
    "conflict",
    "api-mismatch",
    "validation-failed",
    "spec-invalid",
    "architecture",
    "metadata-mismatch",
    "override",
    "metadata-missing",
}


def test_every_file_is_described_and_every_layout_has_a_file() -> None:
    assert {path.name for path in FOLDER.glob("*.txt")} == {entry["file"] for entry in MESSAGES}
    assert {entry["layout"] for entry in MESSAGES} == LAYOUTS


@pytest.mark.parametrize("entry", MESSAGES, ids=lambda entry: str(entry["file"]))
def test_a_message_holds_its_values(entry: dict[str, Any]) -> None:
    text = (FOLDER / entry["file"]).read_text(encoding="utf-8")
    assert text.endswith("\n")
    assert not text.endswith("\n\n")
    for name, value in entry["values"].items():
        if name == "fields":
            assert all(field["runtime"] in text for field in value)
        elif name == "placementAPI":
            assert f"externalProviders.{cr_name(value)}" in text
        else:
            assert value in text
    if text.startswith("ERROR: "):
        assert "\n\nResolution: " in text
