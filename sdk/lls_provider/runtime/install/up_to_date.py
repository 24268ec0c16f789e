"""Decides quickly whether an installation has nothing to do because the container ran before.

This module imports only the standard library, and little of it: a Pod whose init containers run
again waits for this decision once for each provider.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
from collections.abc import Sequence

TYPE_CHECKING = False  # importing typing would slow the fast path down (benchmarks/tricks.py)
if TYPE_CHECKING:
    from typing import BinaryIO

_MANIFEST = "manifest.json"
_SPEC = "lls-provider-spec.yaml"
_PACKAGES = "packages"
_CHUNK = 1024 * 1024
_RECORD_BYTES = 16 * 1024 * 1024
DOCUMENT_BYTES = 1024 * 1024
"""The largest document, `limits.DEFAULT.size`; a test compares them."""
_LARGEST = 256 * 1024 * 1024
DIRECTORY_MTIME_NS = 315_532_800 * 10**9
"""`unpack.MTIME_NS`, repeated because importing it is slow; a test compares them."""


def bundle_fingerprint(source: str, python_tag: str | None) -> str:
    """A fingerprint of the content of ``/lls-provider`` and the Python it is installed for.

    The manifest holds the hash of every wheel, so besides it only names and sizes are read;
    without a manifest the wheels themselves are hashed. Raises OSError.
    """
    digest = hashlib.sha256()
    manifest = content_fingerprint(f"{source}/{_MANIFEST}")
    for part in (
        python_tag or "",
        content_fingerprint(f"{source}/{_SPEC}") or b"",
        manifest or b"",
    ):
        data = part.encode() if isinstance(part, str) else part
        digest.update(b"%d:" % len(data) + data)
    try:
        with os.scandir(f"{source}/{_PACKAGES}") as entries:
            wheels = sorted((entry.name, entry.stat().st_size) for entry in entries)
    except (FileNotFoundError, NotADirectoryError):
        wheels = []
    for name, size in wheels:
        digest.update(f"{name}\0{size}\0".encode("utf-8", "surrogateescape"))
        if manifest is None:
            digest.update(_hash(f"{source}/{_PACKAGES}/{name}"))
    return digest.hexdigest()


def arguments_fingerprint(values: Sequence[str | None]) -> str:
    """A fingerprint of all other arguments."""
    return hashlib.sha256(json.dumps(list(values)).encode()).hexdigest()


def is_up_to_date(root: str, provider_id: str, bundle: str, arguments: str) -> bool:
    """Whether the volume holds exactly this installation, complete.

    The record is written last, so if it exists, everything before it was done.
    """
    if not provider_id or "/" in provider_id or provider_id.startswith("."):
        return False
    external = f"{root}/external-providers"
    try:
        with _opened(f"{external}/metadata/{provider_id}/installed.json") as stream:
            record = json.loads(stream.read(_RECORD_BYTES))
        same = record["bundle"] == bundle and record["arguments"] == arguments
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return False
    return (
        same
        and os.path.isdir(f"{external}/python-packages")  # noqa: PTH112 - no pathlib yet
        and os.path.isfile(f"{external}/installed-packages.txt")  # noqa: PTH113
        and not os.path.lexists(f"{external}/.staging")
        and all(
            _is_settled(directory)
            for directory in (
                external,
                f"{external}/metadata",
                f"{external}/metadata/{provider_id}",
            )
        )
    )


def _is_settled(directory: str) -> bool:
    """Whether the last step of a run was done; a directory of another user does not tell."""
    state = os.stat(directory)  # noqa: PTH116
    return state.st_mtime_ns == DIRECTORY_MTIME_NS or state.st_uid != os.geteuid()


def _opened(path: str) -> BinaryIO:
    """A file for reading; a pipe or a device is an OSError, not something to wait for."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
    if os.fstat(descriptor).st_mode & 0o170000 != 0o100000:  # not a regular file
        os.close(descriptor)
        raise OSError(errno.EINVAL, "not a regular file", path)
    return open(descriptor, "rb")  # noqa: PTH123 - no pathlib yet


def content_fingerprint(path: str) -> bytes | None:
    """A document's bytes, None if it does not exist. Raises OSError if it is not a regular file.

    If the document is too large, a hash stands for the rest of it.
    """
    try:
        with _opened(path) as stream:
            data = stream.read(DOCUMENT_BYTES + 1)
            if len(data) > DOCUMENT_BYTES:
                digest = hashlib.sha256(b"%d" % os.fstat(stream.fileno()).st_size)
                for _ in range(_LARGEST // _CHUNK):
                    digest.update(stream.read(_CHUNK))
                data += digest.digest()
            return data
    except (FileNotFoundError, NotADirectoryError):
        return None


def _hash(path: str) -> bytes:
    digest = hashlib.sha256()
    with _opened(path) as stream:
        while data := stream.read(_CHUNK):
            digest.update(data)
    return digest.digest()
