"""Indexes are a value: uv, downloads and threads see it, and the environment stays."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import copy_context
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import uv

from lls_provider.errors import Code, SdkError
from lls_provider.wheels.fetch import fetch
from lls_provider.wheels.resolve import LockedPackage
from lls_provider.wheels.uv import run_uv
from lls_provider.wheels.uv_settings import (
    Indexes,
    index_logins,
    is_offline,
    settings,
    using,
    wheelhouses,
)

if TYPE_CHECKING:
    from lls_provider.wheels.interpreter import Interpreter

VARIABLES = ("UV_DEFAULT_INDEX", "UV_INDEX", "UV_FIND_LINKS", "UV_OFFLINE")


@pytest.fixture(autouse=True)
def no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """What a process of uv finds in its variables."""
    script = tmp_path / "uv"
    script.write_text("#!/bin/sh\nenv\n")
    script.chmod(0o755)
    monkeypatch.setattr(uv, "find_uv_bin", lambda: str(script))

    def ask(**options: Any) -> dict[str, str]:
        lines = run_uv([], doing="asking", **options).splitlines()
        variables = dict(line.split("=", 1) for line in lines if "=" in line)
        return {name: variables[name] for name in VARIABLES if name in variables}

    return ask


def test_uv_gets_the_indexes_as_its_variables_and_the_process_keeps_its_own(
    told: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "house").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("UV_INDEX", "https://of.example/the-process")
    indexes = Indexes(
        "main=https://main.example/simple",
        ("https://a.example/", "b=https://b.example/"),
        (Path("house"), "https://c.example/"),
        offline=True,
    )
    before = dict(os.environ)
    with using(indexes):
        assert dict(os.environ) == before
        assert told() == {
            "UV_DEFAULT_INDEX": "main=https://main.example/simple",
            "UV_INDEX": "https://a.example/ b=https://b.example/",
            "UV_FIND_LINKS": f"{tmp_path}/house,https://c.example/",
            "UV_OFFLINE": "1",
        }
    assert dict(os.environ) == before
    assert told() == {"UV_INDEX": "https://of.example/the-process"}


def test_what_is_not_given_is_as_the_environment_says(
    told: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UV_DEFAULT_INDEX", "https://of.example/the-process")
    monkeypatch.setenv("UV_OFFLINE", "1")
    with using(Indexes(index=("https://a.example/",))):
        assert told() == {
            "UV_DEFAULT_INDEX": "https://of.example/the-process",
            "UV_INDEX": "https://a.example/",
            "UV_OFFLINE": "1",
        }


def test_one_call_of_uv_can_still_set_its_own_variable(told: Any) -> None:
    with using(Indexes(default_index="https://a.example/")):
        assert told(environ={"UV_OFFLINE": "1", "UV_DEFAULT_INDEX": "https://b.example/"}) == {
            "UV_DEFAULT_INDEX": "https://b.example/",
            "UV_OFFLINE": "1",
        }


def test_indexes_end_with_their_block_also_after_a_failure() -> None:
    outer, inner = Indexes(index=("https://a.example/",)), Indexes(offline=True)

    def fail() -> None:
        with using(inner):
            assert is_offline()
            raise ValueError

    with using(outer):
        with pytest.raises(ValueError):
            fail()
        assert settings()["UV_INDEX"] == "https://a.example/"
        assert not is_offline()
    assert "UV_INDEX" not in settings()


def test_logins_and_wheelhouses_are_those_of_the_value(tmp_path: Path) -> None:
    (tmp_path / "house").mkdir()
    named = "https://alice:secret@corp.example/simple"
    with using(Indexes(default_index=named, find_links=(tmp_path / "house",))):
        assert index_logins().of("https://corp.example/files/demo.whl") == ("alice", "secret")
        assert wheelhouses(tmp_path)[0] == tmp_path / "house"
    assert index_logins().of("https://corp.example/files/demo.whl") is None


@pytest.mark.parametrize(
    ("indexes", "option"),
    [
        (Indexes(find_links=("no/where",)), "--find-links 'no/where'"),
        (Indexes(index=("a=no",)), "--index 'a=no'"),
        (Indexes(default_index="no"), "--default-index 'no'"),
    ],
)
def test_a_folder_that_does_not_exist_is_refused(indexes: Indexes, option: str) -> None:
    with pytest.raises(SdkError) as caught, using(indexes):
        pytest.fail("the block must not run")
    assert caught.value.code is Code.USAGE
    assert caught.value.what == f"{option}: there is no such directory"


def test_two_threads_have_indexes_of_their_own() -> None:
    def seen(name: str) -> str:
        with using(Indexes(default_index=f"https://{name}.example/")):
            inside = [copy_context().run(settings)["UV_DEFAULT_INDEX"] for _ in range(100)]
        assert len(set(inside)) == 1
        return inside[0]

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(seen, "abcdefgh"))
    assert found == [f"https://{name}.example/" for name in "abcdefgh"]


def locked(wheel: Path, url: str) -> LockedPackage:
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    size = wheel.stat().st_size
    name = wheel.name.partition("-")[0]
    return LockedPackage(name, "1.0", wheel.name, url, digest, size, is_source=False)


@contextmanager
def own_cache(monkeypatch: pytest.MonkeyPatch, folder: Path) -> Iterator[None]:
    with monkeypatch.context() as patch:
        patch.setenv("LLS_PROVIDER_CACHE", str(folder))
        patch.setenv("NO_PROXY", "127.0.0.1")
        yield


def test_the_threads_that_download_see_the_indexes(
    index: Any,
    make_wheel: Any,
    interpreter: Interpreter,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    wheels = [make_wheel(name) for name in ("one", "two")]
    packages = [locked(wheel, index.serve(wheel)) for wheel in wheels]
    with own_cache(monkeypatch, tmp_path / "offline"):
        with pytest.raises(SdkError) as caught, using(Indexes(offline=True)):
            fetch(packages, interpreter=interpreter)
        assert caught.value.code is Code.NETWORK
        assert "the network must not be used" in caught.value.what
        assert index.requests == []
    with own_cache(monkeypatch, tmp_path / "online"), using(Indexes()):
        assert len(fetch(packages, interpreter=interpreter)) == len(packages)
    gone = [locked(wheel, (tmp_path / wheel.name).as_uri()) for wheel in wheels]
    assert not any((tmp_path / wheel.name).exists() for wheel in wheels)
    with own_cache(monkeypatch, tmp_path / "house"), using(Indexes(find_links=(wheels[0].parent,))):
        assert fetch(gone, interpreter=interpreter) == wheels
