"""Packages that a record tells of and that are no longer on the volume.

Without this a volume that is not mounted, or that somebody emptied, would look like a provider
that names a wrong module.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

from lls_provider.runtime.errnos import kind_of
from lls_provider.runtime.volume import recorded_files

if TYPE_CHECKING:
    from lls_provider.contract.paths import VolumeTree
    from lls_provider.runtime.record import ProviderRecord


class Lost(NamedTuple):
    """What is not there, as a message of contract section 6 tells it."""

    reason: str
    details: str
    resolution: str


def lost(tree: VolumeTree, record: ProviderRecord, package: str) -> Lost | None:
    """What of an installed provider with the module ``package`` is gone; None when it is there."""
    packages = tree.python_packages
    if not packages.is_dir():
        kind = kind_of(packages)
        return Lost(
            "The packages of the installed providers are not there",
            f"Folder: {packages}"
            + ("" if kind == "nothing" else f"\n{kind.capitalize()} stands there instead."),
            f"Mount all that the init containers wrote at {tree.external}, with python-packages in "
            "it, or name its place with --root.",
        )
    own = next((it for it in record.packages if it.name == record.own), None)
    if own is None:
        return None
    again = "Start the Pod again with a new volume, so that its init containers install again."
    if not os.path.lexists(packages / own.dist_info):
        return Lost(f"The package {own.name} {own.version} is no longer there", "", again)
    folder = package.replace(".", "/")
    expected = {f"{folder}.py", f"{folder}/__init__.py", f"{folder}/provider.py"}
    for path in recorded_files(packages / own.dist_info):
        if path in expected and not os.path.lexists(packages / path):
            return Lost(
                f"A file of the package {own.name} {own.version} is no longer there",
                f"File: {packages / path}",
                again,
            )
    return None
