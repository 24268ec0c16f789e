"""Projects that need nothing from an index to be built."""

from __future__ import annotations

from pathlib import Path

PROVIDER = (
    '[tool.lls-provider]\napi = "inference"\nprovider-type = "remote::acme"\n'
    'module = "acme"\nvendor = "Acme"\n'
)

BACKEND = """
import zipfile
def build_wheel(out, config_settings=None, metadata_directory=None):
    info = NAME + "-1.0.dist-info/"
    wheel = NAME + "-1.0-py3-none-any.whl"
    with zipfile.ZipFile(out + "/" + wheel, "w") as archive:
        archive.writestr(NAME + "/__init__.py", "")
        archive.writestr(NAME + "/provider.py", "def get_provider_spec():\\n    return []\\n")
        archive.writestr(info + "METADATA",
            "Metadata-Version: 2.1\\nName: " + NAME + "\\nVersion: 1.0\\n" + REQUIRES)
        archive.writestr(info + "WHEEL",
            "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        archive.writestr(info + "RECORD", "")
    return wheel
"""


def write_project(
    folder: Path, name: str, requires: str, rest: str, *, python: str = ">=3.11"
) -> None:
    """A project that needs nothing from an index to be built."""
    folder.mkdir(parents=True)
    (folder / name).mkdir()
    (folder / name / "__init__.py").touch()
    (folder / name / "provider.py").touch()
    line = f"Requires-Python: {python}\n"
    line += f"Requires-Dist: {requires}\n" if requires else ""
    (folder / "backend.py").write_text(f"NAME = {name!r}\nREQUIRES = {line!r}\n{BACKEND}")
    (folder / "pyproject.toml").write_text(
        '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
        f'[project]\nname = "{name}"\nversion = "1.0"\nrequires-python = "{python}"\n'
        f"dependencies = {[requires] if requires else []}\n{rest}"
    )
