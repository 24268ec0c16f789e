"""The base configuration that merge starts from on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lls_provider.errors import Code, SdkError
from lls_provider.local import base_config
from lls_provider.wheels.servers import LINES

OGX = {line.name: line for line in LINES}["ogx"].minimal_config("1.5.0")


def test_a_base_listens_on_this_machine_without_tls() -> None:
    base = {
        "server": {"host": "0.0.0.0", "port": 8321, "tls_certfile": "/c", "tls_keyfile": "/k"},  # noqa: S104
        "apis": ["inference"],
    }
    made = base_config.localized(base, OGX)
    assert made["server"] == {"host": "127.0.0.1", "port": 8321, "insecure": True}
    assert made["apis"] == ["inference"]
    assert base["server"] == {
        "host": "0.0.0.0",  # noqa: S104
        "port": 8321,
        "tls_certfile": "/c",
        "tls_keyfile": "/k",
    }


@pytest.mark.parametrize("base", [{}, {"server": None}])
def test_a_base_without_a_server_section_gets_one(base: dict[str, Any]) -> None:
    assert base_config.localized(base, OGX)["server"] == {"host": "127.0.0.1", "insecure": True}


def test_resources_are_added_once_and_keep_what_is_there() -> None:
    there = {"model_id": "base"}
    new = {"model_id": "echo", "provider_id": "acme-echo"}
    base = {"registered_resources": {"models": [there], "shields": None}}
    made = base_config.with_resources(
        base, {"models": [new, there], "shields": [{"shield_id": "s"}]}
    )
    assert made["registered_resources"] == {
        "models": [there, new],
        "shields": [{"shield_id": "s"}],
    }
    assert base["registered_resources"]["models"] == [there]


def test_without_resources_no_section_appears() -> None:
    assert base_config.with_resources({"version": 2}, {}) == {"version": 2}


def test_a_resource_without_a_provider_gets_its_own() -> None:
    resources = {"models": [{"model_id": "a"}, {"model_id": "b", "provider_id": "other"}]}
    assert base_config.of_provider(resources, "acme-echo") == {
        "models": [
            {"model_id": "a", "provider_id": "acme-echo"},
            {"model_id": "b", "provider_id": "other"},
        ]
    }


def test_groups_of_resources_are_joined_in_their_order() -> None:
    joined = base_config.joined(
        [{"models": [{"m": 1}]}, {"shields": [{"s": 1}], "models": [{"m": 2}]}]
    )
    assert joined == {"models": [{"m": 1}, {"m": 2}], "shields": [{"s": 1}]}


def test_the_written_base_is_read_back_equal(tmp_path: Path) -> None:
    path = tmp_path / "base-config" / "run.yaml"
    base_config.write_base(OGX, path)
    assert base_config.read_base(path).value == OGX


@pytest.mark.parametrize(
    ("text", "code", "line"),
    [
        ("version: 2\nproviders: [}\n", Code.YAML_INVALID, 2),
        ("version: 2\nserver: 5\n", Code.DOCUMENT_INVALID, 2),
        ("version: 2\n\nregistered_resources:\n  models: 5\n", Code.DOCUMENT_INVALID, 4),
        ("- a\n", Code.DOCUMENT_INVALID, None),
    ],
)
def test_a_wrong_base_is_told_with_its_line(
    tmp_path: Path, text: str, code: Code, line: int | None
) -> None:
    path = tmp_path / "run.yaml"
    path.write_text(text)
    with pytest.raises(SdkError) as caught:
        base_config.read_base(path)
    assert caught.value.code is code
    assert caught.value.where.file == str(path)
    assert caught.value.where.line == line


def test_a_missing_base_is_told(tmp_path: Path) -> None:
    with pytest.raises(SdkError) as caught:
        base_config.read_base(tmp_path / "absent.yaml")
    assert caught.value.code is Code.FILE_MISSING
