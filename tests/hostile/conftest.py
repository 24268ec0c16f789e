"""A world with a volume, a bundle and neighbours, and the proof that a refusal changed nothing."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.factories.providers import provider_document, write_bundle
from tests.factories.wheels import write_wheel
from tests.hostile.watch import Changes, watching

from lls_provider.bundle.zipapp import zipapp_path
from lls_provider.errors import Code, SdkError
from lls_provider.runtime.cli import arguments
from lls_provider.runtime.install.install import InstallRequest, install

Snapshot = dict[str, tuple[int, int, bytes]]


@dataclass
class World:
    """A directory with all that an attack could reach: volume, bundle and what surrounds them."""

    top: Path
    termination_log: Path

    @property
    def root(self) -> Path:
        return self.top / "volume"

    @property
    def source(self) -> Path:
        return self.top / "image" / "lls-provider"

    @property
    def packages(self) -> Path:
        return self.source / "packages"

    def request(self, provider_id: str = "acme-echo", order: int = 1) -> InstallRequest:
        return InstallRequest(
            provider_id=provider_id,
            api="inference",
            image="registry.example.com/acme/echo:1",
            container="install-provider-acme-echo",
            source=self.source,
            root=self.root,
            order=order,
        )

    def arguments(self, *more: str) -> list[str]:
        return [
            "install",
            *("--provider-id", "acme-echo", "--api", "inference", "--order", "1"),
            *("--image", "registry.example.com/acme/echo:1", "--source", str(self.source)),
            *("--root", str(self.root), "--termination-log", str(self.termination_log), *more),
        ]

    def snapshot(self) -> Snapshot:
        """Every path, with its mode and content; of files also the time."""
        found = {}
        for folder, folders, files in os.walk(self.top):
            for name in (*folders, *files):
                path = Path(folder, name)
                status = path.lstat()
                is_file = stat.S_ISREG(status.st_mode)
                content = path.read_bytes() if is_file and status.st_size < 1 << 30 else b""
                if path.is_symlink():
                    content = os.fsencode(path.readlink())
                time = status.st_mtime_ns if is_file else 0
                found[os.path.relpath(path, self.top)] = (status.st_mode, time, content)
        return found


@pytest.fixture
def world(tmp_path: Path) -> World:
    """A volume with a neighbour's provider, a bundle of ours that is fine so far, and a victim."""
    top = tmp_path / "world"
    world = World(top, tmp_path / "termination-log")
    world.termination_log.touch()
    (top / "victim").mkdir(parents=True)
    (top / "victim" / "secret.txt").write_text("untouched")
    files = {"acme_echo/__init__.py": "", "acme_echo/provider.py": ""}
    write_bundle(
        world.source, [write_wheel(world.packages, "acme-echo", files=files)], provider_document()
    )
    install(world.request("neighbour", order=0), workers=1)
    return world


@dataclass(frozen=True)
class Refusal:
    """What a refused installation said."""

    error: SdkError
    message: str


Refuse = Callable[..., Refusal]


@pytest.fixture
def refuse(world: World, capsys: pytest.CaptureFixture[str]) -> Refuse:
    """Install and be refused: by the function, and by the command line as a container runs it."""

    def run(code: Code, why: str, *, names: str) -> Refusal:
        before = world.snapshot()
        with pytest.raises(SdkError) as caught, watching() as changes:
            install(world.request(), workers=1)
        assert world.snapshot() == before, "a refused installation changed something"
        assert outside_of_staging(world, changes) == []
        error = caught.value
        assert error.code is code, f"{error.code}: {error.render()}"
        assert error.where.provider == "acme-echo"
        capsys.readouterr()
        status = arguments.main(world.arguments())
        message = capsys.readouterr().err
        assert world.snapshot() == before, "a refused installation changed something"
        assert status == error.status == code.status
        assert why in message, message
        assert names in message, message
        assert "\n\nResolution: " in message
        assert world.termination_log.read_text("utf-8").startswith("ERROR: ")
        assert not [name for name in before if "staging" in name]
        return Refusal(error, message)

    return run


def outside_of_staging(world: World, changes: Changes) -> Changes:
    """What was changed elsewhere, if only for a moment; processes and connections too."""
    external = world.root.resolve() / "external-providers"
    allowed = ("os.utime", external)  # its time is fixed again when the staging directory goes
    return [
        (event, path)
        for event, path in changes
        if path is None or not path.is_relative_to(external / ".staging")
        if (event, path) != allowed
    ]


@pytest.fixture(scope="session")
def zipapp() -> Path:
    return zipapp_path()


@pytest.fixture
def refuse_in_zipapp(world: World, zipapp: Path) -> Callable[..., str]:
    """The same in a process of its own, from the zipapp alone."""

    def run(why: str, *more: str, megabytes: int | None = None) -> str:
        before = world.snapshot()
        prefix = ["prlimit", f"--as={megabytes * 1024**2}"] if megabytes else []
        done = subprocess.run(
            [*prefix, sys.executable, "-I", "-S", str(zipapp), *world.arguments(*more)],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
            env={},
        )
        assert world.snapshot() == before
        assert done.returncode == 1, done.stderr
        assert why in done.stderr
        assert "\n\nResolution: " in done.stderr
        assert "Traceback" not in done.stderr
        return done.stderr

    return run
