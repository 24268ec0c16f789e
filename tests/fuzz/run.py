"""Runs the fuzzer as long as one likes: ``python tests/fuzz/run.py --executions 600000``.

Every execution has a number, and its input follows from the seed and that number alone, so a
finding is repeated with ``--from NUMBER --executions 1``.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.factories.wheels import record_of, zip_bytes
from tests.fuzz.mutate import INFO, mutate, mutated_parts, wheel_contents
from tests.fuzz.targets import TARGETS

from lls_provider.conformance.vectors import document_vectors

SLOW = 5.0
"""Seconds after which an execution counts as a finding: nothing this small may take so long."""


def seeds() -> dict[str, list[bytes]]:
    """What the mutations start from."""
    contents = wheel_contents()
    contents[f"{INFO}/RECORD"] = record_of(contents, f"{INFO}/RECORD").encode()
    cases: dict[str, list[bytes]] = {}
    for vector in document_vectors():
        cases.setdefault(vector.file, []).append(vector.data)
    documents = [case for found in cases.values() for case in found if len(case) < 2000]
    configs = [b'{"url": "http://x", "n": [1, 2.5, 1e3, null, true], "deep": {"a": {"b": []}}}']
    return {
        "wheel": [zip_bytes(contents, method=method) for method in (0, 8)],
        "document": documents,
        "metadata": [*cases["provider-package"], *cases["manifest"]],
        "config": [*configs, *documents[::7]],
    }


def execute(number: int, seed: int, starts: dict[str, list[bytes]], folder: Path) -> str:
    """Run one execution; returns its target's name. Raises whatever the target lets out."""
    rng = random.Random(f"{seed}:{number}")
    name = rng.choices(list(TARGETS), (5, 3, 1, 1))[0]
    if name == "wheel" and rng.random() < 0.7:
        data = mutated_parts(rng)
    else:
        data = mutate(rng.choice(starts[name]), rng, starts[name])
    TARGETS[name](data, folder)
    return name


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--executions", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--from", type=int, default=0, dest="first")
    parser.add_argument("--stop", action="store_true", help="end at the first finding")
    options = parser.parse_args()
    starts, done, findings = seeds(), Counter[str](), Counter[str]()
    began = time.monotonic()
    with tempfile.TemporaryDirectory(dir="/dev/shm") as name:
        for number in range(options.first, options.first + options.executions):
            start = time.process_time()
            try:
                done[execute(number, options.seed, starts, Path(name))] += 1
            except Exception as error:
                if options.stop:
                    raise
                place = error.__traceback__
                while place is not None and place.tb_next is not None:
                    place = place.tb_next
                line = place.tb_lineno if place is not None else 0
                kind = f"{type(error).__name__} in line {line}"
                findings[kind] += 1
                if findings[kind] <= 3:
                    print(f"execution {number}: {kind}: {error!s:.200}", flush=True)
            if time.process_time() - start > SLOW:
                findings["slow"] += 1
                print(f"execution {number}: {time.process_time() - start:.1f} s", flush=True)
            if (number + 1) % 20_000 == 0:
                print(f"{number + 1:,} {time.monotonic() - began:.0f} s {dict(done)}", flush=True)
    print(f"seed {options.seed}: {sum(done.values()):,} executions {dict(done)}; {dict(findings)}")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
