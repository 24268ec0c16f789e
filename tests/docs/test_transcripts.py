"""What reads the tutorial finds what is wrong in it."""

from __future__ import annotations

import pytest
from tests.docs.transcripts import Command, Edit, Excerpt, matches, steps

PAGE = """\
```console
$ one \\
    --long
out
…
end
$ two
```

<!-- in a/b.toml: x = 1 => x = 2 -->
```toml
x = 1
```
```text
no command
```
"""


def test_a_page_is_read_in_its_order() -> None:
    assert list(steps(PAGE)) == [
        Command("one --long", "out\n…\nend\n"),
        Command("two", ""),
        Edit("a/b.toml", "x = 1", "x = 2"),
        Excerpt("x = 1\n"),
    ]


@pytest.mark.parametrize(
    ("shown", "output", "same"),
    [
        ("a\nb\n", "a\nb\n", True),
        ("a\nb\n", "a\n", False),
        ("a\n", "a\nb\n", False),
        ("…\nb\n", "a\nc\nb\n", True),
        ("…\nb\n", "b\n", True),
        ("a\n…\n", "a\nb\nc\n", True),
        ("a … d\n", "a b c d\n", True),
        ("a … d\n", "a b c e\n", False),
        ("done in 2.2 s\n", "done in 13.0 s\n", True),
        ("20.0 KB\n", "8 bytes\n", True),
        ("8 passed in 3.92s ===\n", "8 passed in 4s =========\n", True),
        ("8 passed\n", "7 passed\n", False),
        ("a\nb\n", "a\n  still resolving x, 1 min 30 s\nb\n", True),
        ("a\nb\n", "a\n  fetching: 10.0 MB, 2.5 MB/s, took 4 s\nb\n", True),
        ("a\nb\n", "a\n  still here\nb\n", False),
    ],
)
def test_output_is_compared_but_for_what_varies(shown: str, output: str, same: bool) -> None:
    assert matches(shown, output) is same
