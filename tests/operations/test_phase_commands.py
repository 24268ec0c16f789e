"""The commands of the phases: what a Pod and this machine run."""

from __future__ import annotations

from typing import Any

import pytest

from lls_provider.operations import phase_commands
from lls_provider.operations.phase_commands import Installation


@pytest.mark.parametrize(
    ("config", "secret"),
    [
        ({"url": "http://x"}, False),
        ({"max_tokens": 512}, False),
        ({"api_key": "${env.KEY}"}, False),
        ({"api_key": "${env.KEY:=}"}, False),
        ({"api_key": ""}, False),
        ({"api_key": "abc"}, True),
        ({"auth": {"Bearer-Token": "abc"}}, True),
        ({"password": 1234}, True),
        ({"use_token": True}, False),
        ({"url": "postgres://user:pass@host/db"}, True),
        ({"urls": ["http://x", "http://u:p@y"]}, True),
        ({"url": "postgres://user:${env.PASS}@host/db"}, False),
        ({"client_secret": b"abc"}, True),
    ],
)
def test_what_is_secret_in_a_configuration(config: dict[str, Any], secret: bool) -> None:
    assert phase_commands.holds_secret(config) is secret
    assert phase_commands.fits_argument({"a": "b"})


def test_a_pods_volume_is_the_default_and_another_is_named() -> None:
    isolated = ["python3", "-I", "-S", "/r.pyz"]
    assert phase_commands.merge_command("python3", "/r.pyz") == [*isolated, "merge"]
    assert phase_commands.preflight_command("python3", "/r.pyz", "/v/run.yaml", root="/v") == [
        *isolated,
        "preflight",
        "--keep-bytecode",
        "--run-yaml=/v/run.yaml",
        "--root=/v",
    ]


def test_a_configuration_is_an_argument_or_a_file() -> None:
    common = Installation("acme-echo", "inference", "acme/echo:1", 3)
    arguments = phase_commands.install_arguments(common)
    assert arguments == [
        "--provider-id=acme-echo",
        "--api=inference",
        "--image=acme/echo:1",
        "--container=install-provider-acme-echo",
        "--order=3",
    ]
    inline = Installation("acme-echo", "inference", "acme/echo:1", 3, {"a": "\u00e4"})
    assert phase_commands.install_arguments(inline) == [*arguments, '--config={"a":"\u00e4"}']
    file = Installation("acme-echo", "inference", "acme/echo:1", 3, config_file="/c.yaml")
    assert phase_commands.install_arguments(file) == [*arguments, "--config-file=/c.yaml"]


def test_the_order_is_that_of_the_apis_then_as_given() -> None:
    given = ["files", "own", "safety", "inference", "safety"]
    numbered = list(enumerate(given))
    found = phase_commands.in_order(numbered, lambda it: it[1])
    assert [number for number, _ in found] == [3, 2, 4, 0, 1]
