"""Logins go to the origin that they are for, and to no other."""

from __future__ import annotations

from pathlib import Path

import pytest

from lls_provider.wheels.uv_settings import (
    IndexLocation,
    Logins,
    index_locations,
    is_offline,
    wheelhouses,
)

NAMED = {"UV_INDEX_MY_CORP_USERNAME": "al%40ice", "UV_INDEX_MY_CORP_PASSWORD": "p"}


@pytest.mark.parametrize(
    ("url", "login"),
    [
        ("https://corp.example/simple/demo/", ("alice", "one")),
        ("https://corp.example:443/files/demo.whl", ("alice", "one")),
        ("https://corp.example/team/b/files/demo.whl", ("bob", "t@o")),
        ("https://own:login@corp.example/demo.whl", ("own", "login")),
        ("http://corp.example/simple/demo/", None),
        ("https://corp.example:8443/simple/demo/", None),
        ("https://corp.example.evil/simple/demo/", None),
        ("https://evil.example/https://corp.example/simple/", None),
    ],
)
def test_a_login_is_for_one_origin_and_the_nearest_index(
    url: str, login: tuple[str, str] | None
) -> None:
    found = (
        IndexLocation("https://alice:one@corp.example/simple"),
        IndexLocation("https://bob:t%40o@corp.example/team/b/simple"),
        IndexLocation("https://open.example/simple"),
    )
    assert Logins(found, {}).of(url) == login


def test_a_named_index_has_its_login_in_variables() -> None:
    source = IndexLocation("https://corp.example/simple", "my-corp")
    assert source.login(NAMED) == ("al@ice", "p")
    assert source.login({}) is None
    only_user = IndexLocation("https://token@corp.example/simple", "my-corp")
    assert only_user.login({}) == ("token", "")


def test_sources_are_those_of_the_variables_and_of_the_settings(tmp_path: Path) -> None:
    project = tmp_path / "work" / "member"
    project.mkdir(parents=True)
    (tmp_path / "work" / "pyproject.toml").write_text(
        '[[tool.uv.index]]\nname = "corp"\nurl = "https://corp.example/simple"\n'
        '[tool.uv]\nfind-links = ["wheels"]\n[tool.uv.pip]\nextra-index-url = ["https://x/"]\n'
    )
    (project / "uv.toml").write_text("not [ toml")
    environ = {
        "UV_DEFAULT_INDEX": "main=https://main.example/simple",
        "UV_INDEX": "https://a.example/?a=b https://b.example/",
        "UV_FIND_LINKS": "house,https://c.example/",
        "XDG_CONFIG_HOME": str(tmp_path),
    }
    found = [(it.name, it.url) for it in index_locations(environ, project)]
    assert found[:5] == [
        ("main", "https://main.example/simple"),
        (None, "https://a.example/?a=b"),
        (None, "https://b.example/"),
        (None, "house"),
        (None, "https://c.example/"),
    ]
    assert found[5:8] == [
        ("corp", "https://corp.example/simple"),
        (None, str(tmp_path / "work" / "wheels")),
        (None, "https://x/"),
    ]


def test_wheelhouses_are_the_folders_that_are_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a b").mkdir()
    (tmp_path / "c").mkdir()
    there = f"c,{(tmp_path / 'a b').as_uri()},missing,https://d.example/"
    monkeypatch.setenv("UV_FIND_LINKS", there)
    assert wheelhouses(tmp_path)[:2] == [tmp_path / "c", tmp_path / "a b"]


@pytest.mark.parametrize(
    ("value", "told"), [("1", True), ("True", True), ("0", False), ("", False)]
)
def test_offline_is_said_as_uv_takes_it(
    monkeypatch: pytest.MonkeyPatch, value: str, told: bool
) -> None:
    monkeypatch.setenv("UV_OFFLINE", value)
    assert is_offline() is told
