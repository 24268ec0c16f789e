"""Provider files on disk."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from lls_provider.contract.document import dump
from lls_provider.contract.names import API_VERSION

ECHO = {
    "id": "acme-echo",
    "image": "registry.example.com/acme/echo:1.0",
    "api": "inference",
}
GUARD = {
    "id": "acme-guard",
    "image": "registry.example.com/acme/guard:1.0",
    "api": "safety",
}
SERVER = {"name": "my-server", "image": "registry.example.com/distribution:1.0"}

WriteFile = Callable[..., Path]


@pytest.fixture
def write_file(tmp_path: Path) -> WriteFile:
    """Write a provider file; returns its path."""

    def write(
        *providers: Mapping[str, Any],
        server: Mapping[str, Any] | None = None,
        name: str = "providers.yaml",
        **more: Any,
    ) -> Path:
        document: dict[str, Any] = {"apiVersion": API_VERSION, "kind": "ProviderFile", **more}
        if server is not None:
            document["server"] = dict(server)
        document["providers"] = [dict(provider) for provider in providers]
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(dump(document), "utf-8")
        return path

    return write
