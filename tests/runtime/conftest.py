"""Small real wheels, bundles and volumes."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from lls_provider.runtime.install.install import InstallRequest, InstallResult, install

PROVIDER_SOURCE = """\
class Spec:
    provider_type = "{provider_type}"
    api = "{api}"
    module = "{module}"
    config_class = "{module}.provider.Config"


class Config:
    pass


async def get_adapter_impl(config, deps):
    return None


def get_provider_spec():
    return Spec()
"""


@dataclass(frozen=True)
class WheelFactory:
    """Writes valid wheels; every part can be replaced to break one rule."""

    folder: Path

    def __call__(
        self,
        name: str,
        version: str = "1.0",
        files: Mapping[str, str | bytes] | None = None,
        *,
        requires: Sequence[str] = (),
        tag: str = "py3-none-any",
        metadata: str = "",
        record: Callable[[str], str] = lambda text: text,
        extra: Mapping[str, str | bytes] | None = None,
        modes: Mapping[str, int] | None = None,
        folder: Path | None = None,
    ) -> Path:
        """A wheel; ``extra`` goes into the archive behind RECORD's back."""
        module = name.replace("-", "_")
        info = f"{module}-{version}.dist-info"
        contents: dict[str, bytes] = {}
        for path, content in (files or {f"{module}/__init__.py": ""}).items():
            contents[path] = content.encode() if isinstance(content, str) else content
        header = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{metadata}"
        header += "".join(f"Requires-Dist: {requirement}\n" for requirement in requires)
        contents.setdefault(f"{info}/METADATA", f"{header}\nA description.\n".encode())
        contents.setdefault(
            f"{info}/WHEEL",
            f"Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: {tag}\n".encode(),
        )
        lines = "".join(f"{path},{_hash(data)},{len(data)}\n" for path, data in contents.items())
        contents[f"{info}/RECORD"] = record(f"{lines}{info}/RECORD,,\n").encode()
        for path, content in (extra or {}).items():
            contents[path] = content.encode() if isinstance(content, str) else content
        target = folder or self.folder / f"{len(list(self.folder.iterdir()))}"
        target.mkdir(parents=True, exist_ok=True)
        wheel = target / f"{module}-{version}-{tag}.whl"
        with zipfile.ZipFile(wheel, "w", zipfile.ZIP_DEFLATED) as archive:
            for path, data in contents.items():
                entry = zipfile.ZipInfo(path, (2024, 5, 6, 7, 8, 10))
                entry.compress_type = zipfile.ZIP_DEFLATED
                entry.external_attr = (0o100000 | (modes or {}).get(path, 0o644)) << 16
                archive.writestr(entry, data)
        return wheel


def _hash(data: bytes) -> str:
    digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=")
    return f"sha256={digest.decode()}"


@pytest.fixture
def make_wheel(tmp_path: Path) -> WheelFactory:
    folder = tmp_path / "wheels"
    folder.mkdir()
    return WheelFactory(folder)


@dataclass(frozen=True)
class BundleFactory:
    """Writes ``/lls-provider`` trees."""

    folder: Path
    make_wheel: WheelFactory

    def __call__(
        self,
        name: str = "acme-echo",
        *,
        version: str = "1.0",
        api: str = "inference",
        provider_type: str | None = None,
        requires: Sequence[str] = (),
        files: Mapping[str, str | bytes] | None = None,
        dependencies: Sequence[Path] = (),
        manifest: bool = True,
        provided: Mapping[str, str] | None = None,
        overrides: Sequence[str] = (),
        python_tag: str = "cp312",
        machine: str | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> Path:
        """A bundle of one provider; its own wheel is made, dependencies are copied."""
        root = self.folder / f"bundle-{len(list(self.folder.iterdir()))}"
        packages = root / "packages"
        packages.mkdir(parents=True)
        module = name.replace("-", "_")
        kind = provider_type or f"remote::{name}"
        source = PROVIDER_SOURCE.format(provider_type=kind, api=api, module=f"{module}.provider")
        source = source.replace(f"{module}.provider.provider", f"{module}.provider")
        own = self.make_wheel(
            name,
            version,
            files or {f"{module}/__init__.py": "", f"{module}/provider.py": source},
            requires=requires,
            folder=packages,
        )
        for wheel in dependencies:
            (packages / wheel.name).write_bytes(wheel.read_bytes())
        document = {
            "apiVersion": "llamastack.io/v1alpha1",
            "kind": "ProviderPackage",
            "metadata": {"name": name, "version": "1.0.0", "vendor": "Acme"},
            "spec": {
                "packageName": module,
                "providerType": kind,
                "api": api,
                "wheelPath": f"/lls-provider/packages/{own.name}",
                **(metadata or {}),
            },
        }
        (root / "lls-provider-spec.yaml").write_text(yaml.safe_dump(document))
        if manifest:
            _write_manifest(root, provided or {}, overrides, python_tag, machine)
        return root


def _write_manifest(
    root: Path,
    provided: Mapping[str, str],
    overrides: Sequence[str],
    python_tag: str,
    machine: str | None,
) -> None:
    files = {
        path.relative_to(root).as_posix(): {
            "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
            "size": path.stat().st_size,
        }
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }
    target = {
        "python_tag": python_tag,
        "platforms": ["manylinux_2_28_x86_64"],
        "machine": machine or os.uname().machine,
    }
    manifest = {
        "format": 1,
        "files": files,
        "target": target,
        "provided": dict(provided),
        "distributions": ["server==1"],
        "overrides": list(overrides),
        "sdk": "0.1.0",
        "installed_size": 1,
    }
    (root / "manifest.json").write_text(json.dumps(manifest, indent=1, sort_keys=True) + "\n")


@pytest.fixture
def make_bundle(tmp_path: Path, make_wheel: WheelFactory) -> BundleFactory:
    folder = tmp_path / "bundles"
    folder.mkdir()
    return BundleFactory(folder, make_wheel)


@dataclass
class Pod:
    """A volume and the init containers that run on it, in order."""

    root: Path
    workers: int = 1
    results: list[InstallResult] = field(default_factory=list)

    @property
    def external(self) -> Path:
        return self.root / "external-providers"

    @property
    def packages(self) -> Path:
        return self.external / "python-packages"

    def request(self, source: Path, provider_id: str = "acme-echo", **more: Any) -> InstallRequest:
        values: dict[str, Any] = {
            "provider_id": provider_id,
            "api": "inference",
            "image": f"registry.example.com/{provider_id}:1.0",
            "container": f"install-provider-{provider_id}",
            "source": source,
            "root": self.root,
            **more,
        }
        return InstallRequest(**values)

    def install(self, source: Path, provider_id: str = "acme-echo", **more: Any) -> InstallResult:
        result = install(self.request(source, provider_id, **more), workers=self.workers)
        self.results.append(result)
        return result

    def snapshot(self) -> dict[str, tuple[int, int, bytes]]:
        """Every path of the volume with its mode, mtime and content."""
        return {
            path.relative_to(self.root).as_posix(): (
                path.stat().st_mode,
                path.stat().st_mtime_ns,
                path.read_bytes() if path.is_file() else b"",
            )
            for path in sorted(self.external.rglob("*"))
        }


@pytest.fixture
def pod(tmp_path: Path) -> Pod:
    return Pod(tmp_path / "volume")


@pytest.fixture
def make_pod(tmp_path: Path) -> Callable[[str], Pod]:
    return lambda name: Pod(tmp_path / name)
