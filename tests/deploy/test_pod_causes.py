"""Termination messages of ours, whole and cut."""

from __future__ import annotations

from pathlib import Path

import pytest

from lls_provider.contract.names import TERMINATION_LOG_LIMIT
from lls_provider.deploy.pod_causes import TerminationMessage, read_termination_message
from lls_provider.errors import Code, SdkError, Where
from lls_provider.runtime.messages import cut_message

GOLDEN = Path(__file__).parents[2] / "contract" / "golden"
ERRORS = sorted(
    path.stem for path in GOLDEN.glob("*.txt") if path.read_text("utf-8").startswith("ERROR: ")
)


def read(text: str, containers: int = 1) -> TerminationMessage:
    found = read_termination_message(text, containers)
    assert found is not None
    return found


@pytest.mark.parametrize("name", ERRORS)
def test_every_layout_of_the_contract_is_read(name: str) -> None:
    text = (GOLDEN / f"{name}.txt").read_text("utf-8")
    found = read(text)
    assert f"ERROR: {found.what}\n" in text
    assert text.endswith(f"\n\nResolution: {found.resolution}\n")
    assert found.details in text
    assert found.provider.startswith("acme-")
    assert found.image.startswith("registry.example.com/") or "mage: " not in text
    assert not found.image or f"mage: {found.image}" in text
    assert not found.is_cut
    assert found.is_of_preflight == ("module" in text.lower().partition("\nmodule: ")[1])


def test_there_are_layouts_to_read() -> None:
    assert len(ERRORS) >= 6


def test_an_error_of_the_sdk_is_read() -> None:
    error = SdkError(
        Code.NO_SPACE,
        "No space left",
        why="first\n\nsecond",
        where=Where(provider="acme-echo", image="registry.example.com/acme/echo:1.0", file="/x"),
        resolution="Free space.",
    )
    found = read(error.render() + "\n")
    assert (found.what, found.resolution) == ("No space left", "Free space.")
    assert (found.provider, found.image) == ("acme-echo", "registry.example.com/acme/echo:1.0")
    assert found.details.endswith("first\n\nsecond")


def test_a_message_that_the_runtime_cut_has_its_resolution() -> None:
    lines = "line\n" * 2000
    message = f"ERROR: x\n\nProvider: a\n\n{lines}\n\nResolution: do it\n"
    data = cut_message(message, TERMINATION_LOG_LIMIT)
    assert len(data) <= TERMINATION_LOG_LIMIT
    found = read(data.decode())
    assert (found.provider, found.resolution, found.is_cut) == ("a", "do it", False)


@pytest.mark.parametrize("containers", [1, 3, 4, 6, 12])
@pytest.mark.parametrize("filling", ["x", "é", "…", "\N{GRINNING FACE}"])
def test_a_resolution_that_the_kubelet_cut_is_known_to_be_cut(
    containers: int, filling: str
) -> None:
    limit = min(4096, 12 * 1024 // containers)
    head = "ERROR: x\n\nProvider: a\n\nwhy\n\nResolution: do "
    data = (head + filling * 5000).encode()[:limit]
    # what the API has of half a character is U+FFFD
    found = read(data.decode("utf-8", "replace"), containers)
    assert found.resolution.startswith("do ")
    assert found.is_cut


def test_a_message_without_its_end_is_cut() -> None:
    found = read("ERROR: x\n\nProvider: a\n\nwhy")
    assert (found.what, found.resolution, found.is_cut) == ("x", "", True)


def test_a_quoted_resolution_is_not_that_of_the_message() -> None:
    found = read("ERROR: x\n\nProvider: a\nProvider: b\n\n  Resolution: no\n\nResolution: yes\n")
    assert (found.provider, found.resolution) == ("a", "yes")


@pytest.mark.parametrize("text", ["", "\n", "Killed", "WARNING: x", "an ERROR: x", " ERROR: x"])
def test_what_is_not_of_ours_is_not_read(text: str) -> None:
    assert read_termination_message(text) is None


def test_of_several_errors_in_a_log_the_last_one_counts() -> None:
    found = read("ERROR: first\n\nResolution: no\nERROR: second\n\nResolution: yes\n")
    assert (found.what, found.resolution) == ("second", "yes")
