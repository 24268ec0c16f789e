"""Puts the runtime's zipapp into the wheel when the SDK is built or installed."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class ZipappHook(BuildHookInterface[Any]):
    """Makes ``lls_provider/_data/lls-provider.pyz`` from the source and the pinned libraries."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Add the zipapp to a wheel; an editable install makes it on demand instead."""
        if self.target_name != "wheel" or version == "editable":
            return
        root = Path(self.root)
        sys.path.insert(0, str(root / "sdk"))
        try:
            from lls_provider.bundle import zipapp
        finally:
            sys.path.pop(0)
        out = root / "build" / "wheel" / zipapp.NAME
        out.parent.mkdir(parents=True, exist_ok=True)
        # in place at once: another build of this checkout may be reading it
        written = out.with_name(f"{out.name}.{os.getpid()}")
        written.write_bytes(
            zipapp.zipapp_bytes(root / "sdk" / "lls_provider", root / "contract" / "schemas")
        )
        written.replace(out)
        build_data["force_include"][str(out)] = f"lls_provider/_data/{zipapp.NAME}"
