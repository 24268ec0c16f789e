"""The samples, and the services that they call, as their own tests have them."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

SAMPLES = Path(__file__).parents[2] / "samples"
SERVERS = ("llama-stack==0.7.3", "ogx==1.5.0")
_TEMPLATE = "[tool.lls-provider.template]"


def hand_written() -> list[str]:
    """The samples that are projects, without those that the template renders."""
    found = SAMPLES.glob("*/pyproject.toml")
    return sorted(it.parent.name for it in found if _TEMPLATE not in it.read_text("utf-8"))


def service_of(sample: str) -> ModuleType:
    """The module of a sample's tests with its service, ``tests/service.py``."""
    path = SAMPLES / sample / "tests" / "service.py"
    spec = importlib.util.spec_from_file_location(sample.replace("-", "_") + "_service", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
