"""Decides what a run of `up` does, before anything long runs; touches nothing.

Settings come from each project's ``[tool.lls-provider]``; what stands on the command line wins.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lls_provider.contract.apis import APIS
from lls_provider.contract.models import INIT_CONTAINER_PREFIX
from lls_provider.errors import Code, SdkError
from lls_provider.wheels.distribution import is_portable

if TYPE_CHECKING:
    from lls_provider.image.model import Image
    from lls_provider.local.target import Target
    from lls_provider.project.settings import SampleCall, Settings

_SERVERS = "'llama-stack==0.7.3', 'ogx==1.5.0' or python:PATH"


@dataclass(frozen=True, slots=True)
class Options:
    """The command line of `up`."""

    server: str | None = None
    python: str | None = None
    port: int | None = None
    configs: tuple[tuple[str | None, dict[str, Any]], ...] = ()
    resources: tuple[tuple[str, dict[str, Any]], ...] = ()
    base_config: Path | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    call: SampleCall | None = None
    keep: bool = False
    insecure: bool = False


@dataclass(frozen=True, slots=True)
class Candidate:
    """A target with what it says about itself before it is built or unpacked.

    ``image`` is a target's that is one, opened once: a tag may move while it is unpacked.
    ``distributions`` and ``python_tag`` are what a bundle was built for, or a project's
    settings; ``python_tag`` is None where any Python will do.
    """

    target: Target
    settings: Settings | None = None
    distributions: tuple[str, ...] = ()
    python_tag: str | None = None
    image: Image | None = None


@dataclass(frozen=True, slots=True)
class Provider:
    """A provider ready to install: its bundle's metadata and what was said about it."""

    target: str
    bundle: Path
    provider_id: str
    api: str
    module: str
    settings: Settings | None = None


@dataclass(frozen=True, slots=True)
class InitContainer:
    """What one init container of the Pod would be given (contract section 2, phase 1)."""

    provider: Provider
    order: int
    config: Mapping[str, Any] | None

    @property
    def name(self) -> str:
        """The container's name."""
        return INIT_CONTAINER_PREFIX + self.provider.provider_id


def choose_server(given: str | None, candidates: Sequence[Candidate]) -> str:
    """The server to run: the one asked for, else the first that a target was made for.

    Raises SdkError USAGE when nobody names one.
    """
    if given:
        return given
    elsewhere = ""
    for candidate in candidates:
        for named in candidate.distributions:
            # a file of that name here is another one
            if candidate.settings is not None or is_portable(named):
                return named
            elsewhere = f"{candidate.target.text} was made for '{named}' of another machine."
    raise SdkError(
        Code.USAGE,
        f"No server is named for {', '.join(item.target.text for item in candidates)}",
        why=elsewhere or "No target says which distribution it was made for.",
        resolution=f"Pass --server with {_SERVERS}.",
    )


def choose_python(given: str | None, candidates: Sequence[Candidate]) -> str | None:
    """The Python to run the server on: the one asked for, else the one a bundle was built for.

    None leaves the choice to the distribution.
    """
    if given:
        return given
    for candidate in candidates:
        if candidate.python_tag is not None:
            return version_of_tag(candidate.python_tag)
    for candidate in candidates:
        if candidate.settings is not None and candidate.settings.python:
            return candidate.settings.python
    return None


def version_of_tag(tag: str) -> str | None:
    """``3.12`` for ``cp312``; None for a tag that names no minor version of CPython."""
    digits = tag.removeprefix("cp")
    if digits == tag or not digits.isdigit() or len(digits) < 2:
        return None
    return f"{digits[0]}.{digits[1:]}"


def init_containers(
    providers: Sequence[Provider], configs: Mapping[str, Mapping[str, Any]]
) -> tuple[InitContainer, ...]:
    """The containers in CR order: API sections as in the contract, then as the targets came.

    ``configs`` are the command line's; else the project's settings give the config.
    """
    position = {api: index for index, api in enumerate(APIS)}
    in_order = sorted(providers, key=lambda item: position.get(item.api, len(position)))
    return tuple(
        InitContainer(provider, order, configs.get(provider.provider_id, _own_config(provider)))
        for order, provider in enumerate(in_order)
    )


def choose_base(given: Path | None, settings: Sequence[Settings]) -> Path | None:
    """The user's base configuration, if there is one.

    Raises SdkError USAGE when several projects name different ones.
    """
    if given is not None:
        return given
    found = {item.up.base: item.name for item in settings if item.up.base is not None}
    if len(found) > 1:
        raise SdkError(
            Code.USAGE,
            "The projects name different base configurations",
            why="\n".join(f"{name}: {path}" for path, name in found.items()),
            resolution="Choose one with --base-config FILE.",
        )
    return next(iter(found), None)


def environment_of(given: Mapping[str, str], settings: Sequence[Settings]) -> dict[str, str]:
    """The variables for the server: the projects' in their order, then the command line's."""
    values: dict[str, str] = {}
    for item in settings:
        values |= item.up.env
    return {**values, **given}


def parse_environment(texts: Sequence[str]) -> dict[str, str]:
    """Variables written as ``NAME=VALUE``. Raises SdkError USAGE."""
    values = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name or "\0" in text:
            raise SdkError(
                Code.USAGE,
                f"--env cannot be understood: {text!r}",
                why="It is NAME=VALUE.",
                resolution="Write for example --env ACME_TOKEN=abc.",
            )
        values[name] = value
    return values


def choose_call(given: SampleCall | None, settings: Sequence[Settings]) -> SampleCall | None:
    """The sample call: the command line's, else the first that a project has."""
    if given is not None:
        return given
    return next((item.up.call for item in settings if item.up.call is not None), None)


def _own_config(provider: Provider) -> Mapping[str, Any] | None:
    return provider.settings.up.config if provider.settings is not None else None
