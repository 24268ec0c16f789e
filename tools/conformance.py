"""Runs every conformance vector and records the result: ``python tools/conformance.py``.

Our own implementation is the zipapp of this checkout with ``lls-provider render`` and
``lls-provider check``; the other one is the shell script of the tests, with a ``python3`` on PATH
that has pip. Writes ``docs/conformance.md``. Takes some minutes.
"""

from __future__ import annotations

import shlex
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from lls_provider import __version__
from lls_provider.bundle.zipapp import zipapp_path
from lls_provider.conformance.runner import run_conformance
from lls_provider.conformance.template import parse_template
from lls_provider.conformance.vectors import contract_version, requirements

if TYPE_CHECKING:
    from lls_provider.conformance.report import ConformanceReport

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "conformance.md"
SCRIPT = "tests/conformance/pip-installer.sh"
_PAGE = """\
# Conformance

What implementations pass of the [contract's requirements](../contract/CONFORMANCE.md).
`python tools/conformance.py` runs every vector and writes this page; CI runs a fast form each time
(`tests/conformance`). *ours* is the zipapp for the phases of a Pod, `lls-provider render pod` as
the operator (which reads provider files, so the vectors of custom resources are left out) and
`lls-provider check` as the checker. *shell and pip* are the lines that the operator's specification
puts into its init container ([script](../{script})): an installer
that knows nothing of conflicts, slots and layouts.

| | |
|---|---|
| date | {date} |
| version | contract {contract}, lls-provider {version} |
| Python | {python}, pip {pip} |

| requirement | level | ours | shell and pip |
|---|---|---|---|
{rows}
"""


def main() -> int:
    """Run both; the exit status is 1 when our own implementation fails a vector."""
    cli = shlex.join([sys.executable, "-m", "lls_provider.cli"])
    zipapp = shlex.join([sys.executable, "-I", "-S", str(zipapp_path())])
    ours = _run(
        installer=f"{zipapp} install --source {{source}} --root {{root}}"
        " --termination-log {termination_log}",
        merger=f"{zipapp} merge --root {{root}}",
        preflight=f"{zipapp} preflight --root {{root}} --run-yaml {{run_yaml}}",
        operator=f"{cli} render pod {{provider_file}} --no-read",
        checker=f"{cli} check {{source}}",
    )
    pip = _run(installer=f"sh {shlex.quote(str(ROOT / SCRIPT))} {{source}} {{root}}")
    for result in ours.failed:
        print(f"ours failed: {result.case.id}: {result.differences}", file=sys.stderr)
    told = subprocess.run(
        ["python3", "-m", "pip", "--version"],  # noqa: S607 - the one that the script runs
        check=True,
        capture_output=True,
        text=True,
    )
    rows = [
        f"| `{it.id}` | {it.level.upper()} | {_counts(ours, it.id)} | {_counts(pip, it.id)} |"
        for it in requirements().values()
    ]
    PAGE.write_text(
        _PAGE.format(
            script=SCRIPT,
            date=datetime.now(UTC).date().isoformat(),
            contract=contract_version(),
            version=__version__,
            python=sys.version.split()[0],
            pip=told.stdout.split()[1],
            rows="\n".join(rows),
        ),
        "utf-8",
    )
    return int(bool(ours.failed))


def _run(**commands: str) -> ConformanceReport:
    return run_conformance([parse_template(role, text) for role, text in commands.items()])


def _counts(report: ConformanceReport, requirement: str) -> str:
    found = [it.passed for it in report.results if it.requirement.id == requirement]
    return f"{sum(found)}/{len(found)}" if found else "-"


if __name__ == "__main__":
    sys.exit(main())
