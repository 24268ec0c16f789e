from collections.abc import Iterator

import pytest
from service import KEY, OpenAIService


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Iterator[OpenAIService]:
    """A service that wants a key; it is asked without a proxy."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with OpenAIService(key=KEY) as started:
        yield started
