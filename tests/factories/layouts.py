"""Provider projects as authors lay them out: build backends, packages, metadata."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

_PROVIDER = '''\
"""A provider that needs no server's package."""


class Spec:
    """What servers read."""

    def __init__(self, api, provider_type):
        self.api = api
        self.provider_type = provider_type
        self.module = "{module}.provider"
        self.config_class = "{module}.provider.Config"


class Config:
    """No settings."""


async def get_adapter_impl(config, deps):
    """Return the implementation."""
    return object()


async def get_provider_impl(config, deps):
    """Return the implementation."""
    return object()


def get_provider_spec():
    """Return the specs."""
    specs = [Spec(*it) for it in {specs}]
    return specs if len(specs) > 1 else specs[0]
'''
ECHO = [("inference", "remote::acme-echo")]


def provider(module: str, specs: list[tuple[str, str]] = ECHO) -> str:
    """The source of ``provider.py`` in a module."""
    return _PROVIDER.format(module=module, specs=specs)


def backend(requires: str, name: str) -> str:
    """``[build-system]``."""
    return f'[build-system]\nrequires = ["{requires}"]\nbuild-backend = "{name}"\n\n'


SETUPTOOLS = backend("setuptools>=77", "setuptools.build_meta")
HATCH = backend("hatchling>=1.26", "hatchling.build")
POETRY = backend("poetry-core>=2", "poetry.core.masonry.api")
FLIT = backend("flit_core>=3.11", "flit_core.buildapi")
UV = backend("uv_build>=0.9", "uv_build")
PROJECT = """\
[project]
name = "acme-echo"
version = "1.0"
description = "Echoes."
requires-python = ">=3.12"
authors = [{ name = "Acme GmbH", email = "team@acme.example" }]
"""
OLD_POETRY = """\
[tool.poetry]
name = "acme-echo"
version = "1.0"
description = "Echoes."
authors = ["Acme GmbH <team@acme.example>"]
packages = [{ include = "acme_echo" }]

[tool.poetry.dependencies]
python = ">=3.12"
"""
WORKSPACE = """\
[tool.uv.workspace]
members = ["packages/*"]

[tool.uv.sources]
acme-common = { workspace = true }
"""


def package(module: str, where: str = "", specs: list[tuple[str, str]] = ECHO) -> dict[str, str]:
    """A package with a provider; the packages above it are namespaces."""
    directory = f"{where}{module.replace('.', '/')}"
    return {
        f"{directory}/__init__.py": '"""A provider."""\n',
        f"{directory}/provider.py": provider(module, specs),
    }


def setuptools_src() -> dict[str, str]:
    return {"pyproject.toml": SETUPTOOLS + PROJECT, **package("acme_echo", "src/")}


def setuptools_flat() -> dict[str, str]:
    return {"pyproject.toml": SETUPTOOLS + PROJECT, **package("acme_echo")}


def setuptools_lib() -> dict[str, str]:
    """Its packages are below another directory than src, in a file with CR LF."""
    where = '\n[tool.setuptools.packages.find]\nwhere = ["lib"]\n'
    text = (SETUPTOOLS + PROJECT + where).replace("\n", "\r\n")
    return {"pyproject.toml": text, **package("acme_echo", "lib/")}


def hatch_namespace() -> dict[str, str]:
    build = '\n[tool.hatch.build.targets.wheel]\npackages = ["src/acme"]'
    return {"pyproject.toml": HATCH + PROJECT + build, **package("acme.echo", "src/")}


def hatch_several() -> dict[str, str]:
    """Three provider types in two modules, the file without a line end."""
    build = '\n[tool.hatch.build.targets.wheel]\npackages = ["acme"]'
    two = [("inference", "remote::acme-echo"), ("safety", "inline::acme-guard")]
    return {
        "pyproject.toml": HATCH + PROJECT + build,
        "acme/__init__.py": "",
        **package("acme.both", specs=two),
        **package("acme.files", specs=[("files", "inline::acme-files")]),
    }


def poetry_1() -> dict[str, str]:
    return {"pyproject.toml": POETRY + OLD_POETRY, **package("acme_echo")}


def poetry_2() -> dict[str, str]:
    return {"pyproject.toml": POETRY + PROJECT, **package("acme_echo", "src/")}


def flit() -> dict[str, str]:
    return {"pyproject.toml": FLIT + PROJECT, **package("acme_echo")}


def uv_workspace() -> dict[str, str]:
    """The provider is a member that depends on another one."""
    member = PROJECT.replace("authors", 'dependencies = ["acme-common"]\nauthors')
    common = '[project]\nname = "acme-common"\nversion = "1.0"\nrequires-python = ">=3.12"\n'
    return {
        "pyproject.toml": WORKSPACE,
        "packages/common/pyproject.toml": UV + common,
        "packages/common/src/acme_common/__init__.py": "",
        "packages/echo/pyproject.toml": UV + member,
        **package("acme_echo", "packages/echo/src/"),
    }


LAYOUTS: Mapping[str, Callable[[], dict[str, str]]] = {
    it.__name__: it
    for it in (
        setuptools_src,
        setuptools_flat,
        setuptools_lib,
        hatch_namespace,
        hatch_several,
        poetry_1,
        poetry_2,
        flit,
        uv_workspace,
    )
}


def write_layout(root: Path, name: str) -> Path:
    """Write a layout into a directory and return the provider's project."""
    for path, text in LAYOUTS[name]().items():
        file = root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, "utf-8", newline="")
    member = root / "packages" / "echo"
    return member if member.is_dir() else root
