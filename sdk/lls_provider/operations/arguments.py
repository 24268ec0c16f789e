"""Reads arguments that take one text or several."""

from __future__ import annotations

import os
from collections.abc import Sequence


def several(
    values: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
) -> tuple[str, ...]:
    """The texts of one value or of several; a lone text is one value, not its characters."""
    if isinstance(values, (str, os.PathLike)):
        return (os.fspath(values),)
    return tuple(os.fspath(value) for value in values)
