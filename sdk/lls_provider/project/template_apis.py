"""The APIs that the project template implements, as its ``cookiecutter.json`` says."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

from lls_provider.project.template import TemplateVersions

if TYPE_CHECKING:
    from lls_provider.wheels.servers import ServerLine


@dataclass(frozen=True, slots=True)
class TemplateApi:
    """An API: its kinds, the usual one first, and the names of the server lines that have it."""

    about: str
    kinds: tuple[str, ...]
    servers: tuple[str, ...]

    @property
    def explanation(self) -> str:
        """What a provider of it does, and where it runs if that is not everywhere."""
        return self.about if len(self.servers) > 1 else f"{self.about}; {self.servers[0]} only"


@functools.cache
def template_apis() -> Mapping[str, TemplateApi]:
    """Return the APIs by name, in the order of the template."""
    listed = TemplateVersions.shipped().current.context["_apis"]
    return MappingProxyType(
        {
            name: TemplateApi(it["about"], tuple(it["kinds"]), tuple(it["servers"]))
            for name, it in listed.items()
        }
    )


def servers_with(api: str, *, besides: ServerLine | None = None) -> tuple[str, ...]:
    """The servers, as requirements, that have an API; those of the line ``besides`` are left out.

    Empty for an API that the template does not implement.
    """
    found = template_apis().get(api)
    names: Mapping[str, str] = TemplateVersions.shipped().current.context["_servers"]
    return tuple(
        names[it]
        for it in (found.servers if found is not None else ())
        if besides is None or it != besides.name
    )
