"""Small real providers, as bundles that `up` can install on a real server."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from string import Template

import pytest
from tests.factories.providers import build_target, provider_package
from tests.factories.wheels import module_of, write_wheel

from lls_provider.bundle.assemble import assemble
from lls_provider.bundle.bundle import Bundle

MakeProvider = Callable[..., Bundle]

# $module and $type are filled in; one wheel serves both servers
API = "try:\n    from ogx_api import $names\nexcept ImportError:\n"
API += "    from llama_stack_api import $names\n"

CONFIG = """\
from pydantic import BaseModel


class Config(BaseModel):
    prefix: str = "echo: "
"""

INFERENCE = {
    "__init__.py": """\
async def get_adapter_impl(config, deps):
    from .adapter import Adapter

    return Adapter(config)
""",
    "config.py": CONFIG,
    "provider.py": API.replace("$names", "Api, RemoteProviderSpec")
    + """

def get_provider_spec():
    return RemoteProviderSpec(
        api=Api.inference, adapter_type="$type", provider_type="remote::$type",
        module="$module", config_class="$module.config.Config",
    )
""",
    "adapter.py": API.replace("$names", "OpenAIChatCompletion")
    + """

class Adapter:
    def __init__(self, config):
        self.config = config

    async def initialize(self):
        pass

    async def shutdown(self):
        pass

    async def should_refresh_models(self):
        return False

    async def list_models(self):
        return []

    async def register_model(self, model):
        return model

    async def unregister_model(self, model_id):
        pass

    async def openai_chat_completion(self, params):
        said = self.config.prefix + str(params.messages[-1].content)
        return OpenAIChatCompletion.model_validate({
            "id": "1", "object": "chat.completion", "created": 0, "model": params.model,
            "choices": [{
                "index": 0, "finish_reason": "stop",
                "message": {"role": "assistant", "content": said},
            }],
        })
""",
}

FILE_PROCESSORS = {
    "__init__.py": """\
async def get_provider_impl(config, deps):
    from .processor import Processor

    return Processor()
""",
    "config.py": CONFIG,
    "provider.py": API.replace("$names", "Api, InlineProviderSpec")
    + """

def get_provider_spec():
    return InlineProviderSpec(
        api=Api.file_processors, provider_type="inline::$type",
        module="$module", config_class="$module.config.Config",
    )
""",
    "processor.py": API.replace("$names", "Chunk, ChunkMetadata, ProcessFileResponse")
    + """

class Processor:
    async def initialize(self):
        pass

    async def shutdown(self):
        pass

    async def process_file(self, request, file=None):
        text = (await file.read()).decode()
        chunk = Chunk(
            content=text, chunk_id="1",
            chunk_metadata=ChunkMetadata(
                chunk_id="1", document_id="1", source=file.filename, content_token_count=1,
                created_timestamp=0, updated_timestamp=0,
            ),
        )
        return ProcessFileResponse(chunks=[chunk], metadata={"name": file.filename})
""",
}

_SOURCES = {"inference": ("remote", INFERENCE), "file_processors": ("inline", FILE_PROCESSORS)}


@pytest.fixture
def make_provider(tmp_path: Path) -> MakeProvider:
    """Makes the bundle of a provider; ``files`` replaces or adds sources of its module.

    ``fields`` are lines of its wheel's METADATA.
    """

    def make(
        name: str = "acme-echo",
        api: str = "inference",
        files: Mapping[str, str] | None = None,
        fields: Sequence[str] = (),
    ) -> Bundle:
        module = module_of(name)
        kind, sources = _SOURCES.get(api, ("inline", {"config.py": CONFIG}))
        members = {
            f"{module}/{path}": Template(text).safe_substitute(module=module, type=name)
            for path, text in {**sources, **(files or {})}.items()
        }
        own = write_wheel(tmp_path, name, "1.0.0", members, fields=fields)
        return assemble(
            tmp_path / f"bundle-{name}",
            metadata=provider_package(name, provider_type=f"{kind}::{name}", api=api),
            own_wheel=own,
            dependencies=[],
            target=build_target(os.uname().machine),
            provided={},
            distributions=("llama-stack==0.7.3",),
        )

    return make
