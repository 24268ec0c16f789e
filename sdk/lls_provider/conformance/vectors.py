"""Reads the vectors of ``contract/``: documents, conflicts, golden messages, requirements.

This is the only reader: the runner and the SDK's own tests use it. The files are described in
``contract/README.md`` and ``contract/CONFORMANCE.md``.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from lls_provider import resources
from lls_provider.contract.document import load_file

ROLES = ("installer", "merger", "preflight", "operator", "checker")
"""What an implementation can be, in the order of a Pod's life."""


@dataclass(frozen=True, slots=True)
class ContractRequirement:
    """One thing that a conformant implementation does; ``level`` is must or should."""

    id: str
    role: str
    level: str
    section: str
    text: str

    def described(self) -> str:
        """The requirement with its level and the contract's section."""
        section = f"section {self.section}" if self.section.isdigit() else self.section
        return f"{section}, {self.id} ({self.level.upper()}): {self.text}"


@dataclass(frozen=True, slots=True)
class DocumentVector:
    """A document and the complaints about it; without ``schema`` it is only loaded."""

    file: str
    schema: str | None
    name: str
    section: str
    data: bytes
    errors: Sequence[Mapping[str, Any]]
    value: Any = None

    def __str__(self) -> str:
        return f"{self.file}: {self.name}"


def image_of(provider: str) -> str:
    """The reference of a provider's image where a vector names none."""
    return f"registry.example.com/{provider}:1.0"


@dataclass(frozen=True, slots=True)
class ConflictImage:
    """A provider image of a conflict vector; None for what it does not say."""

    provider: str
    packages: Mapping[str, Sequence[str]]
    provided: Mapping[str, str] | None = None
    overrides: Sequence[str] = ()

    @property
    def own(self) -> str:
        """``name==version`` of the provider's own distribution, which is the first."""
        return next(iter(self.packages))

    @property
    def image(self) -> str:
        """The image's reference."""
        return image_of(self.provider)


@dataclass(frozen=True, slots=True)
class ConflictVector:
    """What is on the volume, an image to be installed, and what becomes of it (decision 1)."""

    file: str
    name: str
    python: str
    machine: str
    strangers: Mapping[str, Sequence[str]]
    installed: Sequence[ConflictImage]
    new: ConflictImage
    expect: Mapping[str, Any]

    def __str__(self) -> str:
        return f"{self.file}: {self.name}"

    @property
    def images(self) -> tuple[ConflictImage, ...]:
        """All images in their order, the new one last."""
        return (*self.installed, self.new)


@dataclass(frozen=True, slots=True)
class GoldenMessage:
    """A message of the contract with the values that its layout was filled with."""

    file: str
    layout: str
    values: Mapping[str, Any]
    text: str

    def __str__(self) -> str:
        return self.file


def contract_path(name: str = "") -> Path:
    """A file or directory of ``contract/``."""
    return resources.data_path("contract") / name


def contract_version() -> str:
    """The version of the contract's files."""
    return contract_path("VERSION").read_text("ascii").strip()


@cache
def requirements() -> Mapping[str, ContractRequirement]:
    """The requirements by their id, in their order."""
    content = load_file(contract_path("requirements.yaml")).value
    return {entry["id"]: ContractRequirement(**entry) for entry in content["requirements"]}


def vector_files(folder: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The vector files directly in a folder below ``vectors``, by name: label and content."""
    root = contract_path("vectors")
    for path in sorted((root / folder).glob("*.yaml")):
        yield path.relative_to(root).with_suffix("").as_posix(), load_file(path).value


@cache
def document_vectors() -> tuple[DocumentVector, ...]:
    """The vectors of all documents."""
    return tuple(
        DocumentVector(
            label,
            content["schema"],
            vector["name"],
            vector["section"],
            _document_bytes(vector),
            vector["errors"],
            vector.get("value"),
        )
        for label, content in vector_files("")
        for vector in content["vectors"]
    )


def _document_bytes(vector: Mapping[str, Any]) -> bytes:
    if "base64" in vector:
        return base64.b64decode(vector["base64"])
    if "parts" in vector:
        return "".join(part["text"] * part["times"] for part in vector["parts"]).encode()
    text: str = vector["document"]
    return text.encode()


@cache
def conflict_vectors() -> tuple[ConflictVector, ...]:
    """The vectors of decision 1."""
    found = []
    for label, content in vector_files("conflicts"):
        for vector in content["vectors"]:
            target = vector.get("target", {})
            found.append(
                ConflictVector(
                    label,
                    vector["name"],
                    target.get("python", "cp312"),
                    target.get("machine", "x86_64"),
                    vector.get("strangers", {}),
                    [ConflictImage(**image) for image in vector.get("installed", [])],
                    ConflictImage(**vector["new"]),
                    vector["expect"],
                )
            )
    return tuple(found)


@cache
def golden_messages() -> tuple[GoldenMessage, ...]:
    """The messages of ``golden/``."""
    folder = contract_path("golden")
    content = load_file(folder / "golden.yaml").value
    return tuple(
        GoldenMessage(
            entry["file"],
            entry["layout"],
            entry["values"],
            (folder / entry["file"]).read_text("utf-8").removesuffix("\n"),
        )
        for entry in content["messages"]
    )


@cache
def layouts() -> Mapping[str, str]:
    """The layouts of messages by their name, with ``{value}`` for what is filled in."""
    content = load_file(contract_path("golden/layouts.yaml")).value
    return {entry["name"]: entry["text"] for entry in content["layouts"]}
