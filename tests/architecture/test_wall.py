"""The runtime's wall: the zipapp needs Python and nothing else."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

from lls_provider.bundle.zipapp import zipapp_path

ALLOWED = {"lls_provider", "yaml", "packaging", "__main__.py"}


def test_the_zipapp_holds_the_runtime_and_two_libraries_only() -> None:
    with zipfile.ZipFile(zipapp_path()) as archive:
        names = archive.namelist()
    assert {name.partition("/")[0] for name in names} == ALLOWED
    rooms = {name.split("/")[1] for name in names if name.startswith("lls_provider/")}
    assert rooms == {
        "__init__.py",
        "_data",
        "contract",
        "errors.py",
        "untrusted.py",
        "progress.py",
        "resources.py",
        "runtime",
        "system",
    }
    system = {name for name in names if name.startswith("lls_provider/system/")}
    assert {name.rpartition("/")[2] for name in system} == {
        "__init__.py",
        "files.py",
    }


def test_every_module_of_the_zipapp_imports_in_an_empty_environment(tmp_path: Path) -> None:
    zipapp = tmp_path / "lls-provider.pyz"
    zipapp.write_bytes(zipapp_path().read_bytes())
    with zipfile.ZipFile(zipapp) as archive:
        modules = sorted(
            name.removesuffix(".py").replace("/", ".").removesuffix(".__init__")
            for name in archive.namelist()
            if name.startswith("lls_provider/") and name.endswith(".py")
        )
    # probe is a script for the server's interpreter, its own __main__
    script = (
        f"import sys; sys.path[:0] = [{str(zipapp)!r}]; import importlib\n"
        f"for name in {[it for it in modules if not it.endswith('.__main__')]!r}:\n"
        "    importlib.import_module(name)\n"
        f"print(sorted(n for n, m in sys.modules.items() if {str(zipapp)!r} not in "
        "(getattr(m, '__file__', None) or '') and n.partition('.')[0] in ('yaml', 'packaging')))\n"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", script],
        env={},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"
