"""Writes the /lls-provider tree of a provider image (contract section 1), whole or not at all."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from lls_provider import __version__
from lls_provider.bundle import zipapp
from lls_provider.bundle.closure import described, needed_by_each, unsatisfied
from lls_provider.bundle.configschema import dump_schema
from lls_provider.bundle.hashing import HASHING, Hashed, hash_file
from lls_provider.bundle.publish import publishing, writing
from lls_provider.bundle.read import Bundle, wheels_in
from lls_provider.bundle.sbom import Contents, dump_sbom
from lls_provider.bundle.writable import writable_target
from lls_provider.contract import rules
from lls_provider.contract.document import dump, load
from lls_provider.contract.models import (
    FileHash,
    Manifest,
    ProviderPackage,
    Target,
    dump_manifest,
    external_providers_document,
    provider_entry,
    provider_id_from_name,
    read_manifest,
)
from lls_provider.contract.paths import (
    FRAGMENT_FILE,
    IMAGE_ROOT,
    MANIFEST_FILE,
    PACKAGES,
    SBOM_FILE,
    SPEC_FILE,
    BundleTree,
)
from lls_provider.errors import Code, SdkError, Where
from lls_provider.runtime.target import target_python
from lls_provider.runtime.wheel import Wheel, check_total, read_wheel

if TYPE_CHECKING:
    from _typeshed import StrPath
    from packaging.utils import NormalizedName

    from lls_provider.bundle.trial import Outcome

_WHAT = "the bundle"


def assemble(
    out: Path,
    *,
    metadata: ProviderPackage,
    own_wheel: Path,
    dependencies: Sequence[Path],
    target: Target,
    provided: Mapping[str, str],
    distributions: Sequence[str] = (),
    overrides: Sequence[str] = (),
    expected: Mapping[str, str] | None = None,
    known: Iterable[Wheel] = (),
    hashed: Mapping[Path, Hashed] | None = None,
    outcome: Outcome | None = None,
) -> Bundle:
    """Write the bundle to ``out``, replacing an earlier bundle.

    ``metadata`` comes without wheel paths: they are filled in here. ``expected`` gives the
    sha256 that a wheel, by file name, must have; ``known`` are wheels that need not be read
    again, ``hashed`` are hashes that need not be taken again while they hold, ``outcome`` is
    what a trial told. The same input gives the same bytes. Raises SdkError
    TARGET_EXISTS when ``out`` holds something else, HASH_MISMATCH, WHEEL_...,
    DEPENDENCY_CONFLICT when the wheels lack something, BUNDLE_INVALID, NO_SPACE,
    OUTPUT_UNWRITABLE; ``out`` is then as it was.
    """
    with writing(out, _WHAT):
        writable_target(out)
    wheels = _by_name(own_wheel, dependencies)
    with publishing(out, _WHAT) as staging:
        tree = BundleTree(staging)
        tree.packages.mkdir()
        files: dict[str, FileHash] = {}
        placed = [_place(wheel, tree.packages / name) for name, wheel in wheels.items()]
        before = {wheel.path: wheel for wheel in known}
        earlier = [(hashed or {}).get(wheel) for wheel in wheels.values()]
        with ThreadPoolExecutor(HASHING) as pool:
            hashes = pool.map(_hash, placed, earlier)
            read = [before.get(wheel) or read_wheel(wheel) for wheel in wheels.values()]
            for (name, wheel), found in zip(wheels.items(), hashes, strict=True):
                _verify(wheel, found, (expected or {}).get(name))
                files[f"{PACKAGES}/{name}"] = found
        check_total(read, tree.packages)
        needs = _check_closed(read, metadata, own_wheel, target, provided, overrides)
        shutil.copyfile(zipapp.zipapp_path(), tree.zipapp)
        complete = replace(
            metadata,
            wheel_path=_image_path(own_wheel.name),
            dependency_wheels=tuple(_image_path(it) for it in wheels if it != own_wheel.name),
        )
        tree.spec.write_bytes(_document(complete.to_document(), "provider-package", SPEC_FILE))
        tree.fragment.write_bytes(
            _document(fragment(complete), "external-providers", FRAGMENT_FILE)
        )
        texts = [tree.zipapp, tree.spec, tree.fragment]
        if outcome is not None and outcome.schema is not None:
            tree.config_schema.write_bytes(dump_schema(outcome.schema))
            texts.append(tree.config_schema)
        for path in texts:
            files[path.name] = _hash(path)
        contents = Contents(
            metadata=metadata,
            wheels=read,
            own=_own(read, own_wheel),
            needs=needs,
            provided=provided,
            files=files,
            libraries=zipapp.library_versions(tree.zipapp),
        )
        tree.sbom.write_bytes(dump_sbom(contents))
        files[SBOM_FILE] = _hash(tree.sbom)
        manifest = Manifest(
            files=files,
            target=target,
            provided=dict(provided),
            distributions=tuple(distributions),
            overrides=tuple(overrides),
            sdk=__version__,
            installed_size=sum(wheel.installed_size for wheel in read),
            not_loaded=outcome.not_loaded if outcome is not None else None,
        )
        tree.manifest.write_bytes(dump_manifest(manifest))
        manifest = read_manifest(tree.manifest, MANIFEST_FILE)  # as the documents: always valid
    return Bundle(out, complete, manifest, wheels_in(BundleTree(out)), tuple(read))


def fragment(metadata: ProviderPackage) -> dict[str, object]:
    """The document ``extra-providers.yaml`` of one provider (contract sections 1 and 3)."""
    entry = provider_entry(
        provider_id_from_name(metadata.name), metadata.provider_type, metadata.package_name, None
    )
    return external_providers_document({metadata.api: [entry]})


def _check_closed(
    wheels: Sequence[Wheel],
    metadata: ProviderPackage,
    own_wheel: Path,
    target: Target,
    provided: Mapping[str, str],
    overrides: Sequence[str],
) -> Mapping[NormalizedName, set[NormalizedName]]:
    """What each package needs; raises SdkError when the installer would refuse the bundle."""
    own = _own(wheels, own_wheel)
    python = target_python(target.python_tag, manifest_machine=target.machine)
    conflicts = unsatisfied(wheels, own=own, target=python, provided=provided, overrides=overrides)
    if conflicts:
        raise SdkError(
            Code.DEPENDENCY_CONFLICT,
            f"The wheels of {metadata.name} do not have all they need",
            why="\n".join(described(conflict, provided) for conflict in conflicts),
            where=Where(file=str(own_wheel)),
            resolution="Correct the requirement, or put another bound in its place with "
            "--override when it is wrong upstream.",
        )
    return needed_by_each(wheels, own=own, target=python, provided=provided, overrides=overrides)


def _own(wheels: Sequence[Wheel], own_wheel: Path) -> NormalizedName:
    return next(wheel.name for wheel in wheels if wheel.path == own_wheel)


def _document(value: object, kind: str, name: str) -> bytes:
    """The YAML of a document that passes its schema; what we publish is always valid."""
    data = dump(value).encode()
    rules.require(
        load(data, f"{name} (generated)"),
        kind,
        f"{name} would not be valid",
        "Correct the settings or flags that these values come from.",
    )
    return data


def _image_path(name: str) -> str:
    return f"{IMAGE_ROOT}/{PACKAGES}/{name}"


def _by_name(own_wheel: Path, dependencies: Iterable[Path]) -> dict[str, Path]:
    """The wheels by file name, sorted; one file name cannot mean two wheels."""
    wheels = {own_wheel.name: own_wheel}
    for wheel in dependencies:
        if wheels.setdefault(wheel.name, wheel) != wheel:
            raise SdkError(
                Code.BUNDLE_INVALID,
                f"Two wheels are named {wheel.name}",
                why=f"{wheels[wheel.name]}\n{wheel}",
                resolution="Give the bundle one wheel for each distribution.",
            )
    return dict(sorted(wheels.items()))


def _place(source: StrPath, destination: Path) -> Path:
    """A hard link where the file system has them across these places, else a copy."""
    try:
        os.link(source, destination)
    except OSError:
        shutil.copyfile(source, destination)
    return destination


def _hash(path: Path, earlier: Hashed | None = None) -> FileHash:
    if earlier is not None and earlier.holds_for(path):
        return earlier.found
    return hash_file(path).found


def _verify(wheel: Path, found: FileHash, expected: str | None) -> None:
    if expected is not None and found.sha256 != expected:
        raise SdkError(
            Code.HASH_MISMATCH,
            f"{wheel.name} is not the file that was resolved",
            why=f"Its sha256 is {found.sha256}, the lock says {expected}.",
            where=Where(file=str(wheel)),
            resolution="Remove the file and build again, so that it is downloaded anew.",
        )
