"""Each trick for speed can still be taken away, or its benchmark would measure nothing."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from benchmarks.tricks import PACKAGE, ROOT, TRICKS, Trick, edit


@pytest.mark.parametrize("trick", TRICKS, ids=lambda it: it.name)
def test_a_trick_can_be_taken_away(trick: Trick, tmp_path: Path) -> None:
    for number, (module, text, new) in enumerate(trick.edits):
        copy = tmp_path / f"{number}.py"
        source = (ROOT / PACKAGE / module).read_text("utf-8")
        copy.write_text(source, "utf-8")
        edit(copy, text, new)
        assert ast.dump(ast.parse(copy.read_text("utf-8"))) != ast.dump(ast.parse(source))


def test_a_trick_that_is_gone_is_noticed(tmp_path: Path) -> None:
    (tmp_path / "module.py").write_text("a = 1\n")
    with pytest.raises(ValueError, match="0 times, not once"):
        edit(tmp_path / "module.py", "b = 1\n", "b = 2\n")
