"""Runs a project's own tests where they have to pass: beside the packages of the server."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lls_provider.errors import Code, SdkError, Where
from lls_provider.progress import SILENT, Progress
from lls_provider.wheels.several import load_distributions

if TYPE_CHECKING:
    from lls_provider.project.settings import Settings
    from lls_provider.wheels.distribution import Distribution
    from lls_provider.wheels.several import Loader

_NO_TESTS = 5  # pytest's exit status when it collected none
_INTERRUPTED = 2
# what would let the surrounding environment into the one of the tests
_FOREIGN = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "PYTEST_ADDOPTS")


def run_tests(
    settings: Settings,
    *,
    distribution: str | Distribution | None = None,
    load: Loader = load_distributions,
    python: str | None = None,
    arguments: Sequence[str] = (),
    progress: Progress = SILENT,
) -> int:
    """Run pytest in the project, in an environment of the distribution and the provider's wheel.

    Its output goes straight to ours; ``arguments`` are
    pytest's; ``load`` makes a value of a distribution's name. Gives 0. Raises SdkError
    TESTS_FAILED when a test fails or there is none, SETTINGS_INVALID when no distribution is
    named anywhere, and what building, resolving and installing raise.
    """
    from lls_provider.project.environment import provider_environment

    named = distribution or next(iter(settings.distributions), None)
    if named is None:
        raise SdkError(
            Code.SETTINGS_INVALID,
            "No distribution to test against",
            why="The tests need the packages of the server that will load the provider.",
            where=settings.pyproject.where(("tool", "lls-provider")),
            resolution='Add distribution = ["llama-stack==0.7.3"] to [tool.lls-provider], or give '
            "--distribution.",
        )
    (server,) = load(
        [named],
        python=python or settings.python,
        at_least=settings.lowest_python,
        progress=progress,
    )
    wanted = ("pytest", *settings.test_requirements)
    with provider_environment(settings, server, extra=wanted, progress=progress) as environment:
        progress.step(f"testing {settings.name} beside {server.label}")
        status = _pytest(environment.python, settings.root, arguments)
        if status != 0:
            raise _failed(settings, status, environment.python)
    return 0


def _pytest(python: Path, root: Path, arguments: Sequence[str]) -> int:
    environment = {name: text for name, text in os.environ.items() if name not in _FOREIGN}
    return subprocess.run(
        [str(python), "-m", "pytest", *arguments],
        cwd=root,
        env=environment,
        check=False,
    ).returncode


def _failed(settings: Settings, status: int, python: Path) -> SdkError:
    from lls_provider.project.test_needs import advice, missing_imports

    what, resolution = {
        _NO_TESTS: ("has no tests", "Write tests in files tests/test_*.py."),
        _INTERRUPTED: ("cannot be tested", "Correct what pytest says above."),
    }.get(status, ("has failing tests", "Correct what pytest shows above."))
    if status != _NO_TESTS:
        missing = missing_imports(python, settings.root)
        resolution = advice(missing, settings.other_requirements) or resolution
    return SdkError(
        Code.TESTS_FAILED,
        f"{settings.name} {what}",
        why=f"pytest ended with exit status {status}.",
        where=Where(file=str(settings.root)),
        resolution=resolution,
    )
