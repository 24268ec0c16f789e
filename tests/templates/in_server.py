"""Runs the tests of many projects in one process, beside the packages of a server.

``python in_server.py PROJECTS RESULTS``, with the server's Python: PROJECTS is a JSON list of
directories, api and package names. RESULTS gets, for each project, what pytest ended with, its
outcomes, and the methods that the server's protocol has and the implementation has otherwise.
Nothing of the SDK is imported here.
"""

from __future__ import annotations

import importlib
import inspect
import json
import sys
from pathlib import Path
from typing import Any

import pytest

PROTOCOLS = {
    "inference": "InferenceProvider",
    "responses": "Responses",
    "batches": "Batches",
    "vector_io": "VectorIO",
    "tool_runtime": "ToolRuntime",
    "files": "Files",
    "file_processors": "FileProcessors",
    "messages": "Messages",
    "interactions": "Interactions",
    "skills": "Skills",
    "safety": "Safety",
    "datasetio": "DatasetIO",
    "scoring": "Scoring",
    "eval": "Eval",
}


class Outcomes:
    """A plugin for pytest that counts the outcomes of tests."""

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}
        self.failures: list[str] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Count a test when it was called, or when it did not get that far."""
        if report.when == "call" or report.outcome != "passed":
            self.counts[report.outcome] = self.counts.get(report.outcome, 0) + 1
        if report.failed:
            self.failures.append(f"{report.nodeid}\n{report.longreprtext}")


def other_signatures(project: dict[str, str], api: Any) -> list[str]:
    """Return the methods of the protocol that the implementation lacks or has otherwise.

    A protocol may implement a method itself, by refusing the call: nobody has to repeat it.
    """
    module = importlib.import_module(f"{project['package']}.{project['api']}")
    factory = getattr(module, "get_adapter_impl", None) or module.get_provider_impl
    made = getattr(module, factory.__annotations__["return"])
    found = []
    for name, method in inspect.getmembers(getattr(api, PROTOCOLS[project["api"]])):
        if name.startswith("_") or not inspect.isfunction(method):
            continue
        own = getattr(made, name, None)
        refuses = "NotImplementedError" in inspect.getsource(method)
        if own is None and not refuses:
            found.append(f"{name} is missing")
        elif own is not None and list(inspect.signature(own).parameters) != list(
            inspect.signature(method).parameters
        ):
            found.append(f"{name}{inspect.signature(own)}, not {inspect.signature(method)}")
    return found


def run(project: dict[str, str]) -> dict[str, Any]:
    """Run the tests of one project, and forget its modules."""
    directory = Path(project["directory"])
    path, modules = list(sys.path), set(sys.modules)
    sys.path.insert(0, str(directory / "src"))
    outcomes = Outcomes()
    try:
        arguments = ["-q", "-p", "no:cacheprovider", "--rootdir", str(directory)]
        tests = str(directory / "tests")
        status = int(
            pytest.main([*arguments, "-c", str(directory / "pyproject.toml"), tests], [outcomes])
        )
        api = importlib.import_module(f"{project['package']}._server").api
        signatures = other_signatures(project, api)
    finally:
        sys.path[:] = path
        # test modules of projects have the same names
        for name in set(sys.modules) - modules:
            file = getattr(sys.modules[name], "__file__", None) or ""
            if file.startswith(str(directory)):
                del sys.modules[name]
    return {
        "status": status,
        "outcomes": outcomes.counts,
        "failures": outcomes.failures,
        "signatures": signatures,
    }


if __name__ == "__main__":
    projects = json.loads(Path(sys.argv[1]).read_bytes())
    Path(sys.argv[2]).write_text(json.dumps([run(it) for it in projects]))
