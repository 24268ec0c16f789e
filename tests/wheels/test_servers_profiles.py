"""Profiles: servers' packages as they were on a day that is reported."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from lls_provider.errors import Code, SdkError
from lls_provider.progress import Silent
from lls_provider.wheels import loading
from lls_provider.wheels.loading import load_distribution, load_distributions
from lls_provider.wheels.servers import LINES, line_named, read_profiles

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "distributions.md"


class Notes(Silent):
    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str, /) -> None:
        self.notes.append(text)


def test_every_supported_server_has_a_profile() -> None:
    assert {Requirement(it.requirement).name for it in read_profiles()} == {it.name for it in LINES}


@pytest.mark.parametrize("profile", read_profiles(), ids=lambda it: it.name)
def test_a_profile_is_what_it_says(profile: Any) -> None:
    requirement = Requirement(profile.requirement)
    line = line_named(requirement.name)
    assert line is not None
    version = profile.pins[line.name]
    assert requirement.specifier.contains(version)
    assert profile.name == f"{line.name}-{version}"
    for text in line.pins(requirement):
        assert Requirement(text).specifier.contains(profile.pins[Requirement(text).name])
    for name, pin in profile.pins.items():
        assert (name, pin) == (canonicalize_name(name), str(Version(pin)))
    assert profile.taken <= datetime.now(UTC).date()
    assert min(profile.pythons) == line.python


def test_the_documented_profiles_are_those_that_ship() -> None:
    rows = re.findall(r"\| `profile:(\S+)` \| (\S+) \| (.*) \|", PAGE.read_text())
    assert rows == [
        (it.name, it.taken.isoformat(), ", ".join(f"{a}.{b}" for a, b in it.pythons))
        for it in read_profiles()
    ]


def test_a_profile_is_used_without_resolving_and_shown_with_its_date(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(loading, "run_uv", None)  # whoever calls it fails
    notes = Notes()
    found = load_distribution("profile:ogx-1.5.0", progress=notes)
    (profile,) = [it for it in read_profiles() if it.name == "ogx-1.5.0"]
    assert found.pins == profile.pins
    assert found.line is line_named("ogx")
    assert found.interpreter.minor == (3, 12)
    assert notes.notes == [
        f"profile:ogx-1.5.0: {len(profile.pins)} packages, taken on {profile.taken}"
    ]


@pytest.mark.parametrize("name", ["ogx-0.0.1", "", "../ogx-1.5.0", "ogx-1.5.0.json"])
def test_an_unknown_one_is_told_with_those_there_are(name: str) -> None:
    with pytest.raises(SdkError) as caught:
        load_distribution(f"profile:{name}")
    assert caught.value.code is Code.DISTRIBUTION_INVALID
    for profile in read_profiles():
        assert f"profile:{profile.name} (taken on {profile.taken}" in caught.value.why


def test_a_python_for_which_it_does_not_hold_is_refused() -> None:
    with pytest.raises(SdkError) as caught:
        load_distribution("profile:ogx-1.5.0", python="3.11")
    assert caught.value.code is Code.USAGE
    assert "the server 'ogx==1.5.0'" in caught.value.resolution


def test_it_goes_with_the_newer_python_of_another_distribution() -> None:
    newer = load_distribution("profile:llama-stack-0.7.3", python="3.13")
    found = load_distributions(["profile:ogx-1.5.0", newer])
    assert [it.interpreter.minor for it in found] == [(3, 13), (3, 13)]
