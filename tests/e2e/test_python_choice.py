"""Which Python a provider is built for, where no one names one."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.factories.projects import PROVIDER, write_project

from lls_provider.errors import SdkError
from lls_provider.wheels.interpreter import find_interpreter

pytestmark = pytest.mark.slow

Cli = Callable[..., "subprocess.CompletedProcess[str]"]

WORDS = ("build", "acme", "--distribution", "server.txt", "--allow-failure", "it is not a server")


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """A project for Python 3.12 and later, and a server that has nothing."""
    rest = f"{PROVIDER}[tool.uv]\nno-index = true\n"
    write_project(tmp_path / "acme", "acme", "", rest, python=">=3.12")
    (tmp_path / "server.txt").write_text("# nothing\n")
    return tmp_path


def test_it_is_one_that_the_project_allows(cli: Cli, bare: Any, work: Path) -> None:
    done = cli(*WORDS, "--output", "oci:image", cwd=work, env=bare)
    assert done.returncode == 0, done.stderr
    assert (work / "image" / "index.json").is_file()


def test_another_that_was_named_is_told_with_the_way_out(cli: Cli, bare: Any, work: Path) -> None:
    try:
        find_interpreter(exactly=(3, 11))
    except SdkError:
        pytest.skip("this machine has no Python 3.11")
    for words in (WORDS, ("build", "acme")):
        done = cli(*words, "--python", "3.11", "--output", "oci:image", cwd=work, env=bare)
        assert done.returncode == 1
        assert "does not satisfy Python>=3.12" in done.stderr
        assert done.stderr.endswith("build for another one: --python 3.12.\n")
        assert not (work / "image").exists()
