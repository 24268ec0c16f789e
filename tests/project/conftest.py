"""A small provider project, to be broken in one way at a time."""

from __future__ import annotations

from pathlib import Path

import pytest

PYPROJECT = """\
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = "acme-echo"
version = "1.2.0"
description = "Echoes."
authors = [{ name = "Acme" }, { email = "team@acme.example" }]

[tool.lls-provider]
api = "inference"
provider-type = "remote::acme-echo"
module = "acme_echo"
vendor = "Acme"
distribution = ["llama-stack==0.7.3"]

[tool.lls-provider.up]
config = { prefix = "> " }
env = { LOG = "debug" }

[tool.lls-provider.up.call]
path = "/v1/models"
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """The project's directory; its code is never run."""
    root = tmp_path / "acme"
    package = root / "src" / "acme_echo"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "provider.py").touch()
    (root / "pyproject.toml").write_text(PYPROJECT)
    return root
