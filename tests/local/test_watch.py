"""Watching sources: what is a change, when it is acted upon, and what a failure leaves."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path

import pytest

from lls_provider.errors import Code, SdkError
from lls_provider.local.plan import require_watchable
from lls_provider.local.watch import (
    POLL,
    QUIET,
    Snapshot,
    Watcher,
    changed_projects,
    is_source,
    keep_serving,
    snapshot,
)
from lls_provider.operations.targets import ProviderSource, SourceKind

ONE, TWO = Path("one"), Path("two")


class Clock:
    """Time that passes only while someone sleeps."""

    def __init__(self) -> None:
        self.time = 0.0

    def now(self) -> float:
        return self.time

    def sleep(self, seconds: float) -> None:
        self.time += seconds


def _snapshot(one: int, two: int = 0) -> Snapshot:
    return {ONE: {"a.py": (one, 1, 1)}, TWO: {"b.py": (two, 1, 1)}}


class Sources:
    """Sources that are as ``states`` says from a time on."""

    def __init__(self, clock: Clock, **states: Snapshot) -> None:
        self._clock = clock
        self._states = [(float(at[1:].replace("_", ".")), it) for at, it in states.items()]

    def look(self, _projects: Sequence[Path]) -> Snapshot:
        return [it for at, it in self._states if at <= self._clock.time][-1]


def _watcher(clock: Clock, sources: Sources) -> Watcher:
    return Watcher([ONE, TWO], look=sources.look, now=clock.now, sleep=clock.sleep)


def test_a_change_is_told_with_its_project_once_nothing_changes_any_more() -> None:
    clock = Clock()
    sources = Sources(clock, t0=_snapshot(1), t1=_snapshot(2), t1_1=_snapshot(3), t1_2=_snapshot(4))
    assert _watcher(clock, sources).wait(lambda: None) == {ONE}
    assert 1.2 + QUIET <= clock.time <= 1.2 + QUIET + POLL


def test_changes_of_several_projects_are_told_together() -> None:
    clock = Clock()
    sources = Sources(clock, t0=_snapshot(1), t1=_snapshot(2), t1_1=_snapshot(2, 2))
    assert _watcher(clock, sources).wait(lambda: None) == {ONE, TWO}


def test_a_file_that_comes_and_goes_is_no_change() -> None:
    clock = Clock()
    sources = Sources(
        clock, t0=_snapshot(1), t1=_snapshot(2), t1_1=_snapshot(1), t9=_snapshot(1, 2)
    )
    assert _watcher(clock, sources).wait(lambda: None) == {TWO}
    assert clock.time > 9


def test_a_change_during_a_run_is_told_at_once() -> None:
    clock = Clock()
    watcher = _watcher(clock, Sources(clock, t0=_snapshot(1), t1=_snapshot(2)))
    clock.sleep(5)
    assert watcher.wait(lambda: None) == {ONE}
    assert clock.time < 5 + QUIET + POLL


def test_what_ends_the_wait_comes_between_two_looks() -> None:
    clock = Clock()

    def stop() -> None:
        if clock.time > 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        _watcher(clock, Sources(clock, t0=_snapshot(1))).wait(stop)
    assert clock.time <= 3 + 2 * POLL


@pytest.mark.parametrize(
    ("path", "is_directory", "watched"),
    [
        ("pyproject.toml", False, True),
        ("src/acme_echo/provider.py", False, True),
        ("src/acme_echo/data/prompt.txt", False, True),
        ("src", True, True),
        ("src/acme_echo/build", True, True),
        ("src/acme_echo/tests", True, True),
        ("build", True, False),
        ("dist", True, False),
        ("tests", True, False),
        (".git", True, False),
        (".venv", True, False),
        ("venv", True, False),
        ("src/acme_echo/__pycache__", True, False),
        ("src/acme_echo.egg-info", True, False),
        ("src/acme_echo/.provider.py.swp", False, False),
        ("src/acme_echo/provider.py~", False, False),
        ("src/acme_echo/provider.pyc", False, False),
    ],
)
def test_what_is_a_source(path: str, is_directory: bool, watched: bool) -> None:
    assert is_source(path, is_directory=is_directory) is watched


@pytest.fixture
def project(tmp_path: Path) -> Path:
    root = tmp_path / "project"
    for name in ("pyproject.toml", "src/acme/provider.py", "build/out.txt", ".git/index"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(name)
    (root / "src" / "loop").symlink_to(root)
    return root


def _replace(project: Path) -> None:
    new = project / "src" / "acme" / ".new"
    new.write_text("src/acme/provider.py")
    before = (project / "src/acme/provider.py").stat()
    os.utime(new, ns=(before.st_atime_ns, before.st_mtime_ns))
    new.rename(project / "src/acme/provider.py")


@pytest.mark.parametrize(
    ("change", "is_change"),
    [
        (lambda it: (it / "pyproject.toml").write_text("x"), True),
        (lambda it: (it / "src/acme/new.py").write_text(""), True),
        (lambda it: (it / "src/acme/provider.py").unlink(), True),
        (_replace, True),
        (lambda it: (it / "build/out.txt").write_text("other"), False),
        (lambda it: (it / ".git/index").write_text("other"), False),
        (lambda it: (it / "src/acme/__pycache__").mkdir(), False),
    ],
    ids=["settings", "new", "removed", "replaced", "build", "git", "bytecode"],
)
def test_a_change_on_disk_is_seen(
    project: Path, change: Callable[[Path], object], is_change: bool
) -> None:
    before = snapshot([project])
    assert set(before[project]) == {"pyproject.toml", "src/acme/provider.py"}
    change(project)
    assert changed_projects(before, snapshot([project])) == ({project} if is_change else set())


def test_a_project_that_is_not_there_has_no_sources(tmp_path: Path) -> None:
    assert snapshot([tmp_path / "absent"]) == {tmp_path / "absent": {}}


class Served:
    """A run of which some steps fail; ``told`` is what happened, in order."""

    def __init__(self, **failing: Iterator[SdkError | None]) -> None:
        self.told: list[str] = []
        self._failing = failing

    def run(self) -> None:
        self._step("run")

    def again(self, changed: Collection[Path]) -> None:
        self._step("again", *map(str, sorted(changed)))

    def confirm(self) -> None:
        self._step("confirm")

    def require_alive(self) -> None:
        self._step("alive")

    def served(self, seconds: float) -> None:
        self.told.append(f"served {seconds:g}")

    def failed(self, error: SdkError) -> None:
        self.told.append(f"failed {error.what}")

    def _step(self, name: str, *words: str) -> None:
        if name != "alive":
            self.told.append(" ".join((name, *words)))
        error = next(self._failing.get(name, iter(())), None)
        if error is not None:
            raise error


def _keep_serving(up: Served, *changes: float) -> list[str]:
    """Serve while a project changes at these times, then stop as by a signal."""
    clock = Clock()
    states = {f"t{at:g}": _snapshot(number) for number, at in enumerate((0.0, *changes))}
    watcher = _watcher(clock, Sources(clock, **states))
    alive = up.require_alive

    def require_alive() -> None:
        if clock.time > 50:
            raise KeyboardInterrupt
        alive()

    up.require_alive = require_alive  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        keep_serving(up, watcher, up, clock.now)
    return up.told


def _error(what: str) -> SdkError:
    return SdkError(Code.WHEEL_BUILD_FAILED, what, resolution="Correct it.")


def test_each_change_is_served_and_confirmed_until_the_signal() -> None:
    assert _keep_serving(Served(), 10, 20) == [
        *("run", "served 0", "confirm"),
        *("again one", "served 0", "confirm"),
        *("again one", "served 0", "confirm"),
    ]


def test_what_fails_is_told_and_the_next_change_waited_for() -> None:
    up = Served(run=iter([_error("build")]), again=iter([None, _error("install")]))
    assert _keep_serving(up, 10, 20, 30) == [
        *("run", "failed build"),
        *("again one", "served 0", "confirm"),
        *("again one", "failed install"),
        *("again one", "served 0", "confirm"),
    ]


def test_what_preflight_refuses_later_is_told_after_it_was_served() -> None:
    up = Served(confirm=iter([None, _error("preflight")]))
    assert _keep_serving(up, 10) == [
        *("run", "served 0", "confirm"),
        *("again one", "served 0", "confirm", "failed preflight"),
    ]


def test_a_server_that_ends_by_itself_is_told_and_the_next_change_waited_for() -> None:
    up = Served(alive=iter([None, _error("server ended")]))
    assert _keep_serving(up, 10) == [
        *("run", "served 0", "confirm", "failed server ended"),
        *("again one", "served 0", "confirm"),
    ]


def test_without_a_project_there_is_nothing_to_watch() -> None:
    image = ProviderSource("oci:x", SourceKind.IMAGE)
    project = ProviderSource("x", SourceKind.PROJECT, ONE)
    with pytest.raises(SdkError) as caught:
        require_watchable([image], check=False)
    assert caught.value.code is Code.USAGE
    require_watchable([image, project], check=False)  # the advice
    with pytest.raises(SdkError) as caught:
        require_watchable([project], check=True)
    assert caught.value.code is Code.USAGE
