"""How large the volume and the containers' requests and limits are, from the images' sizes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

MIB = 1 << 20
DEFAULT_VOLUME = 2 << 30
"""The volume's limit where an image does not say its size (contract section 2)."""

_STEP = 64 * MIB  # sizes are rounded up to it, so that a small change does not alter a manifest
_FIXED = 64 * MIB  # metadata, the runtime copy, temporary files
_BYTECODE = 4  # bytecode takes less than a quarter of what is installed

INSTALL = {"requests": {"cpu": "100m", "memory": "256Mi"}, "limits": {"memory": "512Mi"}}
"""Of every init container that imports no provider (contract section 2)."""

_PREFLIGHT_BASE = 256 * MIB
_PREFLIGHT_LEAST = 512 * MIB


def volume_size(installed: Sequence[int | None]) -> int:
    """Bytes for the shared volume, given what each provider installs.

    Each is there once; the largest twice while another version of it is installed. Bytecode comes
    on top. The contract's default where a size is unknown and no known sizes need more.
    """
    known = [size for size in installed if size is not None]
    total = sum(known)
    needed = total + max(known, default=0) + total // _BYTECODE + _FIXED
    if len(known) < len(installed):
        needed = max(needed, DEFAULT_VOLUME)
    return _rounded(needed)


def preflight_memory(installed: Sequence[int | None]) -> int:
    """Bytes that the container which imports all providers may use.

    What is imported is at most what is installed; a Python with a server's libraries takes the
    rest.
    """
    known = sum(size for size in installed if size is not None)
    return max(_PREFLIGHT_LEAST, _rounded(_PREFLIGHT_BASE + known))


def quantity(size: int) -> str:
    """Bytes as Kubernetes writes them, exactly: ``320Mi``, ``2Gi``."""
    for suffix, unit in (("Gi", 1 << 30), ("Mi", MIB)):
        if size % unit == 0:
            return f"{size // unit}{suffix}"
    return str(size)


def with_defaults(given: Mapping[str, Any], default: Mapping[str, Any]) -> dict[str, Any]:
    """The resources of a container: what is given, the default for what is not."""
    merged = {
        kind: {**default.get(kind, {}), **(given.get(kind) or {})}
        for kind in ("requests", "limits")
    }
    return {kind: quantities for kind, quantities in merged.items() if quantities}


def _rounded(size: int) -> int:
    return -(-size // _STEP) * _STEP
