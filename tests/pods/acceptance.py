"""The page about the acceptance scenarios, written by a run of them.

``python -m tests.pods.acceptance``, from the root of a checkout, runs the tests of the scenarios
and writes ``docs/acceptance.md`` with their results.
"""

from __future__ import annotations

import ast
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "acceptance.md"
MARKER = "scenario"
SCENARIOS = (
    "One provider image: it is installed, is listed in `/v1/providers` and answers",
    "Several providers for several APIs: all are installed, in a fixed order, and answer",
    "Two images with conflicting dependencies: the failure names packages and images",
    "The ID of a provider of the distribution: the external one is used, with a warning",
    "The ID of a provider in the user's ConfigMap: the external one is used, with a warning",
    "An image without metadata: the message names the init container",
    "A provider under another API: the message names the section to move it to",
    "An image that cannot be pulled: the status says so",
    "Invalid YAML: the message has the line",
    "A wheel that cannot be installed: the message has the cause, and what would be compatible",
    "A distribution without a configuration: the message suggests a ConfigMap",
    "One ID twice: the message names both images",
    "An updated image: the new provider is installed, and nothing of the old is left",
    "Another architecture or Python ABI: it is found before anything is imported",
    "Metadata that differs from the code: a warning, and the values of the code are used",
)
_INTRODUCTION = """\
# Acceptance

The acceptance scenarios of the contract, proved on real Pods. Each test renders a provider file
with `lls-provider render pod` and lets podman play what is printed: provider images of
`lls-provider build` from a real registry, and distribution images with llama-stack 0.7.3 or
ogx 1.5.0. Where a scenario ends with a server, its API is called; where it ends with an error, the
whole message is compared. What only a kubelet reports (scenario 8) is read from a recorded Pod as
well.

`python -m tests.pods.acceptance` runs the tests and writes this page.

| scenario | test | result |
|---|---|---|
"""


@dataclass(slots=True)
class Results:
    """A plugin for pytest that keeps the outcome of each test function."""

    outcomes: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keep the outcome of a phase; that of the test itself is the worst of all."""
        if report.when == "call" or report.outcome != "passed":
            name = report.nodeid.rpartition("::")[2].partition("[")[0]
            self.outcomes[name].add(report.outcome)

    def result(self, test: str) -> str:
        """The result of a test with all its parameters."""
        found = self.outcomes.get(test, set())
        return "passed" if found == {"passed"} else ", ".join(sorted(found)) or "not run"


def marked_tests() -> dict[int, list[tuple[Path, str]]]:
    """The tests of each scenario, as the sources mark them."""
    found: dict[int, list[tuple[Path, str]]] = defaultdict(list)
    for path in sorted(Path(__file__).parent.glob("test_*.py")):
        for node in ast.parse(path.read_text("utf-8")).body:
            if isinstance(node, ast.FunctionDef):
                for number in _numbers(node):
                    found[number].append((path, node.name))
    return dict(found)


def page(results: Mapping[str, str]) -> str:
    """The page, with the result of each test by its name."""
    text = _INTRODUCTION
    tests = marked_tests()
    for number, title in enumerate(SCENARIOS, 1):
        for path, name in tests.get(number, ()):
            link = f"[`{name}`](../{path.relative_to(ROOT).as_posix()})"
            text += f"| {number}. {title} | {link} | {results[name]} |\n"
    return text


def _numbers(function: ast.FunctionDef) -> Iterator[int]:
    """The scenarios that a test is marked with."""
    for decorator in function.decorator_list:
        if isinstance(decorator, ast.Call) and ast.unparse(decorator.func).endswith(f".{MARKER}"):
            (number,) = decorator.args
            yield int(ast.literal_eval(number))


def main() -> int:
    """Run the tests of the scenarios and write the page; the exit status is pytest's."""
    results = Results()
    status = pytest.main(["-q", "-m", MARKER, str(Path(__file__).parent)], plugins=[results])
    names = [name for tests in marked_tests().values() for _, name in tests]
    PAGE.write_text(page({name: results.result(name) for name in names}), "utf-8")
    return int(status)


if __name__ == "__main__":
    sys.exit(main())
