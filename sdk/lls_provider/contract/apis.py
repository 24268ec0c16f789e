"""The API names a provider can implement (contract section 1)."""

from __future__ import annotations

# In the order of contract section 1: it is also the order of the sections of a CR, and so of
# the init containers. Those from ``responses`` on joined as servers moved on.
APIS: tuple[str, ...] = (
    "inference",
    "safety",
    "agents",
    "vector_io",
    "datasetio",
    "scoring",
    "eval",
    "tool_runtime",
    "post_training",
    "responses",
    "batches",
    "files",
    "file_processors",
    "messages",
    "interactions",
    "skills",
    "container_runtime",
)

_UNLOADABLE = {
    "container_runtime": "ogx 1.5.0 names the API 'container_runtime', but no supported server can "
    "load a provider of it",
}

_CR_NAMES = {
    "vector_io": "vectorIo",
    "datasetio": "datasetIo",
    "tool_runtime": "toolRuntime",
    "post_training": "postTraining",
    "file_processors": "fileProcessors",
    "container_runtime": "containerRuntime",
}
_FROM_CR = {cr: api for api, cr in _CR_NAMES.items()}


def cr_name(api: str) -> str:
    """The name of an API's section in a CR: ``vector_io`` becomes ``vectorIo``."""
    return _CR_NAMES.get(api, api)


def from_cr_name(name: str) -> str:
    """The API behind a CR's section name: ``datasetIo`` becomes ``datasetio``."""
    return _FROM_CR.get(name, name)


def unloadable(api: str) -> str | None:
    """Why no supported server loads a provider of an API that one of them names; else None."""
    return _UNLOADABLE.get(api)
