"""Images of real servers, made of a server's environment on this machine: no download.

Each is the base of `pythonbase` with one more layer: the server's packages in a virtual environment
at ``/opt/venv``, an entry point, and a configuration where distributions of its line keep it.
"""

from __future__ import annotations

import io
import json
import os
import subprocess
import tarfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.engines.pythonbase import _blob, _document

from lls_provider.wheels.environment import Environment, ensure_environment
from lls_provider.wheels.loading import load_distribution

VENV = "opt/venv"
PYTHON = f"/{VENV}/bin/python3"
_LEFT_OUT = {"__pycache__", "pip", "tests"}
# the header of a pyc after its magic number (PEP 552): hash-based, not checked; any hash
_UNCHECKED_HASH = b"\x01\0\0\0" + bytes(8)
# the server's environment keeps the bytecode, so that only its first import compiles
_BYTECODE = """\
import importlib, json, os, sys
importlib.import_module(sys.argv[1])
cached = {getattr(it, "__cached__", None) for it in list(sys.modules.values())}
print()
print(json.dumps(sorted(it for it in cached if isinstance(it, str) and os.path.exists(it))))
"""


@dataclass(frozen=True, slots=True)
class ServerLine:
    """What the image of a line of servers looks like."""

    name: str
    spec: str  # what `--distribution` takes
    config_path: str
    config: str
    entrypoint: tuple[str, ...]
    port_variable: str
    module: str  # what the entry point imports
    args: tuple[str, ...] = ()
    scripts: Mapping[str, str] = field(default_factory=dict)


LLAMA_STACK = ServerLine(
    "llama-stack",
    "llama-stack==0.7.3",
    "/etc/llama-stack/run.yaml",
    "version: 2\ndistro_name: tests\nproviders: {}\n"
    "server:\n  port: ${env.LLAMA_STACK_PORT:=8321}\n",
    (f"/{VENV}/bin/llama",),
    "LLAMA_STACK_PORT",
    "llama_stack.core.server.server",
    ("stack", "run", "/etc/llama-stack/run.yaml"),
    {
        f"{VENV}/bin/llama": f"#!{PYTHON}\nimport sys\nfrom llama_stack.cli.llama import main\n"
        "sys.exit(main())\n"
    },
)
OGX = ServerLine(
    "ogx",
    "ogx==1.5.0",
    "/etc/ogx/config.yaml",
    "version: 2\ndistro_name: tests\nproviders: {}\nserver:\n  host: 0.0.0.0\n  insecure: true\n",
    ("/usr/local/bin/ogx-entrypoint.sh",),
    "OGX_PORT",
    "ogx.core.server.server",
    (),
    {
        "usr/local/bin/ogx-entrypoint.sh": "#!/bin/sh\nset -e\n"
        f'exec {PYTHON} -m ogx.cli.ogx run "$RUN_CONFIG_PATH" --port "${{OGX_PORT:-8321}}"\n'
    },
)


def write_distribution(
    layout: Path, base: Path, line: ServerLine, *, bare: bool = False, env: Sequence[str] = ()
) -> Path:
    """Write the image of ``line`` on the layout ``base``; returns ``layout``.

    With ``bare`` it has no configuration. ``env`` are variables besides PATH.
    """

    def fill(archive: tarfile.TarFile) -> None:
        _fill(archive, line)
        if not bare:
            _file(archive, line.config_path[1:], line.config.encode())

    runtime = {
        "Entrypoint": list(line.entrypoint),
        "Cmd": list(line.args),
        "User": "1001",
        "Env": [f"PATH=/{VENV}/bin:/usr/local/bin:/usr/bin:/bin", *env],
    }
    return _add_layer(layout, base, fill, runtime)


def write_configured(
    layout: Path, distribution: Path, line: ServerLine, *, config: str | None = None
) -> Path:
    """Write the image ``distribution`` with a configuration, by default the line's.

    Returns ``layout``. The layers of the distribution are shared.
    """

    def fill(archive: tarfile.TarFile) -> None:
        _file(archive, line.config_path[1:], (config or line.config).encode())

    return _add_layer(layout, distribution, fill, {})


def _add_layer(
    layout: Path,
    base: Path,
    fill: Callable[[tarfile.TarFile], None],
    changes: Mapping[str, Any],
) -> Path:
    blobs = layout / "blobs" / "sha256"
    blobs.mkdir(parents=True)
    below, settings = _read(base, blobs)
    layer = layout / "layer.tar"
    with tarfile.open(layer, "w") as archive:
        fill(archive)
    described = _blob(blobs, layer, "layer.v1.tar")
    diff_ids = [*settings["rootfs"]["diff_ids"], described["digest"]]
    config_blob = {
        **settings,
        "config": {**settings["config"], **changes},
        "rootfs": {"type": "layers", "diff_ids": diff_ids},
    }
    manifest = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": _document(blobs, config_blob, "config.v1+json"),
        "layers": [*below, described],
    }
    listed = _document(blobs, manifest, "manifest.v1+json")
    (layout / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [listed]}))
    (layout / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    return layout


def _read(base: Path, blobs: Path) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """The layers of the base, linked here, and its configuration."""
    (listed,) = json.loads((base / "index.json").read_text())["manifests"]
    manifest = json.loads(_blob_path(base, listed).read_text())
    for layer in manifest["layers"]:
        found = _blob_path(base, layer)
        os.link(found, blobs / found.name)
    return manifest["layers"], json.loads(_blob_path(base, manifest["config"]).read_text())


def _blob_path(layout: Path, described: Mapping[str, Any]) -> Path:
    return layout / "blobs" / "sha256" / str(described["digest"]).partition(":")[2]


def _fill(archive: tarfile.TarFile, line: ServerLine) -> None:
    environment = ensure_environment(load_distribution(line.spec))
    major, minor = environment.distribution.interpreter.minor
    home = environment.python.resolve().parent
    packages = environment.bin.parent / "lib" / f"python{major}.{minor}" / "site-packages"
    for path in _files(packages):
        place = f"{VENV}/lib/python{major}.{minor}/site-packages/{path.relative_to(packages)}"
        _file(archive, place, path.read_bytes(), executable=os.access(path, os.X_OK))
    for path, bytecode in _bytecode(environment, packages, line.module):
        place = f"{VENV}/lib/python{major}.{minor}/site-packages/{path.relative_to(packages)}"
        _file(archive, place, bytecode)
    _file(archive, f"{VENV}/pyvenv.cfg", f"home = {home}\n".encode())
    for name in ("python3", "python"):
        info = tarfile.TarInfo(f"{VENV}/bin/{name}")
        info.type, info.linkname = tarfile.SYMTYPE, str(environment.python.resolve())
        archive.addfile(info)
    for name, text in line.scripts.items():
        _file(archive, name, text.encode(), executable=True)


def _bytecode(
    environment: Environment, packages: Path, module: str
) -> Iterator[tuple[Path, bytes]]:
    """Bytecode of what the server imports at its start, where Python looks for it.

    Images made by pip have bytecode of everything. Its files are valid without a look at the
    source's time, which a layer here does not keep.
    """
    done = subprocess.run(
        [environment.python, "-c", _BYTECODE, module],
        check=True,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": ""},
    )
    for path in map(Path, json.loads(done.stdout.splitlines()[-1])):
        if path.is_relative_to(packages):
            data = path.read_bytes()
            yield path, data[:4] + _UNCHECKED_HASH + data[16:]


def _files(folder: Path) -> Iterator[Path]:
    for root, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if name not in _LEFT_OUT)
        yield from (Path(root, name) for name in sorted(names) if not name.endswith(".pyc"))


def _file(archive: tarfile.TarFile, name: str, data: bytes, *, executable: bool = False) -> None:
    info = tarfile.TarInfo(name)
    info.size, info.mode = len(data), 0o755 if executable else 0o644
    archive.addfile(info, io.BytesIO(data))
