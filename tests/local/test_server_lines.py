"""Each server line starts with the smallest configuration that the table has for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import pytest

from lls_provider.bundle.bundle import Bundle
from lls_provider.errors import SdkError
from lls_provider.local.plan import UpOptions
from lls_provider.local.run import Up
from lls_provider.operations.targets import resolve_source
from lls_provider.project.sample_call import SampleCall
from lls_provider.wheels import servers

if TYPE_CHECKING:
    from pathlib import Path

    from tests.recorder import Recorder

MakeProvider = Callable[..., Bundle]

# the line 0.2 has its API inside the server's own package
OLD_SPEC = """\
from llama_stack.providers.datatypes import AdapterSpec, Api, remote_provider_spec


def get_provider_spec():
    return remote_provider_spec(
        api=Api.inference,
        adapter=AdapterSpec(
            adapter_type="$type", module="$module", config_class="$module.config.Config"
        ),
    )
"""
OLD_ADAPTER = """\
import inspect

from llama_stack.apis.inference import Inference, OpenAIChatCompletion


class Adapter(Inference):
    def __init__(self, config):
        self.config = config

    async def register_model(self, model):
        return model

    async def unregister_model(self, model_id):
        pass

    async def shutdown(self):
        pass

    async def should_refresh_models(self):
        return False

    async def list_models(self):
        return []

    async def chat_completion(self, *args, **kwargs): ...
    async def embeddings(self, *args, **kwargs): ...
    async def completion(self, *args, **kwargs): ...
    async def openai_embeddings(self, *args, **kwargs): ...
    async def openai_completion(self, *args, **kwargs): ...

    async def openai_chat_completion(self, model, messages, **kwargs):
        said = self.config.prefix + str(messages[-1].content)
        return OpenAIChatCompletion.model_validate({
            "id": "1", "object": "chat.completion", "created": 0, "model": model,
            "choices": [{
                "index": 0, "finish_reason": "stop",
                "message": {"role": "assistant", "content": said},
            }],
        })


for name in ("chat_completion", "embeddings", "completion"):  # the server compares signatures
    for method in (name, f"openai_{name}"):
        theirs = inspect.signature(getattr(Inference, method))
        getattr(Adapter, method).__signature__ = theirs
"""
OLD = {"provider.py": OLD_SPEC, "adapter.py": OLD_ADAPTER}

pytestmark = [pytest.mark.network, pytest.mark.server]


@pytest.mark.parametrize(
    ("server", "files", "path"),
    [
        ("llama-stack==0.2.22", OLD, "/v1/openai/v1/chat/completions"),
        ("llama-stack==0.6.1", {}, "/v1/chat/completions"),
        ("llama-stack==0.7.3", {}, "/v1/chat/completions"),
        ("ogx==1.5.0", {}, "/v1/chat/completions"),
    ],
)
def test_a_provider_is_served_with_its_model(
    make_provider: MakeProvider,
    recorder: Recorder,
    server: str,
    files: Mapping[str, str],
    path: str,
) -> None:
    bundle = make_provider(files=files)
    model = "acme-echo/echo" if files != OLD else "echo"
    body: dict[str, Any] = {"model": model, "messages": [{"role": "user", "content": "Hello"}]}
    options = UpOptions(
        server=server,
        resources=(("models", {"model_id": "echo", "model_type": "llm"}),),
        call=SampleCall("POST", path, body=body),
    )
    with Up([resolve_source(str(bundle.root))], options, recorder) as up:
        result = up.run()
    assert [it.provider_type for it in result.providers] == ["remote::acme-echo"]
    assert result.call is not None
    assert "echo: Hello" in str(result.call.body)


@pytest.mark.parametrize(
    ("server", "files", "key"),
    [
        ("llama-stack==0.2.22", OLD, "image_name"),
        ("llama-stack==0.7.3", {}, "distro_name"),
        ("ogx==1.5.0", {}, "distro_name"),
    ],
)
def test_a_fault_of_our_own_base_is_not_the_users(
    make_provider: MakeProvider,
    recorder: Recorder,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    server: str,
    files: Mapping[str, str],
    key: str,
) -> None:
    """And the solution that is named is one."""
    whole = servers.ServerLine.minimal_config

    def lacking(line: servers.ServerLine, version: str) -> dict[str, Any]:
        return {name: it for name, it in whole(line, version).items() if name != key}

    monkeypatch.setattr(servers.ServerLine, "minimal_config", lacking)
    target = resolve_source(str(make_provider(files=files).root))
    with (
        Up([target], UpOptions(server=server), recorder) as up,
        pytest.raises(SdkError) as caught,
    ):
        up.run()
    assert key in caught.value.why
    assert "--base-config FILE" in caught.value.resolution
    assert "report it" in caught.value.resolution
    base = tmp_path / "base.yaml"
    base.write_text(f"version: 2\n{key}: mine\nproviders: {{}}\n")
    with Up([target], UpOptions(server=server, base_config=base), recorder) as again:
        assert [it.provider_id for it in again.run().providers] == ["acme-echo"]
