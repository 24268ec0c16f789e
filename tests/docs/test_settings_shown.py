"""The settings that pages show are those of the projects that the pages say they are of."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest
from tests.docs.test_pages import FENCE, ROOT

from lls_provider.project.scaffold import scaffold

INLINE = {"name": "acme-echo", "api": "inference", "kind": "inline", "vendor": "Acme"}
REMOTE = {"name": "acme-model", "api": "inference", "kind": "remote"}
GUARD = {"name": "guard-safety", "api": "safety"}
SHOWN = [
    ("tutorial.md", 0, INLINE),
    ("reference/settings.md", 0, INLINE),
    ("how-to/try-in-a-real-server.md", 0, GUARD),
    ("how-to/try-in-a-real-server.md", 2, REMOTE),
]


def missing(shown: Any, found: Any, path: str = "") -> list[str]:
    """The keys of a page's settings that the project has not, or with another value."""
    if isinstance(shown, dict) and isinstance(found, dict):
        return [
            line
            for key, value in shown.items()
            for line in missing(value, found.get(key), f"{path}.{key}".strip("."))
        ]
    return [] if shown == found else [f"{path}: the page has {shown!r}, the project {found!r}"]


@pytest.mark.parametrize(("page", "place", "answers"), SHOWN)
def test_a_project_has_the_settings_of_the_page(
    tmp_path: Path, page: str, place: int, answers: dict[str, str]
) -> None:
    text = (ROOT / "docs" / page).read_text("utf-8")
    blocks = [block for _, _, language, block in FENCE.findall(text) if language == "toml"]
    made = scaffold(tmp_path / "made", answers)
    settings = tomllib.loads((made.path / "pyproject.toml").read_text("utf-8"))
    assert missing(tomllib.loads(blocks[place]), settings) == []


def test_the_projects_of_readme_and_tutorial_are_two() -> None:
    """Who makes the one of README first is not stopped at the tutorial's first command."""
    first, second = (
        (ROOT / page).read_text("utf-8").split("lls-provider new ", 1)[1].split()[0]
        for page in ("README.md", "docs/tutorial.md")
    )
    assert {first, second} == {REMOTE["name"], INLINE["name"]}


def test_a_difference_is_found() -> None:
    assert missing({"a": {"b": 1}}, {"a": {"b": 1, "c": 2}}) == []
    assert missing({"a": {"b": 1}}, {"a": {}}) == ["a.b: the page has 1, the project None"]
