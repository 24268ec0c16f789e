"""The golden messages: complete, and made of the values that they name.

That the runtime prints them is tested beside its messages module.
"""

from __future__ import annotations

import pytest

from lls_provider.conformance.message_layout import MessagePattern
from lls_provider.conformance.vectors import (
    GoldenMessage,
    contract_path,
    golden_messages,
    layouts,
)
from lls_provider.contract.names import cr_name

FOLDER = contract_path("golden")
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
    assert {path.name for path in FOLDER.glob("*.txt")} == {it.file for it in golden_messages()}
    assert {it.layout for it in golden_messages()} == LAYOUTS == set(layouts())


@pytest.mark.parametrize("message", golden_messages(), ids=str)
def test_a_message_holds_its_values(message: GoldenMessage) -> None:
    whole = (FOLDER / message.file).read_text(encoding="utf-8")
    assert whole == f"{message.text}\n"
    assert not message.text.endswith("\n")
    for name, value in message.values.items():
        if name == "fields":
            assert all(field["runtime"] in message.text for field in value)
        elif name == "placementAPI":
            assert f"externalProviders.{cr_name(value)}" in message.text
        else:
            assert value in message.text
    if message.text.startswith("ERROR: "):
        assert "\n\nResolution: " in message.text


@pytest.mark.parametrize("message", golden_messages(), ids=str)
def test_the_layout_finds_its_message(message: GoldenMessage) -> None:
    # `details` of validation-failed follow the line of the image, `fields` are blocks
    apart = {"fields", "details"}
    values = {name: it for name, it in message.values.items() if name not in apart}
    pattern = MessagePattern(message.layout, values)
    around = f"before\n{message.text}\nafter\n"
    found = pattern.find(around)
    assert found is not None
    assert found in message.text
    assert message.text.startswith(("ERROR: ", found))
    for name in values:
        if f"{{{name}}}" not in layouts()[message.layout]:
            continue  # a part of `details`
        assert MessagePattern(message.layout, {**values, name: "another"}).find(around) is None
