"""Projects that need nothing from an index to be built."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tests.factories.providers import NO_SPECS
from tests.factories.wheels import metadata_of, module_of, wheel_file, wheel_name

PROVIDER = (
    '[tool.lls-provider]\napi = "inference"\nprovider-type = "remote::acme"\n'
    'module = "acme"\nvendor = "Acme"\n'
)
OWN_BACKEND = '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
DATE = "(1980, 1, 1, 0, 0, 0)"

_BACKEND = """\
import os, pathlib, sys, time, zipfile

def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    {before}
    files = {files}
    files[{info!r} + "METADATA"] = {metadata!r}
    files[{info!r} + "WHEEL"] = {wheel_file!r}
    files[{info!r} + "RECORD"] = "".join(name + ",,\\n" for name in files)
    with zipfile.ZipFile(os.path.join(wheel_directory, {wheel!r}), "w") as archive:
        for name, text in files.items():
            archive.writestr(zipfile.ZipInfo(name, {date}), text)
    return {wheel!r}
"""


def backend(
    name: str = "demo",
    version: str = "1.0",
    *,
    files: str = "",
    requires: Sequence[str] = (),
    fields: Sequence[str] = (),
    before: str = "pass",
    date: str = DATE,
) -> str:
    """The source of a backend without requirements, which writes a wheel.

    ``files`` and ``date`` are expressions of what is in the wheel and its time, ``before`` a
    statement: they are evaluated in each build.
    """
    return _BACKEND.format(
        before=before,
        files=files or repr({f"{module_of(name)}/__init__.py": ""}),
        info=f"{module_of(name)}-{version}.dist-info/",
        metadata=metadata_of(name, version, requires=requires, fields=fields),
        wheel_file=wheel_file(),
        wheel=wheel_name(name, version),
        date=date,
    )


def write_project(
    folder: Path, name: str, requires: str, rest: str, *, python: str = ">=3.11"
) -> None:
    """A provider's project with a backend of its own."""
    (folder / name).mkdir(parents=True)
    (folder / name / "__init__.py").touch()
    (folder / name / "provider.py").touch()
    files = {f"{name}/__init__.py": "", f"{name}/provider.py": NO_SPECS}
    needs = [requires] if requires else []
    (folder / "backend.py").write_text(
        backend(name, files=repr(files), requires=needs, fields=[f"Requires-Python: {python}"])
    )
    (folder / "pyproject.toml").write_text(
        f'{OWN_BACKEND}[project]\nname = "{name}"\nversion = "1.0"\n'
        f'requires-python = "{python}"\ndependencies = {needs}\n{rest}'
    )
