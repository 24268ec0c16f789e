"""A requirement counts for the targets of the image only (contract decision 13)."""

from __future__ import annotations

import io
import os
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lls_provider.errors import Code, SdkError

pytestmark = pytest.mark.slow

MACHINE = os.uname().machine
OTHER = "aarch64" if MACHINE == "x86_64" else "x86_64"
ELSEWHERE = [
    "sys_platform == 'win32'",
    "platform_system == 'Darwin'",
    "os_name == 'nt'",
    f"platform_machine == '{OTHER}'",
    "platform_machine == 's390x'",
    "implementation_name == 'pypy'",
    "platform_python_implementation == 'PyPy'",
    "python_version < '3.9'",
    "python_version >= '3.99'",
    "sys_platform == 'linux' and platform_machine == 's390x'",
]
HERE = [
    "sys_platform == 'linux'",
    "os_name == 'posix'",
    f"platform_machine == '{MACHINE}'",
    "implementation_name == 'cpython'",
    "python_version >= '3.9'",
    "sys_platform != 'win32'",
]


@pytest.mark.parametrize("marker", ELSEWHERE)
@pytest.mark.parametrize("indexed", [True, False])
def test_a_bound_for_another_system_is_no_conflict_with_the_server(
    offer: Any, make_wheel: Any, gathered: Any, marker: str, indexed: bool
) -> None:
    offer(
        make_wheel("demo", requires=[f"packaging<20; {marker}", "other"]),
        make_wheel("other", requires=["packaging>=21"]),
        make_wheel("packaging", "19.0"),
        make_wheel("packaging", "26.0"),
    )
    found = gathered("demo", {"packaging": "26.0"}, indexed=indexed)
    assert [it.name for it in found.packages] == ["demo", "other"]
    assert found.provided == {"packaging": "26.0"}


@pytest.mark.parametrize("marker", ELSEWHERE)
@pytest.mark.parametrize("needed", ["nowhere>=1", "old>=9", "old<1"])
def test_what_cannot_be_had_for_another_system_is_not_missed(
    offer: Any, make_wheel: Any, gathered: Any, marker: str, needed: str
) -> None:
    offer(
        make_wheel("demo", requires=[f"{needed}; {marker}"]),
        make_wheel("old", "1.0"),
    )
    assert [it.name for it in gathered("demo").packages] == ["demo"]


@pytest.mark.parametrize("marker", ELSEWHERE)
def test_an_extra_for_another_system_need_not_be_known(
    offer: Any, make_wheel: Any, gathered: Any, marker: str
) -> None:
    """Neither the server's metadata nor an index reports what it brings."""
    offer(make_wheel("demo", requires=["corp", f"corp[fast]; {marker}"]))
    found = gathered("demo", {"corp": "1.4"}, indexed=False, requires=None)
    assert [it.name for it in found.packages] == ["demo"]
    assert found.provided == {"corp": "1.4"}


BACKEND = '[build-system]\nrequires = []\nbuild-backend = "fails"\nbackend-path = ["."]\n'
LACKING = '[build-system]\nrequires = ["nowhere"]\nbuild-backend = "nowhere"\n'


@pytest.fixture
def source(tmp_path: Path) -> Callable[[str], Path]:
    """Writes a source archive of `only` that cannot be built on this machine."""

    def make(backend: str) -> Path:
        path = tmp_path / "only-1.0.tar.gz"
        with tarfile.open(path, "w:gz") as archive:
            for name, text in {
                "PKG-INFO": "Metadata-Version: 2.1\nName: only\nVersion: 1.0\n",
                "pyproject.toml": backend,
                "fails.py": "raise SystemExit('not on this system')\n",
            }.items():
                member = tarfile.TarInfo(f"only-1.0/{name}")
                member.size = len(text)
                archive.addfile(member, io.BytesIO(text.encode()))
        return path

    return make


@pytest.mark.parametrize("marker", ELSEWHERE)
@pytest.mark.parametrize("backend", [BACKEND, LACKING], ids=["fails", "lacking"])
def test_what_cannot_be_built_here_is_not_built_for_another_system(
    offer: Any, make_wheel: Any, gathered: Any, source: Any, marker: str, backend: str
) -> None:
    offer(make_wheel("demo", requires=[f"only; {marker}"]), source(backend))
    assert [it.name for it in gathered("demo").packages] == ["demo"]


@pytest.mark.parametrize("marker", HERE)
def test_what_cannot_be_built_for_the_target_is_told(
    offer: Any, make_wheel: Any, gathered: Any, source: Any, marker: str
) -> None:
    offer(make_wheel("demo", requires=[f"only; {marker}"]), source(BACKEND))
    with pytest.raises(SdkError) as caught:
        gathered("demo")
    assert "Failed to build `only==1.0`" in caught.value.why
    assert "not on this system" in caught.value.why


@pytest.mark.parametrize("marker", HERE)
def test_a_bound_for_the_target_is_a_conflict(
    offer: Any, make_wheel: Any, gathered: Any, marker: str
) -> None:
    offer(
        make_wheel("demo", requires=[f"packaging<20; {marker}"]),
        make_wheel("packaging", "19.0"),
        make_wheel("packaging", "26.0"),
    )
    with pytest.raises(SdkError) as caught:
        gathered("demo", {"packaging": "26.0"})
    assert caught.value.code is Code.RESOLUTION_FAILED
    assert "server-0 provides packaging==26.0" in caught.value.why
    assert "--override 'packaging==26.0'" in caught.value.resolution


def test_the_explanation_is_about_the_target(offer: Any, make_wheel: Any, gathered: Any) -> None:
    """What is wrong on another system as well is not what is reported."""
    offer(
        make_wheel("demo", requires=["nowhere; sys_platform == 'win32'", "packaging<20"]),
        make_wheel("packaging", "19.0"),
        make_wheel("packaging", "26.0"),
    )
    with pytest.raises(SdkError) as caught:
        gathered("demo", {"packaging": "26.0"})
    assert "nowhere" not in caught.value.why
    assert "hint:" not in caught.value.why
    assert "packaging<20" in caught.value.why


def test_one_of_several_machines_that_conflicts_is_enough(
    offer: Any, make_wheel: Any, gathered: Any
) -> None:
    offer(
        make_wheel("demo", requires=[f"packaging<20; platform_machine == '{OTHER}'"]),
        make_wheel("packaging", "19.0"),
        make_wheel("packaging", "26.0"),
    )
    pins = {"packaging": "26.0"}
    assert gathered("demo", pins).provided == {}
    with pytest.raises(SdkError, match="No set of packages") as caught:
        gathered("demo", pins, machines=(MACHINE, OTHER))
    assert "--bundle packaging: another platform's image gets its own" in caught.value.resolution
    assert gathered("demo", pins, machines=(MACHINE, "s390x")).provided == {}


@pytest.mark.parametrize("name", ["uv.toml", "pyproject.toml"])
def test_uvs_settings_of_the_project_hold_for_a_restricted_resolution(
    offer: Any,
    make_wheel: Any,
    gathered: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
) -> None:
    """Paths in them are meant from their file."""
    offer(make_wheel("unused"))
    monkeypatch.delenv("UV_FIND_LINKS")
    project = tmp_path / "project"
    (project / "wheels").mkdir(parents=True)
    for wheel in (
        make_wheel("demo", requires=["nowhere; sys_platform == 'win32'", "dep"]),
        make_wheel("dep"),
    ):
        (project / "wheels" / wheel.name).write_bytes(wheel.read_bytes())
    table = "[tool.uv]\n" if name == "pyproject.toml" else ""
    (project / name).write_text(f'{table}find-links = ["wheels"]\n')
    found = gathered("demo", base=project)
    assert [it.name for it in found.packages] == ["demo", "dep"]
