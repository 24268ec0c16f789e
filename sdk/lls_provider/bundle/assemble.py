"""Writes the /lls-provider tree of a provider image (contract section 1), atomically.

A build makes one tree for each machine, all from one resolution.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name, parse_wheel_filename

from lls_provider import __version__
from lls_provider.bundle import zipapp
from lls_provider.bundle.bundle import (
    Bundle,
    FileDigests,
    build_target,
    bundle_wheels,
    hash_file,
)
from lls_provider.bundle.config_schema import dump_schema
from lls_provider.bundle.sbom import SbomContents, dump_sbom
from lls_provider.bundle.server_constraints import describe_conflict, missing_by_server, unsatisfied
from lls_provider.contract import validation
from lls_provider.contract.document import dump, load
from lls_provider.contract.models import (
    BuildTarget,
    BundleManifest,
    FileHash,
    ProviderPackage,
    dump_manifest,
    external_providers_document,
    provider_entry,
    provider_id_from_name,
    read_manifest,
)
from lls_provider.contract.names import (
    CONFIG_SCHEMA_FILE,
    FRAGMENT_FILE,
    IMAGE_ROOT,
    MANIFEST_FILE,
    PACKAGES,
    SBOM_FILE,
    SPEC_FILE,
    ZIPAPP_FILE,
    BundleTree,
)
from lls_provider.errors import Code, SdkError, Where
from lls_provider.progress import Progress, counted
from lls_provider.runtime.target_python import target_python
from lls_provider.runtime.wheelfile.wheel import Wheel, check_total, read_wheel
from lls_provider.system.files import output_directory, wrapping_write_errors

if TYPE_CHECKING:
    from _typeshed import StrPath
    from packaging.utils import NormalizedName

    from lls_provider.bundle.bundle import BundleRequest, CollectedWheels
    from lls_provider.bundle.trial import TrialResult
    from lls_provider.contract.models import ProviderPackage


_NAMES = {
    CONFIG_SCHEMA_FILE,
    SPEC_FILE,
    PACKAGES,
    FRAGMENT_FILE,
    MANIFEST_FILE,
    SBOM_FILE,
    ZIPAPP_FILE,
}


def writable_target(out: Path) -> None:
    """Refuse to replace what is not a bundle of ours.

    Raises SdkError TARGET_EXISTS. Callers check this before long work; `assemble` checks it again.
    """
    if not out.exists():
        return
    found = {path.name for path in out.iterdir()} if out.is_dir() else {out.name}
    if out.is_dir() and (not found or (MANIFEST_FILE in found and found <= _NAMES)):
        return
    raise SdkError(
        Code.TARGET_EXISTS,
        f"{out} exists and is not a bundle that this command wrote",
        why="Only an earlier bundle is replaced; anything else could be work of yours.",
        where=Where(file=str(out)),
        resolution="Choose another directory, or remove this one first.",
    )


_HASHING = 2
"""Threads that hash wheels while others are read; hashing releases the global interpreter lock.

Measured by benchmarks/tricks.py: without them assembling takes 1.07 to 1.17 times as long.
"""
_WHAT = "the bundle"


def assemble(
    out: Path,
    *,
    metadata: ProviderPackage,
    own_wheel: Path,
    dependencies: Sequence[Path],
    target: BuildTarget,
    provided: Mapping[str, str],
    distributions: Sequence[str] = (),
    overrides: Sequence[str] = (),
    expected: Mapping[str, str] | None = None,
    known: Iterable[Wheel] = (),
    hashed: Mapping[Path, FileDigests] | None = None,
    outcome: TrialResult | None = None,
) -> Bundle:
    """Write the bundle to ``out``, replacing an earlier bundle.

    ``metadata`` has no wheel paths: they are added here. ``expected`` is the sha256 that a wheel
    must have, by file name; ``known`` are wheels that need not be read again, ``hashed`` are hashes
    that need not be computed again if the file did not change, ``outcome`` is the result of a
    trial. The same input gives the same bytes. Raises SdkError TARGET_EXISTS if ``out`` is
    something else, HASH_MISMATCH, WHEEL_..., DEPENDENCY_CONFLICT if a requirement of the wheels is
    missing, BUNDLE_INVALID, NO_SPACE, OUTPUT_UNWRITABLE; ``out`` is then unchanged.
    """
    with wrapping_write_errors(out, _WHAT):
        writable_target(out)
    wheels = _by_name(own_wheel, dependencies)
    with output_directory(out, _WHAT) as staging:
        tree = BundleTree(staging)
        tree.packages.mkdir()
        files: dict[str, FileHash] = {}
        placed = [_place(wheel, tree.packages / name) for name, wheel in wheels.items()]
        before = {wheel.path: wheel for wheel in known}
        earlier = [(hashed or {}).get(wheel) for wheel in wheels.values()]
        with ThreadPoolExecutor(_HASHING) as pool:
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
        contents = SbomContents(
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
        manifest = BundleManifest(
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
    return Bundle(out, complete, manifest, bundle_wheels(BundleTree(out)), tuple(read))


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
    target: BuildTarget,
    provided: Mapping[str, str],
    overrides: Sequence[str],
) -> Mapping[NormalizedName, set[NormalizedName]]:
    """What each package needs. Raises SdkError if the installer would refuse the bundle."""
    own = _own(wheels, own_wheel)
    python = target_python(target.python_tag, manifest_machine=target.machine)
    conflicts = unsatisfied(wheels, own=own, target=python, provided=provided, overrides=overrides)
    if conflicts:
        raise SdkError(
            Code.DEPENDENCY_CONFLICT,
            f"The wheels of {metadata.name} do not have all they need",
            why="\n".join(describe_conflict(conflict, provided) for conflict in conflicts),
            where=Where(file=str(own_wheel)),
            resolution="Correct the requirement, or put another bound in its place with "
            "--override when it is wrong upstream.",
        )
    return missing_by_server(wheels, own=own, target=python, provided=provided, overrides=overrides)


def _own(wheels: Sequence[Wheel], own_wheel: Path) -> NormalizedName:
    return next(wheel.name for wheel in wheels if wheel.path == own_wheel)


def _document(value: object, kind: str, name: str) -> bytes:
    """The YAML of a document, checked against its schema."""
    data = dump(value).encode()
    validation.require(
        load(data, f"{name} (generated)"),
        kind,
        f"{name} would not be valid",
        "Correct the settings or flags that these values come from.",
    )
    return data


def _image_path(name: str) -> str:
    return f"{IMAGE_ROOT}/{PACKAGES}/{name}"


def _by_name(own_wheel: Path, dependencies: Iterable[Path]) -> dict[str, Path]:
    """The wheels by file name, sorted. Raises SdkError BUNDLE_INVALID if two have one name."""
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
    """A hard link if the file system allows it, else a copy."""
    try:
        os.link(source, destination)
    except OSError:
        shutil.copyfile(source, destination)
    return destination


def _hash(path: Path, earlier: FileDigests | None = None) -> FileHash:
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
            resolution="Remove the file and build again, so that it is downloaded again.",
        )


def on_this_machine(out: Path) -> dict[str, Path]:
    """The output directory of a build for this machine only, by machine."""
    return {os.uname().machine: out}


def assemble_each(
    wanted: BundleRequest,
    collected: Mapping[str, CollectedWheels],
    outs: Mapping[str, Path],
    metadata: ProviderPackage,
    outcome: TrialResult | None,
    progress: Progress,
) -> list[Bundle]:
    """Assemble what was collected for each machine in ``outs``. Raises what `assemble` raises."""
    _warn_of_unused_names(wanted, collected.values(), progress)
    made = []
    for machine, found in collected.items():
        if wanted.own is not None:
            own, known = wanted.own.path, (wanted.own, *found.read)
        else:
            own, known = own_wheel(found.wheels, Requirement(wanted.requirement)), found.read
        dependencies = [wheel for wheel in found.wheels if wheel != own]
        progress.step(f"assembling {counted(len(dependencies) + 1, 'wheel')}")
        made.append(
            assemble(
                outs[machine],
                metadata=metadata,
                own_wheel=own,
                dependencies=dependencies,
                target=build_target(wanted.interpreter, machine),
                provided=found.provided,
                distributions=tuple(server.recorded for server in wanted.servers),
                overrides=wanted.overrides,
                expected=found.expected,
                known=known,
                hashed=wanted.prefetched.hashes,
                outcome=outcome,
            )
        )
    return made


def _warn_of_unused_names(
    wanted: BundleRequest, collected: Iterable[CollectedWheels], progress: Progress
) -> None:
    """Warn of names of packages to bundle that changed nothing: they may be misspelled."""
    bundled = {package.name for found in collected for package in found.packages}
    for name in sorted(wanted.bundle):
        if not any(name in server.pins for server in wanted.servers):
            progress.warn(f"--bundle {name} changes nothing: no distribution provides {name}")
        elif name not in bundled:
            progress.warn(f"--bundle {name} changes nothing: the provider does not need {name}")


def own_wheel(wheels: Iterable[Path], requirement: Requirement) -> Path:
    """The package's own wheel among those of its closure. Raises SdkError RESOLUTION_FAILED."""
    wanted = canonicalize_name(requirement.name)
    for wheel in wheels:
        if parse_wheel_filename(wheel.name)[0] == wanted:
            return wheel
    raise SdkError(
        Code.RESOLUTION_FAILED,
        f"The distribution already provides {requirement}",
        why="So there is nothing to put into an image.",
        resolution="Use the server's own provider, or build without --distribution.",
    )
