"""Values that the results of several operations have in common."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Written:
    """A place that an image was written to, and the digest that it is known by there."""

    output: str
    digest: str

    def to_document(self) -> dict[str, str]:
        """The same as plain data, for ``--format json``."""
        return {"output": self.output, "digest": self.digest}
