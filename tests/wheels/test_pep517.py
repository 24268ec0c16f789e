from __future__ import annotations

import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import uv
from tests.factories.projects import OWN_BACKEND, backend
from tests.recorder import Recorder

from lls_provider.errors import Code, SdkError
from lls_provider.runtime.wheelfile.wheel import read_wheel
from lls_provider.wheels.pep517 import build_wheel

if TYPE_CHECKING:
    from lls_provider.wheels.interpreter import Interpreter

pytestmark = pytest.mark.slow

Project = Callable[..., Path]

WHEEL = "demo-1.0-py3-none-any.whl"

VERSION = '{"demo.py": "python = %r" % (sys.version_info[:2],)}'


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A project that brings its own backend; ``body`` runs first in each build."""

    def make(body: str = "pass") -> Path:
        folder = tmp_path / "project"
        folder.mkdir()
        (folder / "pyproject.toml").write_text(
            OWN_BACKEND + '[project]\nname = "demo"\nversion = "1.0"\n'
        )
        (folder / "backend.py").write_text(backend(files=VERSION, before=body))
        return folder

    return make


def test_a_project_becomes_a_wheel_for_its_python(
    project: Project, tmp_path: Path, interpreter: Interpreter
) -> None:
    folder = project()
    wheel = build_wheel(folder, tmp_path / "out", interpreter=interpreter)
    assert wheel == tmp_path / "out" / WHEEL
    assert sorted(it.name for it in wheel.parent.iterdir()) == [WHEEL]
    with zipfile.ZipFile(wheel) as archive:
        assert archive.read("demo.py").decode() == f"python = {interpreter.minor}"
    assert read_wheel(wheel).name == "demo"


def test_two_builds_are_equal(project: Project, tmp_path: Path, interpreter: Interpreter) -> None:
    folder = project()
    first = build_wheel(folder, tmp_path / "a", interpreter=interpreter).read_bytes()
    assert build_wheel(folder, tmp_path / "b", interpreter=interpreter).read_bytes() == first


@pytest.mark.parametrize(
    "body",
    [
        'raise ValueError("demo/data.json is missing")',
        'raise SystemExit("demo/data.json is missing")',
        'print("demo/data.json is missing"); sys.exit(3)',
        'print("demo/data.json is missing", file=sys.stderr); sys.exit(3)',
    ],
)
def test_what_the_backend_says_is_shown(
    project: Project, tmp_path: Path, interpreter: Interpreter, body: str
) -> None:
    folder = project(body)
    with pytest.raises(SdkError) as caught:
        build_wheel(folder, tmp_path / "out", interpreter=interpreter)
    error = caught.value
    assert error.code is Code.WHEEL_BUILD_FAILED
    assert "demo/data.json is missing" in error.why
    assert error.where.file == str(folder)
    assert "python -m build --wheel" in error.resolution
    assert not (tmp_path / "out").exists()


def test_a_build_that_is_tried_again_does_nothing_else_twice(
    project: Project, tmp_path: Path, interpreter: Interpreter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """First with what the cache has, then with the network."""
    program = tmp_path / "uv"
    program.write_text(
        f"#!/bin/sh\necho offline=$UV_OFFLINE >>{tmp_path}/seen\n"
        'echo "Network connectivity is disabled" >&2\nexit 2\n'
    )
    program.chmod(0o755)
    monkeypatch.setattr(uv, "find_uv_bin", lambda: str(program))
    monkeypatch.setenv("LLS_PROVIDER_CACHE", str(tmp_path / "cache"))
    calls: list[str] = []
    with pytest.raises(SdkError) as caught:
        build_wheel(
            project(),
            tmp_path / "out",
            interpreter=interpreter,
            pins=["hatchling==1"],
            meanwhile=lambda: calls.append("once"),
        )
    assert caught.value.code is Code.NETWORK
    assert (tmp_path / "seen").read_text().split() == ["offline=1", "offline="]
    assert calls == ["once"]


def test_other_failures_keep_their_kind(
    project: Project, tmp_path: Path, interpreter: Interpreter
) -> None:
    folder = project('raise OSError(28, "No space left on device")')
    with pytest.raises(SdkError) as caught:
        build_wheel(folder, tmp_path / "out", interpreter=interpreter)
    assert caught.value.code is Code.NO_SPACE


def test_what_the_build_leaves_is_removed(
    project: Project, tmp_path: Path, interpreter: Interpreter
) -> None:
    folder = project(
        'for it in ("build/lib", "demo.egg-info", "src/demo.egg-info"): '
        "pathlib.Path(it).mkdir(parents=True)"
    )
    (folder / "src").mkdir()
    build_wheel(folder, tmp_path / "out", interpreter=interpreter)
    assert not (folder / "build").exists()
    assert list(folder.rglob("*.egg-info")) == []


def test_a_failed_build_leaves_nothing_either(
    project: Project, tmp_path: Path, interpreter: Interpreter
) -> None:
    folder = project('pathlib.Path("build").mkdir(); sys.exit(1)')
    with pytest.raises(SdkError):
        build_wheel(folder, tmp_path / "out", interpreter=interpreter)
    assert not (folder / "build").exists()


def test_what_was_there_before_stays(
    project: Project, tmp_path: Path, interpreter: Interpreter
) -> None:
    folder = project()
    for name in ("build", "demo.egg-info"):
        (folder / name).mkdir()
        (folder / name / "mine.txt").write_text("mine")
    build_wheel(folder, tmp_path / "out", interpreter=interpreter)
    for name in ("build", "demo.egg-info"):
        assert (folder / name / "mine.txt").read_text() == "mine"


def test_a_relative_path_of_the_project_is_enough(
    project: Project, tmp_path: Path, interpreter: Interpreter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(project())
    assert build_wheel(Path(), tmp_path / "out", interpreter=interpreter).name == WHEEL


@pytest.mark.network
def test_a_project_of_setuptools_stays_as_it_was(tmp_path: Path, interpreter: Interpreter) -> None:
    """setuptools comes from PyPI."""
    folder = tmp_path / "project"
    (folder / "src" / "demo").mkdir(parents=True)
    (folder / "src" / "demo" / "__init__.py").write_text("")
    (folder / "pyproject.toml").write_text('[project]\nname = "demo"\nversion = "1.0"\n')
    before = sorted(folder.rglob("*"))
    wheel = build_wheel(folder, tmp_path / "out", interpreter=interpreter)
    assert "demo/__init__.py" in zipfile.ZipFile(wheel).namelist()
    assert sorted(folder.rglob("*")) == before


@pytest.fixture
def helper(wheelhouse: Path, make_wheel: Callable[..., Path]) -> str:
    """A package in the only wheelhouse, for backends to require."""
    make_wheel("helper", "1.5")
    return "helper"


def test_what_the_backend_asks_for_is_there(
    project: Project, tmp_path: Path, interpreter: Interpreter, helper: str
) -> None:
    folder = project("import helper; assert helper.version == '1.5'")
    backend = folder / "backend.py"
    backend.write_text(
        f"{backend.read_text()}\n"
        "def get_requires_for_build_wheel(config_settings=None):\n"
        f"    return [{helper!r}]\n"
    )
    assert build_wheel(folder, tmp_path / "out", interpreter=interpreter).name == WHEEL
    # what was requested is in an environment of its own
    assert len([it for it in (tmp_path / "cache" / "backends").iterdir() if it.is_dir()]) == 2


@pytest.mark.parametrize(
    ("returned", "why"),
    [
        ("['nowhere-to-be-found']", "nowhere-to-be-found"),
        ("['--index-url=https://example.com']", "--index-url"),
        ("[3]", "got 'int'"),
        ("3", "not iterable"),
        ("1 / 0", "ZeroDivisionError"),
        ("os._exit(0)", "ended without a result"),
    ],
)
def test_what_a_backend_asks_for_in_vain(
    project: Project,
    tmp_path: Path,
    interpreter: Interpreter,
    helper: str,
    returned: str,
    why: str,
) -> None:
    folder = project()
    backend = folder / "backend.py"
    backend.write_text(
        f"{backend.read_text()}\ndef get_requires_for_build_wheel(config_settings=None):\n"
        f"    return {returned}\n"
    )
    with pytest.raises(SdkError) as caught:
        build_wheel(folder, tmp_path / "out", interpreter=interpreter)
    assert caught.value.code is Code.WHEEL_BUILD_FAILED
    assert why in caught.value.why
    assert caught.value.where.file == str(folder)


class Hearing(Recorder):
    """Creates a file when a backend speaks."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        self.file = file

    def note(self, text: str, /) -> None:
        super().note(text)
        self.file.touch()


def test_what_the_backend_says_is_told_as_it_comes(
    project: Project, tmp_path: Path, interpreter: Interpreter
) -> None:
    heard = tmp_path / "heard"
    folder = project(
        "print('one \\x1b[31m', flush=True)\n"
        f"    while not os.path.exists({str(heard)!r}): pass\n"
        "    print('two', file=sys.stderr); sys.stdout.buffer.write(b'\\xff\\r\\n')"
    )
    progress = Hearing(heard)
    build_wheel(folder, tmp_path / "out", interpreter=interpreter, progress=progress)
    assert sorted(progress.notes) == ["one \x1b[31m", "two", "\ufffd"]


def test_a_line_without_end_is_told_in_parts(
    project: Project, tmp_path: Path, interpreter: Interpreter
) -> None:
    progress = Recorder()
    folder = project("print('x' * 1_000_000)")
    build_wheel(folder, tmp_path / "out", interpreter=interpreter, progress=progress)
    assert "".join(progress.notes) == "x" * 1_000_000
    assert max(map(len, progress.notes)) < 100_000


def test_logins_that_are_uvs_own_stay_with_it(
    project: Project, tmp_path: Path, interpreter: Interpreter, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("UV_API_KEY", "UV_AUTH_TOKEN", "PYX_API_KEY", "PYX_AUTH_TOKEN"):
        monkeypatch.setenv(name, "s3cret")
    progress = Recorder()
    folder = project("print([it for it in os.environ if os.environ[it] == 's3cret'])")
    build_wheel(folder, tmp_path / "out", interpreter=interpreter, progress=progress)
    assert progress.notes == ["[]"]


@pytest.mark.parametrize(
    ("system", "why"),
    [
        ("build-system = 3\n", "must be a table"),
        ('[build-system]\nbuild-backend = "backend"\n', "`requires` is a required property"),
        ('[build-system]\nrequires = "x"\n', "must be an array of strings"),
        ('[build-system]\nrequires = ["a b"]\n', "a b"),
        ('[build-system]\nrequires = []\nbuild-backend = "x"\nbackend-path = [".."]\n', "inside"),
        ('[build-system]\nrequires = []\nbuild-backend = "x"\nbackend-path = ["no"]\n', "no"),
        ("[build-system", "pyproject.toml"),
        ("a = '\udcff'", "utf-8"),
    ],
)
def test_a_wrong_build_system_is_told(
    project: Project, tmp_path: Path, interpreter: Interpreter, system: str, why: str
) -> None:
    folder = project()
    (folder / "pyproject.toml").write_text(system, "utf-8", errors="surrogateescape")
    with pytest.raises(SdkError) as caught:
        build_wheel(folder, tmp_path / "out", interpreter=interpreter)
    assert caught.value.code is Code.WHEEL_BUILD_FAILED
    assert why in caught.value.why
    assert caught.value.where.file == str(folder)


def test_what_looks_like_a_misspelling_is_warned_of(
    project: Project, tmp_path: Path, interpreter: Interpreter
) -> None:
    folder = project()
    text = (folder / "pyproject.toml").read_text()
    (folder / "pyproject.toml").write_text(text.replace("[build-system]", "[build_system]"))
    progress = Recorder()
    with pytest.raises(SdkError):
        build_wheel(
            folder,
            tmp_path / "out",
            interpreter=interpreter,
            pins=["setuptools==0.0.1"],
            progress=progress,
        )
    (warning,) = progress.warnings
    assert "did you mean 'build-system'?" in warning


class Full(Recorder):
    """Can show nothing any more."""

    def note(self, text: str, /) -> None:
        raise SdkError(Code.NO_SPACE, f"No space for {text}", resolution="none")


def test_an_error_of_ours_in_the_midst_of_a_build_stays_what_it_is(
    project: Project, tmp_path: Path, interpreter: Interpreter
) -> None:
    folder = project("print('words', flush=True); sys.stdin.read()")
    with pytest.raises(SdkError, match="No space for words"):
        build_wheel(folder, tmp_path / "out", interpreter=interpreter, progress=Full())


def test_what_fails_meanwhile_is_told(
    project: Project, tmp_path: Path, interpreter: Interpreter
) -> None:
    def fails() -> None:
        raise SdkError(Code.NO_SPACE, "No space", resolution="none")

    with pytest.raises(SdkError, match="No space"):
        build_wheel(project(), tmp_path / "out", interpreter=interpreter, meanwhile=fails)
    assert not (tmp_path / "out").exists()


def test_a_source_archive_becomes_a_wheel(
    project: Project, tmp_path: Path, interpreter: Interpreter
) -> None:
    folder = project()
    archive = tmp_path / "demo-1.0.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(folder, "demo-1.0")
    wheel = build_wheel(archive, tmp_path / "out", interpreter=interpreter)
    other = build_wheel(folder, tmp_path / "other", interpreter=interpreter)
    assert wheel.read_bytes() == other.read_bytes()


@pytest.mark.network
def test_a_project_that_has_a_setup_py_alone(tmp_path: Path, interpreter: Interpreter) -> None:
    """Its backend is setuptools, with the project's directory on the path (PEP 517)."""
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "told.py").write_text("version = '1.0'\n")
    (folder / "setup.py").write_text(
        "import setuptools, told\n"
        "setuptools.setup(name='demo', version=told.version, py_modules=['told'])\n"
    )
    wheel = build_wheel(folder, tmp_path / "out", interpreter=interpreter)
    assert wheel.name == WHEEL
    # Python may leave the bytecode of what setup.py imports
    written = {it.name for it in folder.iterdir()} - {"__pycache__"}
    assert written == {"setup.py", "told.py"}
