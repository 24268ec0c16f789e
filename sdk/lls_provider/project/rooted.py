"""Places that settings name: meant from the project's folder, wherever a command is run."""

from __future__ import annotations

import os
from pathlib import Path

from lls_provider.wheels.distribution import ENVIRONMENT_PREFIX, looks_like_path

# as skopeo writes them
_FILES = ("oci:", "oci-archive:", "docker-archive:")
_DAEMON = "docker-daemon:"


def rooted_base(root: Path, text: str) -> str:
    """A base image as a command takes it from the working directory."""
    return _rooted(root, text, _FILES) or text


def rooted_distribution(root: Path, text: str) -> str:
    """A distribution as a command takes it from the working directory.

    What is made of a file has a ``/`` in it, so that it is taken for nothing else.
    """
    found = _rooted(root, text, (ENVIRONMENT_PREFIX, *_FILES))
    if found is not None:
        return found
    if text.startswith(_DAEMON):
        return text
    if looks_like_path(text) or (root / text).is_file():
        return _joined(root, text)
    return text


def _rooted(root: Path, text: str, kinds: tuple[str, ...]) -> str | None:
    kind = next((it for it in kinds if text.startswith(it)), None)
    return kind and kind + _joined(root, text.removeprefix(kind))


def _joined(root: Path, place: str) -> str:
    # no Path, which drops the ./ in front of a name; ~ is the user's home folder
    return place if not place or place.startswith("~") else os.path.join(root, place)  # noqa: PTH118
