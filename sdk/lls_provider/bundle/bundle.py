"""The bundle, a /lls-provider tree on this machine: reading one, and the request to build one.

A `BundleRequest` says what a bundle is made of and for which target (contract decision 6),
`CollectedWheels` are its wheels, and `FileDigests` the hashes of its files.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from packaging.requirements import InvalidRequirement
from packaging.utils import canonicalize_name, is_normalized_name

from lls_provider.contract.models import (
    BuildTarget,
    BundleManifest,
    FileHash,
    ProviderPackage,
    provider_id_from_name,
    read_manifest,
    read_provider_package,
)
from lls_provider.contract.names import IMAGE_ROOT, BundleTree
from lls_provider.errors import Code, SdkError, Where
from lls_provider.runtime.target_python import TargetPython, target_python
from lls_provider.runtime.wheelfile.wheel import parse_requirement
from lls_provider.wheels.interpreter import linux_platforms

if TYPE_CHECKING:
    from lls_provider.bundle.trial import Trial
    from lls_provider.runtime.wheelfile.wheel import Wheel
    from lls_provider.wheels.distribution import Distribution
    from lls_provider.wheels.interpreter import Interpreter
    from lls_provider.wheels.lock import LockFile
    from lls_provider.wheels.resolve import Closure, Lock, LockedPackage


@dataclass(frozen=True, slots=True)
class Bundle:
    """What a provider image carries under ``/lls-provider`` (contract section 1).

    ``contents`` are the wheels as they were read when the bundle was made; empty in one that was
    read from its directory.
    """

    root: Path
    metadata: ProviderPackage
    manifest: BundleManifest | None  # None in a bundle made by hand
    wheels: tuple[Path, ...]  # sorted by name; the provider's own is among them
    contents: tuple[Wheel, ...] = field(default=(), compare=False, repr=False)

    @property
    def tree(self) -> BundleTree:
        """The paths of its files."""
        return BundleTree(self.root)

    @property
    def hashes(self) -> dict[str, str]:
        """The files' sha256 by path, as just computed; empty in a bundle that was read."""
        files = self.manifest.files if self.manifest is not None and self.contents else {}
        return {path: found.sha256 for path, found in files.items()}

    @property
    def provider_id(self) -> str:
        """The ID in the fragment: the package's name in ``providerId`` form."""
        return provider_id_from_name(self.metadata.name)

    @property
    def own_wheel(self) -> Path:
        """The provider's own wheel. Raises SdkError BUNDLE_INVALID if it does not exist."""
        path = resolve_wheel_path(self.root, self.metadata.wheel_path)
        if path is None or not path.is_file():
            raise SdkError(
                Code.BUNDLE_INVALID,
                f"The provider's wheel is not in the bundle: {self.metadata.wheel_path}",
                why="wheelPath must name an existing wheel under /lls-provider "
                "(contract section 1).",
                where=Where(file=str(self.tree.spec)),
                resolution="Correct spec.wheelPath or add the wheel under packages/.",
            )
        return path

    @property
    def dependencies(self) -> tuple[Path, ...]:
        """Every wheel but the provider's own."""
        own = self.own_wheel
        return tuple(wheel for wheel in self.wheels if wheel != own)


def resolve_wheel_path(root: Path, wheel_path: str) -> Path | None:
    """The file of a path in the metadata, below ``root``; None if it is not below /lls-provider.

    The paths in the metadata are paths in the image (contract section 1: absolute, read below the
    installer's --source).
    """
    prefix = f"{IMAGE_ROOT}/"
    if not wheel_path.startswith(prefix):
        return None
    parts = wheel_path.removeprefix(prefix).split("/")
    if any(part in {"", ".", ".."} or "\0" in part for part in parts):
        return None
    return root.joinpath(*parts)


def is_bundle(root: Path) -> bool:
    """Whether ``root`` looks like a bundle: it has the metadata file."""
    return BundleTree(root).spec.is_file()


def read_bundle(root: Path) -> Bundle:
    """The bundle at ``root``, ours or made by hand.

    Raises SdkError FILE_MISSING, FILE_UNREADABLE and what the documents raise (DOCUMENT_INVALID,
    YAML_INVALID and so on). `check_bundle` checks the other rules.
    """
    tree = BundleTree(root)
    if not tree.spec.is_file():
        raise SdkError(
            Code.FILE_MISSING,
            f"No {tree.spec.name} in {root}",
            why="A bundle is a directory with lls-provider-spec.yaml and packages/*.whl "
            "(contract section 1).",
            where=Where(file=str(tree.spec)),
            resolution="Name a bundle, or make one with `lls-provider build`.",
        )
    metadata = read_provider_package(tree.spec)
    manifest = read_manifest(tree.manifest) if tree.manifest.exists() else None
    return Bundle(root, metadata, manifest, bundle_wheels(tree))


def bundle_wheels(tree: BundleTree) -> tuple[Path, ...]:
    """The wheels under ``packages``, sorted by name."""
    return tuple(sorted(path for path in tree.packages.glob("*.whl") if path.is_file()))


def build_target(interpreter: Interpreter, machine: str | None = None) -> BuildTarget:
    """The target of a build for ``interpreter`` on ``machine`` (default: this one).

    The platforms are those of the resolution, not those of this machine's C library, so that equal
    bundles are equal bytes on every machine.
    """
    machine = machine or os.uname().machine
    return BuildTarget(interpreter.tag, linux_platforms(machine), machine)


@dataclass(frozen=True, slots=True)
class BundleOptions:
    """The options of a build that decide what goes into a bundle.

    ``distributions`` are what to resolve against; without one every dependency goes into the
    bundle, as do the packages in ``bundle``. ``python`` takes precedence over the project's. The
    lock of the closure is written to ``lock``; with ``locked`` the bundle is built from that lock
    without resolving. With a ``trial`` the provider is loaded beside each distribution before it is
    assembled.
    """

    distributions: Sequence[str | Distribution] = ()
    python: str | None = None
    overrides: tuple[str, ...] = ()
    bundle: tuple[str, ...] = ()
    lock: Path | None = None
    locked: Path | None = None
    trial: Trial | None = None


def require_valid_names(overrides: Sequence[str], bundle: Sequence[str]) -> None:
    """Raise SdkError USAGE for an invalid override or an invalid name of a package."""
    for text in overrides:
        try:
            parse_requirement(text)
        except InvalidRequirement as error:
            raise _unreadable("--override", text, str(error).partition("\n")[0]) from error
    for text in bundle:
        if not is_normalized_name(canonicalize_name(text)):
            raise _unreadable("--bundle", text, "It is not a name of a package.")


def _unreadable(option: str, text: str, why: str) -> SdkError:
    example = "'pydantic==2.12.0'" if option == "--override" else "pydantic"
    return SdkError(
        Code.USAGE,
        f"{option} {text!r:.200} cannot be read",
        why=why,
        resolution=f"Write it as {option} {example}.",
    )


@dataclass(frozen=True, slots=True)
class PrefetchedWheels:
    """Wheels that were read, and hashes that were computed, before the wheels are collected."""

    wheels: Mapping[Path, Wheel] = field(default_factory=dict)
    hashes: Mapping[Path, FileDigests] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class BundleRequest:
    """What a bundle is made of.

    ``own`` is the provider's wheel if it was built here; otherwise it is in the closure.
    ``bundle`` names packages that go into the bundle although a distribution provides them.
    ``machine`` is the one that the bundle is for; ``machines`` are all that the build is for. uv
    starts in ``base``, so that the settings and relative paths of a project hold. ``sources`` is
    the digest of the project's ``[tool.uv.sources]``, ``build`` are the requirements of its
    backend. With ``locked`` nothing is resolved. ``locks`` caches resolutions: bundles for several
    machines share one. ``prefetched`` are wheels of the lock that were read already.
    """

    requirement: str
    own: Wheel | None
    interpreter: Interpreter
    servers: tuple[Distribution, ...] = ()
    overrides: tuple[str, ...] = ()
    bundle: frozenset[str] = frozenset()
    machine: str = field(default_factory=lambda: os.uname().machine)
    machines: tuple[str, ...] = ()
    base: Path | None = None
    sources: str | None = None
    build: tuple[str, ...] = ()
    locked: LockFile | None = None
    locks: dict[object, Lock] = field(default_factory=dict, repr=False, compare=False)
    prefetched: PrefetchedWheels = field(
        default_factory=PrefetchedWheels, repr=False, compare=False
    )

    @property
    def target(self) -> TargetPython:
        """The target for which markers are evaluated."""
        return target_python(self.interpreter.tag, manifest_machine=self.machine)


@dataclass(frozen=True, slots=True)
class CollectedWheels:
    """Wheels with their packages, and the versions that are provided."""

    packages: tuple[LockedPackage, ...]
    wheels: tuple[Path, ...]
    provided: Mapping[str, str]
    closure: Closure
    read: tuple[Wheel, ...] = ()  # the wheels that were read while collecting

    @property
    def fetched(self) -> Iterator[tuple[LockedPackage, Path]]:
        """Each package with its wheel."""
        return zip(self.packages, self.wheels, strict=True)

    @property
    def expected(self) -> dict[str, str]:
        """The sha256 of the wheels that were not built here, by file name."""
        return {it.filename: it.sha256 for it in self.packages if it.sha256 and not it.is_source}


@dataclass(frozen=True, slots=True)
class FileDigests:
    """The hash of a file, and the state of the file when it was read."""

    found: FileHash
    state: tuple[int, ...]

    def holds_for(self, path: Path) -> bool:
        """Whether ``path`` is the same file, even under another name, and unchanged."""
        return _state(path.stat()) == self.state


def hash_file(path: Path) -> FileDigests:
    """Read a file and compute its hash. Raises OSError."""
    with path.open("rb", buffering=0) as stream:
        status = os.fstat(stream.fileno())
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    return FileDigests(FileHash(digest, status.st_size), _state(status))


def _state(status: os.stat_result) -> tuple[int, ...]:
    # not st_ctime: a hard link changes it
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns
