"""A distribution: the server a provider is built for, as exact versions of its packages.

What a distribution provides constrains the resolution and stays out of the image (contract,
decision 3); the server environment of ``up`` is made of the same pins, so the two agree.

A server's packages may be built locally, have local versions, or be on no index at all (contract
decision 12). For each of them uv gets a wheel of metadata alone as a constraint with a URL: bounds
on it count, and no index is asked for it. Packages that were resolved from the index themselves
stay plain constraints.
"""

from __future__ import annotations

import hashlib
import io
import re
import zipfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from lls_provider.system.cache import cache_root, keep

if TYPE_CHECKING:
    from lls_provider.wheels.interpreter import Interpreter
    from lls_provider.wheels.servers import ServerLine


ENVIRONMENT_PREFIX = "python:"


@dataclass(frozen=True, slots=True)
class Distribution:
    """A server as the user named it (``label``) and the versions that it provides.

    ``environment`` is the Python of an environment that already exists (``python:PATH``).
    ``portable`` is the name without a path of this machine, where the label has one. ``requires``
    is what each package requires; None where versions are all that is known. Where it is
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


_OLDEST = (1980, 1, 1, 0, 0, 0)  # what a zip can say


def uv_constraints(
    distribution: Distribution | None,
    versions: Mapping[str, str],
    on_index: Collection[str] = (),
) -> Iterator[str]:
    """The constraints of a resolution in which packages must have these versions, sorted by name.

    Those that ``distribution`` provides among them are written as it has them, except for those
    that are ``on_index`` in the same version. Raises SdkError NO_SPACE or CACHE_UNWRITABLE.
    """
    pins = distribution.pins if distribution is not None else {}
    for name in sorted(versions):
        if (
            distribution is None
            or distribution.indexed
            or name in on_index
            or pins.get(name) != versions[name]
        ):
            yield f"{name}=={versions[name]}"
        else:
            wheel = metadata_wheel(name, versions[name], _asked_of(distribution, name))
            yield f"{name} @ {wheel.as_uri()}"


def metadata_wheel(name: str, version: str, requires: Sequence[str]) -> Path:
    """A wheel in the cache that says who it is and what it requires, and holds nothing else.

    It is under the digest of its metadata, since uv remembers wheels by their place. Raises
    SdkError NO_SPACE or CACHE_UNWRITABLE.
    """
    metadata = _metadata(name, version, requires)
    digest = hashlib.sha256(metadata.encode()).hexdigest()[:16]
    stem = f"{name.replace('-', '_')}-{version}"
    place = cache_root() / "provided" / digest / f"{stem}-py3-none-any.whl"
    if not place.is_file():
        info = f"{stem}.dist-info"
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            for member, text in (
                ("METADATA", metadata),
                ("WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"),
                ("RECORD", ""),
            ):
                archive.writestr(zipfile.ZipInfo(f"{info}/{member}", _OLDEST), text)
        keep(place, buffer.getvalue())
    return place


def _metadata(name: str, version: str, requires: Sequence[str]) -> str:
    lines = ["Metadata-Version: 2.3", f"Name: {name}", f"Version: {version}"]
    lines += [f"Provides-Extra: {extra}" for extra in sorted(_extras(requires))]
    lines += [f"Requires-Dist: {it}" for it in requires]
    return "\n".join(lines) + "\n"


def _asked_of(distribution: Distribution, name: str) -> list[str]:
    """What a package of the distribution requires, as far as that can decide something.

    What the server itself does not have, or not in such a version, it runs without; what it has
    counts by name and version, wherever it was to come from.
    """
    found = []
    for text in (distribution.requires or {}).get(name, ()):
        try:
            requirement = Requirement(text)
        except InvalidRequirement:
            continue  # of long ago; no installer could follow it either
        version = distribution.pins.get(canonicalize_name(requirement.name))
        if requirement.url and version is not None:
            requirement.url = None
            text = str(requirement)
        runs = version is not None and requirement.specifier.contains(version, prereleases=True)
        if runs or (requirement.marker is not None and _names_extra(requirement)):
            found.append(text)
    return found


def _names_extra(requirement: Requirement) -> bool:
    return "extra" in str(requirement.marker)


def _extras(requires: Sequence[str]) -> set[str]:
    """The extras that markers of requirements name."""
    return {
        canonicalize_name(extra)
        for text in requires
        if (marker := Requirement(text).marker) is not None
        for extra in re.findall(r"extra == [\"']([^\"']+)[\"']", str(marker))
    }
