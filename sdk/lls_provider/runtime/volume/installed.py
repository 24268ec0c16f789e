"""The record of each installed provider, ``metadata/<providerId>/installed.json``, and its slot.

The record is beside the metadata, so that one rename makes a provider visible with everything
about it. It is JSON, because the fast path reads it with the standard library alone. A
slot is (init container name, order); contract decision 2 defines what a run in it does.

Other containers write to the volume: only regular files are read, and no read blocks. A pipe would
block, a link to a device would never end, and a linked directory could lead anywhere.
"""

from __future__ import annotations

import errno
import json
import os
import stat
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lls_provider.contract.limits import TEXT_BYTES
from lls_provider.errors import Code, SdkError, Where

RECORD_FILE = "installed.json"
FORMAT = 1


@dataclass(frozen=True, slots=True)
class InstalledPackage:
    """A distribution that a provider put on the volume."""

    name: str
    version: str
    dist_info: str
    wheel: str


@dataclass(frozen=True, slots=True)
class ProviderRecord:
    """An installed provider: its slot (contract decision 2), its bundle, what it installed.

    ``bundle`` is the fingerprint of what was installed and for which Python, ``arguments`` that of
    all other arguments. ``replaced`` names the dist-info directories of others that this provider's
    packages replaced. ``provided`` is None if the image did not say what it assumes. ``zipapp`` is
    the SHA-256 of the zipapp that this provider put on the volume; None if it put none there.
    """

    provider_id: str
    image: str
    container: str
    order: int
    bundle: str = ""
    arguments: str = ""
    own: str | None = None
    packages: tuple[InstalledPackage, ...] = ()
    replaced: tuple[str, ...] = ()
    provided: Mapping[str, str] | None = None
    distributions: tuple[str, ...] = ()
    overrides: tuple[str, ...] = ()
    zipapp: str | None = None

    def dump(self) -> bytes:
        """The file's content: the same for the same record."""
        document = {
            "format": FORMAT,
            "providerId": self.provider_id,
            "image": self.image,
            "initContainerName": self.container,
            "order": self.order,
            "bundle": self.bundle,
            "arguments": self.arguments,
            "own": self.own,
            "packages": [
                {
                    "name": package.name,
                    "version": package.version,
                    "distInfo": package.dist_info,
                    "wheel": package.wheel,
                }
                for package in self.packages
            ],
            "replaced": list(self.replaced),
            "provided": None if self.provided is None else dict(sorted(self.provided.items())),
            "distributions": list(self.distributions),
            "overrides": list(self.overrides),
            "zipapp": self.zipapp,
        }
        return (json.dumps(document, indent=1) + "\n").encode()

    @classmethod
    def load(cls, data: bytes | None, path: Path) -> ProviderRecord:
        """The record in a file; ``data`` is what `read_regular` returned.

        Raises SdkError DOCUMENT_INVALID if it is not one of ours.
        """
        try:
            if data is None:
                raise ValueError(f"it is not a regular file of at most {TEXT_BYTES:,} bytes")
            value: Any = json.loads(data)
            if value["format"] != FORMAT:
                raise ValueError(f"format {value['format']!r} is not known here")
            return cls(
                provider_id=str(value["providerId"]),
                image=str(value["image"]),
                container=str(value["initContainerName"]),
                order=int(value["order"]),
                bundle=str(value["bundle"]),
                arguments=str(value["arguments"]),
                own=value["own"],
                packages=tuple(
                    InstalledPackage(item["name"], item["version"], item["distInfo"], item["wheel"])
                    for item in value["packages"]
                ),
                replaced=tuple(value["replaced"]),
                provided=value["provided"],
                distributions=tuple(value["distributions"]),
                overrides=tuple(value["overrides"]),
                zipapp=value["zipapp"],
            )
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise SdkError(
                Code.DOCUMENT_INVALID,
                "The record of an installed provider is damaged",
                why=f"{type(error).__name__}: {error}",
                where=Where(file=str(path)),
                resolution=f"Remove the directory {path.parent} and install the provider again.",
            ) from error


def installed_packages_text(records: Iterable[ProviderRecord]) -> str:
    """``installed-packages.txt``: ``name==version  # providerId``, by slot and name.

    What a later provider replaced no longer exists, so it has no line.
    """
    ordered = sorted(records, key=lambda record: (record.order, record.container))
    owner: dict[str, str] = {}
    for record in ordered:
        for dist_info in record.replaced:
            owner.pop(dist_info, None)
        owner.update((package.dist_info, record.provider_id) for package in record.packages)
    lines = [
        f"{package.name}=={package.version}  # {record.provider_id}\n"
        for record in ordered
        for package in sorted(record.packages, key=lambda package: package.name)
        if owner.get(package.dist_info) == record.provider_id
    ]
    return "".join(lines)


_FLAGS = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY
_NOT_THERE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENXIO)


def open_regular(path: Path) -> int | None:
    """A descriptor for reading; None if there is no regular file. Raises OSError."""
    try:
        descriptor = os.open(path, _FLAGS)
    except OSError as error:
        if error.errno in _NOT_THERE:
            return None
        raise
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        return descriptor
    os.close(descriptor)
    return None


def read_regular(path: Path, limit: int = TEXT_BYTES) -> bytes | None:
    """The content; None if there is no regular file of at most ``limit`` bytes."""
    descriptor = open_regular(path)
    if descriptor is None:
        return None
    with os.fdopen(descriptor, "rb") as stream:
        data = stream.read(limit + 1)
    return data if len(data) <= limit else None


class RealDirectories:
    """Distinguishes directories below ``top`` from links, which may lead out of it."""

    def __init__(self, top: Path) -> None:
        self._top = top
        self._real: dict[str, bool] = {"": True}

    def hold(self, path: str) -> bool:
        """Whether no parent of a relative path is a link."""
        directory = path.rpartition("/")[0]
        real = self._real.get(directory)
        if real is None:
            real = self.hold(directory) and not (self._top / directory).is_symlink()
            self._real[directory] = real
        return real


@dataclass(frozen=True, slots=True)
class SlotDecision:
    """The slot of a provider. ``same`` is its record if its packages stay as they are.

    ``forget`` are the providers to remove first: the one that was in the slot with other content,
    and all of later slots, which are installed again after this one.
    """

    order: int
    same: ProviderRecord | None
    forget: tuple[ProviderRecord, ...]


def decide_slot(
    records: Sequence[ProviderRecord],
    *,
    provider_id: str,
    image: str,
    container: str,
    order: int | None,
    bundle: str,
) -> SlotDecision:
    """Compare the volume's records with what is to be installed.

    Without ``order`` it is that of the container's earlier run, else the next one.
    Raises SdkError PROVIDER_DUPLICATE if the ID is in another slot.
    """
    before = next(
        (r for r in records if r.container == container and order in (None, r.order)), None
    )
    duplicate = next((r for r in records if r.provider_id == provider_id and r is not before), None)
    if duplicate is not None:
        raise _duplicate(duplicate, image, container)
    if before is None:
        next_order = max((record.order for record in records), default=-1) + 1
        return SlotDecision(next_order if order is None else order, None, ())
    if before.provider_id == provider_id and before.bundle == bundle:
        return SlotDecision(before.order, before, ())
    later = tuple(record for record in records if record.order > before.order)
    return SlotDecision(before.order, None, (before, *later))


def _duplicate(found: ProviderRecord, image: str, container: str) -> SdkError:
    return SdkError(
        Code.PROVIDER_DUPLICATE,
        f"Provider '{found.provider_id}' is installed twice",
        why=(
            f"It was installed from image {found.image} by init container {found.container} "
            f"(order {found.order}),\nand is to be installed from image {image} "
            f"by init container {container}."
        ),
        where=Where(provider=found.provider_id, image=image),
        resolution="Give each provider of the CR a providerId of its own.",
    )
