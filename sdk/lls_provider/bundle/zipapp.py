"""The runtime as one zipapp, made once when the SDK is built, not for each provider.

The bytes must not depend on who builds: entries are sorted, stored (no zlib), with one mtime
and one mode, and the libraries come from the build requirements that pyproject.toml pins.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import io
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path

from lls_provider import resources
from lls_provider.system.cache import writing
from lls_provider.system.files import write_atomically

NAME = "lls-provider.pyz"

_SHEBANG = b"#!/usr/bin/env python3\n"
_MAIN = b"from lls_provider.runtime.__main__ import start\n\nstart()\n"
_ROOMS = ("contract", "runtime")
_MODULES = (
    *("errors.py", "untrusted.py", "progress.py", "resources.py"),
    # the part of `system` that needs the standard library only
    *("system/__init__.py", "system/files.py"),
)
_LIBRARIES = {"packaging": "packaging", "yaml": "pyyaml"}  # published as
_VERSION = re.compile(r"""^__version__ = ["']([^"']+)["']""", re.MULTILINE)
_EPOCH = (1980, 1, 1, 0, 0, 0)


def zipapp_bytes(package: Path, schemas: Path) -> bytes:
    """The zipapp made from ``package`` (the directory lls_provider) and ``schemas``.

    The libraries are those of the running interpreter.
    """
    # only the version of the package: the names of the public API would slow each start
    version = _VERSION.search((package / "__init__.py").read_text("utf-8"))
    assert version is not None  # noqa: S101 - hatch reads it too
    entries = {"__main__.py": _MAIN, "lls_provider/__init__.py": f"{version[0]}\n".encode()}
    for module in _MODULES:
        entries[f"lls_provider/{module}"] = (package / module).read_bytes()
    for room in _ROOMS:
        entries.update(_sources(package / room, f"lls_provider/{room}"))
    for schema in sorted(schemas.glob("*.json")):
        entries[f"lls_provider/_data/contract/schemas/{schema.name}"] = schema.read_bytes()
    for library in _LIBRARIES:
        entries.update(_sources(_library(library), library))
    buffer = io.BytesIO()
    buffer.write(_SHEBANG)
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(entries):
            info = zipfile.ZipInfo(name, _EPOCH)
            info.external_attr = 0o100644 << 16
            info.create_system = 3
            archive.writestr(info, entries[name])
    return buffer.getvalue()


@functools.cache
def zipapp_path() -> Path:
    """The zipapp of this SDK: shipped in an installed wheel, made on demand in a checkout.

    Raises SdkError NO_SPACE or OUTPUT_UNWRITABLE where a checkout cannot be written.
    """
    root = resources.checkout()
    if root is None:
        return resources.data_path(NAME)
    data = zipapp_bytes(root / "sdk" / "lls_provider", root / "contract" / "schemas")
    directory = root / "build" / "zipapp" / hashlib.sha256(data).hexdigest()[:16]
    path = directory / NAME
    if not path.is_file():
        with writing(directory):  # a checkout may not be writable
            directory.mkdir(parents=True, exist_ok=True)
            write_atomically(path, data, mode=0o755)
    return path


def library_versions(zipapp: Path) -> dict[str, str]:
    """The versions of the bundled libraries, by their names on PyPI."""
    found = {}
    with zipfile.ZipFile(zipapp) as archive:
        for module, name in _LIBRARIES.items():
            text = archive.read(f"{module}/__init__.py").decode()
            match = _VERSION.search(text)
            found[name] = match[1] if match else ""
    return found


def _library(name: str) -> Path:
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(name)
    return Path(spec.origin).parent


def _sources(directory: Path, prefix: str) -> Iterator[tuple[str, bytes]]:
    for path in sorted(directory.rglob("*.py")):
        relative = path.relative_to(directory).as_posix()
        yield f"{prefix}/{relative}", path.read_bytes()
