"""Mutation testing of the modules that must not be wrong: ``python tools/mutate.py [TARGET]...``.

For each target (default: all) cosmic-ray's operators change one operator, number, condition or
handler of a module at a time, and the tests that should notice it run. It prints the changes that
no test noticed, and a table; docs/mutation-testing.md explains each of them.

A change is never written to a file: it is compiled in a process forked for it, in place of the
module. A changed installer may write where the real one would not, so if root starts this,
the tests run as nobody.

Needs ``pip install -e '.[test,mutation]'``.
"""

from __future__ import annotations

import argparse
import ast
import difflib
import os
import re
import resource
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import CodeType

import hypothesis  # noqa: F401 - what all tests need is imported before the processes are forked
import packaging.requirements  # noqa: F401
import pytest
import yaml  # noqa: F401
from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import mutate_code
from cosmic_ray.plugins import get_operator, operator_names

ROOT = Path(__file__).parents[1]
RUNTIME = "sdk/lls_provider/runtime"
NOBODY = 65534
SECONDS = 20  # of a processor, in addition to five times what the tests take unchanged

Place = tuple[int, int]  # line and column


@dataclass(frozen=True)
class Target:
    """Modules, and the fast tests of their behaviour, the fastest first."""

    modules: tuple[str, ...]
    tests: tuple[str, ...]


TARGETS = {
    "conflict": Target(
        (f"{RUNTIME}/install/conflict.py",),
        (
            "tests/runtime/install/test_conflict.py",
            "tests/runtime/install/test_conflict_servers.py",
            "tests/runtime/test_conflict_vectors.py",
        ),
    ),
    "archive": Target(
        (f"{RUNTIME}/wheelfile/archive.py",),
        (
            "tests/runtime/wheelfile/test_archive_members.py",
            "tests/runtime/wheelfile/test_archive.py",
            "tests/runtime/wheelfile/test_archive_content.py",
        ),
    ),
    "reconcile": Target(
        (f"{RUNTIME}/volume/reconcile.py",),
        (
            "tests/runtime/volume/test_bytecode.py",
            "tests/runtime/volume/test_volume.py",
            "tests/runtime/volume/test_installed_slots.py",
            "tests/runtime/install/test_plan.py",
            "tests/runtime/install/test_install.py",
            "tests/runtime/test_updates.py",
        ),
    ),
}

OPERATORS = re.compile(
    r"core/(AddNot|ReplaceAndWithOr|ReplaceOrWithAnd|ReplaceTrueWithFalse|ReplaceFalseWithTrue"
    r"|ReplaceBreakWithContinue|ReplaceContinueWithBreak|ExceptionReplacer|NumberReplacer"
    r"|RemoveDecorator|ZeroIterationForLoop"
    r"|ReplaceUnaryOperator_(Delete_Not|USub_UAdd|Delete_USub)"
    r"|ReplaceComparisonOperator_(Eq_(NotEq|LtE|GtE)|NotEq_(Eq|Lt|Gt)|Is_IsNot|IsNot_Is"
    r"|Lt_(LtE|GtE)|LtE_(Lt|Gt)|Gt_(GtE|LtE)|GtE_(Gt|Lt))"
    r"|ReplaceBinaryOperator_(Add_Sub|Sub_Add|Mul_FloorDiv|FloorDiv_Mul|Mod_Mul"
    r"|BitOr_BitAnd|BitAnd_BitOr|BitXor_BitAnd|LShift_RShift|RShift_LShift))"
)
"""The changes that are tried: each operator against its neighbours, not against all others."""


@dataclass(frozen=True)
class Change:
    """One changed source of a module."""

    module: str
    operator: str
    line: int
    text: str


def main(arguments: Sequence[str]) -> int:
    """Run the named targets; return 1 if a change was not noticed."""
    parser = argparse.ArgumentParser(description="Mutation testing (docs/mutation-testing.md).")
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=", ".join(TARGETS))
    parser.add_argument("--jobs", type=int, default=len(os.sched_getaffinity(0)), metavar="N")
    parser.add_argument("--like", default="", metavar="REGEX", help="only what it finds in a diff")
    options = parser.parse_args(arguments)
    names = options.targets or [*TARGETS]
    if unknown := {*names} - {*TARGETS}:
        parser.error(f"no such target: {', '.join(sorted(unknown))}")
    if os.geteuid() == 0:
        run_as_nobody(arguments)
    with tempfile.TemporaryDirectory(prefix="mutate-", ignore_cleanup_errors=True) as directory:
        copy = copied(Path(directory) / "tree")
        os.chdir(copy)
        sys.path.insert(0, str(copy / "sdk"))
        os.environ |= {"PYTHONPATH": sys.path[0], "HOME": directory, "TMPDIR": directory}
        tempfile.tempdir = directory
        rows = [it for name in names for it in run(TARGETS[name], options.jobs, options.like)]
    print("\n| module | changes | noticed | not noticed |\n|---|---|---|---|")
    for module, count, alive in rows:
        print(f"| `{module}` | {count} | {count - alive} | {alive} |")
    return 1 if any(alive for _, _, alive in rows) else 0


def run_as_nobody(arguments: Sequence[str]) -> None:
    """Start again as a user who can read every file, but not write root's."""
    rights = [f"--{kind}=-all,+dac_read_search" for kind in ("inh-caps", "ambient-caps")]
    user = [f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
    again = [sys.executable, str(Path(__file__).resolve()), *arguments]
    os.execvp("setpriv", ["setpriv", *user, *rights, *again])  # noqa: S606, S607


def copied(copy: Path) -> Path:
    """Copy the tracked files as they are now, since tests may leave other files."""
    command = ["git", "-c", "safe.directory=*", "ls-files", "-z"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, check=True)
    for name in filter(None, listed.stdout.decode().split("\0")):
        if (ROOT / name).is_file():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, copy / name)
    return copy


def run(target: Target, jobs: int, like: str = "") -> Iterator[tuple[str, int, int]]:
    """Print the unnoticed changes; yield for each module the number of all, and of these."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    if not passes(started(target, None, 600)):
        raise SystemExit(f"the tests fail without a change: {' '.join(target.tests)}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    took = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    for module in target.modules:
        changes = [it for it in changes_of(module) if re.search(like, difference(it, 0))]
        alive = 0
        for change in survivors_of(target, changes, jobs, SECONDS + int(5 * took)):
            alive += 1
            print(f"\n{change.operator} in {module}\n{difference(change, 2)}", flush=True)
        yield module, len(changes), alive


def survivors_of(
    target: Target, changes: Sequence[Change], jobs: int, seconds: int
) -> Iterator[Change]:
    """The changes with which the tests pass."""
    running: dict[int, Change] = {}
    waiting = list(changes)
    while waiting or running:
        while waiting and len(running) < jobs:
            change = waiting.pop()
            running[started(target, change, seconds)] = change
        process, status = os.wait()
        change = running.pop(process)
        print(f"\r{len(waiting)} left ", end="", file=sys.stderr, flush=True)
        if status == 0:
            yield change


def difference(change: Change, context: int) -> str:
    """How a change differs from the module, with so many lines before and after it."""
    old, new = Path(change.module).read_text("utf-8"), change.text
    lines = difflib.unified_diff(old.splitlines(), new.splitlines(), n=context, lineterm="")
    return "\n".join([*lines][2:])


def started(target: Target, change: Change | None, seconds: int) -> int:
    """A process in which the tests run with the change; with so many seconds of processor time."""
    process = os.fork()
    if process:
        return process
    status = 1
    try:
        os.setpgid(0, 0)
        silent = os.open(os.devnull, os.O_RDWR)
        for descriptor in (0, 1) if change is None else (0, 1, 2):
            os.dup2(silent, descriptor)
        resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
        sys.dont_write_bytecode = True
        if change is not None:
            put_in_place(change)
        plugins = [part for it in ("xdist", "cov", "cacheprovider") for part in ("-p", f"no:{it}")]
        plugins += ["-p", "no:hypothesispytest", "-o", "timeout=120"]
        own = f"--basetemp={tempfile.gettempdir()}/{os.getpid()}"
        status = int(pytest.main(["-x", "-q", own, *plugins, *target.tests]))
        shutil.rmtree(f"{tempfile.gettempdir()}/{os.getpid()}", ignore_errors=True)
    finally:
        os._exit(status)


def passes(process: int) -> bool:
    """Whether a process ends with 0."""
    return os.waitpid(process, 0)[1] == 0


def put_in_place(change: Change) -> None:
    """Make imports of the module use the changed source."""
    path = str(Path(change.module).resolve())
    real = SourceFileLoader.get_code

    def get_code(self: SourceFileLoader, name: str) -> CodeType | None:
        if self.path == path:
            return compile(change.text, path, "exec")
        return real(self, name)

    SourceFileLoader.get_code = get_code  # type: ignore[assignment, method-assign]


def changes_of(module: str) -> Iterator[Change]:
    """The changes that the operators make in code that runs."""
    text = Path(module).read_text("utf-8")
    places = inert(text)
    nodes = list(ast_nodes(get_ast(text)))
    for name in filter(OPERATORS.fullmatch, sorted(operator_names())):
        operator = get_operator(name)()
        found = [place[0] for node in nodes for place in operator.mutation_positions(node)]
        for occurrence, start in enumerate(found):
            if not any(first <= start < last for first, last in places):
                changed = mutate_code(text, operator, occurrence)
                if changed is not None and changed != text:
                    yield Change(module, name.removeprefix("core/"), start[0], changed)


def inert(text: str) -> list[tuple[Place, Place]]:
    """The ranges in which no code runs: annotations, options of dataclasses, `TYPE_CHECKING`."""
    found: list[ast.expr | None] = []
    for node in ast.walk(ast.parse(text)):
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


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
