"""What the installer writes down about each provider: ``metadata/<providerId>/installed.json``.

It lies beside the metadata, so that one rename makes a provider visible with everything that
is known about it. JSON, because the fast path reads it with the standard library alone.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
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
    """An installed provider: its slot (contract decision 2), its bundle, what it put where.

    ``bundle`` is the fingerprint of what was installed and for which Python; ``arguments`` of
    everything else that was told. ``replaced`` names the dist-info folders of others whose
    place this provider's packages took. ``provided`` is None when the image did not say what
    it assumes. ``zipapp`` is the SHA-256 of the zipapp that this provider put on the volume, None
    when the one that was there stayed.
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
        """The record in a file; ``data`` is what `read_regular` gives.

        Raises SdkError DOCUMENT_INVALID when it is not one of ours.
        """
        try:
            if data is None:
                raise ValueError(f"it is no regular file of at most {TEXT_BYTES:,} bytes")
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
                resolution=f"Remove the folder {path.parent} and install the provider again.",
            ) from error


def installed_packages_text(records: Iterable[ProviderRecord]) -> str:
    """``installed-packages.txt``: ``name==version  # providerId``, by slot and name.

    What a later provider replaced is no longer there, so it has no line.
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
