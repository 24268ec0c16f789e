"""The samples as images in a registry, and a server of each line that has them all.

They are served together, as in a Pod of several providers: each line is started once.
"""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pytest
from packaging.utils import canonicalize_name
from packaging.version import Version
from tests.recorder import Recorder
from tests.samples.services import SAMPLES, SERVERS, service_of

import lls_provider
from lls_provider.contract.document import dump, load
from lls_provider.contract.names import API_VERSION
from lls_provider.runtime.preflight.api_dependencies import supply

SETTLED = "cachetools>=6"
"""What the README of two-that-conflict builds hashing-embeddings with."""

_OPENAI = service_of("openai-endpoint")
_SEARXNG = service_of("searxng-search")
KEY = _OPENAI.KEY
_HEADERS = {"llama-stack": "X-LlamaStack-Provider-Data", "ogx": "X-OGX-Provider-Data"}


@dataclass(frozen=True, slots=True)
class Reply:
    """A status, and the text that came with it."""

    status: int
    text: str

    @property
    def body(self) -> Any:
        """The reply as JSON."""
        return json.loads(self.text)


@dataclass(frozen=True, slots=True)
class Served:
    """A running server with all samples, and the services behind them."""

    url: str
    line: str
    openai: Any
    searxng: Any
    warnings: list[str]

    def call(self, path: str, body: Any = None, *, data: Mapping[str, str] | None = None) -> Reply:
        """GET, or POST JSON; ``data`` is what the header for providers says."""
        headers = {"Content-Type": "application/json"}
        if data is not None:
            headers[_HEADERS[self.line]] = json.dumps(data)
        content = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, content, headers)
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(request, timeout=60) as reply:
                return Reply(reply.status, reply.read().decode())
        except urllib.error.HTTPError as error:
            with error:
                return Reply(error.code, error.read().decode())

    def post(self, path: str, body: Any) -> Any:
        """POST JSON and return the JSON of a reply that is a success."""
        reply = self.call(path, body)
        assert reply.status == 200, reply.text
        return reply.body

    def chat(self, model: str, *, data: Mapping[str, str] | None = None, **more: Any) -> Reply:
        """Ask a model."""
        messages = [{"role": "user", "content": "Hello"}]
        body = {"model": model, "messages": messages, **more}
        return self.call("/v1/chat/completions", body, data=data)

    def listed(self) -> dict[str, tuple[str, str]]:
        """The API and the type of each provider by its ID."""
        found = self.call("/v1/providers").body["data"]
        return {it["provider_id"]: (it["api"], it["provider_type"]) for it in found}


@pytest.fixture(scope="session")
def built(registry: str) -> Callable[..., str]:
    """Build a sample into the registry, once, and return its reference."""
    made: dict[str, str] = {}

    def build(sample: str, tag: str = "1", **options: Any) -> str:
        reference = f"{registry}/samples/{sample}:{tag}"
        if reference not in made:
            lls_provider.build(
                SAMPLES / sample, outputs=f"docker://{reference}", base="scratch", **options
            )
            made[reference] = reference
        return reference

    return build


@pytest.fixture(scope="session", params=SERVERS)
def served(
    request: pytest.FixtureRequest,
    built: Callable[..., str],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Served]:
    """A server with the samples of both lines; guard-safety is for one alone."""
    name, _, version = request.param.partition("==")
    folder = tmp_path_factory.mktemp("samples")
    (folder / "run.yaml").write_text(dump(_base(name, version)), "utf-8")
    with _OPENAI.OpenAIService(key=KEY) as openai, _SEARXNG.SearxngService() as searxng:
        providers = folder / "providers.yaml"
        providers.write_text(dump(_provider_file(built, openai.url, searxng.url)), "utf-8")
        recorder = Recorder()
        environment = {
            "OPENAI_ENDPOINT_API_KEY": KEY,
            "VLLM_URL": openai.url,
            "VLLM_API_TOKEN": KEY,
            "NO_PROXY": "127.0.0.1",
            # llama-stack and ogx else take seconds to draw each traceback
            "LLAMA_STACK_LOG_FORMAT": "json",
            "OGX_LOG_FORMAT": "json",
        }
        with lls_provider.up(
            providers, server=request.param, environment=environment, progress=recorder
        ) as server:
            yield Served(server.url, name, openai, searxng, recorder.warnings)


def _base(name: str, version: str) -> dict[str, Any]:
    """A distribution: that of capped-vllm, and the Responses API, which uses all others."""
    text = (SAMPLES / "capped-vllm" / "run.yaml").read_bytes()
    base: dict[str, Any] = load(text, "run.yaml").value
    added = supply(
        ["responses"], {canonicalize_name(name): Version(version)}, load(b"{}", "empty"), {}
    ).configuration()
    return {**base, "providers": {**base["providers"], **added["providers"]}}


def _provider_file(built: Callable[..., str], openai: str, searxng: str) -> dict[str, Any]:
    endpoint = {
        "base_url": openai,
        "api_key": "${env.OPENAI_ENDPOINT_API_KEY}",
        "timeout": 1,
    }
    vllm = {
        "base_url": "${env.VLLM_URL}",
        "api_token": "${env.VLLM_API_TOKEN}",
        "cap_tokens": 256,
    }
    return {
        "apiVersion": API_VERSION,
        "kind": "ProviderFile",
        "server": {"config": "run.yaml"},
        "providers": [
            {"id": "openai-endpoint", "image": built("openai-endpoint"), "config": endpoint},
            {"id": "vllm", "image": built("capped-vllm"), "config": vllm},
            {
                "id": "hashing-embeddings",
                "image": built("hashing-embeddings", tag="settled", overrides=SETTLED),
            },
            {"id": "sqlite-vec-store", "image": built("sqlite-vec-store")},
            {
                "id": "searxng-search",
                "image": built("searxng-search"),
                "config": {"base_url": searxng},
            },
        ],
    }
