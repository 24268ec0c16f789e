from __future__ import annotations

import pytest
from packaging.requirements import Requirement

from lls_provider.wheels.servers import LINES, ServerLine, line_in, line_named


def line(name: str) -> ServerLine:
    found = line_named(name)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("requirement", "pins"),
    [
        ("llama-stack==0.7.3", ("mcp<2",)),
        ("llama-stack", ("mcp<2",)),
        ("llama-stack>=0.7,<0.8", ("mcp<2",)),
        ("llama-stack[extra]==0.7.3", ("mcp<2",)),
        ("llama-stack==0.6.1", ("mcp<2", "llama-stack-api==0.6.1")),
        ("llama-stack===0.6.1", ("mcp<2", "llama-stack-api==0.6.1")),
        ("llama-stack==0.6.1,!=0.6.0", ("mcp<2", "llama-stack-api==0.6.1")),
        ("llama-stack==0.5.2", ("mcp<2", "llama-stack-api==0.5.2")),
        ("llama-stack==0.4.0", ("mcp<2", "llama-stack-api==0.4.0")),
        ("llama-stack==0.3.5", ("mcp<2",)),
        ("llama-stack==0.2.22", ("mcp<2", "aiosqlite", "sqlalchemy[asyncio]")),
        ("llama-stack==0.6.*", ("mcp<2",)),
        ("llama-stack>=0.6.1", ("mcp<2",)),
        ("ogx==1.5.0", ()),
    ],
)
def test_what_a_line_needs_besides_its_own_name(requirement: str, pins: tuple[str, ...]) -> None:
    wanted = Requirement(requirement)
    assert line(wanted.name).pins(wanted) == pins


@pytest.mark.parametrize("name", ["llama-stack", "llama_stack", "Llama.Stack"])
def test_a_line_is_known_under_every_spelling(name: str) -> None:
    assert line(name).api_package == "llama_stack_api"


@pytest.mark.parametrize("name", ["llama-stack-client", "ogx-api", "", "../llama-stack"])
def test_another_package_is_no_line(name: str) -> None:
    assert line_named(name) is None


def test_an_environment_tells_its_line() -> None:
    assert line_in({"ogx": "1.5.0", "mcp": "1.0"}) is line("ogx")
    assert line_in({"ogx-api": "1.5.0"}) is None


VERSIONS = {"llama-stack": "0.7.3", "ogx": "1.5.0"}


@pytest.mark.parametrize("line", LINES, ids=lambda it: it.name)
def test_the_smallest_configuration_listens_on_this_machine_only(line: ServerLine) -> None:
    config = line.minimal_config(VERSIONS[line.name])
    assert config["server"]["host"] == "127.0.0.1"
    assert config["providers"] == {}
    assert config["version"] == 2
    config["server"]["host"] = "0.0.0.0"  # noqa: S104 - a caller that changes its copy
    assert line.minimal_config(VERSIONS[line.name])["server"]["host"] == "127.0.0.1"


def test_only_ogx_must_be_told_to_start_without_tls() -> None:
    assert line("ogx").minimal_config("1.5.0")["server"]["insecure"] is True
    assert "insecure" not in line("llama-stack").minimal_config("0.7.3")["server"]
