"""Takes the profiles of supported servers: ``python tools/take_profiles.py [REQUIREMENT]...``.

Each requirement (default: those of the profiles that exist) is resolved as
``--distribution REQUIREMENT`` would be, for every Python and machine below. A profile lists the
Pythons for which its pins hold, so the pins must be the same; otherwise it is not written.
"""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from pathlib import Path

from packaging.requirements import Requirement

from lls_provider.wheels.distribution import freeze_pins
from lls_provider.wheels.environment import ensure_environment
from lls_provider.wheels.interpreter import find_interpreter, read_installed
from lls_provider.wheels.loading import load_distribution
from lls_provider.wheels.servers import PROFILES_DIRECTORY, line_named, read_profiles
from lls_provider.wheels.uv import run_uv

PYTHONS = ("3.12", "3.13")
MACHINES = ("x86_64", "aarch64")


def take(text: str) -> None:
    """Resolve a server and write its profile."""
    requirement = Requirement(text)
    line = line_named(requirement.name)
    if line is None:
        raise SystemExit(f"{requirement.name} is not a server line of lls_provider.wheels.servers")
    version = next(iter(requirement.specifier)).version
    found = {
        (python, machine): resolved([text, *line.pins(requirement)], python, machine)
        for python in PYTHONS
        for machine in MACHINES
    }
    pins = found[PYTHONS[0], MACHINES[0]]
    for target, other in found.items():
        if other != pins:
            raise SystemExit(f"{text}: other pins for {target}: {pins.items() ^ other.items()}")
    profile = {
        "name": f"{line.name}-{version}",
        "requirement": text,
        "taken": datetime.now(UTC).date().isoformat(),
        "python": PYTHONS,
        "machines": MACHINES,
        "pins": pins,
        "modules": modules(text),
    }
    path = Path(__file__).parents[1] / PROFILES_DIRECTORY / f"{profile['name']}.json"
    path.write_text(json.dumps(profile, indent=1) + "\n", "utf-8")
    print(f"{path.name}: {len(pins)} packages")


def modules(text: str) -> dict[str, list[str]]:
    """The top-level modules of each package, from an environment with the server."""
    environment = ensure_environment(load_distribution(text, python=PYTHONS[0]))
    found = read_installed(environment.python).modules
    return {name: sorted(names) for name, names in sorted(found.items()) if names}


def resolved(wanted: list[str], python: str, machine: str) -> dict[str, str]:
    """The pins on one Python and machine."""
    interpreter = find_interpreter(explicit=python)
    out = run_uv(
        [
            *("pip", "compile", "-", "--quiet", "--no-header", "--no-annotate", "--upgrade"),
            *("--python", str(interpreter.path)),
            *("--python-platform", f"{machine}-manylinux_2_28"),
        ],
        stdin="\n".join(wanted) + "\n",
        doing=f"resolving {wanted[0]}",
    )
    pins = freeze_pins(out, "uv")
    if pins is None:
        raise SystemExit(f"{wanted[0]} does not resolve to versions")
    return dict(sorted(pins.items()))


if __name__ == "__main__":
    for each in sys.argv[1:] or [it.requirement for it in read_profiles()]:
        take(each)
