"""The bundle's SBOM: a CycloneDX 1.6 document, the same bytes for the same wheels, and its rule.

The SDK writes it without the library for it: an image's digest must not depend on the versions of
libraries on the machine that builds (docs/architecture.md, "Decisions"). The tests validate it
against the published schema and read it with that library. The rule: the SBOM lists exactly the
wheels that exist. Only what CycloneDX fixes is checked, since other tools may have written it: the
top components with the package URL of a Python package. A bundle without an SBOM is valid.
"""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote

from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from lls_provider import __version__
from lls_provider.contract import plain_data
from lls_provider.contract.document import read_bytes
from lls_provider.contract.limits import DocumentLimits
from lls_provider.contract.names import PACKAGES, ZIPAPP_FILE
from lls_provider.errors import Code, Problem, SdkError, Where
from lls_provider.progress import counted

if TYPE_CHECKING:
    from packaging.utils import NormalizedName

    from lls_provider.bundle.checks.report import Findings
    from lls_provider.contract.models import FileHash, ProviderPackage
    from lls_provider.contract.names import BundleTree
    from lls_provider.runtime.wheelfile.contents import Headers
    from lls_provider.runtime.wheelfile.wheel import Wheel


MEDIA_TYPE = "application/vnd.cyclonedx+json"
SDK_NAME = "lls-provider-sdk"
_VERSION = "1.6"
_SCHEMA = f"http://cyclonedx.org/schema/bom-{_VERSION}.schema.json"
_SERIALS = uuid.UUID("6f4c1f52-4b0c-5d0e-9d2f-5a6b1f6f3f0a")  # the space of our serial numbers
_PROVIDED = "io.llamastack.provider.provided"
_CLASSIFIER = "License :: "
_NAME_LIMIT = 100  # characters; a longer value is the text of a licence, not its name

JsonObject = dict[str, Any]


@dataclass(frozen=True, slots=True)
class SbomContents:
    """What an SBOM says about a bundle."""

    metadata: ProviderPackage
    wheels: Sequence[Wheel]
    own: NormalizedName  # of the provider's own package
    needs: Mapping[NormalizedName, set[NormalizedName]]  # provided ones among them
    provided: Mapping[str, str]
    files: Mapping[str, FileHash]  # by path, of the wheels and the zipapp
    libraries: Mapping[str, str]  # versions by name, of what is inside the zipapp


def dump_sbom(contents: SbomContents) -> bytes:
    """The bytes of ``sbom.cdx.json``; its serial number is derived from the other content."""
    document = _document(contents)
    serial = uuid.uuid5(_SERIALS, _text(document))
    return _text({**document, "serialNumber": f"urn:uuid:{serial}"}).encode() + b"\n"


def package_url(name: str, version: str) -> str:
    """The purl of a package on PyPI; ``name`` is normalised already."""
    return f"pkg:pypi/{quote(name, safe='')}@{quote(version, safe='')}"


def licences(metadata: Headers) -> list[JsonObject]:
    """The licence of a wheel: an expression (PEP 639), a name, or classifiers."""
    declared = {"acknowledgement": "declared"}
    expression = metadata.optional("License-Expression")
    if expression:
        return [{"expression": expression, **declared}]
    name = metadata.optional("License") or ""
    if name and "\n" not in name and len(name) <= _NAME_LIMIT and name != "UNKNOWN":
        names = [name]
    else:
        classifiers = metadata.all("Classifier")
        names = sorted(
            {it.rpartition(" :: ")[2] for it in classifiers if it.startswith(_CLASSIFIER)}
        )
    return [{"license": {"name": it, **declared}} for it in names]


def _document(contents: SbomContents) -> JsonObject:
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
    # what the server provides is not in the image, so it is not a component: see `properties`
    incomplete = sorted(refs[name] for name in refs if contents.needs[name] - refs.keys())
    document: JsonObject = {
        "$schema": _SCHEMA,
        "bomFormat": "CycloneDX",
        "specVersion": _VERSION,
        "version": 1,
        "metadata": {
            "lifecycles": [{"phase": "build"}],
            "tools": {
                "components": [{"type": "application", "name": SDK_NAME, "version": __version__}]
            },
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
    if incomplete:
        document["compositions"] = [{"aggregate": "incomplete", "dependencies": incomplete}]
    return document


def _wheels(contents: SbomContents) -> Iterator[JsonObject]:
    for wheel in contents.wheels:
        path = f"{PACKAGES}/{wheel.filename}"
        component: JsonObject = {
            "type": "library",
            "bom-ref": _ref(wheel),
            "name": wheel.name,
            "version": str(wheel.version),
            "purl": package_url(wheel.name, str(wheel.version)),
        }
        if wheel.name != contents.own:  # its hash changes with its code, and is in the manifest
            component["hashes"] = _hashes(contents.files[path])
        found = licences(wheel.metadata) if wheel.metadata is not None else []
        yield component | ({"licenses": found} if found else {})


def _runtime(contents: SbomContents) -> JsonObject:
    """The zipapp, with the libraries in it."""
    return {
        "type": "application",
        "bom-ref": ZIPAPP_FILE,
        "name": SDK_NAME,
        "version": __version__,
        "purl": package_url(SDK_NAME, __version__),
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
    # short, since every edge of the graph has it; the slash distinguishes it from other refs
    return f"{PACKAGES}/{wheel.name}"


def _hashes(found: FileHash) -> list[JsonObject]:
    return [{"alg": "SHA-256", "content": found.sha256}]


def _text(document: JsonObject) -> str:
    return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


_RULE = "sbom"
_PYPI = "pkg:pypi/"
_LIMITS = DocumentLimits(size=16 << 20, nodes=1_000_000)
_REBUILD = "Build the bundle again with `lls-provider build`, or write its SBOM again."


def check_sbom(tree: BundleTree, wheels: Sequence[Wheel], findings: Findings) -> None:
    """Compare the SBOM, if there is one, with the wheels that could be read."""
    if not tree.sbom.exists():
        return
    where = Where(file=str(tree.sbom))
    try:
        document = plain_data.parse_json(
            read_bytes(tree.sbom, str(tree.sbom), limits=_LIMITS), _LIMITS
        )
        listed = _listed(document)
    except SdkError as error:
        findings.error(_RULE, error.code, error.what, where=where, resolution=_REBUILD)
        return
    except ValueError as error:
        what = f"{tree.sbom.name} is not a CycloneDX document: {error}"
        findings.error(_RULE, Code.BUNDLE_INVALID, what, where=where, resolution=_REBUILD)
        return
    problems = [
        Problem(Code.BUNDLE_INVALID, f"{tree.sbom.name} {what}", where, _REBUILD)
        for what in _differences(listed, wheels)
    ]
    if findings.broken("wheels"):
        return  # the list of wheels is not complete
    findings.add(_RULE, "error", problems)
    if not problems:
        findings.ok(_RULE, f"{tree.sbom.name} lists the {counted(len(wheels), 'wheel')}")


def _listed(document: Any) -> dict[str, tuple[str, str]]:
    """Version and SHA-256 (empty when not given) by package. Raises ValueError."""
    if not isinstance(document, dict) or document.get("bomFormat") != "CycloneDX":
        raise ValueError("bomFormat is not 'CycloneDX'")
    components = document.get("components", [])
    if not isinstance(components, list):
        raise ValueError("components is not a list")  # noqa: TRY004 - of the document, not of ours
    found: dict[str, tuple[str, str]] = {}
    for component in components:
        purl = component.get("purl") if isinstance(component, dict) else None
        # scanners list what is not in the bundle with this scope
        if not isinstance(purl, str) or component.get("scope") == "excluded":
            continue
        name, at, version = purl.partition("?")[0].partition("#")[0].rpartition("@")
        if name.startswith(_PYPI) and at and component.get("type") == "library":
            package = canonicalize_name(unquote(name.removeprefix(_PYPI)))
            found[package] = unquote(version), _sha256(component.get("hashes"))
    return found


def _sha256(hashes: Any) -> str:
    for it in hashes if isinstance(hashes, list) else []:
        if isinstance(it, dict) and it.get("alg") == "SHA-256":
            return str(it.get("content", "")).lower()
    return ""


def _differences(listed: dict[str, tuple[str, str]], wheels: Sequence[Wheel]) -> Iterator[str]:
    left = dict(listed)
    for wheel in wheels:
        version, digest = left.pop(wheel.name, ("", ""))
        if not version:
            yield f"does not list {wheel.filename}"
        elif not _same(version, wheel.version):
            yield f"lists {wheel.name} {version:.100}, the bundle has {wheel.filename}"
        elif digest and digest != _hash(wheel):
            yield f"lists {wheel.name} with another SHA-256 than {wheel.filename} has"
    for name, (version, _) in sorted(left.items()):
        yield f"lists {name:.100} {version:.100}, which is not in the bundle"


def _same(text: str, version: Version) -> bool:
    try:
        return Version(text) == version
    except InvalidVersion:
        return False


def _hash(wheel: Wheel) -> str:
    try:
        with wheel.path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError:
        return ""
