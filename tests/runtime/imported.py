"""The modules of the probe's script, imported into this process.

The script runs as a text in a process of the server, which ends when it has answered. Here the
same modules answer where a test can see into them.
"""

from __future__ import annotations

import sys
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from lls_provider.runtime.preflight import probe_spec
from lls_provider.runtime.preflight.probe import _answer, _json
from lls_provider.runtime.preflight.probe_client import ProbeRequest, ProbeResult, _result


def answered(
    folder: Path, module: str, provider_type: str | None = None, *, schema: bool = True
) -> ProbeResult:
    """What they say of a module below ``folder``, which is forgotten again."""
    request = asdict(ProbeRequest(module, provider_type, schema=schema))
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        patch.setattr(sys, "dont_write_bytecode", True)
        # what the script finds out when it starts
        patch.setattr(probe_spec, "_LLAMA_STACK", probe_spec._llama_stack())
        before = {*sys.modules}
        try:
            line = _json(_answer(request))
        finally:
            for name in {*sys.modules} - before:
                del sys.modules[name]
    return _result(line.encode("ascii"))


def without_texts(result: ProbeResult) -> ProbeResult:
    """A result that says nothing of frames and output: those are of the process."""
    if result.failure is None:
        return result
    return replace(result, failure=replace(result.failure, traceback="", output=""))
