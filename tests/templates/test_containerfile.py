"""The Containerfile of a generated project makes what `build` makes, without a network."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from uv import find_uv_bin

from lls_provider.image.bundle_image import unpack
from lls_provider.image.transports.layout import read_layout
from lls_provider.project.scaffold import scaffold
from lls_provider.wheels.interpreter import find_interpreter

if TYPE_CHECKING:
    from tests.engines import containers

Engine = Callable[[str], str]

pytestmark = [
    pytest.mark.engine,
    pytest.mark.network,
    pytest.mark.slow,
    pytest.mark.xdist_group("containerfile"),
]


def run(*words: str | Path, **options: Any) -> str:
    done = subprocess.run(
        list(map(str, words)), capture_output=True, text=True, check=False, **options
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return str(done.stdout)


@dataclass(frozen=True, slots=True)
class Sdk:
    """The SDK in a directory of wheels with all that it needs, and installed on this machine."""

    wheels: Path
    command: Path


@pytest.fixture(scope="module")
def sdk(sdk_wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Sdk:
    folder = tmp_path_factory.mktemp("sdk")
    python, wheels, environment = find_interpreter(), folder / "wheels", folder / "environment"
    wheels.mkdir()
    shutil.copy(sdk_wheel, wheels)
    version = ".".join(map(str, python.version))
    for_python = ("--only-binary", ":all:", "--python-version", version)
    run(
        *(sys.executable, "-m", "pip", "download", "--quiet", *for_python),
        *("--find-links", wheels, "--dest", wheels, "lls-provider-sdk"),
    )
    run(find_uv_bin(), "venv", "--quiet", "--python", python.path, environment)
    run(
        *(find_uv_bin(), "pip", "install", "--quiet", "--no-index", "--find-links", wheels),
        *("--python", environment / "bin" / "python", "lls-provider-sdk"),
    )
    return Sdk(wheels, environment / "bin" / "lls-provider")


def files(root: Path) -> dict[str, tuple[int, bytes]]:
    """Content and mode of every file, and the modes of directories."""
    return {
        it.relative_to(root).as_posix(): (
            it.stat().st_mode & 0o111 if it.is_file() else 0,
            it.read_bytes() if it.is_file() else b"",
        )
        for it in root.rglob("*")
    }


def settings(layout: Path, variables: set[str]) -> dict[str, Any]:
    """What a container of the image starts, as whom, and in what environment but ``variables``."""
    config = read_layout(layout).config["config"]
    keys = ("Entrypoint", "Cmd", "User", "WorkingDir")
    others = [it for it in config["Env"] if it.partition("=")[0] not in variables]
    return {**{key: config.get(key) for key in keys}, "Env": others}


def test_the_image_has_the_tree_the_user_and_the_entry_point_of_build(
    tmp_path: Path,
    sdk: Sdk,
    podman: containers.Engine,
    python_base: Path,
    shared_cache: Path,
) -> None:
    answers = {"name": "acme-echo", "api": "safety", "kind": "inline"}
    project = scaffold(tmp_path / "project", answers).path
    base, python = f"oci:{python_base}", find_interpreter().path
    build = ("build", project, "--python", python, "--base", base, "--output")
    run(sdk.command, *build, f"oci:{tmp_path / 'ours'}")
    assert {it.name for it in project.iterdir()} & {"oci", "dist", "build"} == set()

    uv_cache = os.environ["UV_CACHE_DIR"]
    (tmp_path / "pip.conf").write_text(f"[global]\nno-index = true\nfind-links = {sdk.wheels}\n")
    variables = {
        "LLS_PROVIDER_CACHE": shared_cache,
        "UV_CACHE_DIR": uv_cache,
        "UV_OFFLINE": "1",
        # where pip puts commands, which the path of an image with a Python has
        "PATH": f"{python.resolve().parent}:/usr/bin:/bin",
    }
    here = " ".join(f"{name}={it}" for name, it in variables.items())
    (tmp_path / "Containerfile").write_text(
        f"FROM {podman.run('pull', '--quiet', base).stdout.strip()}\nENV {here}\n"
    )
    local = ("--file", tmp_path / "Containerfile", tmp_path / "ours")
    podman.run("build", "--tag", "localhost/base:1", *local)
    mounts = [f"{tmp_path}/pip.conf:/etc/pip.conf:ro", f"{sdk.wheels}:{sdk.wheels}:ro"]
    mounts += [f"{it}:{it}" for it in (shared_cache, uv_cache)]
    podman.run(
        *("build", "--network", "none", "--build-arg", "BASE=localhost/base:1"),
        *(word for it in mounts for word in ("--volume", it)),
        *("--tag", "localhost/echo:1", project),
    )
    archive = tmp_path / "theirs.tar"
    podman.run(
        "save", "--quiet", "--format", "oci-archive", "--output", archive, "localhost/echo:1"
    )
    with tarfile.open(archive) as packed:
        packed.extractall(tmp_path / "theirs", filter="data")

    trees = {}
    for name in ("ours", "theirs"):
        unpack(read_layout(tmp_path / name), tmp_path / f"{name}-tree")
        trees[name] = files(tmp_path / f"{name}-tree")
    assert trees["ours"].keys() == trees["theirs"].keys()
    # names alone: pytest would compare the bytes line by line
    differing = [name for name, it in trees["ours"].items() if it != trees["theirs"][name]]
    assert differing == []
    assert "lls-provider.pyz" in trees["ours"]
    theirs, ours = (settings(tmp_path / name, set(variables)) for name in ("theirs", "ours"))
    assert theirs == ours
    # its labels are those of the image of `build`, as far as the template knows them
    labels = read_layout(tmp_path / "theirs").labels
    known = {name: it for name, it in labels.items() if name.startswith("io.llamastack.")}
    assert len(known) == 5
    assert known.items() <= read_layout(tmp_path / "ours").labels.items()
    inspected = json.loads(run(sdk.command, "inspect", tmp_path / "theirs", "--format", "json"))
    assert "acme-echo" in json.dumps(inspected)
    shutil.rmtree(tmp_path / "theirs")
