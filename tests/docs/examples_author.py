"""Examples of errors on the author's side: projects, builds, registries, servers, this machine."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tarfile
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast
from unittest import mock

import click
from tests.docs.examples import Examples, Finding, example, finding, run
from tests.factories.projects import PROVIDER, write_project
from tests.factories.providers import provider_document, write_bundle
from tests.factories.template_versions import commit_conflict, make_first_project
from tests.factories.wheels import write_wheel
from tests.image.transports.registry.fake import FakeRegistry, Request, status

from lls_provider.bundle.lock import stale_lock_error
from lls_provider.cli.boundary import internal_error, usage_error
from lls_provider.errors import Code, Where
from lls_provider.local.call import list_providers, port_taken, send
from lls_provider.local.service import start_service
from lls_provider.local.workspace import Workspace
from lls_provider.project.sample_call import SampleCall
from lls_provider.project.settings import read_settings
from lls_provider.project.tests import _failed
from lls_provider.system.cache import unwritable_cache
from lls_provider.system.cache_sections import cache_in_use
from lls_provider.wheels.lock import (
    LockInputs,
    _require_portable,
    input_differences,
    read_lock_file,
)
from lls_provider.wheels.missing_python import unsuitable_python
from lls_provider.wheels.reproducible import repack
from lls_provider.wheels.sdist import unpack_sdist
from lls_provider.wheels.uv import uv_error

EXAMPLES: Examples = {}
author = partial(example, EXAMPLES)
BUILD = ("build", "acme-echo", "--output", "oci:image")
REFERENCE = "registry.example.com/acme/echo:1.0"


def project(rest: str = PROVIDER) -> Path:
    folder = Path("acme-echo")
    write_project(folder, "acme", "", rest)
    return folder


def asked(fault: Callable[[Request], bool] | None = None, *, login: bool = False) -> object:
    """Inspect an image in a registry on loopback, which the message calls by another name."""
    with FakeRegistry() as registry:
        if login:
            registry.ask_for_password("me", "s3cret")
        if fault is not None:
            registry.fault("GET", "manifests", fault, times=9)
        return Finding.renamed(
            lambda: run("inspect", f"{registry.host}/acme/echo:1.0", "--insecure"),
            registry.host,
            "registry.example.com",
        )


@author(Code.PROJECT_INVALID, "The directory has no `pyproject.toml`. `lls-provider build` prints:")
def _(_folder: Path) -> object:
    Path("acme-echo").mkdir()
    return run(*BUILD)


@author(
    Code.SETTINGS_INVALID,
    "`vendor` is missing, and a key is misspelt. `lls-provider build` prints:",
)
def _(_folder: Path) -> object:
    project(PROVIDER.replace("vendor", "vendr"))
    return run(*BUILD)


@author(Code.MODULE_MISSING, "The wheel has no `provider.py`. `lls-provider check` lists:")
def _(_folder: Path) -> object:
    root = Path("bundle")
    wheel = write_wheel(root / "packages", "acme-echo", files={"acme_echo/__init__.py": ""})
    write_bundle(root, [wheel], provider_document(wheel=wheel.name))
    return finding(Code.MODULE_MISSING, "bundle")


@author(Code.TARGET_EXISTS, "There is a directory of that name. `lls-provider new` prints:")
def _(_folder: Path) -> object:
    project()
    return run("new", "acme-echo", "--no-input")


@author(
    Code.PROJECT_UNCOMMITTED,
    "The README has a change that is not committed. `lls-provider new --update` prints:",
)
def _(folder: Path) -> object:
    made = make_first_project(folder)
    (made / "README.md").write_text("Mine.\n")
    return run("new", "acme-echo", "--update", "--no-input")


@author(Code.TEMPLATE_UNKNOWN, "`lls-provider new` did not make this project. `--update` prints:")
def _(_folder: Path) -> object:
    project()
    return run("new", "acme-echo", "--update", "--no-input")


@author(
    Code.UPDATE_CONFLICT,
    "The author and the template changed one line. `lls-provider new --update` prints:",
)
def _(folder: Path) -> object:
    commit_conflict(make_first_project(folder))
    return run("new", "acme-echo", "--update", "--no-input")


@author(
    Code.WHEEL_BUILD_FAILED,
    "A dependency's source archive holds two directories. `lls-provider build` prints:",
)
def _(folder: Path) -> object:
    with tarfile.open(folder / "kfp-2.0.tar.gz", "w:gz") as archive:
        for name in ("kfp-2.0", "docs"):
            (folder / name).mkdir()
            archive.add(name)
    return unpack_sdist(Path("kfp-2.0.tar.gz"), Path("out"))


@author(Code.WHEEL_INVALID, "A build backend wrote something else. `lls-provider build` prints:")
def _(folder: Path) -> object:
    (folder / "acme_echo-1.0-py3-none-any.whl").write_bytes(b"no archive")
    return repack(Path("acme_echo-1.0-py3-none-any.whl"), Path("out"))


@author(Code.DISTRIBUTION_INVALID, "The name is no requirement. `lls-provider build` prints:")
def _(_folder: Path) -> object:
    project()
    return run(*BUILD, "--distribution", "llama-stack=0.7.3")


@author(
    Code.RESOLUTION_FAILED,
    "The provider needs an older pydantic than the server has. `lls-provider build` prints:",
)
def _(_folder: Path) -> object:
    said = (
        "error: No solution found when resolving dependencies\n  cause: Because acme-echo==0.1.0 "
        "depends on pydantic<2 and you require pydantic==2.14.4, we can conclude that your "
        "requirements are unsatisfiable.\n"
    )
    return uv_error(said, 1, "resolving acme-echo against llama-stack==0.7.3")


@author(Code.LOCK_INVALID, "The file is another tool's lock. `lls-provider build --locked` prints:")
def _(folder: Path) -> object:
    (folder / "pylock.toml").write_text('lock-version = "1.0"\ncreated-by = "uv"\npackages = []\n')
    return read_lock_file(Path("pylock.toml"))


@author(
    Code.LOCK_STALE, "A dependency was added after the lock. `lls-provider build --locked` prints:"
)
def _(_folder: Path) -> object:
    before = LockInputs(python="3.12", requires=("httpx>=0.28",))
    changes = input_differences(before, replace(before, requires=("httpx>=0.28", "numpy")))
    return stale_lock_error(
        cast("Any", SimpleNamespace(path=Path("acme-echo/pylock.toml"))), changes
    )


@author(
    Code.LOCK_UNPORTABLE,
    "`[tool.uv.sources]` names a directory elsewhere. `lls-provider build --lock` prints:",
)
def _(_folder: Path) -> object:
    _require_portable("acme-helper", Path("/home/me/acme-helper"), Path("/srv/ci/acme-echo"))
    return None


@author(Code.HASH_MISMATCH, "A wheel was replaced after the build. `lls-provider check` lists:")
def _(_folder: Path) -> object:
    root = Path("bundle")
    files = {"acme_echo/__init__.py": "", "acme_echo/provider.py": ""}
    wheel = write_wheel(root / "packages", "acme-echo", files=files)
    write_bundle(root, [wheel], provider_document(wheel=wheel.name), {})
    size = wheel.stat().st_size
    wheel.write_bytes(bytes(size))
    return finding(Code.HASH_MISMATCH, "bundle")


@author(Code.IMAGE_INVALID, "The index of a layout was cut short. `lls-provider check` lists:")
def _(_folder: Path) -> object:
    Path("image").mkdir()
    Path("image/oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    Path("image/index.json").write_text('{"schemaVersion": 2, "manifests": [')
    return finding(Code.IMAGE_INVALID, "oci:image")


@author(
    Code.BUNDLE_INVALID,
    "The directory of wheels is a link out of the bundle. `lls-provider check` lists:",
)
def _(folder: Path) -> object:
    root = Path("bundle")
    wheel = write_wheel(folder / "elsewhere", "acme-echo")
    write_bundle(root, [], provider_document(wheel=wheel.name))
    (root / "packages").rmdir()
    (root / "packages").symlink_to(folder / "elsewhere")
    return finding(Code.BUNDLE_INVALID, "bundle")


@author(
    Code.TESTS_FAILED, "An assertion fails. After pytest's own output `lls-provider test` prints:"
)
def _(_folder: Path) -> object:
    return _failed(read_settings(project()), 1, Path(sys.executable))


@author(Code.SERVER_FAILED, "What listens is no Llama Stack server. `lls-provider up` prints:")
def _(_folder: Path) -> object:
    with FakeRegistry() as other:  # any HTTP server
        return list_providers(int(other.host.rpartition(":")[2]))


@author(Code.SERVICE_FAILED, "The stand-in service has a mistake. `lls-provider up` prints:")
def _(folder: Path) -> object:
    (folder / "stand_in.py").write_text("import flask\n")
    with Workspace() as workspace:
        python = Path(sys.executable)
        return start_service(Path("stand_in.py"), workspace, python, dict(os.environ))


@author(Code.CALL_FAILED, "The server hangs up on the sample call. `lls-provider up` prints:")
def _(_folder: Path) -> object:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    return send(SampleCall("POST", "/v1/chat/completions"), port, timeout=5)


@author(
    Code.OUTPUT_UNWRITABLE, "A file is where a directory has to be made. `lls-provider new` prints:"
)
def _(folder: Path) -> object:
    (folder / "providers").touch()
    return run("new", "providers/acme-echo", "--no-input")


@author(Code.CACHE_UNWRITABLE, "The home directory is read-only. `lls-provider build` prints:")
def _(_folder: Path) -> object:
    cache = Path("/home/me/.cache/lls-provider")
    with mock.patch.dict(os.environ):
        os.environ.pop("UV_CACHE_DIR", None)
        return unwritable_cache(cache, "Read-only file system", Where(file=f"{cache}/downloads"))


@author(Code.NETWORK, "The index's name is not known to the machine. `lls-provider build` prints:")
def _(_folder: Path) -> object:
    said = (
        "error: Request failed after 3 retries\n  cause: Failed to fetch: "
        "`https://pypi.example.com/simple/httpx/`\n  cause: error sending request for url "
        "(https://pypi.example.com/simple/httpx/)\n  cause: client error (Connect)\n  cause: dns "
        "error: failed to lookup address information: Name or service not known\n"
    )
    return uv_error(said, 2, "resolving acme-echo against llama-stack==0.7.3")


@author(Code.IMAGE_MISSING, "The tag does not exist. `lls-provider inspect` prints:")
def _(_folder: Path) -> object:
    return asked()


@author(Code.REGISTRY_DENIED, "The registry wants a login. `lls-provider inspect` prints:")
def _(_folder: Path) -> object:
    return asked(login=True)


@author(Code.REGISTRY_FAILED, "The registry answers with a page. `lls-provider inspect` prints:")
def _(_folder: Path) -> object:
    return asked(status(418, b"<html>A teapot</html>"))


@author(Code.DAEMON_FAILED, "No daemon runs. `lls-provider inspect` prints:")
def _(_folder: Path) -> object:
    with mock.patch.dict(os.environ, {"DOCKER_HOST": "unix:///run/no-such/docker.sock"}):
        return run("inspect", "docker-daemon:acme/echo:1.0")


@author(Code.CREDENTIALS_INVALID, "`DOCKER_AUTH_CONFIG` is no JSON. `lls-provider inspect` prints:")
def _(_folder: Path) -> object:
    with mock.patch.dict(os.environ, {"DOCKER_AUTH_CONFIG": "user:secret"}):
        return asked(login=True)


@author(
    Code.PYTHON_MISSING,
    "`LLS_PROVIDER_PYTHON` names a Python that does not exist. `lls-provider build` prints:",
)
def _(_folder: Path) -> object:
    named, other = "/opt/python/bin/python3.12", "/usr/bin/python3.12"
    return unsuitable_python(
        named, "does not exist", "3.12 or later", by_variable=True, would_do=other
    )


@author(Code.TOOL_MISSING, "The machine has no kubectl. `lls-provider diagnose pod/my-pod` prints:")
def _(_folder: Path) -> object:
    with mock.patch.dict(os.environ, {"PATH": "/no-such"}):
        return run("diagnose", "pod/my-pod")


@author(Code.CACHE_IN_USE, "A server stays up meanwhile. `lls-provider cache prune` prints:")
def _(_folder: Path) -> object:
    return cache_in_use(Path("/home/me/.cache/lls-provider"), [4711])


@author(Code.TOOL_FAILED, "uv refuses a setting of the project. `lls-provider build` prints:")
def _(_folder: Path) -> object:
    said = "error: Failed to parse: `pyproject.toml`\n  cause: unknown field `indexes`\n"
    return uv_error(said, 2, "resolving acme-echo")


@author(Code.PROCESS_ENDED, "A `click.py` on `PYTHONPATH` ends the process. Every command prints:")
def _(folder: Path) -> object:
    (folder / "modules").mkdir()
    (folder / "modules/click.py").write_text("import os\n\nos._exit(0)\n")
    done = subprocess.run(
        [sys.executable, "-m", "lls_provider.cli", "--version"],
        env={**os.environ, "PYTHONPATH": str(folder / "modules")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == Code.PROCESS_ENDED.status
    return Finding(Code.PROCESS_ENDED, done.stderr)


@author(Code.POD_INVALID, "The file holds no Pod. `lls-provider diagnose pod.json` prints:")
def _(folder: Path) -> object:
    (folder / "pod.json").write_text('{"kind": "Deployment"}')
    return run("diagnose", "pod.json")


@author(Code.CLUSTER_FAILED, "There is no such Pod. `lls-provider diagnose pod/my-pod` prints:")
def _(folder: Path) -> object:
    shell = shutil.which("sh")
    script = (
        f"#!{shell}\necho 'Error from server (NotFound): pods \"my-pod\" not found' >&2\nexit 1\n"
    )
    (folder / "kubectl").write_text(script)
    (folder / "kubectl").chmod(0o755)
    with mock.patch.dict(os.environ, {"PATH": str(folder)}):
        return run("diagnose", "pod/my-pod")


@author(Code.PORT_TAKEN, "Another program listens. `lls-provider up --port 8321` prints:")
def _(_folder: Path) -> object:
    with mock.patch("lls_provider.local.call._holders", lambda _port: ()):
        return port_taken(8321)


@author(Code.USAGE, "An option is misspelt. `lls-provider build --ouput oci:image` prints:")
def _(_folder: Path) -> object:
    try:
        return run("build", "--ouput", "oci:image")
    except click.UsageError as error:
        return usage_error(error)


@author(Code.INTERNAL, "A fault of the program. Every command may print:")
def _(_folder: Path) -> object:
    return internal_error(ZeroDivisionError("division by zero"))
