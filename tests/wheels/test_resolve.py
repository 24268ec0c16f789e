from __future__ import annotations

import os
import tarfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tests.factories.projects import backend

from lls_provider.errors import Code, SdkError
from lls_provider.wheels import resolve as module
from lls_provider.wheels.distribution import Distribution
from lls_provider.wheels.fetch import fetch
from lls_provider.wheels.loading import load_distribution
from lls_provider.wheels.resolve import Lock, explained, make_lock, resolve

if TYPE_CHECKING:
    from lls_provider.wheels.interpreter import Interpreter
    from lls_provider.wheels.resolve import Closure

pytestmark = pytest.mark.slow

MACHINE = os.uname().machine

Resolve = Callable[..., "Closure"]


@pytest.fixture
def closure_of(interpreter: Interpreter) -> Resolve:
    def run(*requirements: str, **options: Any) -> Closure:
        options.setdefault("distribution", None)
        options.setdefault("interpreter", interpreter)
        return resolve(requirements, **options)

    return run


@pytest.fixture
def server(interpreter: Interpreter) -> Callable[..., Distribution]:
    def make(**pins: str) -> Distribution:
        return Distribution("server==1.0", pins, interpreter, None)

    return make


def names(closure: Closure) -> list[str]:
    return [f"{it.name}=={it.version}" for it in closure.packages]


def failure(closure_of: Resolve, *requirements: str, **options: Any) -> SdkError:
    with pytest.raises(SdkError) as caught:
        closure_of(*requirements, **options)
    return caught.value


def test_the_closure_is_everything_that_is_needed_by_name(
    offer: Any, make_wheel: Any, closure_of: Resolve
) -> None:
    deep = make_wheel("zebra")
    offer(make_wheel("demo", requires=["middle"]), make_wheel("middle", requires=["zebra"]), deep)
    closure = closure_of("demo")
    assert names(closure) == ["demo==1.0", "middle==1.0", "zebra==1.0"]
    assert closure.provided == {}
    last = closure.packages[-1]
    assert last.filename == deep.name
    assert last.url.endswith(deep.name)
    assert last.sha256 is not None
    assert len(last.sha256) == 64
    assert not last.is_source


def test_what_the_server_provides_is_left_out(
    offer: Any, make_wheel: Any, closure_of: Resolve, server: Any
) -> None:
    offer(
        make_wheel("demo", requires=["shared", "own-thing"]),
        make_wheel("shared", "1.0"),
        make_wheel("shared", "2.0"),
        make_wheel("own_thing"),
    )
    closure = closure_of("demo", distribution=server(shared="1.0", unused="3.0"))
    assert names(closure) == ["demo==1.0", "own-thing==1.0"]
    assert closure.provided == {"shared": "1.0"}


def test_what_is_there_already_is_left_out_and_not_held_to_the_servers_version(
    offer: Any, make_wheel: Any, closure_of: Resolve, server: Any
) -> None:
    offer(make_wheel("demo", "2.0", requires=["helper"]), make_wheel("helper"))
    closure = closure_of("demo==2.0", own=["Demo"], distribution=server(demo="1.0"))
    assert names(closure) == ["helper==1.0"]
    assert closure.provided == {}


def test_markers_are_those_of_the_target(
    offer: Any, make_wheel: Any, closure_of: Resolve, interpreter: Interpreter
) -> None:
    minor = f"{interpreter.version[0]}.{interpreter.version[1]}"
    offer(
        make_wheel(
            "demo",
            requires=[
                "linux-only; sys_platform == 'linux'",
                "windows-only; sys_platform == 'win32'",
                f"this-python; python_version == '{minor}'",
                f"next-python; python_version > '{minor}'",
                f"this-machine; platform_machine == '{MACHINE}'",
                "exact; python_full_version >= '{}.{}.{}'".format(*interpreter.version),
            ],
        ),
        *(
            make_wheel(name)
            for name in (
                "linux_only",
                "windows_only",
                "this_python",
                "next_python",
                "this_machine",
                "exact",
            )
        ),
    )
    assert names(closure_of("demo")) == [
        "demo==1.0",
        "exact==1.0",
        "linux-only==1.0",
        "this-machine==1.0",
        "this-python==1.0",
    ]


def test_extras_bring_what_they_ask_for(offer: Any, make_wheel: Any, closure_of: Resolve) -> None:
    offer(
        make_wheel("demo", requires=["big; extra == 'all'"], extras=["all"]),
        make_wheel("big"),
    )
    assert names(closure_of("demo")) == ["demo==1.0"]
    assert names(closure_of("demo[all]")) == ["big==1.0", "demo==1.0"]


def test_a_wheel_for_this_target_is_preferred_to_one_for_any(
    offer: Any, make_wheel: Any, closure_of: Resolve, interpreter: Interpreter
) -> None:
    tag = interpreter.tag
    fits = make_wheel("demo", tag=f"{tag}-{tag}-manylinux_2_17_{MACHINE}")
    offer(
        make_wheel("demo"),
        make_wheel("demo", tag=f"{tag}-{tag}-manylinux_2_39_{MACHINE}"),
        make_wheel("demo", tag=f"{tag}-{tag}-macosx_11_0_arm64"),
        fits,
    )
    assert [it.filename for it in closure_of("demo").packages] == [fits.name]


def test_a_package_without_a_wheel_for_the_target_is_told(
    offer: Any, make_wheel: Any, closure_of: Resolve, interpreter: Interpreter
) -> None:
    tag = interpreter.tag
    offer(make_wheel("demo", tag=f"{tag}-{tag}-manylinux_2_39_{MACHINE}"))
    error = failure(closure_of, "demo")
    assert error.code is Code.WHEEL_INCOMPATIBLE
    assert "demo" in error.why
    assert tag in error.resolution


def test_an_override_replaces_a_bound(offer: Any, make_wheel: Any, closure_of: Resolve) -> None:
    offer(make_wheel("demo", requires=["helper<2"]), make_wheel("helper", "2.0"))
    assert failure(closure_of, "demo").code is Code.RESOLUTION_FAILED
    assert names(closure_of("demo", overrides=["helper==2.0"])) == ["demo==1.0", "helper==2.0"]


def test_an_unsatisfiable_requirement_is_explained_and_says_what_the_server_has(
    offer: Any, make_wheel: Any, closure_of: Resolve, server: Any
) -> None:
    offer(
        make_wheel("demo", requires=["shared>=2"]),
        make_wheel("shared", "1.0"),
        make_wheel("shared", "2.0"),
    )
    error = failure(closure_of, "demo", distribution=server(shared="1.0", other="1.0"))
    assert error.code is Code.RESOLUTION_FAILED
    assert "demo depend on shared>=2" in error.why
    assert error.why.endswith("server==1.0 provides shared==1.0; what it provides is not replaced.")
    assert "against server==1.0" in error.what


def test_without_a_server_none_is_named(offer: Any, make_wheel: Any, closure_of: Resolve) -> None:
    offer(make_wheel("demo", requires=["shared>=2"]), make_wheel("shared", "1.0"))
    error = failure(closure_of, "demo")
    assert "provides" not in error.why
    assert "--override" in error.resolution


@pytest.mark.parametrize(
    ("why", "named"),
    [
        ("because you require shared==1.0 and", "shared==1.0"),
        ("because you require shared==1.0.", "shared==1.0"),
        ("shared==1.0.1", None),
        ("not-shared==1.0", None),
        ("a.shared==1.0", None),
        ("shared>=1.0", None),
        ("a==2 and shared==1.0", "a==2, shared==1.0"),
    ],
)
def test_only_versions_of_the_explanation_are_named(why: str, named: str | None) -> None:
    text = explained(why, {"a": "2", "shared": "1.0"}, "server")
    note = f"\n\nserver provides {named}; what it provides is not replaced."
    assert text == (why + note if named else why)


def test_an_index_that_is_down_is_the_network(
    offer: Any, index: Any, make_wheel: Any, closure_of: Resolve
) -> None:
    url = offer(make_wheel("demo"))
    index.faults[url.removeprefix(index.url) + "/demo/"] = ["503"] * 9
    assert failure(closure_of, "demo").code is Code.NETWORK


def test_a_package_that_no_index_has_is_told(
    offer: Any, make_wheel: Any, closure_of: Resolve
) -> None:
    offer(make_wheel("demo", requires=["misspelt-helper"]))
    error = failure(closure_of, "demo")
    assert error.code is Code.RESOLUTION_FAILED
    assert "misspelt-helper" in error.why


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A project that needs nothing to be built."""
    folder = tmp_path / "sources" / "native-1.0"
    folder.mkdir(parents=True)
    (folder / "pyproject.toml").write_text(
        '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
        '[project]\nname = "native"\nversion = "1.0"\n'
    )
    (folder / "PKG-INFO").write_text("Metadata-Version: 2.2\nName: native\nVersion: 1.0\n")
    (folder / "backend.py").write_text(backend("native"))
    return folder


def test_what_exists_as_source_only_is_in_the_closure_as_source(
    offer: Any,
    make_wheel: Any,
    closure_of: Resolve,
    source: Path,
    interpreter: Interpreter,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    archive = source.parent / "native-1.0.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(source, source.name)
    offer(make_wheel("demo", requires=["native"]), archive)
    closure = closure_of("demo")
    assert [(it.filename, it.is_source) for it in closure.packages] == [
        ("demo-1.0-py3-none-any.whl", False),
        ("native-1.0.tar.gz", True),
    ]
    monkeypatch.setenv("LLS_PROVIDER_CACHE", str(tmp_path / "cache"))
    files = fetch(closure.packages, interpreter=interpreter)
    assert [it.name for it in files] == ["demo-1.0-py3-none-any.whl", "native-1.0-py3-none-any.whl"]


def test_a_folder_is_a_source_without_a_hash(closure_of: Resolve, source: Path) -> None:
    (package,) = closure_of(f"native @ {source.as_uri()}").packages
    assert (package.url, package.sha256, package.is_source) == (source.as_uri(), None, True)


def test_a_file_of_this_machine_keeps_its_hash(closure_of: Resolve, make_wheel: Any) -> None:
    wheel = make_wheel("demo")
    (package,) = closure_of(f"demo @ {wheel.as_uri()}").packages
    assert (package.url, package.filename) == (wheel.as_uri(), wheel.name)
    assert package.sha256 is not None


def test_relative_paths_start_from_the_base(
    closure_of: Resolve, make_wheel: Any, source: Path, tmp_path: Path
) -> None:
    wheel = make_wheel("demo")
    closure = closure_of(
        f"./{wheel.parent.name}/{wheel.name}", "./sources/native-1.0", base=tmp_path
    )
    assert [it.url for it in closure.packages] == [wheel.as_uri(), source.as_uri()]


def lock(body: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let uv have written another lock."""
    text = 'lock-version = "1.0"\ncreated-by = "uv"\n' + body
    monkeypatch.setattr(module, "_compile", lambda *_args, **_named: Lock(text, Path("/nowhere")))


def test_what_comes_from_version_control_is_refused(
    closure_of: Resolve, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock(
        '[[packages]]\nname = "demo"\n[packages.vcs]\ntype = "git"\n'
        'url = "https://git.example/demo"\ncommit-id = "0123456789abcdef"\n',
        monkeypatch,
    )
    error = failure(closure_of, "demo")
    assert error.code is Code.RESOLUTION_FAILED
    assert "version control" in error.what


@pytest.mark.parametrize("body", ["[[packages]", "[[packages]]\nversion = '1.0'\n"])
def test_a_lock_that_cannot_be_read_is_told(
    closure_of: Resolve, monkeypatch: pytest.MonkeyPatch, body: str
) -> None:
    lock(body, monkeypatch)
    assert failure(closure_of, "demo").code is Code.TOOL_FAILED


def test_a_file_is_named_by_its_address_when_the_lock_does_not_name_it(
    closure_of: Resolve, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = "https://index.example/a/demo-1.0%2Blocal-py3-none-any.whl?download=1#fragment"
    lock(
        '[[packages]]\nname = "demo"\nversion = "1.0+local"\n'
        f'[[packages.wheels]]\nurl = "{url}"\nsize = 7\nhashes = {{sha256 = "{"0" * 64}"}}\n',
        monkeypatch,
    )
    (package,) = closure_of("demo").packages
    assert (package.filename, package.size) == ("demo-1.0+local-py3-none-any.whl", 7)


def test_another_python_gets_its_own_closure(
    offer: Any, make_wheel: Any, closure_of: Resolve, interpreter: Interpreter
) -> None:
    """The markers are evaluated for the version that was given, patch level included."""
    major, minor, micro = interpreter.version
    offer(
        make_wheel("demo", requires=[f"late; python_full_version > '{major}.{minor}.{micro}'"]),
        make_wheel("late"),
    )
    later = replace(interpreter, version=(major, minor, micro + 1))
    assert names(closure_of("demo")) == ["demo==1.0"]
    assert names(closure_of("demo", interpreter=later)) == ["demo==1.0", "late==1.0"]


@pytest.mark.network
def test_a_version_that_its_index_withdrew_is_told(interpreter: Interpreter) -> None:
    from tests.recorder import Recorder

    heard = Recorder()
    make_lock(["attrs==21.1.0"], distribution=None, interpreter=interpreter, progress=heard)
    load_distribution("attrs==21.1.0", python=str(interpreter.path), progress=heard)
    told = "attrs==21.1.0 is yanked: Installable but not importable on Python 3.4."
    assert heard.warnings == [told, told]
