"""Whether a provider's config class itself takes a config: asked in the server's environment.

A JSON Schema cannot tell what validators of the class make of a value before it is judged.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lls_provider.wheels.build import scratch

_SECONDS = 60
# `config_class(**config)` is what servers do
_SCRIPT = """\
import importlib, json, sys
with open(sys.argv[1], encoding="ascii") as stream:
    told = json.load(stream)
if sys.path and sys.path[0] == "":
    del sys.path[0]
specs = importlib.import_module(told["module"] + ".provider").get_provider_spec()
specs = specs if isinstance(specs, list) else [specs]
spec = next((it for it in specs if it.provider_type == told["provider_type"]), specs[0])
taken = spec.config_class
if not isinstance(taken, type):
    owner, _, name = str(taken).rpartition(".")
    taken = getattr(importlib.import_module(owner), name)
try:
    taken(**told["config"])
    answer = "taken"
except Exception:
    answer = "refused"
with open(sys.argv[1], "w") as stream:
    stream.write(answer)
"""


def takes(
    python: Path,
    module: str,
    provider_type: str,
    config: Mapping[str, Any],
    *,
    variables: Mapping[str, str],
) -> bool | None:
    """Whether the class does; None when it cannot be asked, which others tell better."""
    told = {"module": module, "provider_type": provider_type, "config": config}
    with scratch("config") as folder:
        place = folder / "config"  # a file, because an argument is for all to see
        place.touch(0o600)
        place.write_text(json.dumps(told), "ascii")
        try:
            subprocess.run(
                [str(python), "-c", _SCRIPT, str(place)],
                env=dict(variables),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=_SECONDS,
                check=True,
            )
            answer = place.read_text("ascii")
        except (OSError, ValueError, subprocess.SubprocessError):
            return None
    return {"taken": True, "refused": False}.get(answer)
