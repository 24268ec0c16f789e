"""How the command line starts and ends, with the modules in a directory as in a zipapp."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from lls_provider import __version__
from lls_provider.runtime import __main__ as entry

START = f"from {entry.__name__} import start; start()"


def _run(code: str, *words: str, **more: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # type: ignore[call-overload, no-any-return]
        [sys.executable, "-c", code, *words], capture_output=True, text=True, check=False, **more
    )


def test_it_ends_with_the_status_of_the_command() -> None:
    done = _run(START, "--version")
    assert (done.returncode, done.stdout) == (0, f"lls-provider {__version__}\n")
    done = _run(START, "no-such-command")
    assert done.returncode == 2
    assert "no-such-command" in done.stderr


def test_the_module_is_a_command_too() -> None:
    done = subprocess.run(
        [sys.executable, "-m", entry.__name__.removesuffix(".__main__"), "--version"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == f"lls-provider {__version__}\n"


def test_modules_of_an_archive_have_the_names_of_their_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "app.pyz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("alone_in_zip.py", "VALUE = 1\n")
        archive.writestr("folder_in_zip/__init__.py", "VALUE = 2\n")
        archive.writestr("folder_in_zip/inner.py", "VALUE = 3\n")
    monkeypatch.setattr(sys, "path_hooks", [*sys.path_hooks])
    monkeypatch.setattr(sys, "path_importer_cache", {str(path): None, **sys.path_importer_cache})
    monkeypatch.setattr(sys, "path", [str(path), *sys.path])
    entry._compile_once()
    assert str(path) not in sys.path_importer_cache
    before = {*sys.modules}
    try:
        import alone_in_zip  # type: ignore[import-not-found]
        import folder_in_zip.inner  # type: ignore[import-not-found]

        assert (alone_in_zip.VALUE, folder_in_zip.VALUE, folder_in_zip.inner.VALUE) == (1, 2, 3)
        assert alone_in_zip.__file__ == f"{path}/alone_in_zip.py"
        assert folder_in_zip.__file__ == f"{path}/folder_in_zip/__init__.py"
        assert folder_in_zip.inner.__file__ == f"{path}/folder_in_zip/inner.py"
    finally:
        for name in {*sys.modules} - before:
            del sys.modules[name]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_before_anything_is_written_ends_it_at_once(number: signal.Signals) -> None:
    code = (
        f"import os, signal\nfrom {entry.__name__} import main\n"
        "class Stops(list):\n"
        f"    def __getitem__(self, _): os.kill(os.getpid(), {int(number)}); return []\n"
        "import sys\nsys.argv = Stops()\nmain()\nprint('it went on')\n"
    )
    done = _run(code)
    assert (done.returncode, done.stdout) == (128 + number, "")


def test_a_closed_stream_and_one_that_nobody_reads_change_nothing() -> None:
    closed = f"import os, sys\nos.close(1)\nsys.stdout = None\n{START}"
    assert _run(closed, "merge", "--root", "/nowhere").returncode != 0
    read_end, write_end = os.pipe()
    os.close(read_end)
    words = [sys.executable, "-c", START, "--help"]
    done = subprocess.run(words, stdout=write_end, stderr=subprocess.PIPE, check=False)
    os.close(write_end)
    assert (done.returncode, done.stderr) == (0, b"")


def test_what_was_written_for_a_reader_that_is_gone_goes_nowhere() -> None:
    read_end, write_end = os.pipe()
    os.close(read_end)
    with os.fdopen(write_end, "w") as stream:
        stream.write("x")
        entry._flush(stream)
        stream.flush()  # it leads nowhere now, and no longer fails
