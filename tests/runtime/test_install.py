"""Installing a provider, start to end, on a real volume."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    BundleFactory = Callable[..., Path]
    WheelFactory = Callable[..., Path]
    Pod = Any


def test_a_provider_is_importable_and_recorded(
    pod: Pod, make_bundle: BundleFactory, make_wheel: WheelFactory
) -> None:
    source = make_bundle(requires=["dep"], dependencies=[make_wheel("dep", "2.0")])
    pod.install(source, config={"url": "${env.URL:=http://x}"}, order=3)
    code = "import dep, acme_echo.provider as p; print(p.get_provider_spec().provider_type)"
    out = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONPATH": str(pod.packages)},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert out == "remote::acme-echo\n"
    folder = pod.external / "metadata" / "acme-echo"
    assert (folder / "lls-provider-spec.yaml").read_bytes() == (
        source / "lls-provider-spec.yaml"
    ).read_bytes()
    assert yaml.safe_load((folder / "crd-config.yaml").read_text()) == {
        "providerId": "acme-echo",
        "api": "inference",
        "config": {"url": "${env.URL:=http://x}"},
        "image": "registry.example.com/acme-echo:1.0",
        "initContainerName": "install-provider-acme-echo",
        "order": 3,
    }
    assert (pod.external / "installed-packages.txt").read_text() == (
        "acme-echo==1.0  # acme-echo\ndep==2.0  # acme-echo\n"
    )
    assert not list(pod.external.glob(".*"))
