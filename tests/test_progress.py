"""How numbers are reported to people."""

from __future__ import annotations

import pytest

from lls_provider.progress import counted, shown_size


@pytest.mark.parametrize(
    ("number", "shown"), [(0, "0 wheels"), (1, "1 wheel"), (2, "2 wheels"), (2300, "2,300 wheels")]
)
def test_a_noun_takes_its_plural(number: int, shown: str) -> None:
    assert counted(number, "wheel") == shown


@pytest.mark.parametrize(
    ("size", "shown"),
    [
        (0, "0 bytes"),
        (1, "1 byte"),
        (999, "999 bytes"),
        (1000, "1.0 KB"),
        (18_977, "19.0 KB"),
        (999_949, "999.9 KB"),
        (999_951, "1.0 MB"),
        (167_000_000, "167.0 MB"),
        (999_960_000, "1.0 GB"),
        (3_141_592_653_589, "3,141.6 GB"),
    ],
)
def test_a_size_has_the_unit_that_fits(size: int, shown: str) -> None:
    assert shown_size(size) == shown
