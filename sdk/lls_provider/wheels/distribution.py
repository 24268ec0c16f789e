"""A distribution: the server a provider is built for, as exact versions of its packages.

What a distribution provides constrains the resolution and stays out of the image (contract,
decision 3); the server environment of ``up`` is made of the same pins, so the two agree.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lls_provider.wheels.interpreter import Interpreter
    from lls_provider.wheels.servers import ServerLine

ENVIRONMENT_PREFIX = "python:"


@dataclass(frozen=True, slots=True)
class Distribution:
    """A server as the user named it (``label``) and the versions that it provides.

    ``environment`` is the Python of an environment that is there already (``python:PATH``).
    ``portable`` is the name without a path of this machine, where the label has one. ``requires``
    is what each package asks for; None where versions are all that is known. Where it is
    ``indexed`` its versions were resolved from the package index, which therefore has them.
    """

    label: str
    pins: Mapping[str, str]  # version by normalised name
    interpreter: Interpreter
    line: ServerLine | None
    environment: Path | None = None
    portable: str = ""
    requires: Mapping[str, tuple[str, ...]] | None = field(default=None, repr=False, compare=False)
    modules: Mapping[str, frozenset[str]] | None = field(default=None, repr=False, compare=False)
    indexed: bool = False

    @property
    def recorded(self) -> str:
        """What an image says it was built for: the same wherever that was."""
        return self.portable or self.label

    def requirements(self) -> list[str]:
        """The pins as requirements, sorted."""
        return [f"{name}=={version}" for name, version in sorted(self.pins.items())]


def is_portable(recorded: str) -> bool:
    """Whether what an image says it was built for can be found on another machine."""
    return not looks_like_path(recorded) and recorded != ENVIRONMENT_PREFIX.rstrip(":")


def looks_like_path(spec: str) -> bool:
    """Whether a distribution is named as a file is, which may not be there."""
    return ("/" in spec and "://" not in spec) or spec.endswith((".txt", ".in"))
