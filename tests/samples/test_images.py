"""The images of the samples keep every rule of the contract, and hold what was promised."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from tests.samples.conftest import SETTLED

import lls_provider

pytestmark = [
    pytest.mark.network,
    pytest.mark.engine,
    pytest.mark.xdist_group("samples"),
]

WHEELS = {
    "capped-vllm": ["capped_vllm"],
    "openai-endpoint": ["httpx_sse", "openai_endpoint"],
    "searxng-search": ["cachetools", "searxng_search"],
    "sqlite-vec-store": ["apsw", "sqlite_vec", "sqlite_vec_store"],
}
"""The packages of each image: what both servers bring is left out."""


@pytest.mark.parametrize("name", WHEELS)
def test_an_image_keeps_every_rule_and_holds_what_servers_lack(
    built: Callable[..., str], name: str
) -> None:
    report = lls_provider.check(f"docker://{built(name)}")

    assert [it for it in report.findings if it.level != "ok"] == []
    verdicts = lls_provider.compat(f"docker://{built(name)}").verdicts
    rows = [row.name.replace("-", "_") for verdict in verdicts for row in verdict.rows]
    assert sorted(rows) == WHEELS[name]


def test_the_image_with_an_override_keeps_every_rule(built: Callable[..., str]) -> None:
    image = built("hashing-embeddings", tag="settled", overrides=SETTLED)

    assert lls_provider.check(f"docker://{image}").ok
