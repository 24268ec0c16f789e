"""Temporary folders."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from lls_provider.errors import Code
from lls_provider.system.cache import storage_error
from lls_provider.system.os_errors import OsCause, os_cause, os_error


@contextlib.contextmanager
def scratch(purpose: str) -> Iterator[Path]:
    """A temporary folder that is gone afterwards, whatever happens.

    Raises SdkError NO_SPACE or OUTPUT_UNWRITABLE when it cannot be made.
    """
    with making_temporary():
        folder = Path(tempfile.mkdtemp(prefix=f"lls-provider-{purpose}-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def making_temporary() -> Iterator[None]:
    """Turns an OSError of the block into the SdkError NO_SPACE or OUTPUT_UNWRITABLE."""
    try:
        yield
    except OSError as error:
        # where no folder will do, there is no place to name
        place = Path(error.filename or tempfile.tempdir or os.environ.get("TMPDIR") or "/tmp")  # noqa: S108
        if os_cause(error) is OsCause.NO_SPACE:
            raise storage_error(error, place) from error
        raise os_error(
            error,
            Code.OUTPUT_UNWRITABLE,
            "Cannot make a temporary folder",
            file=str(place),
            resolution="Set TMPDIR to a folder that you can write.",
        ) from error
