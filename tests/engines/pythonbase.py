"""A base image with a real Python, a shell and pip, made of the files of this machine: no download.

It holds an interpreter of this machine, at its own place and as ``/usr/bin/python3``.
"""

from __future__ import annotations

import hashlib
import importlib.util
import io
import json
import os
import re
import shutil
import subprocess
import tarfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from lls_provider.wheels.interpreter import find_interpreter

_LEFT_OUT = {
    *("__pycache__", "site-packages", "dist-packages", "test", "tests", "idlelib", "tkinter"),
    *("turtledemo", "ensurepip", "lib2to3"),
}
_COMMANDS = ("sh", "mkdir", "cp", "cat", "id")
# what manylinux lets wheels count on, beside the C library itself (PEP 600)
_COUNTED_ON = (
    *("libgcc_s.so.1", "libstdc++.so.6", "libm.so.6", "libdl.so.2", "librt.so.1"),
    *("libpthread.so.0", "libutil.so.1", "libresolv.so.2"),
)
_PIP = "#!/usr/bin/python3\nimport sys\nfrom pip._internal.cli.main import main\nsys.exit(main())\n"
# what podman mounts there gets the mode of the directory; a kubelet makes an emptyDir 0777
_MODES = {"tmp": 0o1777, "opt/llama-stack": 0o777}
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


_ASK = """
import importlib.util, json, os, sys, sysconfig
pip = importlib.util.find_spec("pip")
python = os.path.realpath(sys.executable)
print(json.dumps([python, sysconfig.get_path("stdlib"), pip and pip.origin]))
"""


def write_base(layout: Path, python: Path) -> Path:
    """Write a base with ``python`` as an OCI layout with one plain layer; returns ``layout``."""
    blobs = layout / "blobs" / "sha256"
    blobs.mkdir(parents=True)
    layer = layout / "layer.tar"
    with tarfile.open(layer, "w") as archive:
        _fill(archive, python)
    described = _blob(blobs, layer, "layer.v1.tar")
    config = {
        "architecture": _ARCHITECTURES[os.uname().machine],
        "os": "linux",
        "config": {"Env": ["PATH=/usr/bin:/bin", "PYTHONDONTWRITEBYTECODE=1"]},
        "rootfs": {"type": "layers", "diff_ids": [described["digest"]]},
        # buildah adds layers only to an image with an entry for each that it has
        "history": [{"created_by": "files of this machine"}],
    }
    manifest = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": _document(blobs, config, "config.v1+json"),
        "layers": [described],
    }
    listed = _document(blobs, manifest, "manifest.v1+json")
    (layout / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [listed]}))
    (layout / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    return layout


def _fill(archive: tarfile.TarFile, interpreter: Path) -> None:
    asked = subprocess.run([interpreter, "-I", "-c", _ASK], stdout=subprocess.PIPE, check=True)
    executable, library, its_pip = json.loads(asked.stdout)
    python, stdlib = Path(executable), Path(library).resolve()
    files = {path: path for path in _modules(stdlib)}
    files[python] = python
    for name in _COMMANDS:
        found = shutil.which(name)
        assert found, f"this machine has no {name}"
        files[Path("/usr/bin", name)] = Path(found)
    files |= {library: library for library in _libraries(files.values())}
    ours = importlib.util.find_spec("pip")
    pip = its_pip or (ours and ours.origin)
    assert pip, "neither that Python nor the environment of the tests has pip"
    package = Path(pip).parent
    for path in _modules(package):
        files[stdlib / "site-packages" / "pip" / path.relative_to(package)] = path
    for folder in ("tmp", "opt/llama-stack", "bin"):
        _folder(archive, folder)
    for path, source in sorted(files.items()):
        _file(archive, path, source.read_bytes(), executable=os.access(source, os.X_OK))
    _file(archive, Path("/usr/bin/pip"), _PIP.encode(), executable=True)
    _link(archive, "usr/bin/python3", str(python))
    _link(archive, "bin/sh", "/usr/bin/sh")


def _modules(folder: Path) -> Iterator[Path]:
    for root, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not _left_out(name)]
        yield from (Path(root, name) for name in names if not name.endswith((".a", ".pyc")))


def _left_out(name: str) -> bool:
    return name in _LEFT_OUT or name.startswith("config-")


def _libraries(programs: Iterable[Path]) -> set[Path]:
    """The shared libraries that native files need, the loader included, as they are named."""
    native = [str(it.resolve()) for it in programs if _is_elf(it)]
    ldd = shutil.which("ldd")
    assert ldd, "this machine has no ldd"
    done = subprocess.run([ldd, *native], capture_output=True, text=True, check=False)
    named = re.findall(r"(?:=>\s+|^\s+)(/\S+) \(0x", done.stdout, re.MULTILINE)
    found = {Path(it) for it in named}
    folders = {it.parent for it in found if it.name.startswith("libc.so")}
    beside = {folder / name for folder in folders for name in _COUNTED_ON}
    return found | {it for it in beside if it.exists()}


def _is_elf(path: Path) -> bool:
    with path.open("rb") as stream:
        return stream.read(4) == b"\x7fELF"


def _folder(archive: tarfile.TarFile, name: str) -> None:
    info = tarfile.TarInfo(name)
    info.type, info.mode = tarfile.DIRTYPE, _MODES.get(name, 0o755)
    archive.addfile(info)


def _file(archive: tarfile.TarFile, path: Path, data: bytes, *, executable: bool) -> None:
    info = tarfile.TarInfo(str(path)[1:])
    info.size, info.mode = len(data), 0o755 if executable else 0o644
    archive.addfile(info, io.BytesIO(data))


def _link(archive: tarfile.TarFile, name: str, target: str) -> None:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = tarfile.SYMTYPE, target
    archive.addfile(info)


def _blob(blobs: Path, file: Path, kind: str) -> dict[str, Any]:
    with file.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    size = file.stat().st_size
    file.rename(blobs / digest)
    return _described(digest, size, kind)


def _document(blobs: Path, value: Any, kind: str) -> dict[str, Any]:
    data = json.dumps(value).encode()
    digest = hashlib.sha256(data).hexdigest()
    (blobs / digest).write_bytes(data)
    return _described(digest, len(data), kind)


def _described(digest: str, size: int, kind: str) -> dict[str, Any]:
    media_type = f"application/vnd.oci.image.{kind}"
    return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": size}


def copied_python(folder: Path, version: tuple[int, int]) -> Path:
    """A Python with its standard library, out of whatever home it lives in."""
    name = "python{}.{}".format(*version)
    python = find_interpreter(exactly=version).path.resolve()
    library = Path("lib") / name
    ignored = shutil.ignore_patterns("site-packages", "test", "__pycache__", "config-*")
    shutil.copytree(python.parent.parent / library, folder / library, ignore=ignored)
    (folder / library / "site-packages").mkdir()
    (folder / "bin").mkdir()
    return Path(shutil.copy(python, folder / "bin" / name))
