from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from lls_provider.errors import Code, SdkError
from lls_provider.wheels.distribution import Distribution
from lls_provider.wheels.environment import Environment, ensure_environment, layered_environment
from lls_provider.wheels.fetch import fetch
from lls_provider.wheels.loading import load_distribution
from lls_provider.wheels.resolve import resolve
from lls_provider.wheels.servers import line_named
from lls_provider.wheels.uv import run_uv

if TYPE_CHECKING:
    from lls_provider.wheels.interpreter import Interpreter

pytestmark = pytest.mark.slow

CODE = "import demo, sys; print(demo.version, sys.prefix, *sys.version_info[:3])"


@contextlib.contextmanager
def layered(
    distribution: Distribution, requirements: Sequence[str], doing: str = "testing"
) -> Iterator[Environment]:
    """The distribution with what was resolved against it and fetched, as `test` makes it."""
    python = distribution.interpreter
    closure = resolve(requirements, distribution=distribution, interpreter=python, doing=doing)
    wheels = fetch(closure.packages, interpreter=python)
    with layered_environment(distribution, wheels, doing=doing) as environment:
        yield environment


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LLS_PROVIDER_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "environments"


@pytest.fixture
def distribution(offer: Any, make_wheel: Any, interpreter: Interpreter) -> Distribution:
    """A server of one package; what that package requires is not among the pins."""
    offer(
        make_wheel("demo", "1.0", requires=["not-pinned"]),
        make_wheel("demo", "2.0"),
        make_wheel("not_pinned"),
        make_wheel("extra", requires=["demo"]),
        make_wheel("newer", requires=["demo>=2"]),
    )
    return Distribution("demo==1.0", {"demo": "1.0"}, interpreter, line_named("ogx"))


def run(python: Path, code: str) -> str:
    done = subprocess.run([str(python), "-I", "-c", code], capture_output=True, check=True)
    return done.stdout.decode().strip()


def made(own_cache: Path) -> list[Path]:
    return sorted(it for it in own_cache.iterdir() if it.is_dir())


def test_it_holds_the_pins_and_nothing_else(distribution: Distribution) -> None:
    environment = ensure_environment(distribution)
    version = " ".join(map(str, distribution.interpreter.version))
    assert run(environment.python, CODE) == f"1.0 {environment.bin.parent} {version}"
    listed = "import importlib.metadata as m; print([d.name for d in m.distributions()])"
    assert run(environment.python, listed) == "['demo']"
    assert environment.distribution is distribution


def test_the_second_time_it_is_there(
    distribution: Distribution, index: Any, own_cache: Path
) -> None:
    first = ensure_environment(distribution)
    index.requests.clear()
    index.files.clear()
    assert ensure_environment(distribution) == first
    assert index.requests == []
    assert [it.name.rpartition("-")[0] for it in made(own_cache)] == ["ogx"]


def test_what_counts_is_the_content_and_not_the_name(
    distribution: Distribution, own_cache: Path
) -> None:
    first = ensure_environment(distribution)
    same = ensure_environment(replace(distribution, label="frozen.txt"))
    other = ensure_environment(replace(distribution, pins={"demo": "2.0"}))
    assert same.python == first.python
    assert other.python != first.python
    assert run(other.python, CODE).startswith("2.0 ")
    assert len(made(own_cache)) == 2


def test_another_python_is_another_environment(distribution: Distribution) -> None:
    first = ensure_environment(distribution)
    other = replace(distribution.interpreter, path=first.python)
    assert ensure_environment(replace(distribution, interpreter=other)).python != first.python


@pytest.mark.parametrize("lost", [".complete", "bin/python"])
def test_a_half_made_one_is_made_again(distribution: Distribution, lost: str) -> None:
    """As a process that was killed leaves it."""
    environment = ensure_environment(distribution)
    folder = environment.bin.parent
    (folder / lost).unlink()
    (folder / "stale.txt").write_text("of the first try")
    assert ensure_environment(distribution) == environment
    assert run(environment.python, CODE).startswith("1.0 ")
    assert not (folder / "stale.txt").exists()


def test_one_that_cannot_be_made_leaves_nothing(
    distribution: Distribution, own_cache: Path
) -> None:
    with pytest.raises(SdkError) as caught:
        ensure_environment(replace(distribution, pins={"demo": "9.9"}))
    assert caught.value.code is Code.RESOLUTION_FAILED
    assert made(own_cache) == []


def test_an_environment_of_the_users_is_used_as_it_is(
    distribution: Distribution, own_cache: Path
) -> None:
    mine = distribution.interpreter.path
    assert ensure_environment(replace(distribution, environment=mine)).python == mine
    assert not own_cache.exists()


def test_a_layer_stands_on_the_servers_versions(distribution: Distribution) -> None:
    with layered(distribution, ["extra"]) as environment:
        assert run(environment.python, "import extra, demo; print(demo.version)") == "1.0"
        folder = environment.bin.parent.parent
    assert not folder.exists()


def test_a_layer_that_needs_other_versions_is_refused(distribution: Distribution) -> None:
    with (
        pytest.raises(SdkError) as caught,
        layered(distribution, ["newer"], doing="installing newer"),
    ):
        pytest.fail("there is no such environment")
    assert caught.value.code is Code.RESOLUTION_FAILED
    assert "installing newer" in caught.value.what


def test_a_layer_is_gone_after_an_error(distribution: Distribution) -> None:
    with (
        pytest.raises(ZeroDivisionError),
        layered(distribution, ["extra"]) as environment,
    ):
        raise ZeroDivisionError
    assert not environment.bin.exists()


def test_a_layer_sees_an_environment_whose_packages_no_index_has(
    distribution: Distribution, tmp_path: Path, make_wheel: Any
) -> None:
    """It is neither installed again nor changed; what the layer brings is in front."""
    folder = tmp_path / "server"
    run_uv(
        ["venv", "-q", "--python", str(distribution.interpreter.path), str(folder)], doing="testing"
    )
    python = folder / "bin" / "python"
    wheel = make_wheel("corp_sdk", "1.4+vendor.1")
    run_uv(
        ["pip", "install", "-q", "--no-deps", "--python", str(python), str(wheel)], doing="testing"
    )
    server = load_distribution(f"python:{folder}")
    with layered(server, ["extra", "corp-sdk>=1"]) as environment:
        assert run(environment.python, "import corp_sdk; print(corp_sdk.version)") == "1.4+vendor.1"
        assert run(environment.python, "import extra; print('seen')") == "seen"
    assert load_distribution(f"python:{folder}").pins == server.pins


def test_a_server_that_no_index_has_says_what_to_name(
    distribution: Distribution, own_cache: Path
) -> None:
    local = replace(distribution, label="freeze.txt", pins={"corp-sdk": "1.4"})
    with pytest.raises(SdkError) as caught:
        ensure_environment(local)
    assert caught.value.what == "The packages of freeze.txt cannot all be installed here"
    assert "corp-sdk" in caught.value.why
    assert "python:PATH in place of freeze.txt" in caught.value.resolution
    assert made(own_cache) == []
