"""Mutation testing of the modules that must not be wrong: ``python tools/mutate.py [TARGET]...``.

For each target (default: all) cosmic-ray changes one operator, number, condition or handler of a
module at a time and runs the tests that are to notice. Prints a table and the changes that no
test noticed; docs/mutation-testing.md says what was found about each of them.

It works in a copy of the tracked files, because the modules are changed in place. A changed
installer may write where the real one would not: where root starts this, the tests run as nobody.

Needs ``pip install -e '.[test,mutation]'``.
"""

from __future__ import annotations

import argparse
import ast
import functools
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import tomli_w
from cosmic_ray.work_db import use_db
from cosmic_ray.work_item import TestOutcome, WorkerOutcome, WorkResult

ROOT = Path(__file__).parents[1]
RUNTIME = "sdk/lls_provider/runtime"
NOBODY = 65534

Place = tuple[int, int]  # line and column


@dataclass(frozen=True)
class Target:
    """Modules, and the fast tests that know what they must do, the fastest first."""

    modules: tuple[str, ...]
    tests: tuple[str, ...]
    select: str = ""


TARGETS = {
    "conflict": Target(
        (f"{RUNTIME}/install/conflict.py",),
        ("tests/runtime/install/test_conflict.py", "tests/runtime/test_conflict_vectors.py"),
    ),
    "archive": Target(
        (f"{RUNTIME}/wheelfile/zip_directory.py", f"{RUNTIME}/wheelfile/members.py"),
        (
            "tests/runtime/wheelfile/test_members.py",
            "tests/runtime/wheelfile/test_zip_directory.py",
        ),
    ),
    "reconcile": Target(
        (f"{RUNTIME}/volume/reconcile.py",),
        (
            "tests/runtime/volume/test_volume.py",
            "tests/runtime/volume/test_installed_slots.py",
            "tests/runtime/install/test_plan.py",
            "tests/runtime/install/test_install.py",
            "tests/runtime/test_updates.py",
        ),
    ),
}

OPERATORS = (
    *("AddNot", "ReplaceAndWithOr", "ReplaceOrWithAnd", "ReplaceTrueWithFalse"),
    *("ReplaceFalseWithTrue", "ReplaceBreakWithContinue", "ReplaceContinueWithBreak"),
    *("ExceptionReplacer", "NumberReplacer", "RemoveDecorator", "ZeroIterationForLoop"),
    "ReplaceUnaryOperator_(Delete_Not|USub_UAdd|Delete_USub)",
    "ReplaceComparisonOperator_(Eq_(NotEq|LtE|GtE)|NotEq_(Eq|Lt|Gt)|Is_IsNot|IsNot_Is)",
    "ReplaceComparisonOperator_(Lt_(LtE|GtE)|LtE_(Lt|Gt)|Gt_(GtE|LtE)|GtE_(Gt|Lt))",
    "ReplaceBinaryOperator_(Add_Sub|Sub_Add|Mul_FloorDiv|FloorDiv_Mul|Mod_Mul)",
    "ReplaceBinaryOperator_(BitOr_BitAnd|BitAnd_BitOr|BitXor_BitAnd|LShift_RShift|RShift_LShift)",
)
"""The changes that are tried: each operator against its neighbours, not against all others."""


def main(arguments: Sequence[str]) -> int:
    """Run the targets that are named; 1 when a change was not noticed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=", ".join(TARGETS))
    names = parser.parse_args(arguments).targets or [*TARGETS]
    if unknown := {*names} - {*TARGETS}:
        parser.error(f"no such target: {', '.join(sorted(unknown))}")
    with tempfile.TemporaryDirectory(prefix="mutate-", ignore_cleanup_errors=True) as folder:
        copy = copied(Path(folder) / "tree")
        Path(folder).chmod(0o777)
        os.chdir(copy)
        os.environ |= {"PYTHONPATH": str(copy / "sdk"), "HOME": folder, "TMPDIR": folder}
        os.environ["HYPOTHESIS_STORAGE_DIRECTORY"] = f"{folder}/hypothesis"
        survivors = [it for name in names for it in run(name, TARGETS[name], Path(folder))]
    print("\n".join(survivors))
    return 1 if survivors else 0


def copied(copy: Path) -> Path:
    """The tracked files as they are now, without compiled modules that could hide a change."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True)  # noqa: S607
    for name in filter(None, listed.stdout.decode().split("\0")):
        if (ROOT / name).is_file():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, copy / name)
    return copy


def unprivileged() -> list[str]:
    """What goes before a command so that it can read what root can, and write nothing of it."""
    if os.geteuid() != 0:
        return []
    rights = [f"--{kind}=-all,+dac_read_search" for kind in ("inh-caps", "ambient-caps")]
    return ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", *rights]


def run(name: str, target: Target, folder: Path) -> list[str]:
    """Print a row for each module; gives the changes that no test noticed."""
    plugins = [part for it in ("xdist", "cov", "cacheprovider") for part in ("-p", f"no:{it}")]
    selected = ["-k", target.select] if target.select else []
    command = [
        *unprivileged(),
        sys.executable,
        "-m",
        "pytest",
        "-x",
        "-q",
        *plugins,
        *selected,
        *target.tests,
    ]
    began = time.monotonic()
    subprocess.run(command, check=True, stdout=sys.stderr)  # unchanged, they must pass
    settings = {
        "module-path": [*target.modules],
        "timeout": 30 + 10 * (time.monotonic() - began),
        "excluded-modules": [],
        "test-command": shlex.join(command),
        "distributor": {"name": "local"},
    }
    config, session = folder / f"{name}.toml", folder / f"{name}.sqlite"
    config.write_text(tomli_w.dumps({"cosmic-ray": settings}))
    cosmic_ray("init", config, session)
    leave_out(session)
    cosmic_ray("exec", config, session)
    return list(report(session, target))


def cosmic_ray(command: str, config: Path, session: Path) -> None:
    """Run one of cosmic-ray's commands; it must succeed."""
    cli = "from cosmic_ray.cli import main; raise SystemExit(main())"
    subprocess.run([sys.executable, "-c", cli, command, str(config), str(session)], check=True)


def leave_out(session: Path) -> None:
    """Drop changes that are not in ``OPERATORS``, and those where nothing that runs is changed."""
    wanted = re.compile("|".join(f"core/({it})" for it in OPERATORS))
    with use_db(str(session)) as work:
        for item in list(work.pending_work_items):
            (change,) = item.mutations
            if not wanted.fullmatch(change.operator_name) or any(
                first <= change.start_pos < last for first, last in inert(change.module_path)
            ):
                work.set_result(item.job_id, WorkResult(WorkerOutcome.SKIPPED))


@functools.cache
def inert(module: Path) -> list[tuple[Place, Place]]:
    """From where to where nothing runs: annotations, options of dataclasses, `TYPE_CHECKING`."""
    found: list[ast.expr | None] = []
    for node in ast.walk(ast.parse(module.read_text("utf-8"))):
        if isinstance(node, ast.ClassDef):
            found += node.decorator_list
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            found.append(node.test)
        found += [getattr(node, "annotation", None), getattr(node, "returns", None)]
    return [
        ((it.lineno, it.col_offset), (it.end_lineno or 0, it.end_col_offset or 0))
        for it in found
        if isinstance(it, ast.expr)
    ]


def report(session: Path, target: Target) -> Iterator[str]:
    """Print the table's rows; yields the differences that no test noticed."""
    with use_db(str(session)) as work:
        results = dict(work.results)
        found = [(it.mutations[0], results[it.job_id]) for it in work.work_items]
    for module in target.modules:
        tried = [
            (change, result)
            for change, result in found
            if str(change.module_path) == module and result.worker_outcome is WorkerOutcome.NORMAL
        ]
        alive = [it for it in tried if it[1].test_outcome is TestOutcome.SURVIVED]
        print(
            f"| `{module}` | {len(tried)} | {len(tried) - len(alive)} | {len(alive)} |", flush=True
        )
        for change, result in alive:
            yield f"\n{change.operator_name} {change.occurrence} in {change.definition_name}"
            yield "\n".join((result.diff or "").splitlines()[3:])


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
