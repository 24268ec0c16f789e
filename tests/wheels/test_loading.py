from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from lls_provider.errors import Code, SdkError
from lls_provider.wheels.distribution import Distribution
from lls_provider.wheels.loading import (
    agreed_versions,
    interpreter_of,
    join_closures,
    load_distributions,
    shared_versions,
)

if TYPE_CHECKING:
    from lls_provider.wheels.interpreter import Interpreter


@pytest.fixture
def servers(interpreter: Interpreter) -> tuple[Distribution, ...]:
    first = {"both": "1.10", "first": "1", "differs": "1"}
    second = {"both": "1.9", "second": "2", "differs": "2"}
    return (
        Distribution("one", first, interpreter, None),
        Distribution("two", second, interpreter, None),
    )


def test_what_all_have_is_shared_in_every_version(servers: tuple[Distribution, ...]) -> None:
    shared = shared_versions(servers)
    assert shared == {"both": ("1.9", "1.10"), "differs": ("1", "2")}
    assert join_closures(shared) == {"both": "1.9, 1.10", "differs": "1, 2"}
    assert shared_versions(()) == {}


def test_one_version_is_agreed_on(servers: tuple[Distribution, ...]) -> None:
    names = {"first", "second", "differs", "nobody"}
    assert agreed_versions(servers, names) == {"first": "1", "second": "2"}


def test_each_distribution_counts_once(tmp_path: Path, interpreter: Interpreter) -> None:
    freeze = tmp_path / "freeze.txt"
    freeze.write_text("demo==1\n")
    found = load_distributions([str(freeze)] * 2, python=str(interpreter.path))
    assert [it.label for it in found] == [str(freeze)]
    assert interpreter_of(found) == interpreter
    assert interpreter_of(()) is None


def test_all_run_on_the_newest_python_that_one_needs(
    tmp_path: Path, interpreter: Interpreter
) -> None:
    freeze = tmp_path / "freeze.txt"
    freeze.write_text("demo==1\n")
    needy = Distribution("needy", {}, interpreter, None)
    found = load_distributions([str(freeze), needy])
    assert {it.interpreter.minor for it in found} == {interpreter.minor}


def test_different_pythons_are_refused(interpreter: Interpreter) -> None:
    one = Distribution("one", {}, interpreter, None)
    other = replace(interpreter, version=(3, interpreter.version[1] + 1, 0))
    with pytest.raises(SdkError) as caught:
        load_distributions([one, Distribution("two", {}, other, None)])
    assert caught.value.code is Code.USAGE
    assert "two: Python" in caught.value.why
