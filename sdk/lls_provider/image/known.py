"""Digests of layers that were made before, so that large ones need not be read for them.

A layer's bytes follow from its tar headers and the hashes of its files (`Tree.fingerprint`): where
those hashes have just been taken, the digest that was found for them once is the layer's. Whoever
streams the layer compares all the same, and what does not fit is forgotten.
"""

from __future__ import annotations

import contextlib
from pathlib import Path

from lls_provider.errors import SdkError
from lls_provider.image.reference import is_digest
from lls_provider.wheels.cache import cache_root, keep


def recall(fingerprint: str) -> str:
    """The digest of the layer of a tree with this fingerprint; empty where it is not known."""
    try:
        text = _place(fingerprint).read_text("ascii")
    except (OSError, ValueError):
        return ""
    return text if is_digest(text) else ""


def remember(fingerprint: str, digest: str) -> None:
    """Keep a digest, where the cache can be written."""
    with contextlib.suppress(SdkError):
        keep(_place(fingerprint), digest.encode("ascii"))


def forget(fingerprint: str) -> None:
    """Drop a digest that turned out to be another one's."""
    with contextlib.suppress(OSError):
        _place(fingerprint).unlink(missing_ok=True)


def _place(fingerprint: str) -> Path:
    return cache_root() / "layers" / fingerprint
