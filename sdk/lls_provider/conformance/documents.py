"""The documents that an operator is given: a custom resource, and the same as a provider file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lls_provider.contract.document import dump
from lls_provider.contract.names import API_VERSION, APIS, from_cr_name

_SERVER_IMAGE = "registry.example.com/server:1"

Sections = Mapping[str, Sequence[Mapping[str, Any]]]


def custom_resource(sections: Sections) -> str:
    """A LlamaStackDistribution with these sections of ``externalProviders``."""
    return dump(
        {
            "apiVersion": API_VERSION,
            "kind": "LlamaStackDistribution",
            "metadata": {"name": "conformance"},
            "spec": {
                "replicas": 1,
                "server": {
                    "distribution": {"image": _SERVER_IMAGE},
                    "externalProviders": dict(sections),
                },
            },
        }
    )


def provider_file(sections: Sections) -> str:
    """A provider file with the same providers, in the order of the contract's sections."""
    providers = []
    for section in sorted(sections, key=_place):
        for entry in sections[section]:
            names = {"providerId": "id", "imagePullPolicy": "pullPolicy"}
            provider = {names.get(key, key): value for key, value in entry.items()}
            providers.append({**provider, "api": from_cr_name(section)})
    return dump(
        {
            "apiVersion": API_VERSION,
            "kind": "ProviderFile",
            "server": {"image": _SERVER_IMAGE},
            "providers": providers,
        }
    )


def _place(section: str) -> int:
    api = from_cr_name(section)
    return APIS.index(api) if api in APIS else len(APIS)
