"""The bundle's SBOM: a CycloneDX 1.6 document, the same bytes for the same wheels.

It is written here and not by the library for it: an image's digest must not depend on the
versions of libraries on the machine that builds (docs/architecture.md, "Decisions"). The tests
validate it against the published schema and read it with that library.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from lls_provider import __version__
from lls_provider.contract.paths import PACKAGES, ZIPAPP_FILE

if TYPE_CHECKING:
    from packaging.utils import NormalizedName

    from lls_provider.contract.models import FileHash, ProviderPackage
    from lls_provider.runtime.headers import Headers
    from lls_provider.runtime.wheel import Wheel

MEDIA_TYPE = "application/vnd.cyclonedx+json"
SDK = "lls-provider-sdk"
_VERSION = "1.6"
_SCHEMA = f"http://cyclonedx.org/schema/bom-{_VERSION}.schema.json"
_SERIALS = uuid.UUID("6f4c1f52-4b0c-5d0e-9d2f-5a6b1f6f3f0a")  # the space of our serial numbers
_PROVIDED = "io.llamastack.provider.provided"
_CLASSIFIER = "License :: "
_NAME_LIMIT = 100  # characters; longer is a licence's text, where its name should be

JsonObject = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Contents:
    """What an SBOM tells of a bundle."""

    metadata: ProviderPackage
    wheels: Sequence[Wheel]
    own: NormalizedName  # of the provider's own package
    needs: Mapping[NormalizedName, set[NormalizedName]]  # provided ones among them
    provided: Mapping[str, str]
    files: Mapping[str, FileHash]  # by path, of the wheels and the zipapp
    libraries: Mapping[str, str]  # versions by name, of what is inside the zipapp


def dump_sbom(contents: Contents) -> bytes:
    """The bytes of ``sbom.cdx.json``; its serial number follows from all the rest."""
    document = _document(contents)
    serial = uuid.uuid5(_SERIALS, _text(document))
    return _text({**document, "serialNumber": f"urn:uuid:{serial}"}).encode() + b"\n"


def package_url(name: str, version: str) -> str:
    """The purl of a package on PyPI; its name is normalised already."""
    return f"pkg:pypi/{quote(name, safe='')}@{quote(version, safe='')}"


def licences(metadata: Headers) -> list[JsonObject]:
    """What a wheel says of its licence: an expression (PEP 639), a name, or classifiers."""
    declared = {"acknowledgement": "declared"}
    expression = metadata.optional("License-Expression")
    if expression:
        return [{"expression": expression, **declared}]
    name = metadata.optional("License") or ""
    if name and "\n" not in name and len(name) <= _NAME_LIMIT and name != "UNKNOWN":
        names = [name]
    else:
        classifiers = metadata.all("Classifier")
        told = (it.rpartition(" :: ")[2] for it in classifiers if it.startswith(_CLASSIFIER))
        names = sorted(set(told))
    return [{"license": {"name": it, **declared}} for it in names]


def _document(contents: Contents) -> JsonObject:
    metadata = contents.metadata
    refs = {wheel.name: _ref(wheel) for wheel in contents.wheels}
    root = f"{metadata.name}@{metadata.version}"
    needs = [
        {
            "ref": refs[wheel.name],
            "dependsOn": sorted(refs[it] for it in contents.needs[wheel.name] if it in refs),
        }
        for wheel in contents.wheels
    ]
    # what the server provides is not in the image, so no component of it: see `properties`
    beyond = sorted(refs[name] for name in refs if contents.needs[name] - refs.keys())
    document: JsonObject = {
        "$schema": _SCHEMA,
        "bomFormat": "CycloneDX",
        "specVersion": _VERSION,
        "version": 1,
        "metadata": {
            "lifecycles": [{"phase": "build"}],
            "tools": {"components": [{"type": "application", "name": SDK, "version": __version__}]},
            "component": {
                "type": "application",
                "bom-ref": root,
                "name": metadata.name,
                "version": metadata.version,
                "supplier": {"name": metadata.vendor},
                **({"description": metadata.description} if metadata.description else {}),
            },
            "properties": [
                {"name": _PROVIDED, "value": f"{name}=={version}"}
                for name, version in sorted(contents.provided.items())
            ],
        },
        "components": [*map(dict, _wheels(contents)), _runtime(contents)],
        "dependencies": [
            {"ref": root, "dependsOn": sorted([refs[contents.own], ZIPAPP_FILE])},
            *needs,
            {"ref": ZIPAPP_FILE},
        ],
    }
    if beyond:
        document["compositions"] = [{"aggregate": "incomplete", "dependencies": beyond}]
    return document


def _wheels(contents: Contents) -> Iterator[JsonObject]:
    for wheel in contents.wheels:
        path = f"{PACKAGES}/{wheel.filename}"
        component: JsonObject = {
            "type": "library",
            "bom-ref": _ref(wheel),
            "name": wheel.name,
            "version": str(wheel.version),
            "purl": package_url(wheel.name, str(wheel.version)),
        }
        if wheel.name != contents.own:  # its hash is in the manifest, and moves with its code
            component["hashes"] = _hashes(contents.files[path])
        found = licences(wheel.metadata) if wheel.metadata is not None else []
        yield component | ({"licenses": found} if found else {})


def _runtime(contents: Contents) -> JsonObject:
    """The zipapp, with the libraries in it."""
    return {
        "type": "application",
        "bom-ref": ZIPAPP_FILE,
        "name": SDK,
        "version": __version__,
        "purl": package_url(SDK, __version__),
        "hashes": _hashes(contents.files[ZIPAPP_FILE]),
        "components": [
            {
                "type": "library",
                "bom-ref": f"{ZIPAPP_FILE}/{name}",
                "name": name,
                "version": version,
                "purl": package_url(name, version),
            }
            for name, version in sorted(contents.libraries.items())
        ],
    }


def _ref(wheel: Wheel) -> str:
    # short, for it stands in every edge of the graph; the slash keeps it apart from other refs
    return f"{PACKAGES}/{wheel.name}"


def _hashes(found: FileHash) -> list[JsonObject]:
    return [{"alg": "SHA-256", "content": found.sha256}]


def _text(document: JsonObject) -> str:
    return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
