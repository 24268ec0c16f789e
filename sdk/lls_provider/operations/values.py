"""What the arguments and the results of several operations have in common."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Written:
    """A place that an image was written to, and the digest that it is known by there."""

    output: str
    digest: str

    def to_document(self) -> dict[str, str]:
        """The same as plain data, for ``--format json``."""
        return {"output": self.output, "digest": self.digest}


def several(
    values: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
) -> tuple[str, ...]:
    """The texts of one value or of several; a lone text is one value, not its characters."""
    if isinstance(values, (str, os.PathLike)):
        return (os.fspath(values),)
    return tuple(os.fspath(value) for value in values)
