"""Checks a bundle, ours or made by hand, against every rule of the contract (section 1).

All rules run, except those whose input is broken, which another rule reports.
Rules about documents are here, those about wheels in `wheels`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from lls_provider.bundle import config_schema, sbom
from lls_provider.bundle.assemble import fragment
from lls_provider.bundle.bundle import bundle_wheels, resolve_wheel_path
from lls_provider.bundle.checks import wheels as wheelrules
from lls_provider.bundle.checks.report import Finding, Findings, Report, complaint_text
from lls_provider.contract import validation
from lls_provider.contract.document import load_file
from lls_provider.contract.models import (
    BundleManifest,
    ProviderPackage,
    provider_id_from_name,
    read_manifest,
)
from lls_provider.contract.names import IMAGE_ROOT, BundleTree
from lls_provider.errors import Code, Problem, SdkError, Where
from lls_provider.progress import counted

if TYPE_CHECKING:
    from lls_provider.bundle.checks.elf import NativeFile
    from lls_provider.contract.document import Document
    from lls_provider.runtime.wheelfile.wheel import Wheel

_SECTION = "contract section 1"
_REBUILD = "Build the bundle again with `lls-provider build`."


@dataclass(frozen=True, slots=True)
class _Metadata:
    package: ProviderPackage
    document: Document

    def where(self, *path: str) -> Where:
        return self.document.where(path)


@dataclass(frozen=True, slots=True)
class Collected:
    """What the rules read: the metadata if it is valid, and the readable wheels.

    ``native`` are the native files by the wheels' names; None if no rule had to read them.
    """

    package: ProviderPackage | None
    wheels: Sequence[Wheel]
    native: Mapping[str, Sequence[NativeFile]] | None


def check_bundle(root: Path, *, label: str) -> Report:
    """Check the bundle at ``root``; its files are shown below ``label``.

    What is wrong with the bundle is a finding, never an exception.
    """
    findings = Findings()
    collect(root, findings)
    return Report(label, "bundle", tuple(relabelled(findings.found, root, label)))


def collect(root: Path, findings: Findings) -> Collected:
    """Run every rule on the bundle at ``root``."""
    tree = BundleTree(root)
    manifest = _manifest(tree, findings)
    metadata = _metadata(tree, findings)
    if metadata is not None:
        _fragment(tree, metadata, findings)
        _wheel_paths(root, metadata, findings)
    own = metadata and resolve_wheel_path(root, metadata.package.wheel_path)
    wheels = wheelrules.read_wheels(tree, findings)
    native = wheelrules.check_wheels(
        wheels,
        findings,
        own=own or None,
        package=metadata.package if metadata else None,
        manifest=manifest,
    )
    sbom.check_sbom(tree, wheels, findings)
    _config_schema(tree, findings)
    if manifest is not None and manifest.not_loaded is not None:
        findings.warning(
            "loads",
            Code.VALIDATION_FAILED,
            f"It was built although it failed beside its server: {manifest.not_loaded!r:.300}",
            where=Where(file=str(tree.manifest)),
            resolution="Expect preflight to fail with such a server, or the server itself.",
        )
    return Collected(metadata.package if metadata else None, wheels, native)


def relabelled(found: list[Finding], root: Path, label: str) -> Iterator[Finding]:
    """The findings with the user's names of files, not those of the unpacked copies."""
    for finding in found:
        problem = finding.problem
        if problem is not None and problem.where.file is not None:
            path = Path(problem.where.file)
            if path.is_relative_to(root):
                name = (Path(label) / path.relative_to(root)).as_posix()
                problem = replace(problem, where=replace(problem.where, file=name))
                finding = replace(finding, problem=problem)
        yield finding


def problems_of(error: SdkError) -> list[Problem]:
    """The problems of an error, or the error itself as one."""
    if error.problems:
        return list(error.problems)
    return [Problem(error.code, complaint_text(error), error.where, error.resolution)]


def _metadata(tree: BundleTree, findings: Findings) -> _Metadata | None:
    rule = "metadata"
    if not tree.spec.is_file():
        findings.error(
            rule,
            Code.METADATA_MISSING,
            f"Missing {IMAGE_ROOT}/{tree.spec.name}",
            where=Where(file=str(tree.spec)),
            resolution=f"Add it: the metadata is required ({_SECTION}).",
        )
        return None
    try:
        document = load_file(tree.spec)
    except SdkError as error:
        findings.add(rule, "error", problems_of(error))
        return None
    problems = validation.problems(document, "provider-package")
    findings.add(rule, "error", problems)
    if any(problem.code is not Code.FIELD_UNKNOWN for problem in problems):
        return None
    findings.add(rule, "warning", validation.advice(document))
    if not problems:
        findings.ok(rule, f"{tree.spec.name} is valid")
    return _Metadata(ProviderPackage.from_document(document), document)


def _fragment(tree: BundleTree, metadata: _Metadata, findings: Findings) -> None:
    rule = "fragment"
    if not tree.fragment.exists():
        findings.warning(
            rule,
            Code.FILE_MISSING,
            f"No {tree.fragment.name}: the entry that servers could read as it is",
            where=Where(file=str(tree.fragment)),
            resolution="`lls-provider build` writes it from the metadata.",
        )
        return
    try:
        document = load_file(tree.fragment)
        problems = validation.problems(document, "external-providers")
    except SdkError as error:
        problems = problems_of(error)
    if problems:
        findings.add(rule, "error", problems)
        return
    try:
        provider_id_from_name(metadata.package.name)
    except SdkError as error:
        findings.add(rule, "warning", problems_of(error))
        return
    expected = fragment(metadata.package)
    if document.value == expected:
        findings.ok(rule, f"{tree.fragment.name} agrees with the metadata")
        return
    findings.error(
        rule,
        Code.BUNDLE_INVALID,
        f"{tree.fragment.name} is not the entry that the metadata gives: "
        f"{document.value['providers']!r:.300}, expected {expected['providers']!r:.300}",
        where=document.where(("providers",)),
        resolution=_REBUILD,
    )


def _config_schema(tree: BundleTree, findings: Findings) -> None:
    rule = "config-schema"
    if not tree.config_schema.is_file():
        return
    with tree.config_schema.open("rb") as stream:
        wrong = config_schema.schema_fault(stream.read(config_schema.LIMIT + 1))
    if wrong is None:
        findings.ok(rule, f"{tree.config_schema.name} is a JSON Schema")
        return
    findings.error(
        rule,
        Code.BUNDLE_INVALID,
        f"{tree.config_schema.name} is not JSON Schema: {wrong}",
        where=Where(file=str(tree.config_schema)),
        resolution=_REBUILD,
    )


def _wheel_paths(root: Path, metadata: _Metadata, findings: Findings) -> None:
    rule = "wheel-path"
    text = metadata.package.wheel_path
    path = resolve_wheel_path(root, text)
    where = metadata.where("spec", "wheelPath")
    if path is None or not path.is_file():
        findings.error(
            rule,
            Code.BUNDLE_INVALID,
            f"wheelPath names no wheel of the bundle: {text!r:.200}",
            where=where,
            path="spec.wheelPath",
            resolution="Name the provider's own wheel; it must exist.",
        )
    elif path.parent != BundleTree(root).packages:
        findings.error(
            rule,
            Code.BUNDLE_INVALID,
            f"wheelPath is outside {IMAGE_ROOT}/packages, so it is not installed: {text!r:.200}",
            where=where,
            path="spec.wheelPath",
            resolution=f"Move the wheel: every wheel of {IMAGE_ROOT}/packages is installed.",
        )
    else:
        findings.ok(rule, f"wheelPath exists: {path.name}")
    listed = {resolve_wheel_path(root, it): it for it in metadata.package.dependency_wheels}
    existing = set(bundle_wheels(BundleTree(root)))
    for found, text in listed.items():
        if found not in existing:
            findings.warning(
                "dependency-wheels",
                Code.BUNDLE_INVALID,
                f"dependencyWheels lists what does not exist: {text!r:.200}",
                where=metadata.where("spec", "dependencyWheels"),
                path="spec.dependencyWheels",
                resolution="Remove the entry, or add the wheel. The list only informs: every "
                "wheel under packages is installed.",
            )


def _manifest(tree: BundleTree, findings: Findings) -> BundleManifest | None:
    rule = "manifest"
    if not tree.manifest.exists():
        findings.warning(
            rule,
            Code.FILE_MISSING,
            f"No {tree.manifest.name}: hashes, target and what is assumed to be provided are "
            "not known",
            where=Where(file=str(tree.manifest)),
            resolution="Fine for a bundle made by hand; `lls-provider build` writes it.",
        )
        return None
    try:
        manifest = read_manifest(tree.manifest)
    except SdkError as error:
        findings.add(rule, "error", problems_of(error))
        return None
    problems = list(_hash_problems(tree, manifest))
    findings.add(rule, "error", problems)
    if not problems:
        findings.ok(rule, f"{counted(len(manifest.files), 'file')} as the manifest says")
    return manifest


def _hash_problems(tree: BundleTree, manifest: BundleManifest) -> Iterator[Problem]:
    existing = {
        path.relative_to(tree.root).as_posix(): path
        for path in sorted(tree.root.rglob("*"))
        if path.is_file() and path != tree.manifest
    }
    for name, expected in manifest.files.items():
        path = existing.pop(name, None)
        if path is None:
            yield _file_problem(tree.root / name, Code.FILE_MISSING, f"{name} is missing")
            continue
        try:
            with path.open("rb") as stream:
                found = hashlib.file_digest(stream, "sha256").hexdigest()
        except OSError as error:
            yield _file_problem(path, Code.FILE_UNREADABLE, f"{name}: {error.strerror}")
            continue
        if found != expected.sha256 or path.stat().st_size != expected.size:
            yield _file_problem(
                path,
                Code.HASH_MISMATCH,
                f"{name} is not what the manifest says: its sha256 is {found}, "
                f"expected {expected.sha256}",
            )
    for name, path in existing.items():
        yield _file_problem(path, Code.BUNDLE_INVALID, f"{name} is not in the manifest")


def _file_problem(path: Path, code: Code, what: str) -> Problem:
    return Problem(code, what, Where(file=str(path)), _REBUILD)
