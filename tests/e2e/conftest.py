"""What tests of the real command share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

# nothing that a developer's machine has set may help
BARE = {
    name: None
    for name in os.environ
    if name.startswith(("UV_", "SSL_CERT_")) or name.lower().endswith(("_proxy", "_ca_bundle"))
}


@pytest.fixture
def bare(tmp_path: Path) -> dict[str, str | None]:
    """An environment in which nothing is cached and nothing is known."""
    return {
        **BARE,
        "HOME": str(tmp_path),
        "UV_CACHE_DIR": str(tmp_path / "uv-cache"),
        "LLS_PROVIDER_CACHE": str(tmp_path / "cache"),
        "UV_HTTP_RETRIES": "0",
        "NO_PROXY": "127.0.0.1",
    }
