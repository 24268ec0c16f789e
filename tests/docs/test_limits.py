"""The page on limits reports the numbers that the code has."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest

from lls_provider import untrusted
from lls_provider.contract import limits
from lls_provider.contract.limits import CONFIGURATION, DEFAULT, DOCUMENTS, MOST
from lls_provider.runtime.preflight import probe, probe_client, probe_process, probe_spec

TEXT = (Path(__file__).parents[2] / "docs" / "reference" / "limits.md").read_text("utf-8")
MIB = 1024 * 1024


@pytest.mark.parametrize(
    "field", [*(field.name for field in fields(limits.WheelLimits)), *DOCUMENTS]
)
def test_every_limit_that_can_be_told_is_explained(field: str) -> None:
    assert f"`{field}`" in TEXT


@pytest.mark.parametrize(
    "shown",
    [
        f"{limits.WheelLimits().bytes_of(0) // MIB} MiB, or {limits.WheelLimits().ratio} times",
        f"{limits.WheelLimits().files_of(0):,}, and one more for every 512 bytes",
        f"{limits.TEXT_BYTES // MIB} MiB each",
        f"`Requires-Dist` | {limits.REQUIREMENTS:,} |",
        f"{limits.REQUIREMENT_CHARACTERS:,} characters",
        f"fewer than {limits.REQUIREMENT_DIGITS:,} digits",
        f"{limits.REQUIREMENT_NESTING} levels of parentheses",
        f"aliases expanded | {DEFAULT.size // MIB} MiB",
        f"{CONFIGURATION.size // MIB} MiB for the configuration that `merge` starts from",
        *(f"`{name}` ({most:,} at most)" for name, most in MOST.items()),
        f"| levels of mappings and lists | {DEFAULT.depth} |",
        f"aliases expanded | {DEFAULT.nodes:,} |",
        f"| uses of an anchor | {DEFAULT.aliases:,} |",
        f"| characters of one number | {DEFAULT.digits} |",
        (
            f"| {probe_client.TIMEOUT:g} | `LLS_PREFLIGHT_TIMEOUT` "
            f"({probe_client.TIMEOUT_LIMIT:,.0f} at most)"
        ),
        f"| {probe_process.ANSWER_LIMIT // MIB} MiB, of which",
        f"of which the schema has {probe.SCHEMA_LIMIT // MIB} MiB",
        f"{untrusted.LINES_LIMIT} lines, {untrusted.CHARACTERS_LIMIT:,} characters",
        f"{probe_spec.LINES} lines, {probe_spec.CHARACTERS:,} characters",
        (
            f"the last {probe_process.OUTPUT_LINES} lines, "
            f"{probe_process.OUTPUT_CHARACTERS:,} characters"
        ),
        f"inside a sentence | {untrusted.ONE_LINE_LIMIT:,} characters",
    ],
)
def test_the_numbers_are_those_of_the_code(shown: str) -> None:
    assert shown in TEXT
    assert limits.WheelLimits().files_of(512) == limits.WheelLimits().files_of(0) + 1
