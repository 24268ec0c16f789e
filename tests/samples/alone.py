"""Each sample by itself on each server, and the page with the results.

``python -m tests.samples.alone``, from the root of a checkout, runs the tests of every sample that
was written by hand beside each server, starts it there with the sample call of its settings, and
writes the table at the end of ``samples/README.md``. It takes minutes; the tests of every run have
the samples together on one server of each line.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

from tests.samples.services import SAMPLES

SERVERS = ("llama-stack==0.7.3", "ogx==1.5.0")
NO_CALL = {("searxng-search", "ogx==1.5.0"): "GET /v1/health"}
"""Where the sample call is one that the server lacks; the tests call the tool there."""
_TEMPLATE = "[tool.lls-provider.template]"
PAGE = SAMPLES / "README.md"
HEADING = "## Each sample by itself\n"


def samples() -> list[str]:
    """The samples that are projects, without those that the template renders."""
    found = SAMPLES.glob("*/pyproject.toml")
    return sorted(it.parent.name for it in found if _TEMPLATE not in it.read_text("utf-8"))


def passed(sample: str, server: str) -> str:
    """What the sample's own tests gave, such as ``28 tests``."""
    done = _run("test", sample, "--distribution", server)
    found = re.search(r"=+ (\d+) passed", done.stdout)
    return f"{found[1]} tests" if done.returncode == 0 and found else _failed(done)


def called(sample: str, server: str) -> str:
    """What the sample call gave, such as ``POST /v1/embeddings 200``."""
    call = NO_CALL.get((sample, server))
    arguments = ("--call", call) if call else ()
    done = _run("up", sample, "--server", server, "--check", "--format", "json", *arguments)
    if done.returncode:
        return _failed(done)
    document: dict[str, Any] = json.loads(done.stdout)
    return f"call {document['call']['status']}"


def _run(command: str, sample: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, "-m", "lls_provider.cli", command, str(SAMPLES / sample), *arguments]
    return subprocess.run(words, capture_output=True, text=True, check=False)


def _failed(done: subprocess.CompletedProcess[str]) -> str:
    sys.stderr.write(done.stdout + done.stderr)
    return "**failed**"


def section(results: Mapping[str, Mapping[str, str]]) -> str:
    """The part of the page: a row for each sample."""
    rows = [
        f"| {name} | " + " | ".join(found[server] for server in SERVERS) + " |"
        for name, found in results.items()
    ]
    head = [
        "`python -m tests.samples.alone` ran the tests of each sample, and its sample call:",
        "",
        "| sample | " + " | ".join(SERVERS) + " |",
        "|---|" + "---|" * len(SERVERS),
    ]
    return "\n".join([HEADING, *head, *rows]) + "\n"


def main() -> int:
    """Try every sample and write the page; the exit status is 1 if one failed."""
    results: dict[str, dict[str, str]] = {}
    for sample in samples():
        results[sample] = {}
        for server in SERVERS:
            outcome = f"{passed(sample, server)}, {called(sample, server)}"
            print(f"{sample} on {server}: {outcome}", flush=True)
            results[sample][server] = outcome
    before = PAGE.read_text("utf-8").partition(HEADING)[0]
    PAGE.write_text(before.rstrip() + "\n\n" + section(results), "utf-8")
    return int("failed" in section(results))


if __name__ == "__main__":
    raise SystemExit(main())
