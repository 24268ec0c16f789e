"""The one table of server lines: what each needs besides its own name, how it starts."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

if TYPE_CHECKING:
    from packaging.specifiers import SpecifierSet


@dataclass(frozen=True, slots=True)
class ServerLine:
    """A server distribution on PyPI, in all its versions."""

    name: str  # of the distribution package, normalised
    api_package: str  # the helper package that providers import
    command: tuple[str, ...]  # before FILE --port N; the first word is a script of the environment
    settings: Mapping[str, Any]  # what the section ``server`` of its smallest configuration needs
    pins: Callable[[Requirement], tuple[str, ...]]
    python: tuple[int, int] = (3, 12)
    bounds: Callable[[Version], tuple[str, ...]] = lambda _version: ()
    named: Callable[[Version], Mapping[str, Any]] = lambda _version: {"distro_name": "local"}
    resources: Callable[[Version], str | None] = lambda _version: "registered_resources"

    def needs(self, version: str) -> tuple[str, ...]:
        """What a version of the server is known to need of packages that providers may bring."""
        told = self.pins(Requirement(f"{self.name}=={version}"))
        return (*told, *self.bounds(Version(version)))

    @property
    def module(self) -> str:
        """The server's own package of modules."""
        return self.name.replace("-", "_")

    def minimal_config(self, version: str) -> dict[str, Any]:
        """The smallest configuration that a version of this server starts with."""
        return {
            "version": 2,
            **copy.deepcopy(dict(self.named(Version(version)))),
            "providers": {},
            "server": {"host": "127.0.0.1", **self.settings},
        }

    def resources_key(self, version: str) -> str | None:
        """The key under which resources to register stand, by kind; None for the top itself."""
        return self.resources(Version(version))


def _llama_stack_base(version: Version) -> Mapping[str, Any]:
    """What a configuration needs besides providers and server, as `StackRunConfig` had it."""
    if version >= Version("0.5.0.dev0"):
        return {"distro_name": "local"}
    if not Version("0.3.0.dev0") <= version < Version("0.4.0.dev0"):
        return {"image_name": "local"}
    backends = {
        "kv_default": {"type": "kv_sqlite", "db_path": "${env.HOME}/.llama/kvstore.db"},
        "sql_default": {"type": "sql_sqlite", "db_path": "${env.HOME}/.llama/sql_store.db"},
    }
    stores = {
        "metadata": {"namespace": "registry", "backend": "kv_default"},
        "inference": {"table_name": "inference_store", "backend": "sql_default"},
        "conversations": {"table_name": "openai_conversations", "backend": "sql_default"},
    }
    return {"image_name": "local", "storage": {"backends": backends, "stores": stores}}


def _llama_stack_resources(version: Version) -> str | None:
    return "registered_resources" if version >= Version("0.3.0.dev0") else None


def _llama_stack_pins(requirement: Requirement) -> tuple[str, ...]:
    # With mcp 2 even ``llama --help`` fails: no released line says so in its metadata.
    pins = ["mcp<2"]
    exact = _exact_version(requirement.specifier)
    if exact and Version("0.4.0.dev0") <= Version(exact) < Version("0.7.0.dev0"):
        # they require any API package, or any later one, and work with their own only
        pins.append(f"llama-stack-api=={exact}")
    if exact and Version(exact) < Version("0.3.0.dev0"):
        # its store of inferences needs them, and its distributions brought them
        pins += ["aiosqlite", "sqlalchemy[asyncio]"]
    return tuple(pins)


def _ogx_bounds(version: Version) -> tuple[str, ...]:
    # as its metadata says: an image serves one side of this line only
    if version >= Version("1.5.dev0"):
        return ("mcp>=2",)
    return ("mcp<2",) if version >= Version("1.3.dev0") else ()


LINES: tuple[ServerLine, ...] = (
    ServerLine(
        name="llama-stack",
        api_package="llama_stack_api",
        command=("llama", "stack", "run"),
        settings={},
        pins=_llama_stack_pins,
        named=_llama_stack_base,
        resources=_llama_stack_resources,
    ),
    ServerLine(
        name="ogx",
        api_package="ogx_api",
        command=("ogx", "run"),
        settings={"insecure": True},  # it refuses to start without TLS otherwise
        pins=lambda _requirement: (),
        bounds=_ogx_bounds,
    ),
)


def line_named(name: str) -> ServerLine | None:
    """The line whose package this is; None for every other package."""
    wanted = canonicalize_name(name)
    return next((line for line in LINES if line.name == wanted), None)


def line_of_module(name: str) -> ServerLine | None:
    """The line that has a top-level module: the server's own or its helper package's."""
    return next((line for line in LINES if name in (line.module, line.api_package)), None)


def line_in(pins: Mapping[str, str]) -> ServerLine | None:
    """The line among pinned packages: what server an environment holds."""
    return next((line for line in LINES if line.name in pins), None)


def server_recorded(text: str) -> tuple[ServerLine, str] | None:
    """The line and version that an image says it was built for, such as ``ogx==1.5.0``.

    None where it does not say so.
    """
    name, separator, version = text.rpartition("==")
    line = line_named(name) if separator else None
    try:
        return (line, str(Version(version))) if line is not None else None
    except InvalidVersion:
        return None


def _exact_version(specifier: SpecifierSet) -> str | None:
    versions = [it.version for it in specifier if it.operator in ("==", "===")]
    return versions[0] if len(versions) == 1 and "*" not in versions[0] else None
