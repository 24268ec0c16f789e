"""Finds a message of the contract in text that anything may surround (contract section 6)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from lls_provider.conformance.vectors import layouts
from lls_provider.contract.names import cr_name

_VALUE = re.compile(r"\{(\w+)\}")
_STARTS_LIMIT = 200  # places at which a message may begin; more is no log of an implementation


@dataclass(frozen=True, slots=True)
class MessagePattern:
    """A layout of which some values are fixed; the others are any text that is not empty."""

    layout: str
    values: Mapping[str, str]

    def parts(self) -> list[str]:
        """The fixed text, split where a free value stands."""
        values = dict(self.values)
        for name, key in (("declaredSection", "declaredAPI"), ("placementSection", "placementAPI")):
            if key in values:
                values[name] = cr_name(values[key])
        parts = [""]
        last = 0
        text = layouts()[self.layout]
        for match in _VALUE.finditer(text):
            parts[-1] += text[last : match.start()]
            last = match.end()
            if match[1] in values:
                parts[-1] += values[match[1]]
            else:
                parts.append("")
        parts[-1] += text[last:]
        return parts

    def find(self, text: str) -> str | None:
        """The message in ``text``, or None."""
        first, *rest = self.parts()
        start = -1
        for _ in range(_STARTS_LIMIT):
            start = text.find(first, start + 1)
            if start < 0:
                return None
            end = start + len(first)
            for part in rest:
                # a free value has at least one character
                found = text.find(part, end + 1) if part else len(text)
                if found < 0:
                    break
                end = found + len(part)
            else:
                return text[start:end]
        return None

    def shown(self) -> str:
        """The message with an ellipsis for each free value."""
        return "…".join(self.parts())
