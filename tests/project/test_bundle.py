"""Which ``[tool.uv.sources]`` hold for a project."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lls_provider.project.bundle import uv_sources

ROOT = """
[tool.uv.workspace]
members = ["packages/*"]
[tool.uv.sources]
shared = { workspace = true }
other = { path = "../other" }
"""


def own(**sources: Any) -> dict[str, Any]:
    return {"tool": {"uv": {"sources": sources}}}


def test_the_root_of_a_workspace_adds_its_own(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text(ROOT)
    member = tmp_path / "packages" / "acme"
    assert uv_sources(member, own(other={"index": "corp"})) == {
        "shared": {"workspace": True},
        "other": {"index": "corp"},  # the member's wins
    }


def test_only_a_workspace_reaches_down(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text(ROOT.replace("tool.uv.workspace", "tool.other"))
    assert uv_sources(tmp_path / "packages" / "acme", {}) == {}


def test_what_is_no_table_or_no_toml_is_for_uv_to_judge(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text("[tool.uv.workspace")
    assert uv_sources(tmp_path / "acme", {"tool": {"uv": ["sources"]}}) == {}
    assert uv_sources(tmp_path / "acme", own()) == {}
