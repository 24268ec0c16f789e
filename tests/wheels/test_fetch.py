from __future__ import annotations

import hashlib
import os
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from lls_provider.errors import Code, SdkError
from lls_provider.wheels.fetch import fetch
from lls_provider.wheels.resolve import LockedPackage

if TYPE_CHECKING:
    from lls_provider.progress import Advance
    from lls_provider.wheels.interpreter import Interpreter


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LLS_PROVIDER_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    return tmp_path / "cache"


class Told:
    def __init__(self) -> None:
        self.steps: list[str] = []
        self.warnings: list[str] = []
        self.bytes = 0

    def step(self, text: str, /) -> None:
        self.steps.append(text)

    def note(self, text: str, /) -> None:
        self.steps.append(text)

    def warn(self, text: str, /) -> None:
        self.warnings.append(text)

    @contextmanager
    def task(self, label: str, total: int, /) -> Iterator[Advance]:
        def advance(amount: int) -> None:
            self.bytes += amount

        yield advance
        assert self.bytes == total


def locked(path: Path, url: str, *, filename: str | None = None) -> LockedPackage:
    data = path.read_bytes()
    name = filename or path.name
    return LockedPackage(
        path.name.partition("-")[0],
        "1.0",
        name,
        url,
        hashlib.sha256(data).hexdigest(),
        len(data),
        is_source=not name.endswith(".whl"),
    )


def test_wheels_come_in_the_order_of_the_closure_under_their_own_names(
    index: Any, make_wheel: Any, interpreter: Interpreter
) -> None:
    wheels = [make_wheel(f"demo{number}") for number in range(12)]
    told = Told()
    packages = [locked(wheel, index.serve(wheel)) for wheel in wheels]
    files = fetch(packages, interpreter=interpreter, progress=told)
    assert [file.name for file in files] == [wheel.name for wheel in wheels]
    assert [file.read_bytes() for file in files] == [wheel.read_bytes() for wheel in wheels]


def test_a_second_run_needs_no_network(
    index: Any, make_wheel: Any, interpreter: Interpreter
) -> None:
    wheel = make_wheel("demo")
    packages = [locked(wheel, index.serve(wheel))]
    first = fetch(packages, interpreter=interpreter)
    index.requests.clear()
    told = Told()
    assert fetch(packages, interpreter=interpreter, progress=told) == first
    assert index.requests == []
    assert told.steps == []


def test_only_what_is_missing_is_fetched_and_counted(
    index: Any, make_wheel: Any, interpreter: Interpreter
) -> None:
    wheels = [make_wheel(f"demo{number}") for number in range(3)]
    packages = [locked(wheel, index.serve(wheel)) for wheel in wheels]
    (middle,) = fetch(packages[1:2], interpreter=interpreter)
    told = Told()
    files = fetch(packages, interpreter=interpreter, progress=told)
    assert [file.name for file in files] == [wheel.name for wheel in wheels]
    assert files[1] == middle
    assert told.steps[0].startswith("fetching 2 packages (")


def test_nothing_to_fetch_is_nothing(interpreter: Interpreter) -> None:
    assert fetch([], interpreter=interpreter) == []


def test_one_bad_file_fails_the_whole(
    index: Any, make_wheel: Any, interpreter: Interpreter
) -> None:
    wheels = [make_wheel(f"demo{number}") for number in range(4)]
    packages = [locked(wheel, index.serve(wheel)) for wheel in wheels]
    index.files[f"/{wheels[2].name}"] = b"something else"
    with pytest.raises(SdkError) as caught:
        fetch(packages, interpreter=interpreter)
    assert caught.value.code is Code.HASH_MISMATCH
    assert wheels[2].name in caught.value.what


@pytest.mark.parametrize("name", ["../evil.whl", "/etc/evil.whl", "..", "a/b.whl", ""])
def test_an_index_cannot_choose_a_path(
    make_wheel: Any, index: Any, interpreter: Interpreter, own_cache: Path, name: str
) -> None:
    wheel = make_wheel("demo")
    package = LockedPackage("demo", "1.0", name, index.serve(wheel), "0" * 64, 1, is_source=False)
    with pytest.raises(SdkError):
        fetch([package], interpreter=interpreter)
    assert index.requests == []


def test_a_file_without_a_hash_is_refused(index: Any, interpreter: Interpreter) -> None:
    package = LockedPackage(
        "demo", "1.0", "demo.whl", f"{index.url}/demo.whl", None, None, is_source=False
    )
    with pytest.raises(SdkError) as caught:
        fetch([package], interpreter=interpreter)
    assert caught.value.code is Code.HASH_MISMATCH


def test_a_local_file_is_used_where_it_is(make_wheel: Any, interpreter: Interpreter) -> None:
    wheel = make_wheel("demo")
    assert fetch([locked(wheel, wheel.as_uri())], interpreter=interpreter) == [wheel]


def test_a_local_file_that_changed_is_refused(make_wheel: Any, interpreter: Interpreter) -> None:
    wheel = make_wheel("demo")
    package = locked(wheel, wheel.as_uri())
    wheel.write_bytes(b"changed")
    with pytest.raises(SdkError) as caught:
        fetch([package], interpreter=interpreter)
    assert caught.value.code is Code.HASH_MISMATCH


def test_a_local_file_that_is_gone_is_told(make_wheel: Any, interpreter: Interpreter) -> None:
    wheel = make_wheel("demo")
    package = locked(wheel, wheel.as_uri())
    wheel.unlink()
    with pytest.raises(SdkError) as caught:
        fetch([package], interpreter=interpreter)
    assert caught.value.code is Code.FILE_MISSING


@pytest.mark.network
def test_an_sdist_becomes_a_wheel_once(tmp_path: Path, interpreter: Interpreter) -> None:
    """setuptools, the backend, comes from PyPI."""
    import tarfile

    project = tmp_path / "demo-1.0"
    project.mkdir()
    (project / "pyproject.toml").write_text('[project]\nname = "demo"\nversion = "1.0"\n')
    (project / "demo.py").write_text("")
    archive = tmp_path / "demo-1.0.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(project, "demo-1.0")
    package = locked(archive, archive.as_uri())
    told = Told()
    (wheel,) = fetch([package], interpreter=interpreter, progress=told)
    assert wheel.name == "demo-1.0-py3-none-any.whl"
    assert "demo.py" in zipfile.ZipFile(wheel).namelist()
    assert told.warnings == []
    again = Told()
    assert fetch([package], interpreter=interpreter, progress=again) == [wheel]
    assert not [step for step in again.steps if step.startswith("building")]
    # what is pure is for every machine
    assert fetch([package], interpreter=interpreter, machine="riscv64") == [wheel]


@pytest.mark.network
def test_a_compiled_wheel_is_warned_of(tmp_path: Path, interpreter: Interpreter) -> None:
    project = tmp_path / "native"
    project.mkdir()
    (project / "pyproject.toml").write_text('[project]\nname = "native"\nversion = "1.0"\n')
    (project / "setup.py").write_text(
        "from setuptools import setup\n"
        "from setuptools.dist import Distribution\n"
        "class Native(Distribution):\n"
        "    def has_ext_modules(self):\n"
        "        return True\n"
        "setup(distclass=Native, py_modules=[])\n"
    )
    package = LockedPackage("native", "1.0", "native", project.as_uri(), None, None, is_source=True)
    told = Told()
    (wheel,) = fetch([package], interpreter=interpreter, progress=told)
    assert interpreter.tag in wheel.name
    assert len(told.warnings) == 1
    assert "compiled on this machine" in told.warnings[0]
    fetch([package], interpreter=interpreter, machine=os.uname().machine)
    with pytest.raises(SdkError, match=r"native-1\.0.* compiled on this machine") as caught:
        fetch([package], interpreter=interpreter, machine="riscv64")
    assert caught.value.code is Code.WHEEL_INCOMPATIBLE
    assert "linux/riscv64" in caught.value.what
    assert sorted(it.name for it in project.iterdir()) == ["pyproject.toml", "setup.py"]
