"""Bundles and layouts of small real wheels."""

from __future__ import annotations

import base64
import gzip
import hashlib
import importlib
import io
import json
import sys
import tarfile
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from lls_provider.bundle.assemble import assemble
from lls_provider.bundle.bundle import Bundle
from lls_provider.contract.models import BuildTarget, ProviderPackage

MakeWheel = Callable[..., Path]
MakeBundle = Callable[..., Bundle]
MakeLayout = Callable[..., Path]

_EPOCH = (1980, 1, 1, 0, 0, 0)


@pytest.fixture
def make_wheel(tmp_path: Path) -> MakeWheel:
    """Writes a wheel, deterministically: name, version and the modules' sources."""

    def make(
        name: str,
        version: str = "1.0.0",
        files: Mapping[str, str] | None = None,
        requires: Sequence[str] = (),
        tag: str = "py3-none-any",
    ) -> Path:
        package = name.replace("-", "_")
        info = f"{package}-{version}.dist-info"
        members = dict(files or {f"{package}/__init__.py": ""})
        members[f"{info}/METADATA"] = "\n".join(
            [
                "Metadata-Version: 2.1",
                f"Name: {name}",
                f"Version: {version}",
                *(f"Requires-Dist: {requirement}" for requirement in requires),
                "",
            ]
        )
        members[f"{info}/WHEEL"] = (
            f"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: {tag}\n"
        )
        record = [
            f"{member},sha256={_urlsafe(text.encode())},{len(text.encode())}"
            for member, text in members.items()
        ]
        members[f"{info}/RECORD"] = "\n".join([*record, f"{info}/RECORD,,", ""])
        folder = tmp_path / "wheels" / hashlib.sha256(repr(members).encode()).hexdigest()[:8]
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{package}-{version}-{tag}.whl"
        with zipfile.ZipFile(path, "w") as archive:
            for member, text in members.items():
                archive.writestr(zipfile.ZipInfo(member, _EPOCH), text)
        return path

    return make


def _urlsafe(data: bytes) -> str:
    digest = hashlib.sha256(data).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


@pytest.fixture
def make_bundle(tmp_path: Path, make_wheel: MakeWheel) -> MakeBundle:
    """Assembles the bundle of a provider with one dependency."""

    def make(
        out: str = "bundle",
        *,
        source: str = "ANSWER = 42\n",
        dependencies: int = 1,
        machine: str = "x86_64",
        tag: str = "py3-none-any",
    ) -> Bundle:
        own = make_wheel("acme-echo", "1.0.0", {"acme_echo/provider.py": source})
        return assemble(
            tmp_path / out,
            metadata=ProviderPackage(
                name="acme-echo",
                version="1.0.0",
                vendor="Acme Örgs",
                description="Says it again",
                maintainer="echo@example.com",
                package_name="acme_echo",
                provider_type="remote::acme-echo",
                api="inference",
                wheel_path="",
            ),
            own_wheel=own,
            dependencies=[make_wheel(f"dep{number}", tag=tag) for number in range(dependencies)],
            target=BuildTarget("cp312", (f"manylinux_2_28_{machine}",), machine),
            provided={"llama-stack-api": "0.7.3"},
            distributions=("llama-stack==0.7.3",),
        )

    return make


def zstd(data: bytes) -> bytes:
    """Packed by the library that the tests install."""
    library = importlib.import_module(
        "compression.zstd" if sys.version_info >= (3, 14) else "backports.zstd"
    )
    packed: bytes = library.compress(data)
    return packed


PACKERS: Mapping[str, Callable[[bytes], bytes]] = {
    "": bytes,
    "gzip": lambda data: gzip.compress(data, mtime=0),
    "zstd": zstd,
}


@pytest.fixture
def make_layout(tmp_path: Path) -> MakeLayout:
    """Writes an OCI layout out of tar members, as any tool or any attacker might."""

    def make(
        *layers: Sequence[tuple[tarfile.TarInfo | str, bytes]] | bytes,
        name: str = "foreign",
        compress: str = "",
        architecture: str = "amd64",
        config: Mapping[str, Any] | None = None,
    ) -> Path:
        root = tmp_path / name
        blobs = root / "blobs" / "sha256"
        blobs.mkdir(parents=True)
        described, diff_ids = [], []
        for layer in layers:
            plain = layer if isinstance(layer, bytes) else tar_bytes(layer)
            stored = PACKERS[compress](plain)
            diff_ids.append("sha256:" + hashlib.sha256(plain).hexdigest())
            suffix = f"+{compress}" if compress else ""
            described.append(
                _blob(blobs, stored, f"application/vnd.oci.image.layer.v1.tar{suffix}")
            )
        image_config = {
            "architecture": architecture,
            "os": "linux",
            "config": dict(config or {}),
            "rootfs": {"type": "layers", "diff_ids": diff_ids},
        }
        manifest = {
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": _blob(
                blobs,
                json.dumps(image_config).encode(),
                "application/vnd.oci.image.config.v1+json",
            ),
            "layers": described,
        }
        index = _blob(blobs, json.dumps(manifest).encode(), str(manifest["mediaType"]))
        (root / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [index]}))
        (root / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
        return root

    return make


def tar_bytes(members: Sequence[tuple[tarfile.TarInfo | str, bytes]]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for member, content in members:
            info = tarfile.TarInfo(member) if isinstance(member, str) else member
            if info.isreg():
                if info.name.endswith("/"):
                    info.type = tarfile.DIRTYPE
                else:
                    info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def _blob(blobs: Path, data: bytes, media_type: str) -> dict[str, Any]:
    digest = hashlib.sha256(data).hexdigest()
    (blobs / digest).write_bytes(data)
    return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": len(data)}
