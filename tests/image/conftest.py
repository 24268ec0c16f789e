"""Bundles and layouts of small real wheels."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tests.factories.images import MakeLayout, Members, tar_bytes, write_image
from tests.factories.providers import MakeBundle, build_target, provider_package
from tests.factories.wheels import MakeWheel, WheelFactory

from lls_provider.bundle.assemble import assemble

if TYPE_CHECKING:
    from lls_provider.bundle.bundle import Bundle


@pytest.fixture
def make_wheel(tmp_path: Path) -> MakeWheel:
    return WheelFactory(tmp_path / "wheels", "1.0.0")


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
            metadata=provider_package(
                vendor="Acme Örgs", description="Says it again", maintainer="echo@example.com"
            ),
            own_wheel=own,
            dependencies=[make_wheel(f"dep{number}", tag=tag) for number in range(dependencies)],
            target=build_target(machine),
            provided={"llama-stack-api": "0.7.3"},
            distributions=("llama-stack==0.7.3",),
        )

    return make


@pytest.fixture
def make_layout(tmp_path: Path) -> MakeLayout:
    """Writes an OCI layout out of tar members, as any tool or any attacker might."""

    def make(
        *layers: Members | bytes,
        name: str = "foreign",
        compress: str = "",
        architecture: str = "amd64",
        config: Mapping[str, Any] | None = None,
    ) -> Path:
        return write_image(
            tmp_path / name,
            (layer if isinstance(layer, bytes) else tar_bytes(layer) for layer in layers),
            {"architecture": architecture, "config": dict(config or {})},
            compress=compress,
        )

    return make
