"""What is fuzzed: each takes bytes and lets nothing out but SdkError (docs/fuzzing.md)."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from pathlib import Path

from lls_provider.contract.document import Document, dump, load
from lls_provider.contract.limits import DEFAULT
from lls_provider.contract.models import CrdConfig, read_manifest, read_provider_package
from lls_provider.errors import SdkError
from lls_provider.runtime.cli.commands import read_config
from lls_provider.runtime.install.conflict import Candidate, decide
from lls_provider.runtime.install.install import crd_config_bytes
from lls_provider.runtime.target_python import TargetPython
from lls_provider.runtime.wheelfile.archive import open_wheel, read_member
from lls_provider.runtime.wheelfile.contents import record_file
from lls_provider.runtime.wheelfile.wheel import read_wheel

WHEEL = "x-1.0-py3-none-any.whl"
_ENVIRONMENTS = [TargetPython(12, "x86_64").markers()]


def wheel(data: bytes, folder: Path) -> None:
    """Read a wheel as `install` does: plan its conflicts, inflate each member once."""
    path = folder / WHEEL
    path.write_bytes(data)
    with contextlib.suppress(SdkError):
        found = read_wheel(path)
        descriptor = open_wheel(path)
        try:
            for file in found.files:
                _check_place(file.path)
                if file.member is not None:
                    size = sum(len(it) for it in read_member(path, descriptor, file.member))
                    assert size == file.size
        finally:
            os.close(descriptor)
        record_file(found.dist_info, found.files)
        decide([], [Candidate(found.name, found.version, found.requires)], _ENVIRONMENTS)


def _check_place(path: str) -> None:
    """Nothing that a wheel writes may lie outside the directory it is written to."""
    assert not path.startswith("/")
    assert not {"", ".", ".."} & set(path.split("/"))
    assert "\0" not in path
    path.encode()


def document(data: bytes, _: Path) -> None:
    """Read YAML; what is read can be written, and reads back as the same."""
    with contextlib.suppress(SdkError):
        _check_same(load(data, "fuzz.yaml"))


def _check_same(read: Document) -> None:
    text = dump(read.value).encode()
    if len(text) <= DEFAULT.size:
        assert dump(load(text, "again.yaml").value).encode() == text


def metadata(data: bytes, folder: Path) -> None:
    """Read the metadata and the manifest of a bundle."""
    path = folder / "document"
    path.write_bytes(data)
    with contextlib.suppress(SdkError):
        read_provider_package(path, strict=True)
    with contextlib.suppress(SdkError):
        read_manifest(path)


def config(data: bytes, _: Path) -> None:
    """Read a provider's configuration and write it down for merge."""
    with contextlib.suppress(SdkError):
        value = read_config(data, "--config")
        crd_config_bytes(CrdConfig("a", "safety", value, "i", "c", 0))


TARGETS: dict[str, Callable[[bytes, Path], None]] = {
    "wheel": wheel,
    "document": document,
    "metadata": metadata,
    "config": config,
}
