"""Reads the provider image: metadata, manifest, wheels. Everything is checked, nothing is written.

A wheel must be a file of the image itself, even if its path is a link.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from packaging.requirements import InvalidRequirement

from lls_provider.contract.models import (
    BundleManifest,
    ProviderPackage,
    read_manifest,
    read_provider_package,
)
from lls_provider.contract.names import IMAGE_ROOT, BundleTree
from lls_provider.errors import Code, SdkError, Where
from lls_provider.runtime import messages
from lls_provider.runtime.install.conflict import (
    Candidate,
    Source,
    Versions,
    parse_overrides,
    parse_provided,
)
from lls_provider.runtime.messages import wheel_error
from lls_provider.runtime.process.workers import Prefetched, nothing_prefetched
from lls_provider.runtime.target_python import TargetPython, target_python
from lls_provider.runtime.wheelfile.wheel import Wheel, check_total, read_wheel

if TYPE_CHECKING:
    from packaging.utils import NormalizedName

    from lls_provider.contract.names import BundleTree


_RESOLUTION = "Copy the wheels themselves into packages, and build the provider image again."


def wheel_paths(tree: BundleTree) -> list[Path]:
    """The wheels under ``packages``, sorted by name.

    A link may lead to another file of the bundle, never out of it. Raises SdkError BUNDLE_INVALID
    for a directory outside of the bundle, WHEEL_NOT_FILE for a wheel that is not a file of the
    bundle, FILE_UNREADABLE if the directory cannot be read.
    """
    directory = tree.packages
    root = tree.root.resolve()
    found = Path(os.path.realpath(directory))
    if not found.is_relative_to(root):
        raise SdkError(
            Code.BUNDLE_INVALID,
            "The directory of wheels is a link out of the bundle",
            why=f"it leads to {found}",
            where=Where(file=str(directory)),
            resolution=_RESOLUTION,
        )
    try:
        paths = sorted(path for path in directory.iterdir() if path.suffix == ".whl")
    except FileNotFoundError:
        return []
    except OSError as error:
        raise SdkError(
            Code.FILE_UNREADABLE,
            "Cannot read the directory of wheels",
            why=error.strerror or str(error),
            where=Where(file=str(directory)),
            resolution="Make it a directory that the user of the container may read.",
        ) from error
    for path in paths:
        if not _is_file(path):  # resolving a path takes as long as reading the wheel
            check_inside(path, root)
    return paths


def _is_file(path: Path) -> bool:
    """Whether a path is a regular file and not a link."""
    try:
        return stat.S_ISREG(path.lstat().st_mode)
    except OSError:  # pragma: no cover - it vanished after the directory was listed
        return False


def check_inside(path: Path, root: Path) -> None:
    """Raise SdkError WHEEL_NOT_FILE unless a wheel is a regular file below the resolved root."""
    try:
        found = path.resolve(strict=True)
        if not found.is_relative_to(root):
            why = f"it is a link out of the bundle, to {found}"
        elif found.is_file():
            return
        else:
            why = "it is not a regular file"
    except (OSError, RuntimeError) as error:
        why = f"it is a link that leads nowhere ({error})"
    raise wheel_error(Code.WHEEL_NOT_FILE, path, why, resolution=_RESOLUTION)


@dataclass(frozen=True, slots=True)
class ProviderImage:
    """A provider image that passed its checks.

    ``server`` is what the server really has, if that is known; it then replaces what the image
    assumes.
    """

    provider_id: str
    image: str
    metadata: ProviderPackage
    manifest: BundleManifest | None
    wheels: tuple[Wheel, ...]
    own: Wheel
    target: TargetPython
    server: Mapping[NormalizedName, Versions] | None = None

    @property
    def source(self) -> Source:
        """The provider as the conflict rule sees it."""
        manifest = self.manifest
        assumed = parse_provided(manifest.provided) if manifest is not None else None
        return Source(
            provider=self.provider_id,
            image=self.image,
            own=self.own.name,
            provided=self.server if self.server is not None else assumed,
            overrides=parse_overrides(manifest.overrides) if manifest is not None else {},
            distributions=manifest.distributions if manifest is not None else (),
        )

    def candidates(self) -> list[Candidate]:
        """Its distributions."""
        source = self.source
        return [
            Candidate(wheel.name, wheel.version, wheel.requires, source) for wheel in self.wheels
        ]


def read_provider_image(
    tree: BundleTree,
    *,
    provider_id: str,
    api: str,
    image: str,
    container: str,
    python_tag: str | None,
    ahead: Prefetched = nothing_prefetched,
) -> ProviderImage:
    """Read ``/lls-provider``; ``ahead`` returns the wheels that were read ahead.

    Raises SdkError METADATA_MISSING and API_MISMATCH with the layouts of contract section 6,
    WHEEL_INCOMPATIBLE if a wheel is for another Python or machine (decision 6),
    BUNDLE_INVALID, and what reading documents and wheels raises.
    """
    metadata = _metadata(tree, provider_id, api, image, container)
    manifest = read_manifest(tree.manifest) if tree.manifest.exists() else None
    if manifest is not None:
        _check_files(tree, manifest)
    own_path = _own_path(tree, metadata)
    paths = wheel_paths(tree)
    if own_path not in paths:
        check_inside(own_path, tree.root.resolve())
        paths.append(own_path)
    contents = ahead()
    wheels = tuple(read_wheel(path, contents=contents.get(str(path))) for path in paths)
    check_total(wheels, tree.packages)
    _check_unique(wheels, tree)
    target = target_python(
        python_tag,
        manifest_tag=manifest.target.python_tag if manifest is not None else None,
        manifest_machine=manifest.target.machine if manifest is not None else None,
        manifest_platforms=manifest.target.platforms if manifest is not None else (),
    )
    incoming = ProviderImage(
        provider_id=provider_id,
        image=image,
        metadata=metadata,
        manifest=manifest,
        wheels=wheels,
        own=next(wheel for wheel in wheels if wheel.path == own_path),
        target=target,
    )
    if python_tag is not None or manifest is not None:
        for wheel in wheels:
            _check_target(wheel, incoming)
    try:
        _ = incoming.source
    except InvalidRequirement as error:
        raise _bundle_invalid(
            tree.manifest, f"an override is not a requirement: {error}"
        ) from error
    return incoming


def _metadata(
    tree: BundleTree, provider_id: str, api: str, image: str, container: str
) -> ProviderPackage:
    if not tree.spec.exists():
        layout = messages.metadata_missing(provider_id, image, container)
        raise SdkError(
            Code.METADATA_MISSING,
            layout.partition("\n")[0].removeprefix("ERROR: "),
            where=Where(file=str(tree.spec), provider=provider_id, image=image),
            resolution=layout.rpartition("Resolution: ")[2],
            layout=layout,
        )
    metadata = read_provider_package(tree.spec)
    if metadata.api != api:
        layout = messages.api_mismatch(provider_id, image, metadata.api, api)
        raise SdkError(
            Code.API_MISMATCH,
            "Provider API type mismatch",
            where=Where(file=str(tree.spec), provider=provider_id, image=image),
            resolution=layout.rpartition("Resolution: ")[2],
            layout=layout,
        )
    return metadata


def _check_files(tree: BundleTree, manifest: BundleManifest) -> None:
    """Check the size of every file of the manifest, so that a truncated copy is reported early."""
    for name, expected in sorted(manifest.files.items()):
        path = tree.root / name
        try:
            size = path.stat().st_size
        except OSError as error:
            raise _bundle_invalid(
                path, "the manifest lists this file, but it is missing"
            ) from error
        if size != expected.size:
            why = f"it has {size:,} bytes, the manifest says {expected.size:,}"
            raise _bundle_invalid(path, why)


def _own_path(tree: BundleTree, metadata: ProviderPackage) -> Path:
    # the schema has checked that it is absolute, below /lls-provider and without ".."
    path = tree.root / metadata.wheel_path.removeprefix(IMAGE_ROOT + "/")
    if not path.is_file():
        raise _bundle_invalid(
            path, f"spec.wheelPath names {metadata.wheel_path}, but it is missing"
        )
    return path


def _check_unique(wheels: tuple[Wheel, ...], tree: BundleTree) -> None:
    seen: dict[str, Wheel] = {}
    for wheel in wheels:
        if wheel.name in seen:
            raise _bundle_invalid(
                tree.packages,
                f"two wheels of {wheel.name}: {seen[wheel.name].filename} and {wheel.filename}",
            )
        seen[wheel.name] = wheel


def _check_target(wheel: Wheel, incoming: ProviderImage) -> None:
    found = incoming.target.mismatch(wheel.tags, wheel.requires_python)
    if found is None:
        return
    fix = f"Build the provider image for Python 3.{incoming.target.minor}."
    details = f"Expected {found.kind}: {found.expected}\nFound: {found.found}"
    if found.kind == "C library":
        fix = f"Build the provider image with wheels for {found.expected}."
    if found.kind == "architecture":  # these lines are fixed: contract section 6
        fix = f"Build the provider image for {found.expected}."
        details = f"Expected architecture: {found.expected}\nFound architecture: {found.found}"
    layout = messages.validation_failed(
        incoming.provider_id,
        incoming.metadata.package_name,
        found.reason,
        f"Package: {wheel.name}\n{details}",
        fix,
        incoming.image,
    )
    raise SdkError(
        Code.WHEEL_INCOMPATIBLE,
        found.reason,
        where=Where(file=str(wheel.path), provider=incoming.provider_id, image=incoming.image),
        resolution=fix,
        layout=layout,
    )


def _bundle_invalid(path: Path, why: str) -> SdkError:
    return SdkError(
        Code.BUNDLE_INVALID,
        "The provider image is not complete",
        why=why,
        where=Where(file=str(path)),
        resolution="Build the provider image again with 'lls-provider build'.",
    )
