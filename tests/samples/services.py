"""The services that the samples call, as their own tests have them."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

SAMPLES = Path(__file__).parents[2] / "samples"


def service_of(sample: str) -> ModuleType:
    """The module of a sample's tests with its service, ``tests/service.py``."""
    path = SAMPLES / sample / "tests" / "service.py"
    spec = importlib.util.spec_from_file_location(sample.replace("-", "_") + "_service", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
