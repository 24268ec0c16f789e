"""What the runtime's processes print becomes warnings, notes and errors."""

from __future__ import annotations

from pathlib import Path

import pytest

from lls_provider.errors import Code, ExitStatus, Where
from lls_provider.local.phases import paragraphs, runtime_error

GOLDEN = Path(__file__).parents[2] / "contract" / "golden"


@pytest.mark.parametrize("name", ["metadata-mismatch", "override"])
def test_a_warning_keeps_its_lines_together(name: str) -> None:
    warning = (GOLDEN / f"{name}.txt").read_text("utf-8").rstrip("\n")
    if not warning.startswith("WARNING"):
        warning = f"WARNING: {warning}"  # as the runtime's console shows it
    output = f"lls-provider: note: before\n{warning}\nMerged 1 external providers\n"
    assert paragraphs(output) == ["before", warning, "Merged 1 external providers"]


@pytest.mark.parametrize(
    "name", ["conflict", "api-mismatch", "validation-failed", "spec-invalid", "metadata-missing"]
)
def test_a_message_of_the_contract_stays_to_the_letter(name: str) -> None:
    message = (GOLDEN / f"{name}.txt").read_text("utf-8").rstrip("\n")
    output = f"lls-provider: reading the provider image\n{message}\n"
    error = runtime_error("install", 1, output, Where(provider="acme-echo"))
    assert error.render() == message
    assert error.status is ExitStatus.WRONG


def test_a_conflict_is_told_apart() -> None:
    message = (GOLDEN / "conflict.txt").read_text("utf-8")
    assert runtime_error("install", 1, message, Where()).code is Code.DEPENDENCY_CONFLICT


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("No space left while installing", Code.NO_SPACE),
        ("The volume failed while installing", Code.VOLUME_UNWRITABLE),
    ],
)
def test_a_lack_of_the_machine_is_told_for_this_machine(text: str, code: Code) -> None:
    message = (
        f"ERROR: {text}\n\nProvider: acme-echo\nImage: x\n\nthe reason\n\n"
        "Resolution: Raise the sizeLimit of the volume."
    )
    error = runtime_error("install", 3, message, Where(provider="acme-echo", image="x"))
    assert error.code is code
    assert error.status is ExitStatus.ENVIRONMENT
    assert (error.what, error.why) == (text, "the reason")
    assert error.render().count("Provider: acme-echo") == 1
    assert "TMPDIR" in error.resolution
    assert "sizeLimit" not in error.render()


def test_a_process_that_says_nothing_is_our_fault() -> None:
    error = runtime_error("merge", -9, "", Where())
    assert error.code is Code.INTERNAL
    assert "printed nothing" in error.why
