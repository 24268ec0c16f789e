"""The documents of the contract as values: metadata, an entry of the CR, the manifest of a bundle.

`from_document` takes a document that passed its schema. Reading from a file checks the schema and
reports all problems at once, with line and column. The manifest is JSON, so that the
installer's fast path reads it with the standard library alone.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lls_provider.contract import plain_data, schema, validation
from lls_provider.contract.document import Document, load, load_file, read_bytes
from lls_provider.contract.limits import document_limits
from lls_provider.contract.names import API_VERSION
from lls_provider.errors import Code, SdkError, Where

FORMAT = 1
_REBUILD = "Build the bundle again: this file is written by 'lls-provider build', not by hand."


@dataclass(frozen=True, slots=True)
class FileHash:
    """The hash and size of a file in the bundle."""

    sha256: str
    size: int


@dataclass(frozen=True, slots=True)
class BuildTarget:
    """What the wheels of a bundle were chosen for."""

    python_tag: str  # cp312
    platforms: tuple[str, ...]  # platform tags, best first
    machine: str  # x86_64


@dataclass(frozen=True, slots=True)
class BundleManifest:
    """``manifest.json``; the paths in ``files`` are relative to the bundle's root."""

    files: Mapping[str, FileHash]
    target: BuildTarget
    provided: Mapping[str, str]  # version by package name: assumed to be in the distribution
    distributions: tuple[str, ...]
    overrides: tuple[str, ...]
    sdk: str
    installed_size: int
    format: int = FORMAT
    not_loaded: str | None = None  # why it was built although it does not load beside a server

    @classmethod
    def from_document(cls, document: Document) -> BundleManifest:
        """The manifest of a document that passed the schema ``manifest``."""
        value = document.value
        target = value["target"]
        return cls(
            files={
                path: FileHash(found["sha256"], int(found["size"]))
                for path, found in value["files"].items()
            },
            target=BuildTarget(target["python_tag"], tuple(target["platforms"]), target["machine"]),
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
        optional = {} if self.not_loaded is None else {"not_loaded": self.not_loaded}
        return {
            **optional,
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


def dump_manifest(manifest: BundleManifest) -> bytes:
    """The bytes of ``manifest.json``: sorted keys, so that equal manifests are equal files."""
    text = json.dumps(manifest.to_document(), indent=1, sort_keys=True, ensure_ascii=False)
    return text.encode() + b"\n"


def read_manifest(path: Path, source: str | None = None) -> BundleManifest:
    """Read and check ``manifest.json``.

    Raises SdkError FILE_MISSING, FILE_UNREADABLE, YAML_INVALID, YAML_LIMIT, DUPLICATE_KEY, or
    what `validation.require` raises, with line and column.
    """
    name = source if source is not None else str(path)
    data = read_bytes(path, name)
    try:
        document = Document(name, plain_data.parse_json(data, document_limits()))
    except json.JSONDecodeError as error:
        raise SdkError(
            Code.YAML_INVALID,
            "Invalid JSON",
            why=f"{error.msg} (line {error.lineno}, column {error.colno})",
            where=Where(name, error.lineno, error.colno),
            resolution=_REBUILD,
        ) from error
    except ValueError:  # the YAML reader reports the position
        document = load(data, name)
    if validation.problems(document, "manifest"):
        document = load(data, name)  # again, for the positions
    validation.require(document, "manifest", "The bundle's manifest is not valid", _REBUILD)
    return BundleManifest.from_document(document)


__all__ = [
    "INIT_CONTAINER_PREFIX",
    "INSTALL_ALL_CONTAINER",
    "PROVIDER_ID_LIMIT",
    "BuildTarget",
    "BundleManifest",
    "CrdConfig",
    "FileHash",
    "ProviderPackage",
    "dump_manifest",
    "external_providers_document",
    "init_container",
    "provider_entry",
    "provider_id_from_name",
    "provider_id_problem",
    "read_crd_config",
    "read_manifest",
    "read_provider_package",
]

INIT_CONTAINER_PREFIX = "install-provider-"
INSTALL_ALL_CONTAINER = "install-providers"
"""The one init container of all providers, when their images are mounted."""
PROVIDER_ID_LIMIT = 63 - len(INIT_CONTAINER_PREFIX)
"""A container's name has 63 characters at most (contract section 1)."""

_PROVIDER_ID = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")


def init_container(provider_id: str) -> str:
    """The name of the init container of a provider (contract section 2)."""
    return INIT_CONTAINER_PREFIX + provider_id


@dataclass(frozen=True, slots=True)
class ProviderPackage:
    """The metadata of a provider image, kind ProviderPackage (contract section 1)."""

    name: str
    version: str
    vendor: str
    description: str | None
    maintainer: str | None
    package_name: str
    provider_type: str
    api: str
    wheel_path: str
    dependency_wheels: tuple[str, ...] = ()

    @property
    def kind(self) -> str:
        """``remote`` or ``inline``: decides which function of the provider is called."""
        return self.provider_type.partition("::")[0]

    @classmethod
    def from_document(cls, document: Document) -> ProviderPackage:
        """The metadata of a document that passed the schema ``provider-package``."""
        metadata, spec = document.value["metadata"], document.value["spec"]
        return cls(
            name=metadata["name"],
            version=metadata["version"],
            vendor=metadata["vendor"],
            description=metadata.get("description"),
            maintainer=metadata.get("maintainer"),
            package_name=spec["packageName"],
            provider_type=spec["providerType"],
            api=spec["api"],
            wheel_path=spec["wheelPath"],
            dependency_wheels=tuple(spec.get("dependencyWheels", ())),
        )

    def to_document(self) -> dict[str, Any]:
        """The document, its keys in the order of the contract; what is not set is left out."""
        metadata = {"name": self.name, "version": self.version, "vendor": self.vendor}
        if self.description is not None:
            metadata["description"] = self.description
        if self.maintainer is not None:
            metadata["maintainer"] = self.maintainer
        spec: dict[str, Any] = {
            "packageName": self.package_name,
            "providerType": self.provider_type,
            "api": self.api,
            "wheelPath": self.wheel_path,
        }
        if self.dependency_wheels:
            spec["dependencyWheels"] = list(self.dependency_wheels)
        return {
            "apiVersion": API_VERSION,
            "kind": "ProviderPackage",
            "metadata": metadata,
            "spec": spec,
        }


@dataclass(frozen=True, slots=True)
class CrdConfig:
    """A provider's entry in the CR, and the image it was installed from (section 2)."""

    provider_id: str
    api: str
    config: dict[str, Any] | None
    image: str
    init_container_name: str
    order: int

    @classmethod
    def from_document(cls, document: Document) -> CrdConfig:
        """The record of a document that passed the schema ``crd-config``.

        Another installer may leave out image, initContainerName and order.
        """
        value = document.value
        return cls(
            provider_id=value["providerId"],
            api=value["api"],
            config=value.get("config"),
            image=value.get("image", ""),
            init_container_name=value.get("initContainerName", init_container(value["providerId"])),
            order=int(value.get("order", 0)),
        )

    def to_document(self) -> dict[str, Any]:
        """The document; without a config there is no key ``config``."""
        document: dict[str, Any] = {"providerId": self.provider_id, "api": self.api}
        if self.config is not None:
            document["config"] = self.config
        if self.image:
            document["image"] = self.image
        document["initContainerName"] = self.init_container_name
        document["order"] = self.order
        return document


def read_provider_package(
    path: Path, source: str | None = None, *, strict: bool = False
) -> ProviderPackage:
    """Read and check ``lls-provider-spec.yaml``.

    ``strict`` refuses unknown keys, which are an author's typo; without it they are
    ignored, so that metadata of a later version does not stop a Pod. Raises SdkError: what
    `load_file` and `validation.require` raise.
    """
    document = load_file(path, source)
    _require(document, "provider-package", "The provider's metadata is not valid", strict)
    return ProviderPackage.from_document(document)


def read_crd_config(path: Path, source: str | None = None, *, strict: bool = False) -> CrdConfig:
    """Read and check ``crd-config.yaml``; see `read_provider_package`."""
    document = load_file(path, source)
    _require(document, "crd-config", "The record of the provider's CR is not valid", strict)
    return CrdConfig.from_document(document)


def _require(document: Document, name: str, what: str, strict: bool) -> None:
    found = validation.problems(document, name)
    if not strict:
        found = [problem for problem in found if problem.code is not Code.FIELD_UNKNOWN]
    resolution = "Correct the file at the places listed."
    validation.refuse(found, document.source, what, resolution)


def provider_entry(
    provider_id: str, provider_type: str, module: str, config: Mapping[str, Any] | None
) -> dict[str, Any]:
    """One entry of a ``providers`` section, in the shape of the server's own (section 3)."""
    entry: dict[str, Any] = {
        "provider_id": provider_id,
        "provider_type": provider_type,
        "module": module,
    }
    if config is not None:
        entry["config"] = dict(config)
    return entry


def external_providers_document(
    entries: Mapping[str, Sequence[Mapping[str, Any]]],
) -> dict[str, Any]:
    """The document ``extra-providers.yaml`` from the entries by API (section 3)."""
    return {
        "apiVersion": API_VERSION,
        "kind": "ExternalProviders",
        "providers": {api: [dict(entry) for entry in found] for api, found in entries.items()},
    }


def provider_id_problem(text: str) -> str | None:
    """What is wrong with a providerId, as one sentence; None if it is valid (section 1)."""
    if not _PROVIDER_ID.fullmatch(text):
        return (
            f"providerId {schema.shown(text)} must consist of lower-case letters, digits and '-', "
            "and begin and end with a letter or digit"
        )
    if len(text) > PROVIDER_ID_LIMIT:
        return (
            f"providerId {schema.shown(text)} has {len(text)} characters; {PROVIDER_ID_LIMIT} are "
            f"allowed, so that '{INIT_CONTAINER_PREFIX}{{providerId}}' is a container's name"
        )
    return None


def provider_id_from_name(name: str) -> str:
    """A package's name in the form of a providerId: ``acme_Echo`` becomes ``acme-echo``.

    Raises SdkError FIELD_VALUE if the name has no letter or digit.
    """
    identifier = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
    identifier = identifier[:PROVIDER_ID_LIMIT].rstrip("-")
    if not identifier:
        raise SdkError(
            Code.FIELD_VALUE,
            f"No providerId can be made of the name {schema.shown(name)}",
            resolution="Use a name with letters a-z or digits, such as acme-echo.",
        )
    return identifier
