"""A change under ``up --watch``: seconds from the write until the real server answers with it.

Run it as ``python -m benchmarks.watch`` from the checkout. A copy of the sample `echo-inference` is
served by llama-stack 0.7.3; each repetition changes what it answers, and the server is asked until
it answers so. The server's own start, which `up` reports, is taken off.
"""

from __future__ import annotations

import re
import shutil
import statistics
import subprocess
import time
from pathlib import Path

from benchmarks import measure
from benchmarks.images import command

from lls_provider.local.call import parse_call, send
from lls_provider.wheels.interpreter import find_interpreter

TARGETS = {"seconds beyond the server's start": 2.0}
_ANSWER = "self.config.prefix + last_user_text"
_CALL = parse_call(
    'POST /v1/chat/completions {"model": "echo-inference/echo", '
    '"messages": [{"role": "user", "content": "hello"}]}'
)
_STARTED = re.compile(r"stays up at http://127\.0\.0\.1:(\d+) ")
_SERVED = re.compile(r"Served after [\d.]+ s, ([\d.]+) s of them the server's start")
_CHECKED = "All providers validated successfully"


def main() -> None:
    """Measure, print, write the JSON."""
    arguments = measure.options(__doc__, repetitions=5).parse_args()
    before = measure.machine(find_interpreter())
    with measure.scratch(arguments) as scratch:
        project = scratch / "project"
        shutil.copytree(measure.SAMPLE, project)
        pairs = _changes(project, arguments.repetitions)
    beyond = [served - start for served, start in pairs]
    for served, start in pairs:
        print(f"answered after {served:.2f} s, {start:.1f} s of them the server's start")
    ratios = {"seconds beyond the server's start": statistics.median(beyond)}
    for name, figure in ratios.items():
        print(f"{name}: {figure:.2f} (target {TARGETS[name]})")
    measure.report("watch", arguments, {"machine": before, "pairs": pairs, "ratios": ratios})


def _changes(project: Path, repetitions: int) -> list[tuple[float, float]]:
    """For each change the seconds until it is answered, and those of the server's start."""
    source = project / "src" / "echo_inference" / "inference.py"
    original = source.read_text("utf-8")
    process = subprocess.Popen(
        [command(), "up", "--watch", project, "--server", measure.SERVER],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    pairs = []
    try:
        port = int(_until(process, _STARTED)[1])
        _until(process, re.compile("Waiting for a change"))
        for number in range(repetitions):
            begin = time.perf_counter()
            source.write_text(original.replace(_ANSWER, f'"{number}: " + {_ANSWER}'), "utf-8")
            start = float(_until(process, _SERVED)[1])
            answer = send(_CALL, port, timeout=60).body["choices"][0]["message"]["content"]
            if not answer.startswith(f"{number}: "):
                raise SystemExit(f"served, but not the change: {answer}")
            pairs.append((time.perf_counter() - begin, start))
            _until(process, re.compile(_CHECKED))  # the next change does not meet preflight
    finally:
        process.terminate()
        process.wait()
    return pairs


def _until(process: subprocess.Popen[str], pattern: re.Pattern[str]) -> re.Match[str]:
    """Read on until a line has the pattern; the last lines are shown when the command ends."""
    assert process.stderr is not None
    lines = []
    for line in process.stderr:
        lines.append(line)
        if found := pattern.search(line):
            return found
    raise SystemExit("".join(lines[-40:]))


if __name__ == "__main__":
    main()
