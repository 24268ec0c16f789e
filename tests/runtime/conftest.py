"""Small real wheels, bundles and volumes."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from tests.factories.providers import provider_document, provider_source, write_bundle
from tests.factories.wheels import WheelFactory, module_of

from lls_provider.runtime.install.install import InstallRequest, InstallResult, install


@pytest.fixture
def make_wheel(tmp_path: Path) -> WheelFactory:
    return WheelFactory(tmp_path / "wheels")


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
        module = module_of(name)
        kind = provider_type or f"remote::{name}"
        source = provider_source(name, provider_type=kind, api=api)
        own = self.make_wheel(
            name,
            version,
            files or {f"{module}/__init__.py": "", f"{module}/provider.py": source},
            requires=requires,
            folder=root / "packages",
        )
        spec = {"providerType": kind, "api": api, **(metadata or {})}
        target = {
            "python_tag": python_tag,
            "platforms": ["manylinux_2_28_x86_64"],
            "machine": machine or os.uname().machine,
        }
        said = {
            "target": target,
            "provided": dict(provided or {}),
            "distributions": ["server==1"],
            "overrides": list(overrides),
        }
        return write_bundle(
            root,
            [own, *dependencies],
            provider_document(name, wheel=own.name, **spec),
            said if manifest else None,
        )


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
