from collections.abc import Iterator

import pytest
from service import SearxngService


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Iterator[SearxngService]:
    """A SearXNG on loopback, which is asked without a proxy."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with SearxngService() as started:
        yield started
