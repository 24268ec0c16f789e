"""The bundle: a /lls-provider tree on this machine, and reading one."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from lls_provider.contract.models import (
    Manifest,
    ProviderPackage,
    provider_id_from_name,
    read_manifest,
    read_provider_package,
)
from lls_provider.contract.paths import IMAGE_ROOT, BundleTree
from lls_provider.errors import Code, SdkError, Where

if TYPE_CHECKING:
    from lls_provider.runtime.wheel import Wheel


@dataclass(frozen=True, slots=True)
class Bundle:
    """What a provider image carries under ``/lls-provider`` (contract section 1).

    ``contents`` are the wheels as they were read when the bundle was made; empty in one that was
    read from its folder.
    """

    root: Path
    metadata: ProviderPackage
    manifest: Manifest | None  # None in a bundle made by hand
    wheels: tuple[Path, ...]  # sorted by name; the provider's own is among them
    contents: tuple[Wheel, ...] = field(default=(), compare=False, repr=False)

    @property
    def tree(self) -> BundleTree:
        """The places of its files."""
        return BundleTree(self.root)

    @property
    def hashes(self) -> dict[str, str]:
        """The files' sha256 by path, as just taken; empty in a bundle that was read."""
        taken = self.manifest.files if self.manifest is not None and self.contents else {}
        return {path: found.sha256 for path, found in taken.items()}

    @property
    def provider_id(self) -> str:
        """The ID in the fragment: the package's name in ``providerId`` form."""
        return provider_id_from_name(self.metadata.name)

    @property
    def own_wheel(self) -> Path:
        """The provider's own wheel. Raises SdkError BUNDLE_INVALID when it is not there."""
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
    """Where a path of the metadata lies below ``root``; None when it is not below /lls-provider.

    The metadata's paths are those inside the image (contract section 1: absolute, read below
    the installer's --source).
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
    YAML_INVALID and so on). The deeper rules are check_bundle's.
    """
    tree = BundleTree(root)
    if not tree.spec.is_file():
        raise SdkError(
            Code.FILE_MISSING,
            f"No {tree.spec.name} in {root}",
            why="A bundle is a folder with lls-provider-spec.yaml and packages/*.whl "
            "(contract section 1).",
            where=Where(file=str(tree.spec)),
            resolution="Name a bundle, or make one with `lls-provider build`.",
        )
    metadata = read_provider_package(tree.spec)
    manifest = read_manifest(tree.manifest) if tree.manifest.exists() else None
    return Bundle(root, metadata, manifest, wheels_in(tree))


def wheels_in(tree: BundleTree) -> tuple[Path, ...]:
    """The wheels under ``packages``, sorted by name."""
    return tuple(sorted(path for path in tree.packages.glob("*.whl") if path.is_file()))
