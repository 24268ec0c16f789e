"""Reading an archive alone, without installing what is in it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from lls_provider.contract.limits import WheelLimits
from lls_provider.errors import Code, SdkError
from lls_provider.runtime.wheelfile.archive import open_wheel, read_member, read_members


@contextmanager
def opened(directory: Path, data: bytes) -> Iterator[tuple[Path, int]]:
    """A file with these bytes, and a descriptor of it."""
    path = directory / "a.whl"
    path.write_bytes(data)
    descriptor = open_wheel(path)
    try:
        yield path, descriptor
    finally:
        os.close(descriptor)


def read(directory: Path, data: bytes, limits: WheelLimits | None = None) -> dict[str, bytes]:
    """The members of an archive by name."""
    with opened(directory, data) as (path, descriptor):
        found = read_members(path, descriptor, limits or WheelLimits())
        return {it.name: b"".join(read_member(path, descriptor, it)) for it in found}


def refused(directory: Path, data: bytes, code: Code) -> str:
    """Why an archive is refused, which it is under this code."""
    with pytest.raises(SdkError) as caught:
        read(directory, data)
    assert caught.value.code is code
    return caught.value.why
