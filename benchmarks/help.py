"""How long ``lls-provider --help`` takes, against importing the library that shows it.

Run it as ``python -m benchmarks.help`` from the checkout, in the environment that has the SDK.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from benchmarks import measure

TARGET = 3.0


def main() -> None:
    """Measure, print, write the JSON."""
    arguments = measure.options(__doc__, repetitions=15).parse_args()
    command = Path(sys.executable).with_name("lls-provider")
    figures = measure.interleaved(
        {
            "lls-provider --help": lambda: measure.run([command, "--help"]),
            "import click": lambda: measure.run([sys.executable, "-c", "import click"]),
        },
        arguments.repetitions,
    )
    measure.table(figures, "import click")
    ours, base = figures["lls-provider --help"], figures["import click"]
    ratios = {
        "median": round(ours.median / base.median, 2),
        "cpu": round(ours.cpu / base.cpu, 2),
        "target": TARGET,
    }
    machine = measure.machine(measure.target(arguments)) | {"load after": os.getloadavg()}
    document = {"machine": machine, "seconds": figures, "help / click": ratios}
    measure.report("help", arguments, document)


if __name__ == "__main__":
    main()
