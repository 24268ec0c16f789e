"""The supported servers: what each line needs and how it starts, and profiles of their packages.

A server line is one server in all its versions. A profile lists the packages of one version,
resolved once and shipped with the SDK in ``profiles/``: pins, the Pythons for which they hold, and
the day on which they were taken. ``tools/take_profiles.py`` takes them again.
"""

from __future__ import annotations

import copy
import functools
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from lls_provider.errors import Code, SdkError
from lls_provider.resources import data_path

if TYPE_CHECKING:
    from packaging.specifiers import SpecifierSet

PROFILE_PREFIX = "profile:"
PROFILES_DIRECTORY = "profiles"


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
        pins = self.pins(Requirement(f"{self.name}=={version}"))
        return (*pins, *self.bounds(Version(version)))

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
        """The key of the resources to register, by kind; None if the kinds are top-level keys."""
        return self.resources(Version(version))


def _llama_stack_base(version: Version) -> Mapping[str, Any]:
    """What a configuration needs besides providers and server, as `StackRunConfig` defines it."""
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
        # its inference store needs them, and its distributions included them
        pins += ["aiosqlite", "sqlalchemy[asyncio]"]
    return tuple(pins)


def _exact_version(specifier: SpecifierSet) -> str | None:
    versions = [it.version for it in specifier if it.operator in ("==", "===")]
    return versions[0] if len(versions) == 1 and "*" not in versions[0] else None


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
    """The line among pinned packages: the server that an environment has."""
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


@dataclass(frozen=True, slots=True)
class Profile:
    """What a server had on the day ``taken``; equal on every Python of ``pythons``."""

    name: str
    requirement: str
    taken: date
    pythons: tuple[tuple[int, int], ...]
    pins: Mapping[str, str]
    modules: Mapping[str, tuple[str, ...]]  # the top-level modules of each package

    def __str__(self) -> str:
        pythons = ", ".join(f"{major}.{minor}" for major, minor in self.pythons)
        return f"{PROFILE_PREFIX}{self.name} (taken on {self.taken.isoformat()}, Python {pythons})"


def read_profiles() -> tuple[Profile, ...]:
    """Every profile that ships with this SDK, sorted by name."""
    return tuple(
        _parsed(path.read_bytes()) for path in sorted(data_path(PROFILES_DIRECTORY).glob("*.json"))
    )


def profile_named(name: str) -> Profile:
    """The profile of that name. Raises SdkError DISTRIBUTION_INVALID, which lists them all."""
    profiles = read_profiles()
    for profile in profiles:
        if profile.name == name:
            return profile
    raise SdkError(
        Code.DISTRIBUTION_INVALID,
        f"There is no profile {name!r:.100}",
        why="This version has:\n" + "\n".join(f"  {profile}" for profile in profiles),
        resolution="Name one of these, or the server's requirement, such as 'ogx==1.5.0'.",
    )


@functools.cache
def known_modules() -> Mapping[str, frozenset[str]]:
    """The top-level modules of each package of a supported server."""
    found: dict[str, frozenset[str]] = {}
    for profile in read_profiles():
        for name, modules in profile.modules.items():
            found[name] = found.get(name, frozenset()) | set(modules)
    return found


@functools.cache
def server_names() -> Mapping[str, str]:
    """The top-level names of the supported servers' modules, each with a package that has it."""
    return {
        module.partition(".")[0]: package
        for package, modules in sorted(known_modules().items())
        for module in modules
    }


def _parsed(data: bytes) -> Profile:
    value = json.loads(data)
    return Profile(
        value["name"],
        value["requirement"],
        date.fromisoformat(value["taken"]),
        tuple(_minor(text) for text in value["python"]),
        value["pins"],
        {name: tuple(modules) for name, modules in value["modules"].items()},
    )


def _minor(text: str) -> tuple[int, int]:
    major, _, minor = text.partition(".")
    return int(major), int(minor)
