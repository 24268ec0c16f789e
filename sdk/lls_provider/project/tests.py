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
_NOT_ENDED = -1  # ours: the process ended with 0 before pytest did
# pytest ends with 0 as well where a test or a conftest.py ends the process: this tells that it did
_RUN = """\
import os, sys
import pytest
ended, arguments = int(sys.argv[1]), sys.argv[2:]
sys.argv[:] = ["pytest", *arguments]
status = int(pytest.main(arguments))
os.write(ended, b"ended")
sys.exit(status)
"""
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
    out, told = os.pipe()
    with os.fdopen(out, "rb") as stream:
        try:
            status = subprocess.run(
                [str(python), "-c", _RUN, str(told), *arguments],
                cwd=root,
                env=environment,
                pass_fds=(told,),
                check=False,
            ).returncode
        finally:
            os.close(told)
        os.set_blocking(out, False)  # a test may have left a process behind that holds it open
        ended = stream.read(1)
    return status if ended or status else _NOT_ENDED


def _failed(settings: Settings, status: int, python: Path) -> SdkError:
    from lls_provider.project.test_needs import advice, missing_imports

    if status == _NOT_ENDED:
        return SdkError(
            Code.TESTS_FAILED,
            f"{settings.name} ends Python in its tests",
            why="The process ended with exit status 0 before pytest did, so no test counts.",
            where=Where(file=str(settings.root)),
            resolution="Look for sys.exit(), exit() and os._exit() in the tests, in conftest.py "
            "and in what they import, and remove them.",
        )
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
