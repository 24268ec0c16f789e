"""Registries on loopback: one that wants a login, one behind a proxy that cuts, one that is."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.image.transports.registry.fake import CuttingProxy, FakeRegistry

from lls_provider.image.transports.registry.http import RegistryTimeouts

Login = Callable[[str, dict[str, str]], None]


@pytest.fixture(autouse=True)
def nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home without credentials, and an own cache."""
    for name in (
        *("DOCKER_AUTH_CONFIG", "REGISTRY_AUTH_FILE", "DOCKER_CONFIG"),
        *("XDG_RUNTIME_DIR", "XDG_CONFIG_HOME"),
    ):
        monkeypatch.delenv(name, raising=False)
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("LLS_PROVIDER_CACHE", str(tmp_path / "cache"))
    return home


@pytest.fixture
def login(nobody: Path) -> Login:
    """Writes the entry of a registry, ``host:port``, where `docker login` keeps it."""

    def write(host: str, entry: dict[str, str]) -> None:
        (nobody / ".docker").mkdir(exist_ok=True)
        config = json.dumps({"auths": {host: entry}})
        (nobody / ".docker" / "config.json").write_text(config)

    return write


@pytest.fixture
def waits() -> list[float]:
    """How long the client would have waited."""
    return []


@pytest.fixture
def limits(waits: list[float]) -> RegistryTimeouts:
    """No waiting between attempts, and little patience with silence."""
    return RegistryTimeouts(timeout=(5.0, 5.0), document=5.0, sleep=waits.append)


_numbers = itertools.count()


@pytest.fixture
def repository(registry: str) -> str:
    """A repository of the real registry that no other test uses."""
    return f"{registry}/acme/echo{next(_numbers)}"


@pytest.fixture
def fake() -> Iterator[FakeRegistry]:
    """A registry of ours that does what it is reported, good or bad."""
    with FakeRegistry() as server:
        yield server


@pytest.fixture
def proxy(registry: str) -> Iterator[CuttingProxy]:
    """A proxy in front of the real registry that cuts connections."""
    host, _, port = registry.rpartition(":")
    with CuttingProxy((host, int(port))) as server:
        yield server
