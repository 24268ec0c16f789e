"""Runs a project's own tests beside the packages of the server.

The environment holds the server's packages and the provider's own wheel. If an import of the tests
fails, the error says where the project names the missing package.
"""

from __future__ import annotations

import ast
import contextlib
import json
import os
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from lls_provider.errors import Code, SdkError, Where
from lls_provider.progress import SILENT, Progress
from lls_provider.project.bundle import build_own_wheel, project_requirement, uv_sources
from lls_provider.project.places import dependency_named_in
from lls_provider.project.settings import EXAMPLE_DISTRIBUTION, TABLE
from lls_provider.wheels.loading import load_distributions

if TYPE_CHECKING:
    from lls_provider.project.settings import Settings
    from lls_provider.wheels.distribution import Distribution
    from lls_provider.wheels.environment import Environment
    from lls_provider.wheels.loading import Loader

_NO_TESTS = 5  # pytest's exit status when it collected none
_FAILED = 1
_INTERRUPTED = 2
_NOT_ENDED = -1  # our own status: the process ended with 0 before pytest did
# a test or a conftest.py can end the process with 0; this reports that pytest itself ended.
# The reason of a skipped test is shown, as with -rs, beside what the project has pytest report.
_RUN = """\
import os, sys
import pytest
class Reasons:
    @pytest.hookimpl(tryfirst=True)
    def pytest_configure(self, config):
        if not set(config.option.reportchars) & set("saAN"):
            config.option.reportchars += "s"
ended, arguments = int(sys.argv[1]), sys.argv[2:]
sys.argv[:] = ["pytest", *arguments]
status = int(pytest.main(arguments, plugins=[Reasons()]))
os.write(ended, b"ended")
sys.exit(status)
"""
# variables through which our environment would affect that of the tests
_FOREIGN = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "PYTEST_ADDOPTS")


def run_tests(
    settings: Settings,
    *,
    distribution: str | Distribution | None = None,
    load: Loader = load_distributions,
    python: str | None = None,
    arguments: Sequence[str] = (),
    stdout: int | None = None,
    before_tests: Callable[[], object] = lambda: None,
    progress: Progress = SILENT,
) -> int:
    """Run pytest in the project, in an environment of the distribution and the provider's wheel.

    Its output is not captured, and goes to the descriptor ``stdout`` if one is given;
    ``before_tests`` is called before it writes. ``arguments`` are pytest's; ``load`` loads a
    distribution by name. Returns 0. Raises SdkError TESTS_FAILED when a test fails or there is
    none, SETTINGS_INVALID when no distribution is named anywhere, and what building, resolving and
    installing raise.
    """
    named = distribution or next(iter(settings.distributions), None)
    if named is None:
        raise SdkError(
            Code.SETTINGS_INVALID,
            "No distribution to test against",
            why="The tests need the packages of the server that will load the provider.",
            where=settings.pyproject.where(TABLE),
            resolution=f"Add {EXAMPLE_DISTRIBUTION} to [tool.lls-provider], or give "
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
        before_tests()
        status = _pytest(environment.python, settings.root, arguments, stdout)
        if status != 0:
            raise _not_loaded(settings, server, status, environment.python) or _failed(
                settings, status, environment.python
            )
    return 0


def _pytest(python: Path, root: Path, arguments: Sequence[str], stdout: int | None) -> int:
    environment = {name: text for name, text in os.environ.items() if name not in _FOREIGN}
    read_end, write_end = os.pipe()
    with os.fdopen(read_end, "rb") as stream:
        try:
            status = subprocess.run(
                [str(python), "-c", _RUN, str(write_end), *arguments],
                cwd=root,
                env=environment,
                stdout=stdout,
                pass_fds=(write_end,),
                check=False,
            ).returncode
        finally:
            os.close(write_end)
        os.set_blocking(read_end, False)  # a process that a test left running may hold it open
        ended = stream.read(1)
    return status if ended or status else _NOT_ENDED


def _not_loaded(
    settings: Settings, server: Distribution, status: int, python: Path
) -> SdkError | None:
    """The error of a provider that does not load, which is why its tests fail; None if it does."""
    if status not in (_FAILED, _INTERRUPTED):
        return None
    from lls_provider.project.load_failure import load_problem
    from lls_provider.runtime.preflight.probe_client import probe

    failure = probe(python, settings.module, provider_type=settings.provider_type).failure
    if failure is None:
        return None
    problem = load_problem(settings, server, failure)
    return SdkError(
        Code.TESTS_FAILED,
        f"{settings.name} cannot be tested",
        why=problem.what,
        where=problem.where,
        resolution=problem.resolution,
    )


def _failed(settings: Settings, status: int, python: Path) -> SdkError:
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
        resolution = missing_imports_advice(missing, settings.other_requirements) or resolution
    return SdkError(
        Code.TESTS_FAILED,
        f"{settings.name} {what}",
        why=f"pytest ended with exit status {status}.",
        where=Where(file=str(settings.root)),
        resolution=resolution,
    )


_FILES = 500  # files that are searched at most
_FIND = (
    "import importlib.util, json, sys; "
    "named = json.loads(sys.argv[1]); "
    "print(json.dumps([it for it in named if importlib.util.find_spec(it) is None]))"
)


def missing_imports(python: Path, root: Path) -> list[str]:
    """Return the modules that the tests below ``root`` import and ``python`` does not find, sorted.

    Empty if that cannot be determined.
    """
    files = list(_test_files(root))
    folders = {path.parent for path in files}
    local = {it.stem for folder in folders for it in folder.glob("*.py")}
    local |= {folder.name for folder in folders}
    wanted = {name for path in files for name in _imported(path)} - local
    try:
        done = subprocess.run(
            [str(python), "-I", "-c", _FIND, json.dumps(sorted(wanted))],
            capture_output=True,
            check=True,
            timeout=60,
        )
        found: list[str] = json.loads(done.stdout)
    except (OSError, ValueError, subprocess.SubprocessError):
        return []
    return found


def missing_imports_advice(missing: Sequence[str], others: Mapping[str, Sequence[str]]) -> str:
    """Return how to declare the modules ``missing`` for tests; empty if none is missing.

    ``others`` are the requirements that are not installed for tests, by ``group NAME`` or ``extra
    NAME``.
    """
    for module in missing:
        for place, requirements in others.items():
            named = next((it for it in requirements if _may_bring(it, module)), None)
            if named is None:
                continue
            kind, _, name = place.partition(" ")
            include = (
                f'test = [{{ include-group = "{name}" }}]'
                if kind == "group"
                else f'test = ["{named}"]'
            )
            return (
                f"The tests import {module}, which is in the {kind} {name}; for tests the "
                f"group test is installed. Write `{include}` into [dependency-groups], or add "
                f"'{named}' to the existing group test."
            )
    if missing:
        return (
            f"The tests import {', '.join(missing)}, which no installed package provides. "
            "Add one that does to the group test in [dependency-groups]."
        )
    return ""


def _may_bring(requirement: str, module: str) -> bool:
    """Whether a package of that name probably holds the module: ``pytest-httpx``, ``PyYAML``."""
    try:
        name = canonicalize_name(Requirement(requirement).name)
    except InvalidRequirement:
        return False
    wanted = canonicalize_name(module)
    return wanted == name or wanted in {name.removeprefix("py"), name.removeprefix("python-")}


def _test_files(root: Path) -> Iterator[Path]:
    found = 0
    for directory, names, files in os.walk(root):
        names[:] = sorted(it for it in names if not it.startswith(".") and it != "node_modules")
        for name in sorted(files):
            path = Path(directory, name)
            if name == "conftest.py" or (name.startswith("test_") and name.endswith(".py")):
                found += 1
                if found > _FILES:
                    return
                yield path


def _imported(path: Path) -> Iterator[str]:
    """Return the top-level modules that a file imports at module level."""
    try:
        tree = ast.parse(path.read_bytes())
    except (OSError, SyntaxError, ValueError, RecursionError, MemoryError):
        return
    for node in tree.body:
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.module.partition(".")[0]


@contextlib.contextmanager
def provider_environment(
    settings: Settings,
    distribution: Distribution,
    *,
    extra: Sequence[str] = (),
    progress: Progress,
) -> Iterator[Environment]:
    """Yield a temporary environment of ``distribution`` with the project's wheel and ``extra``.

    The wheel, not the source tree, is installed: the tests run what an image would hold. With
    ``[tool.uv.sources]`` uv builds it again, since only the directory has them. Raises SdkError as
    building and resolving do.
    """
    from lls_provider.system.cache import scratch
    from lls_provider.wheels.environment import layered_environment
    from lls_provider.wheels.fetch import fetch
    from lls_provider.wheels.resolve import resolve

    python = distribution.interpreter
    doing = f"installing {settings.name} beside {distribution.label}"
    sources = uv_sources(settings.root, settings.pyproject.data)
    with scratch("own-wheel") as directory:
        wheel = build_own_wheel(settings, directory, python, progress)
        try:
            closure = resolve(
                [project_requirement(wheel, settings.root if sources else None), *extra],
                distribution=distribution,
                interpreter=python,
                base=settings.root,
                doing=doing,
                progress=progress,
            )
        except SdkError as error:
            if error.code is Code.RESOLUTION_FAILED:
                error.where = dependency_named_in(settings, error.why)
            raise
        wheels = fetch(closure.packages, interpreter=python, base=settings.root, progress=progress)
        with layered_environment(
            distribution, wheels, doing=doing, progress=progress
        ) as environment:
            yield environment
