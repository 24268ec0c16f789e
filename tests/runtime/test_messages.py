"""Every fixed layout, rendered with the golden values, equals the golden file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest
import yaml

from lls_provider import resources
from lls_provider.runtime import messages

_RENDER: Mapping[str, Callable[[Mapping[str, Any]], str]] = {
    "conflict": lambda v: messages.conflict(
        v["providerId"], v["image"], v["initContainerName"], v["details"]
    ),
    "api-mismatch": lambda v: messages.api_mismatch(
        v["providerId"], v["image"], v["declaredAPI"], v["placementAPI"]
    ),
    "validation-failed": lambda v: messages.validation_failed(
        v["providerId"],
        v["moduleName"],
        v["errorReason"],
        v["details"],
        v["resolution"],
        v["image"],
    ),
    "architecture": lambda v: messages.architecture(
        v["providerId"], v["moduleName"], v["package"], v["expected"], v["found"], v["image"]
    ),
    "spec-invalid": lambda v: messages.spec_invalid(v["providerId"], v["moduleName"], v["field"]),
    "metadata-mismatch": lambda v: messages.metadata_mismatch(
        v["providerId"], [messages.FieldComparison(**field) for field in v["fields"]]
    ),
    "override": lambda v: messages.override(
        v["providerId"], v["api"], v["baseType"], v["externalType"]
    ),
    "metadata-missing": lambda v: messages.metadata_missing(
        v["providerId"], v["image"], v["initContainerName"]
    ),
}
_GOLDEN = yaml.safe_load(resources.read_data("contract/golden/golden.yaml"))["messages"]


@pytest.mark.parametrize("case", _GOLDEN, ids=[case["file"] for case in _GOLDEN])
def test_layout_equals_the_golden_message(case: dict[str, Any]) -> None:
    expected = resources.read_data(f"contract/golden/{case['file']}").decode()
    assert _RENDER[case["layout"]](case["values"]) + "\n" == expected


def test_every_layout_has_a_golden_message() -> None:
    assert {case["layout"] for case in _GOLDEN} == set(_RENDER)


def test_details_without_image_start_with_the_details() -> None:
    text = messages.validation_failed("p", "m", "why", "detail", "do this")
    assert "\n\ndetail\n\nResolution: do this" in text


def test_no_details_leave_no_gap() -> None:
    text = messages.validation_failed("p", "m", "why", "", "do this")
    assert text.endswith("Reason: why\n\nResolution: do this")
