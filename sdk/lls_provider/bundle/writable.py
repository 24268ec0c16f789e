"""Where a bundle may be written."""

from __future__ import annotations

from pathlib import Path

from lls_provider.contract.paths import (
    CONFIG_SCHEMA_FILE,
    FRAGMENT_FILE,
    MANIFEST_FILE,
    PACKAGES,
    SBOM_FILE,
    SPEC_FILE,
    ZIPAPP_FILE,
)
from lls_provider.errors import Code, SdkError, Where

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
    """Refuse a place where a bundle may not be written: what is there is not one of ours.

    Raises SdkError TARGET_EXISTS. Callers ask before long work; assemble asks again.
    """
    if not out.exists():
        return
    found = {path.name for path in out.iterdir()} if out.is_dir() else {out.name}
    if out.is_dir() and (not found or (MANIFEST_FILE in found and found <= _NAMES)):
        return
    raise SdkError(
        Code.TARGET_EXISTS,
        f"{out} exists and is no bundle that this command wrote",
        why="Only an earlier bundle is replaced; anything else could be work of yours.",
        where=Where(file=str(out)),
        resolution="Choose another directory, or remove this one first.",
    )
