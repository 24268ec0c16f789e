"""Registries that hang or trickle, met by the commands: given up in the time that a user sets."""

from __future__ import annotations

import select
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.e2e.test_bad_images import OLD, told
from tests.factories.projects import PROVIDER, write_project
from tests.image.transports.registry.fake import FakeRegistry, Request

from lls_provider.image.transports.layout import read_layout
from lls_provider.image.transports.transport import parse_output

if TYPE_CHECKING:
    from tests.image.transports.registry.fake import Fault

pytestmark = pytest.mark.slow

Cli = Callable[..., "subprocess.CompletedProcess[str]"]

SECONDS = "0.5"


def silent(request: Request) -> bool:
    """A fault: no answer, and nothing of a body is taken, until the client leaves."""
    leaving(request).poll()
    request.cut()
    return True


def trickle(request: Request) -> bool:
    """A fault: an answer of which a byte comes now and then, until the client leaves."""
    request.send_response(200)
    request.send_header("Content-Length", str(1 << 20))
    request.end_headers()
    gone = leaving(request)
    while not gone.poll(20):
        request.wfile.write(b" ")
    request.cut()
    return True


def leaving(request: Request) -> select.poll:
    """What says that the client has closed its end."""
    poll = select.poll()
    poll.register(request.connection, select.POLLRDHUP)
    return poll


CASES: dict[str, tuple[str, str, Fault]] = {
    "push silent": ("POST", "uploads", silent),
    "push not taken": ("PATCH", "uploads", silent),
    "inspect silent": ("GET", "manifests", silent),
    "inspect trickled": ("GET", "manifests", trickle),
    "base silent": ("GET", "blobs", silent),
    "base trickled": ("GET", "blobs/sha256:LAYER", trickle),
}


@pytest.fixture(scope="module")
def given_up(
    cli: Cli, python_base: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, tuple[subprocess.CompletedProcess[str], FakeRegistry, Path]]]:
    """What each case ended in; they wait at the same time."""
    root = tmp_path_factory.mktemp("slow")
    project = root / "acme"
    write_project(project, "acme", "", PROVIDER)
    image = read_layout(python_base)
    layer = max(image.layers, key=lambda it: it.size)

    def run(case: str) -> subprocess.CompletedProcess[str]:
        registry, folder = registries[case], root / case.replace(" ", "-")
        folder.mkdir()
        environment = {
            "LLS_PROVIDER_REGISTRY_TIMEOUT": SECONDS,
            "LLS_PROVIDER_CACHE": str(folder / "cache"),
            "HOME": str(folder),
        }
        name = f"{registry.host}/acme/echo:1"
        words = {
            "push": ("push", f"oci:{python_base}", name),
            "inspect": ("inspect", name),
            "base": ("build", project, "--base", f"docker://{name}", "--output", "oci:image"),
        }[case.split()[0]]
        return cli(*words, cwd=folder, env=environment, timeout=120)

    with ExitStack() as stack:
        registries = {case: stack.enter_context(FakeRegistry()) for case in CASES}
        for case, (method, pattern, fault) in CASES.items():
            registry = registries[case]
            if case.startswith("base"):
                parse_output(f"docker://{registry.host}/acme/echo:1").write(image)
            else:
                registry.manifests["1"] = OLD
            registry.fault(method, pattern.replace("sha256:LAYER", layer.digest), fault, times=99)
        with ThreadPoolExecutor(len(CASES)) as pool:
            done = dict(zip(CASES, pool.map(run, CASES), strict=True))
        yield {
            case: (done[case], registries[case], root / case.replace(" ", "-")) for case in CASES
        }


@pytest.mark.parametrize("case", CASES)
def test_a_slow_registry_is_given_up_in_time_and_nothing_is_half_written(
    given_up: dict[str, tuple[subprocess.CompletedProcess[str], FakeRegistry, Path]], case: str
) -> None:
    done, registry, folder = given_up[case]
    why = {
        "silent": "nothing was received for 0.5 seconds",
        "taken": "nothing was accepted for 0.5 seconds",
        "trickled": "bytes came in" if case.startswith("base") else "no whole answer in 1 s",
    }[case.split()[-1]]
    told(done, 3, f"{registry.host}/acme/echo:1", why, "LLS_PROVIDER_REGISTRY_TIMEOUT=SECONDS")
    assert not (folder / "image").exists()
    if not case.startswith("base"):
        assert registry.manifests == {"1": OLD}
        assert registry.blobs == {}


def test_a_timeout_that_is_no_number_is_refused(cli: Cli, tmp_path: Path) -> None:
    for text in ("soon", "0", "-1", "nan", "inf"):
        environment = {"LLS_PROVIDER_REGISTRY_TIMEOUT": text, "HOME": str(tmp_path)}
        done = cli("inspect", "127.0.0.1:1/acme/echo", env=environment)
        told(done, 2, f"LLS_PROVIDER_REGISTRY_TIMEOUT='{text}' is not a number of seconds")
