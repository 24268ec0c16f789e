"""The sample two-that-conflict: what is said of the conflict, and each way out of it."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.samples.conftest import SETTLED
from tests.samples.services import SAMPLES

if TYPE_CHECKING:
    from tests.samples.conftest import Served

Cli = Callable[..., "subprocess.CompletedProcess[str]"]
Built = Callable[..., str]

pytestmark = [
    pytest.mark.network,
    pytest.mark.server,
    pytest.mark.engine,
    pytest.mark.xdist_group("samples"),
]

FIRST, SECOND = "hashing-embeddings", "searxng-search"
README = (SAMPLES / "two-that-conflict" / "README.md").read_text("utf-8")


def shown(command: str) -> str:
    """What the README shows below a command."""
    found = re.search(rf"^\$ {re.escape(command)}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
    assert found is not None, command
    return found[1]


def assert_shown(command: str, output: str) -> None:
    """The output has every part of what the README shows, in this order; … is left out there."""
    rest = output
    for part in re.split(r"…\n?", shown(command)):
        _before, found, rest = rest.partition(part)
        assert found == part, output
    assert len(shown(command)) > 20


def test_compat_tells_of_the_conflict_what_the_readme_shows(cli: Cli) -> None:
    words = ["compat", f"samples/{FIRST}", f"samples/{SECOND}"]

    done = cli(*words, cwd=SAMPLES.parent)

    assert done.returncode == 1
    assert_shown(" ".join(["lls-provider", *words]), done.stdout)


def test_the_installer_refuses_the_second_with_the_same_words(cli: Cli, built: Built) -> None:
    images = [f"docker://{built(name)}" for name in (FIRST, SECOND)]
    compared = cli("compat", *images)

    done = cli("up", *images, "--server", "llama-stack==0.7.3", "--check")

    assert done.returncode == 1
    message = done.stderr[done.stderr.index("ERROR: Cannot install") :]
    said = message[message.index("Installation failed with:") : message.index("\nPreviously")]
    assert "cachetools" in said
    assert said in compared.stdout


def test_an_override_settles_it(cli: Cli, built: Built) -> None:
    assert f"--override '{SETTLED}'" in README
    settled = built(FIRST, tag="settled", overrides=SETTLED)

    done = cli("compat", f"docker://{settled}", f"docker://{built(SECOND)}")

    assert done.returncode == 0, done.stdout
    assert "They live together." in done.stdout
    # the image records it, for whoever gets it
    checked = cli("check", f"docker://{settled}")
    assert "bounds are replaced by cachetools>=6" in checked.stdout


def test_what_was_settled_is_served(served: Served) -> None:
    assert {FIRST, SECOND} <= set(served.listed())
    body = {"model": "hashing-embeddings/hashing", "input": "heron"}
    assert len(served.post("/v1/embeddings", body)["data"][0]["embedding"]) == 256


def test_a_newer_build_without_the_pin_settles_it(cli: Cli, built: Built, tmp_path: Path) -> None:
    newer = tmp_path / FIRST
    shutil.copytree(SAMPLES / FIRST, newer)
    settings = newer / "pyproject.toml"
    text = settings.read_text("utf-8")
    changed = text.replace('"cachetools==5.5.2"', '"cachetools>=5.5.2"')
    assert changed != text
    settings.write_text(changed, "utf-8")

    done = cli("compat", newer, f"docker://{built(SECOND)}")

    assert done.returncode == 0, done.stdout
    assert "They live together." in done.stdout
