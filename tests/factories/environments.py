"""Environments of servers: what is installed there, put in by hand."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable
from pathlib import Path


def make_environment(python: Path, folder: Path) -> Path:
    """A virtual environment without any package; returns the directory of its packages."""
    subprocess.run([python, "-m", "venv", "--without-pip", folder], check=True)
    return packages_of(folder)


def packages_of(environment: Path) -> Path:
    (found,) = environment.glob("lib/python3*/site-packages")
    return found


def put_package(
    packages: Path, name: str, version: str, *, record: Iterable[str] | None = None
) -> Path:
    """What says that a package is installed; ``record`` are its files, if it has a RECORD."""
    info = packages / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    if record is not None:
        (info / "RECORD").write_text("".join(f"{path},,\n" for path in record))
    return info
