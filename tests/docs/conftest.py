"""The site is built once, for the tests that read it and for those that look at it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from tests.docs.site import deploy, exported

Engine = Callable[[str], str]


@pytest.fixture(scope="session")
def site(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory that a web server serves, with a version and its alias."""
    repository = tmp_path_factory.mktemp("site-repository")
    done = deploy(engine("git"), repository)
    assert done.returncode == 0, done.stdout + done.stderr
    return exported(engine("git"), repository, tmp_path_factory.mktemp("site"))
