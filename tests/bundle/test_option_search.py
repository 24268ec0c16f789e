"""One failing build names the whole command that succeeds: each test runs what was printed."""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tests.factories.environments import make_environment

from lls_provider.bundle.option_search import Addition, Fix, has_module
from lls_provider.bundle.static_spec import StaticSpec
from lls_provider.wheels.uv import without_logins
from lls_provider.wheels.uv_messages import clashing_packages, unavailable_version

if TYPE_CHECKING:
    from tests.conftest import Cli

    from lls_provider.wheels.interpreter import Interpreter

pytestmark = pytest.mark.slow

PROVIDER = """\
class Config: ...
class RemoteProviderSpec:
    def __init__(self, api, provider_type):
        self.api, self.provider_type = api, provider_type
        self.module, self.config_class = "acme", Config
"""
ONE = PROVIDER + "def get_provider_spec(): return RemoteProviderSpec('safety', 'remote::acme')\n"
TWO = PROVIDER + (
    "def get_provider_spec(): return [RemoteProviderSpec('safety', f'remote::{it}') for it in 'ab']"
)
INIT = "async def get_adapter_impl(config, deps): ...\n"

Failing = Callable[..., list[list[str]]]


@pytest.fixture
def server_with(interpreter: Interpreter, make_wheel: Any, tmp_path: Path) -> Callable[..., str]:
    """The name of an environment with these packages."""

    def make(**pins: str) -> str:
        folder = tmp_path / "server"
        make_environment(interpreter.path, folder)
        wheels = [make_wheel(name, version) for name, version in pins.items()]
        if wheels:
            subprocess.run(
                [
                    *("uv", "pip", "install", "--quiet", "--no-deps", "--offline", "--no-index"),
                    *("--python", folder / "bin" / "python", *wheels),
                ],
                check=True,
            )
        return f"python:{folder}"

    return make


@pytest.fixture
def failing(cli: Cli, offer: Any, make_wheel: Any, tmp_path: Path) -> Failing:
    """Builds ``acme==1.0.0``, sees it fail, and returns the commands of the resolution."""

    def make(
        server: str,
        *others: Path,
        needs: tuple[str, ...] = (),
        files: dict[str, str] | None = None,
        fields: tuple[str, ...] = (),
    ) -> list[list[str]]:
        files = {"acme/__init__.py": INIT, "acme/provider.py": ONE, **(files or {})}
        fields = (*fields, *(f"Requires-Dist: {it}" for it in needs))
        offer(make_wheel("acme", "1.0.0", files=files, fields=fields), *others)
        done = cli(
            *("build", "--package", "acme==1.0.0", "--distribution", server),
            *("--output", f"oci:{tmp_path / 'out'}"),
        )
        assert done.returncode == 1, done.stderr
        assert not (tmp_path / "out").exists()
        lines = done.stderr.splitlines()
        return [shlex.split(line) for line in lines if line.startswith("  lls-provider build ")]

    return make


@pytest.fixture
def succeeds(cli: Cli, tmp_path: Path) -> Callable[[list[str]], str]:
    """Runs a command that was printed, and returns what it printed."""

    def run(command: list[str]) -> str:
        done = cli(*command[1:])
        assert done.returncode == 0, done.stderr
        assert (tmp_path / "out" / "index.json").is_file()
        return done.stderr + done.stdout

    return run


def overrides(command: list[str]) -> list[str]:
    return [command[place + 1] for place, word in enumerate(command) if word == "--override"]


@pytest.mark.parametrize(
    ("pins", "needs", "expected"),
    [
        ({"dep": "3.0"}, ("dep<2",), ["dep==3.0"]),
        ({"dep": "3.0", "other": "5"}, ("dep<2", "other==4"), ["dep==3.0", "other==5"]),
        # only the bounds that are not met
        ({"dep": "3.0", "other": "5"}, ("dep<2", "other>=4"), ["dep==3.0"]),
    ],
)
def test_bounds_that_the_server_does_not_meet_are_overridden_at_once(
    failing: Failing,
    succeeds: Any,
    server_with: Any,
    make_wheel: Any,
    pins: dict[str, str],
    needs: tuple[str, ...],
    expected: list[str],
) -> None:
    offered = [make_wheel("dep", it) for it in ("1.0", "3.0")]
    offered += [make_wheel("other", it) for it in ("4", "5")]
    (command,) = failing(server_with(**pins), *offered, needs=needs)
    assert sorted(overrides(command)) == expected
    succeeds(command)


def test_a_dependency_of_a_dependency_is_found_as_well(
    failing: Failing, succeeds: Any, server_with: Any, make_wheel: Any
) -> None:
    offered = [
        make_wheel("middle", "1.0", fields=["Requires-Dist: dep<2"]),
        *(make_wheel("dep", it) for it in ("1.0", "3.0")),
    ]
    (command,) = failing(server_with(dep="3.0"), *offered, needs=("middle",))
    assert overrides(command) == ["dep==3.0"]
    succeeds(command)


def test_a_local_version_that_no_index_has_becomes_its_public_one(
    failing: Failing, succeeds: Any, server_with: Any, make_wheel: Any
) -> None:
    offered = [make_wheel("dep", it) for it in ("0.14.0", "0.14.1", "0.15.0")]
    (command,) = failing(server_with(), *offered, needs=("dep==0.14.1+vendor.8",))
    assert overrides(command) == ["dep==0.14.1"]
    succeeds(command)


def test_bounds_of_two_packages_in_the_image_that_exclude_each_other(
    failing: Failing, succeeds: Any, server_with: Any, make_wheel: Any
) -> None:
    """The one with the newer releases wins."""
    offered = [
        make_wheel("left", "1.0", fields=["Requires-Dist: dep>=4.0.0"]),
        make_wheel("right", "1.0", fields=["Requires-Dist: dep>=3.0.0,<4.0"]),
        *(make_wheel("dep", it) for it in ("3.5", "4.2")),
    ]
    (command,) = failing(server_with(), *offered, needs=("left", "right"))
    assert overrides(command) == ["dep>=4.0.0"]
    succeeds(command)


@pytest.mark.parametrize(
    ("releases", "expected"),
    [
        (["1.0", "1.1", "2.0"], "dep<2.0"),
        (["1.9", "2.0", "2.0.1", "2.0.2"], "dep<2.0"),
        (["1.0", "2.0", "3.0", "4.0"], "dep<2.0"),
    ],
)
def test_a_release_that_still_has_the_module_is_looked_for(
    failing: Failing,
    succeeds: Any,
    server_with: Any,
    make_wheel: Any,
    releases: list[str],
    expected: str,
) -> None:
    offered = [
        make_wheel(
            "dep",
            it,
            files={"dep/__init__.py": ""} | ({"dep/old.py": ""} if it.startswith("1.") else {}),
        )
        for it in releases
    ]
    files = {"acme/provider.py": f"import dep.old\n{ONE}"}
    (command,) = failing(server_with(), *offered, needs=("dep",), files=files)
    assert overrides(command) == [expected]
    succeeds(command)


def test_a_release_that_still_has_the_name_is_looked_for(
    failing: Failing, succeeds: Any, server_with: Any, make_wheel: Any
) -> None:
    offered = [
        make_wheel("dep", "1.0", files={"dep/__init__.py": "Old = 1\n"}),
        make_wheel("dep", "2.0", files={"dep/__init__.py": ""}),
    ]
    files = {"acme/provider.py": f"from dep import Old\n{ONE}"}
    (command,) = failing(server_with(), *offered, needs=("dep",), files=files)
    assert overrides(command) == ["dep<2.0"]
    succeeds(command)


def test_an_extra_that_brings_what_is_imported_is_named(
    failing: Failing, succeeds: Any, server_with: Any, make_wheel: Any
) -> None:
    (command,) = failing(
        server_with(),
        make_wheel("dep", "1.0"),
        make_wheel("linter", "1.0"),
        files={"acme/provider.py": f"import dep\n{ONE}"},
        fields=(
            "Provides-Extra: dev",
            "Provides-Extra: full",
            "Requires-Dist: linter; extra == 'dev'",
            "Requires-Dist: dep; extra == 'full'",
        ),
    )
    assert command[command.index("--package") + 1] == "acme[full]==1.0.0"
    succeeds(command)


def test_one_run_ends_with_all_that_is_needed_and_a_command_for_each_type(
    failing: Failing, succeeds: Any, server_with: Any, make_wheel: Any
) -> None:
    """A bound of the server, a local version, a clash and an import, one behind the other."""
    offered = [
        make_wheel("left", "1.0", fields=["Requires-Dist: both>=4"]),
        make_wheel("right", "1.0", fields=["Requires-Dist: both<4", "Requires-Dist: held<2"]),
        *(make_wheel("both", it) for it in ("3.5", "4.2")),
        *(make_wheel("held", it) for it in ("1.0", "3.0")),
        make_wheel("vendor", "1.0"),
        make_wheel("dep", "1.0", files={"dep/__init__.py": "", "dep/old.py": ""}),
        make_wheel("dep", "2.0", files={"dep/__init__.py": ""}),
    ]
    commands = failing(
        server_with(held="3.0"),
        *offered,
        needs=("left", "right", "vendor==1.0+x", "dep"),
        files={"acme/provider.py": f"import dep.old\n{TWO}"},
    )
    assert [it[it.index("--provider-type") + 1] for it in commands] == ["remote::a", "remote::b"]
    for command in commands:
        assert sorted(overrides(command)) == ["both>=4", "dep<2.0", "held==3.0", "vendor==1.0"]
    printed = succeeds(commands[0])
    assert "remote::a" in printed


def test_what_nothing_helps_says_what_may(
    cli: Cli, offer: Any, make_wheel: Any, server_with: Any, tmp_path: Path
) -> None:
    source = f"raise ValueError('never')\n{ONE}"
    offer(make_wheel("acme", "1.0.0", files={"acme/__init__.py": "", "acme/provider.py": source}))
    done = cli(
        *("build", "--package", "acme==1.0.0", "--distribution", server_with()),
        *("--output", f"oci:{tmp_path / 'out'}"),
    )
    assert done.returncode == 1
    assert "tried to the end" not in done.stderr
    assert "Name another version of it" in done.stderr


def test_the_command_keeps_every_word_and_adds_to_it() -> None:
    fix = (
        Fix(spec=StaticSpec("acme.inner", "eval", "inline::x"))
        .with_override("dep<2", "first")
        .with_extra("full", "it imports it")
        .with_override("dep<1", "second")
    )
    words = ["lls-provider", "build", "--package=acme[a]==1", "--output", "oci:a b"]
    assert fix.command([*words, "--api", "eval"], "acme[a]==1") == (
        "lls-provider build '--package=acme[a,full]==1' --output 'oci:a b' --api eval "
        "--override 'dep<1' --module acme.inner --provider-type inline::x"
    )
    assert fix.additions == (
        Addition("extra", "full", "it imports it"),
        Addition("override", "dep<1", "second"),
    )


@pytest.mark.parametrize(
    ("why", "expected"),
    [
        ("Because there is no version of dep==0.14.1+v.8 and acme", ("dep", "0.14.1+v.8")),
        ("there is no version of A.dep[x]===1.0, we can", ("a-dep", "1.0")),
        ("Because only dep<2 is available and acme depends on dep>3", None),
    ],
)
def test_a_version_that_is_nowhere_is_read_off(why: str, expected: tuple[str, str] | None) -> None:
    found = unavailable_version(why)
    assert (found and (found[0], str(found[1]))) == expected


@pytest.mark.parametrize(
    ("why", "expected"),
    [
        (
            "left>=0.8.8 depends on dep>=4.0.0 and right==0.14.1 depends on dep>=3.0.0,<4.0, we",
            {"dep": [">=4.0.0", ">=3.0.0,<4.0"]},
        ),
        ("left depends on dep>=4 and right depends on dep>=4", {}),
        ("all versions of left depend on dep<3 and b depends on dep>3", {"dep": ["<3", ">3"]}),
        ("left depends on dep and right depends on dep<4", {}),
        ("a depends on x.y[z]==1.* and b depends on x-y!=1.0.", {"x-y": ["==1.*", "!=1.0"]}),
    ],
)
def test_bounds_that_exclude_each_other_are_read_off(
    why: str, expected: dict[str, list[str]]
) -> None:
    assert clashing_packages(why) == expected


@pytest.mark.parametrize(
    ("files", "module", "expected"),
    [
        ({"a/b.py"}, "a.b", True),
        ({"a/b/__init__.py"}, "a.b", True),
        ({"a/b/c.py"}, "a.b", True),
        ({"a/b.cpython-312-x86_64-linux-gnu.so"}, "a.b", True),
        ({"a/bc.py"}, "a.b", False),
        ({"a/b.txt", "a/b/data.json"}, "a.b", False),
        (set(), "a", False),
    ],
)
def test_a_wheel_has_a_module(files: set[str], module: str, expected: bool) -> None:
    assert has_module(files, module) is expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("--index=https://me:secret@pypi.example/simple", "--index=https://pypi.example/simple"),
        ("https://me:a@b@pypi.example/x", "https://pypi.example/x"),
        ("acme==1.0", "acme==1.0"),
    ],
)
def test_logins_are_not_shown(text: str, expected: str) -> None:
    assert without_logins(text) == expected
