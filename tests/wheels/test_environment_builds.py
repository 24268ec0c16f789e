from __future__ import annotations

import fcntl
import subprocess
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import uv
from tests.factories.projects import backend

from lls_provider.errors import Code, SdkError
from lls_provider.wheels.environment import BuildEnvironment, backend_pins, build_environment

if TYPE_CHECKING:
    from lls_provider.wheels.interpreter import Interpreter

pytestmark = pytest.mark.slow

MakeWheel = Callable[..., Path]


@pytest.fixture
def wheels(wheelhouse: Path, make_wheel: MakeWheel) -> Path:
    """A wheelhouse that has two versions of `maker`."""
    for version in ("1.0", "2.0"):
        make_wheel("maker", version)
    return wheelhouse


@pytest.fixture
def seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file that has a line for each call of uv: its first words, and whether it is offline."""
    seen = tmp_path / "seen"
    program = tmp_path / "uv-seen"
    program.write_text(
        f'#!/bin/sh\necho "$1 $2 offline=$UV_OFFLINE" >>{seen}\nexec {uv.find_uv_bin()} "$@"\n'
    )
    program.chmod(0o755)
    monkeypatch.setattr(uv, "find_uv_bin", lambda: str(program))
    return seen


def version(environment: BuildEnvironment) -> str:
    """The version of `maker` that an environment has."""
    code = "import maker; print(maker.version)"
    return said([environment.python_executable, "-c", code])


def said(command: list[str]) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def module(environment: BuildEnvironment) -> Path:
    (path,) = environment.directory.glob("lib/python3.*/site-packages/maker.py")
    return path


def test_it_has_what_is_required_and_is_made_once(
    wheels: Path, seen: Path, interpreter: Interpreter
) -> None:
    for _ in range(2):
        with build_environment(["maker"], interpreter=interpreter) as made:
            assert version(made) == "2.0"
            code = "import sys; print(*sys.version_info[:2])"
            assert said([made.python_executable, "-c", code]) == "{} {}".format(*interpreter.minor)
    assert [it.split()[:2] for it in seen.read_text().splitlines()] == [
        ["pip", "compile"],
        ["venv", "--quiet"],
        ["pip", "install"],
        ["pip", "compile"],
    ]


def test_its_variables_are_those_of_an_activated_one(
    wheels: Path, interpreter: Interpreter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/somewhere:/else")
    with build_environment([], interpreter=interpreter) as made:
        assert made.make_extra_environ() == {
            "PATH": f"{made.directory}/bin:/somewhere:/else",
            "VIRTUAL_ENV": str(made.directory),
        }


def test_other_versions_are_another_environment(wheels: Path, interpreter: Interpreter) -> None:
    with (
        build_environment(["maker"], interpreter=interpreter) as new,
        build_environment(["maker<2"], interpreter=interpreter) as old,
        build_environment(["maker"], interpreter=interpreter, pins=["maker==1.0"]) as pinned,
    ):
        assert (version(new), version(old)) == ("2.0", "1.0")
        assert pinned == old


def test_another_content_of_a_version_is_another_environment(
    wheels: Path, interpreter: Interpreter
) -> None:
    """Indexes may have different files of one version: the key has their hashes."""
    with build_environment(["maker==1.0"], interpreter=interpreter) as made:
        assert version(made) == "1.0"
    path = wheels / "maker-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    members["maker.py"] = b"version = 'another'\n"
    members["maker-1.0.dist-info/RECORD"] = b"maker.py,,\n"
    path.unlink()
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    with build_environment(["maker==1.0"], interpreter=interpreter) as other:
        assert version(other) == "another"
    assert other != made


@pytest.mark.parametrize("way", ["change", "add", "remove", "half"])
def test_what_a_backend_changed_is_made_anew(
    wheels: Path, interpreter: Interpreter, way: str
) -> None:
    with build_environment(["maker"], interpreter=interpreter) as made:
        file = module(made)
        match way:
            case "change":
                file.write_text("version = 'poison'\n")
            case "add":
                file.with_name("sitecustomize.py").write_text("import maker; maker.version = 'x'\n")
            case "remove":
                file.unlink()
            case "half":
                (made.directory / ".complete").unlink()
                file.unlink()
    with build_environment(["maker"], interpreter=interpreter) as again:
        assert again == made
        assert version(again) == "2.0"
        assert not file.with_name("sitecustomize.py").exists()


def test_bytecode_is_no_change(wheels: Path, seen: Path, interpreter: Interpreter) -> None:
    with build_environment(["maker"], interpreter=interpreter) as made:
        said([made.python_executable, "-m", "compileall", "-q", str(module(made).parent)])
    with build_environment(["maker"], interpreter=interpreter) as made:
        assert (module(made).parent / "__pycache__").is_dir()
    assert seen.read_text().count("pip install") == 1


def test_what_is_in_use_is_not_made_anew(wheels: Path, interpreter: Interpreter) -> None:
    with build_environment(["maker"], interpreter=interpreter) as made:
        lock = made.directory.with_name(f"{made.directory.name}.lock")
        with lock.open() as stream:
            fcntl.flock(stream, fcntl.LOCK_SH | fcntl.LOCK_NB)
            with pytest.raises(BlockingIOError):
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_several_at_once_make_it_once(wheels: Path, seen: Path, interpreter: Interpreter) -> None:
    def use(_number: int) -> str:
        with build_environment(["maker"], interpreter=interpreter) as made:
            return version(made)

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(use, range(4))) == ["2.0"] * 4
    assert seen.read_text().count("pip install") == 1


def test_one_that_cannot_be_made_leaves_nothing(
    wheels: Path, tmp_path: Path, interpreter: Interpreter
) -> None:
    (wheels / "maker-2.0-py3-none-any.whl").write_bytes(b"no zip")
    with pytest.raises(SdkError), build_environment(["maker==2.0"], interpreter=interpreter):
        pytest.fail("it has no maker")
    assert [it for it in (tmp_path / "cache").glob("backends/*") if it.is_dir()] == []


def test_no_file_of_it_is_one_of_uvs_cache(wheels: Path, interpreter: Interpreter) -> None:
    """Whoever writes into it must not write into the cache, where every environment comes from."""
    with build_environment(["maker"], interpreter=interpreter) as made:
        assert module(made).stat().st_nlink == 1


def test_a_folder_is_installed_as_it_is_now(
    wheels: Path, tmp_path: Path, interpreter: Interpreter
) -> None:
    folder = tmp_path / "maker"
    folder.mkdir()
    (folder / "pyproject.toml").write_text(
        '[build-system]\nrequires = []\nbuild-backend = "own"\nbackend-path = ["."]\n'
        '[project]\nname = "maker"\nversion = "3.0"\n'
    )
    module = '{"maker.py": pathlib.Path("maker.py").read_text()}'
    (folder / "own.py").write_text(backend("maker", "3.0", files=module))
    for told in ("first", "second"):
        (folder / "maker.py").write_text(f"version = {told!r}\n")
        # what uv reads to see whether a directory has changed
        (folder / "pyproject.toml").touch()
        with build_environment(
            [f"maker @ {folder.as_uri()}"], interpreter=interpreter
        ) as environment:
            assert version(environment) == told
    assert not environment.directory.exists()


@pytest.mark.parametrize(
    "line", ["--index-url=https://example.com", "-r other.txt", "-e .", "maker\n-r other.txt", ""]
)
def test_what_is_no_requirement_is_refused(
    wheels: Path, interpreter: Interpreter, line: str
) -> None:
    with pytest.raises(SdkError) as caught, build_environment([line], interpreter=interpreter):
        pytest.fail("uv would have read it as an option")
    assert caught.value.code is Code.WHEEL_BUILD_FAILED
    with pytest.raises(SdkError):
        backend_pins([line], interpreter=interpreter, base=None)


@pytest.fixture(params=["variable", "setting"])
def constrained(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Path]:
    """A project whose builds, and no others, are to have `maker` 1.0."""
    folder = tmp_path / "base"
    folder.mkdir()
    if request.param == "variable":
        (tmp_path / "build.txt").write_text("maker==1.0\n")
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("UV_BUILD_CONSTRAINT", "build.txt")
    else:
        (folder / "pyproject.toml").write_text(
            '[tool.uv]\nbuild-constraint-dependencies = ["maker==1.0"]\n'
        )
    for name in ("UV_CONSTRAINT", "UV_OVERRIDE"):
        (tmp_path / name).write_text("maker==2.0\n")
        monkeypatch.setenv(name, str(tmp_path / name))
    yield folder


def test_constraints_of_builds_hold_and_others_do_not(
    wheels: Path, constrained: Path, interpreter: Interpreter
) -> None:
    with build_environment(["maker"], interpreter=interpreter, base=constrained) as made:
        assert version(made) == "1.0"
    assert backend_pins(["maker"], interpreter=interpreter, base=constrained) == ("maker==1.0",)


def test_with_versions_the_cache_is_asked_first(
    wheels: Path, seen: Path, interpreter: Interpreter
) -> None:
    with build_environment(["maker"], interpreter=interpreter, pins=["maker==2.0"]) as made:
        assert version(made) == "2.0"
    assert {it.split()[2] for it in seen.read_text().splitlines()} == {"offline=1"}


def test_a_failure_while_it_is_used_is_no_reason_to_make_it_twice(
    wheels: Path, interpreter: Interpreter
) -> None:
    entered = []
    with (
        pytest.raises(SdkError, match="unreachable"),
        build_environment(["maker"], interpreter=interpreter, pins=["maker==2.0"]) as made,
    ):
        entered.append(made)
        raise SdkError(Code.NETWORK, "unreachable", resolution="none")
    assert len(entered) == 1
