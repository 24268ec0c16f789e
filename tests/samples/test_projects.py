"""The samples as projects: clean, typed, listed, and with tests of their own that pass."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.samples.services import SAMPLES, SERVERS, hand_written

from lls_provider.wheels.environment import layered_environment
from lls_provider.wheels.fetch import fetch
from lls_provider.wheels.loading import load_distributions
from lls_provider.wheels.resolve import resolve

DIRECTORIES = sorted(path.name for path in SAMPLES.iterdir() if path.is_dir())


def pyproject(name: str) -> dict[str, Any]:
    return tomllib.loads((SAMPLES / name / "pyproject.toml").read_text("utf-8"))


HAND_WRITTEN = hand_written()


def test_every_sample_is_listed_with_a_sentence() -> None:
    text = (SAMPLES / "README.md").read_text("utf-8")
    rows = re.findall(
        r"^\| \[([a-z-]+)\]\(([a-z-]+)/README\.md\) \| ([^|]+) \|", text, re.MULTILINE
    )
    assert sorted(name for name, _, _ in rows) == DIRECTORIES
    for name, folder, sentence in rows:
        assert name == folder
        assert len(sentence.split()) > 5, name


@pytest.mark.parametrize("name", HAND_WRITTEN)
def test_a_readme_names_files_that_are_there(name: str) -> None:
    rows = re.findall(
        r"^\| (`[^|]+`) \|", (SAMPLES / name / "README.md").read_text("utf-8"), re.MULTILINE
    )
    files = [file for row in rows for file in re.findall(r"`([^`]+)`", row)]
    assert files
    assert [file for file in files if not (SAMPLES / name / file).is_file()] == []


@pytest.mark.slow
def test_the_types_are_right(tmp_path: Path) -> None:
    """All samples in one run, without the servers and their dependencies."""
    config = tmp_path / "mypy.ini"
    # what is not installed here has no types
    config.write_text(
        "[mypy]\npython_version = 3.12\nstrict = true\nignore_missing_imports = true\n"
        "disallow_subclassing_any = false\nwarn_return_any = false\n"
    )
    packages = [option for name in HAND_WRITTEN for option in ("-p", name.replace("-", "_"))]
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--config-file", config, *packages],
        env={
            **os.environ,
            "MYPYPATH": os.pathsep.join(str(SAMPLES / name / "src") for name in HAND_WRITTEN),
        },
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="session")
def python() -> Iterator[Path]:
    """The Python of an environment of llama-stack with what the samples depend on.

    `lls-provider test` makes one for each sample, which takes longer.
    """
    (server,) = load_distributions([SERVERS[0]])
    # without the pin that conflicts
    needed = {it for name in HAND_WRITTEN for it in dependencies(name) if "==" not in it}
    closure = resolve(
        ["pytest", *sorted(needed)], distribution=server, interpreter=server.interpreter
    )
    wheels = fetch(closure.packages, interpreter=server.interpreter)
    with layered_environment(server, wheels, doing="testing the samples") as environment:
        yield environment.python


def dependencies(name: str) -> list[str]:
    found: list[str] = pyproject(name)["project"]["dependencies"]
    return found


@pytest.mark.network
@pytest.mark.xdist_group("samples")
@pytest.mark.parametrize("name", HAND_WRITTEN)
def test_its_own_tests_pass(python: Path, name: str) -> None:
    foreign = ("PYTHONPATH", "PYTEST_ADDOPTS")
    environment = {key: text for key, text in os.environ.items() if key not in foreign}
    done = subprocess.run(
        [python, "-m", "pytest", "-p", "no:cacheprovider"],
        cwd=SAMPLES / name,
        env={**environment, "PYTHONPATH": "src", "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"= \d+ passed(, \d+ warnings?)? in ", done.stdout)
