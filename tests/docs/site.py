"""The site as a release publishes it: a version and its alias, built by mike."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tests.engines.serving import running

ROOT = Path(__file__).parents[2]
_BESIDE = Path(sys.executable).parent
VERSION, ALIAS = "1.2", "latest"
_IDENTITY = {"user.name": "tests", "user.email": "tests@example.com", "init.defaultBranch": "main"}


def environment() -> dict[str, str]:
    """Our commands on the path, and Git's settings of these tests alone."""
    settings = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
    for place, (name, value) in enumerate(_IDENTITY.items()):
        settings |= {f"GIT_CONFIG_KEY_{place}": name, f"GIT_CONFIG_VALUE_{place}": value}
    return {
        **os.environ,
        **settings,
        "GIT_CONFIG_COUNT": str(len(_IDENTITY)),
        # mike calls mkdocs, the pages call lls-provider
        "PATH": f"{_BESIDE}{os.pathsep}{os.environ['PATH']}",
        "NO_COLOR": "1",
    }


def deploy(
    git: str, repository: Path, config: Path = ROOT / "mkdocs.yml"
) -> subprocess.CompletedProcess[str]:
    """Build in strict mode and commit the site to the branch of the repository."""
    subprocess.run([git, "init", "--quiet", repository], check=True, env=environment())
    commit = ["commit", "--quiet", "--allow-empty", "--message", "The source"]
    subprocess.run([git, *commit], cwd=repository, check=True, env=environment())
    return subprocess.run(
        [_BESIDE / "mike", "deploy", "--config-file", str(config), VERSION, ALIAS],
        cwd=repository,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )


def exported(git: str, repository: Path, target: Path) -> Path:
    """What a web server would serve of the branch."""
    subprocess.run(
        [git, "--work-tree", str(target), "checkout", "--quiet", "gh-pages", "--", "."],
        cwd=repository,
        env=environment(),
        check=True,
    )
    return target


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *args: Any) -> None:
        """Keep the tests' output clean."""


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """The address of a web server on loopback."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(folder)))
    with running(server):
        yield f"http://127.0.0.1:{server.server_port}"
