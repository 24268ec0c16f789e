"""Writes the provider images of the cases: small real wheels, metadata, a manifest."""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lls_provider.contract.document import dump
from lls_provider.contract.names import API_VERSION, IMAGE_ROOT, BundleTree

if TYPE_CHECKING:
    from lls_provider.conformance.cases import SourceImage

_DATE = (2024, 1, 1, 0, 0, 0)
_TAG = "py3-none-any"
_VERSION = "conformance"


def wheel_name(name: str, version: str, tag: str = _TAG) -> str:
    """The file name of a wheel."""
    return f"{_module(name)}-{version}-{tag}.whl"


def wheel_bytes(
    name: str, version: str, requires: list[str], files: Mapping[str, str] | None, tag: str = _TAG
) -> bytes:
    """A wheel with these files, by default one empty module.

    A file that the wheel would have anyway, such as its RECORD, may be among them.
    """
    info = f"{_module(name)}-{version}.dist-info"
    given = {f"{_module(name)}/__init__.py": ""} if files is None else files
    contents = {path: text.encode() for path, text in given.items()}
    metadata = [f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}"]
    metadata += [f"Requires-Dist: {it}" for it in requires]
    contents.setdefault(f"{info}/METADATA", ("\n".join(metadata) + "\n").encode())
    wheel = f"Wheel-Version: 1.0\nGenerator: {_VERSION}\nRoot-Is-Purelib: true\nTag: {tag}\n"
    contents.setdefault(f"{info}/WHEEL", wheel.encode())
    record = f"{info}/RECORD"
    if record not in contents:
        rows = io.StringIO()
        writer = csv.writer(rows, lineterminator="\n")
        writer.writerows((path, _hash(data), len(data)) for path, data in contents.items())
        writer.writerow((record, "", ""))
        contents[record] = rows.getvalue().encode()
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for path, data in contents.items():
            entry = zipfile.ZipInfo(path, _DATE)
            entry.external_attr = 0o100644 << 16
            archive.writestr(entry, data)
    return stream.getvalue()


def write_image(image: SourceImage, provider: str, api: str, root: Path) -> None:
    """Write ``/lls-provider`` of an image to ``root``."""
    tree = BundleTree(root)
    tree.packages.mkdir(parents=True)
    names = []
    for text, requires in image.packages.items():
        name, version = text.split("==")
        tag = image.tags.get(text, _TAG)
        names.append(wheel_name(name, version, tag))
        data = wheel_bytes(name, version, list(requires), image.files.get(text), tag)
        (tree.packages / names[-1]).write_bytes(data)
    if isinstance(image.metadata, bytes):
        tree.spec.write_bytes(image.metadata)
    elif image.metadata is not None:
        own = next(iter(image.packages)).split("==")
        document = _metadata(own[0], own[1], provider, api, names[0])
        for path, value in image.metadata.items():
            section, _, key = path.partition(".")
            document[section][key] = value
        tree.spec.write_text(dump(document), "utf-8")
    for path, content in image.replaced.items():
        if content is None:
            (root / path).unlink()
        else:
            (root / path).write_text(content, "utf-8")
    if image.provided is not None or image.overrides:
        text = json.dumps(_manifest(root, image), indent=1, sort_keys=True)
        tree.manifest.write_text(text + "\n", "utf-8")


def _metadata(name: str, version: str, provider: str, api: str, wheel: str) -> dict[str, Any]:
    return {
        "apiVersion": API_VERSION,
        "kind": "ProviderPackage",
        "metadata": {"name": name, "version": version, "vendor": "ACME"},
        "spec": {
            "packageName": _module(name),
            "providerType": f"remote::{provider}",
            "api": api,
            "wheelPath": f"{IMAGE_ROOT}/packages/{wheel}",
        },
    }


def _manifest(root: Path, image: SourceImage) -> dict[str, Any]:
    files = [path for path in sorted(root.rglob("*")) if path.is_file()]
    return {
        "format": 1,
        "files": {
            path.relative_to(root).as_posix(): {
                "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
                "size": path.stat().st_size,
            }
            for path in files
        },
        "target": {"python_tag": image.python, "platforms": [], "machine": image.machine},
        "provided": dict(image.provided or {}),
        "distributions": ["server==1"],
        "overrides": list(image.overrides),
        "sdk": _VERSION,
        "installed_size": 1,
    }


def _module(name: str) -> str:
    return name.replace("-", "_")


def _hash(data: bytes) -> str:
    digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=")
    return f"sha256={digest.decode()}"
