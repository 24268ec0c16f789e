"""The bundle's manifest: hashes of every file, the target, what is assumed to be provided.

It is JSON, so that the installer's fast path reads it with the standard library alone.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lls_provider.contract import jsontext, rules
from lls_provider.contract.document import Document, load, read_bytes
from lls_provider.contract.limits import document_limits
from lls_provider.errors import Code, SdkError, Where

FORMAT = 1
_REBUILD = "Build the bundle again: this file is written by 'lls-provider build', not by hand."


@dataclass(frozen=True, slots=True)
class FileHash:
    """What a file of the bundle must be."""

    sha256: str
    size: int


@dataclass(frozen=True, slots=True)
class Target:
    """What the wheels of a bundle were chosen for."""

    python_tag: str  # cp312
    platforms: tuple[str, ...]  # platform tags, best first
    machine: str  # x86_64


@dataclass(frozen=True, slots=True)
class Manifest:
    """``manifest.json``; the paths in ``files`` are relative to the bundle's root."""

    files: Mapping[str, FileHash]
    target: Target
    provided: Mapping[str, str]  # version by package name: assumed to be in the distribution
    distributions: tuple[str, ...]
    overrides: tuple[str, ...]
    sdk: str
    installed_size: int
    format: int = FORMAT
    not_loaded: str | None = None  # why it was built although it loads beside no server

    @classmethod
    def from_document(cls, document: Document) -> Manifest:
        """The manifest of a document that passed the schema ``manifest``."""
        value = document.value
        target = value["target"]
        return cls(
            files={
                path: FileHash(found["sha256"], int(found["size"]))
                for path, found in value["files"].items()
            },
            target=Target(target["python_tag"], tuple(target["platforms"]), target["machine"]),
            provided=dict(value["provided"]),
            distributions=tuple(value["distributions"]),
            overrides=tuple(value["overrides"]),
            sdk=value["sdk"],
            installed_size=int(value["installed_size"]),
            format=int(value["format"]),
            not_loaded=value.get("not_loaded"),
        )

    def to_document(self) -> dict[str, Any]:
        """The manifest as plain data."""
        told = {} if self.not_loaded is None else {"not_loaded": self.not_loaded}
        return {
            **told,
            "format": self.format,
            "files": {
                path: {"sha256": found.sha256, "size": found.size}
                for path, found in self.files.items()
            },
            "target": {
                "python_tag": self.target.python_tag,
                "platforms": list(self.target.platforms),
                "machine": self.target.machine,
            },
            "provided": dict(self.provided),
            "distributions": list(self.distributions),
            "overrides": list(self.overrides),
            "sdk": self.sdk,
            "installed_size": self.installed_size,
        }


def dump_manifest(manifest: Manifest) -> bytes:
    """The bytes of ``manifest.json``: sorted keys, so that equal manifests are equal files."""
    text = json.dumps(manifest.to_document(), indent=1, sort_keys=True, ensure_ascii=False)
    return text.encode() + b"\n"


def read_manifest(path: Path, source: str | None = None) -> Manifest:
    """Read and check ``manifest.json``.

    Raises SdkError FILE_MISSING, FILE_UNREADABLE, YAML_INVALID, YAML_LIMIT, DUPLICATE_KEY, or
    what `rules.require` raises, with line and column.
    """
    name = source if source is not None else str(path)
    data = read_bytes(path, name)
    try:
        document = Document(name, jsontext.parse(data, document_limits()))
    except json.JSONDecodeError as error:
        raise SdkError(
            Code.YAML_INVALID,
            "Invalid JSON",
            why=f"{error.msg} (line {error.lineno}, column {error.colno})",
            where=Where(name, error.lineno, error.colno),
            resolution=_REBUILD,
        ) from error
    except ValueError:  # the reader with positions tells
        document = load(data, name)
    if rules.problems(document, "manifest"):
        document = load(data, name)  # again, for the positions
    rules.require(document, "manifest", "The bundle's manifest is not valid", _REBUILD)
    return Manifest.from_document(document)
