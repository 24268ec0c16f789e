"""What this machine has and lacks for each command.

`NEEDS` says what a command cannot do without, and what only some uses of it need. Each need is
examined as the command itself would use it: Python is run, uv asks the index, the daemon is asked
for its version. Nothing is written outside of temporary directories and the cache.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any

from lls_provider.bundle.image_names import DAEMON, REGISTRY
from lls_provider.contract.schema import shown
from lls_provider.errors import Code, ExitStatus, SdkError, nearest_word
from lls_provider.progress import SILENT, Progress, shown_size


@dataclass(frozen=True, slots=True)
class CommandNeeds:
    """What a command needs always, and what for some uses of it.

    ``uses`` maps these uses to their needs; ``otherwise`` is what the command does without them.
    """

    always: tuple[str, ...]
    uses: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    otherwise: str = ""

    @property
    def sometimes(self) -> tuple[str, ...]:
        """What some uses need."""
        return tuple(need for needs in self.uses.values() for need in needs)


_PROJECT = ("python", "uv", "index", "cache")
_RESOLVING = (*_PROJECT, "temporary")
_IMAGES = {REGISTRY: ("registry",), DAEMON: ("daemon",)}
NEEDS: Mapping[str, CommandNeeds] = {
    "new": CommandNeeds(("temporary",), {"--update": ("git",)}, "new projects"),
    "init": CommandNeeds(
        ("temporary",), {"without --static it": _PROJECT, **_IMAGES}, "what --static reads"
    ),
    "check": CommandNeeds(("temporary",), {"a project": _PROJECT, **_IMAGES}, "images and bundles"),
    "test": CommandNeeds(_RESOLVING),
    "build": CommandNeeds(_RESOLVING, _IMAGES, "bases and servers in files"),
    "push": CommandNeeds(("registry",), {DAEMON: ("daemon",)}, "images in files"),
    "inspect": CommandNeeds((), _IMAGES, "images in files"),
    "compat": CommandNeeds(
        ("temporary",), {"a project or --distribution": _PROJECT, **_IMAGES}, "images and bundles"
    ),
    "up": CommandNeeds(_RESOLVING, _IMAGES, "projects and images in files"),
    "render": CommandNeeds((), _IMAGES, "images in files"),
    "diagnose": CommandNeeds((), {"a Pod's name": ("kubectl",)}, "files"),
    "conformance": CommandNeeds(("temporary",)),
}
"""The commands that need something of this machine."""


class NeedState(Enum):
    """Whether a need is met."""

    OK = "ok"
    LIMITED = "limited"
    LACKING = "lacking"


@dataclass(frozen=True, slots=True)
class Need:
    """Something that commands need, and how it is met here."""

    name: str
    state: NeedState
    what: str
    why: str = ""
    resolution: str = ""

    def to_document(self) -> dict[str, Any]:
        """The need as plain data."""
        return {
            "name": self.name,
            "state": self.state.value,
            "what": self.what,
            "why": self.why,
            "resolution": self.resolution,
        }


@dataclass(frozen=True, slots=True)
class CommandHealth:
    """What a command lacks; ``lacks`` it needs always, ``without`` for some uses."""

    name: str
    lacks: tuple[str, ...]
    without: tuple[str, ...]

    def partly(self) -> Iterator[str]:
        """What it does all the same, then each use that lacks something."""
        needs = NEEDS[self.name]
        yield needs.otherwise
        for use, needed in needs.uses.items():
            if lacking := [it for it in needed if it in self.without]:
                yield f"{use} needs {', '.join(lacking)}"

    def to_document(self) -> dict[str, Any]:
        """The command as plain data."""
        return {
            "name": self.name,
            "ready": not self.lacks,
            "lacks": list(self.lacks),
            "without": list(self.without),
        }


@dataclass(frozen=True, slots=True)
class Health:
    """What was examined, and what it means for the commands."""

    needs: tuple[Need, ...]
    commands: tuple[CommandHealth, ...]

    @property
    def status(self) -> ExitStatus:
        """ENVIRONMENT when a command lacks what it always needs."""
        lacking = any(it.lacks for it in self.commands)
        return ExitStatus.ENVIRONMENT if lacking else ExitStatus.OK

    def to_document(self) -> dict[str, Any]:
        """Everything as plain data, for ``--format json``."""
        return {
            "ok": self.status is ExitStatus.OK,
            "needs": [it.to_document() for it in self.needs],
            "commands": [it.to_document() for it in self.commands],
        }


def doctor(commands: Iterable[str] = (), *, progress: Progress = SILENT) -> Health:
    """Examine what ``commands`` (default: all) need. Raises SdkError USAGE for an unknown one."""
    wanted = tuple(commands) or tuple(NEEDS)
    for name in wanted:
        if name not in NEEDS:
            meant = nearest_word(name, NEEDS)
            raise SdkError(
                Code.USAGE,
                f"{shown(name)} is no command that needs something of this machine"
                + (f"; did you mean '{meant}'?" if meant else ""),
                resolution=f"Name some of {', '.join(NEEDS)}, or none for all.",
            )
    asked = {it for name in wanted for it in (*NEEDS[name].always, *NEEDS[name].sometimes)}
    found = []
    for name, (doing, examine) in _EXAMINED.items():
        if name in asked:
            progress.step(doing)
            found.append(_examined(name, examine))
    return Health(tuple(found), command_health(wanted, found))


def command_health(names: Iterable[str], needs: Iterable[Need]) -> tuple[CommandHealth, ...]:
    """What each command lacks, by the state of its needs."""
    lacking = {it.name for it in needs if it.state is NeedState.LACKING}
    return tuple(
        CommandHealth(
            name,
            tuple(it for it in NEEDS[name].always if it in lacking),
            tuple(it for it in NEEDS[name].sometimes if it in lacking),
        )
        for name in names
    )


def _examined(name: str, examine: Callable[[], Need]) -> Need:
    try:
        return examine()
    except SdkError as error:
        from lls_provider.wheels.missing_python import SEE_DOCTOR

        advice = error.resolution.removesuffix(SEE_DOCTOR)
        return Need(name, NeedState.LACKING, error.what, error.why, advice)


def _python() -> Need:
    from lls_provider.wheels.interpreter import find_interpreter

    return Need("python", NeedState.OK, f"{find_interpreter()} for servers")


def _uv() -> Need:
    from lls_provider.wheels.uv import run_uv

    version = run_uv(["--version"], doing="asking uv for its version").strip()
    return Need("uv", NeedState.OK, version)


_SECONDS = "10"  # that the index may take


def _index() -> Need:
    from lls_provider.system.http import shown_url
    from lls_provider.wheels.uv import run_uv
    from lls_provider.wheels.uv_settings import index_locations, is_offline, settings

    urls = [it.url for it in index_locations(settings(), Path()) if "://" in it.url]
    named = ", ".join(shown_url(it) for it in urls) or "PyPI"
    if is_offline():
        return Need(
            "index",
            NeedState.LIMITED,
            "No index is asked: only what is in the caches can be used",
            why="UV_OFFLINE is set.",
            resolution="Unset UV_OFFLINE to use an index.",
        )
    try:
        run_uv(
            [
                "pip",
                "compile",
                "-",
                "--no-deps",
                "--refresh",
                "--quiet",
                "--python",
                sys.executable,
            ],
            stdin="pip\n",
            doing="asking the index for a package",
            environ={"UV_HTTP_TIMEOUT": _SECONDS, "UV_HTTP_RETRIES": "0"},
        )
    except SdkError as error:
        if error.code is not Code.RESOLUTION_FAILED:  # an index without that package answers too
            raise
    return Need("index", NeedState.OK, f"{named} answers")


def _registry() -> Need:
    from lls_provider.image.transports.registry.login import known_registries

    found = known_registries()
    if not found:
        return Need(
            "registry",
            NeedState.LIMITED,
            "There are no logins: registries are used without one",
            resolution="Log in where one is needed: podman login REGISTRY, docker login REGISTRY "
            "or skopeo login REGISTRY.",
        )
    return Need("registry", NeedState.OK, f"There are logins for {', '.join(found)}")


_DAEMON_SECONDS = 10


def _daemon() -> Need:
    from lls_provider.image.transports.daemon import Daemon

    with Daemon.connect(timeout=_DAEMON_SECONDS) as daemon:
        return Need("daemon", NeedState.OK, f"{daemon.version()} at {daemon.address}")


def _kubectl() -> Need:
    path = shutil.which("kubectl")
    if path is None:
        return Need(
            "kubectl",
            NeedState.LACKING,
            "There is no kubectl on PATH",
            resolution="Install kubectl, or give `diagnose` a file with what it printed elsewhere: "
            "kubectl get pod NAME -o json.",
        )
    return Need("kubectl", NeedState.OK, path)


def _git() -> Need:
    from lls_provider.project.tree_merge import require_mergeable

    return Need("git", NeedState.OK, require_mergeable())


def _cache() -> Need:
    from lls_provider.system.cache import cache_root, writing
    from lls_provider.system.cache_sections import cache_sections

    root = cache_root()
    with writing(root):
        root.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=root):
            free = shutil.disk_usage(root).free
    size = sum(it.size for it in cache_sections())
    what = f"{shown_size(size)} in {root}; {shown_size(free)} are free"
    return Need("cache", NeedState.OK, what)


def _temporary() -> Need:
    from lls_provider.system.cache import scratch

    with scratch("doctor") as directory:
        free = shutil.disk_usage(directory).free
        what = f"{directory.parent}; {shown_size(free)} are free"
        return Need("temporary", NeedState.OK, what)


_EXAMINED: Mapping[str, tuple[str, Callable[[], Need]]] = {
    "python": ("looking for a Python for servers", _python),
    "uv": ("asking uv for its version", _uv),
    "index": ("asking the index for a package", _index),
    "registry": ("looking for logins to registries", _registry),
    "daemon": ("asking the container daemon for its version", _daemon),
    "kubectl": ("looking for kubectl", _kubectl),
    "git": ("asking git for its version", _git),
    "cache": ("measuring the cache", _cache),
    "temporary": ("trying the temporary directory", _temporary),
}
