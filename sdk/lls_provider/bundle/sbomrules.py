"""The rule about a bundle's SBOM: it lists the wheels that are there, as they are, and no other.

Whoever wrote it, only what CycloneDX fixes is looked at: the components at the top that have the
package URL of a Python package. A bundle without an SBOM is fine.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from lls_provider.contract import jsontext
from lls_provider.contract.document import read_bytes
from lls_provider.contract.limits import DocumentLimits
from lls_provider.errors import Code, Problem, SdkError, Where
from lls_provider.progress import counted

if TYPE_CHECKING:
    from lls_provider.bundle.report import Findings
    from lls_provider.contract.paths import BundleTree
    from lls_provider.runtime.wheel import Wheel

_RULE = "sbom"
_PYPI = "pkg:pypi/"
_LIMITS = DocumentLimits(size=16 << 20, nodes=1_000_000)
_REBUILD = "Build the bundle again with `lls-provider build`, or write its SBOM anew."


def check(tree: BundleTree, wheels: Sequence[Wheel], findings: Findings) -> None:
    """Compare the SBOM, where there is one, with the wheels that could be read."""
    if not tree.sbom.exists():
        return
    where = Where(file=str(tree.sbom))
    try:
        document = jsontext.parse(read_bytes(tree.sbom, str(tree.sbom), limits=_LIMITS), _LIMITS)
        listed = _listed(document)
    except SdkError as error:
        findings.error(_RULE, error.code, error.what, where=where, resolution=_REBUILD)
        return
    except ValueError as error:
        what = f"{tree.sbom.name} is no CycloneDX document: {error}"
        findings.error(_RULE, Code.BUNDLE_INVALID, what, where=where, resolution=_REBUILD)
        return
    problems = [
        Problem(Code.BUNDLE_INVALID, f"{tree.sbom.name} {what}", where, _REBUILD)
        for what in _differences(listed, wheels)
    ]
    if findings.broken("wheels"):
        return  # which wheels there are is not known
    findings.add(_RULE, "error", problems)
    if not problems:
        findings.ok(_RULE, f"{tree.sbom.name} lists the {counted(len(wheels), 'wheel')}")


def _listed(document: Any) -> dict[str, tuple[str, str]]:
    """Version and SHA-256 (empty when not told) by package. Raises ValueError."""
    if not isinstance(document, dict) or document.get("bomFormat") != "CycloneDX":
        raise ValueError("bomFormat is not 'CycloneDX'")
    components = document.get("components", [])
    if not isinstance(components, list):
        raise ValueError("components is no list")  # noqa: TRY004 - of the document, not of ours
    found: dict[str, tuple[str, str]] = {}
    for component in components:
        purl = component.get("purl") if isinstance(component, dict) else None
        # a scanner's word for: named here, but not in it
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
        version, told = left.pop(wheel.name, ("", ""))
        if not version:
            yield f"does not list {wheel.filename}"
        elif not _same(version, wheel.version):
            yield f"lists {wheel.name} {version:.100}, the bundle has {wheel.filename}"
        elif told and told != _hash(wheel):
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
