"""Reads the header block of METADATA and WHEEL files: ``Key: value``, continued by indentation.

The body (a long description) is never looked at. `email` would do the same at the cost of an
import that a Pod's start can do without.
"""

from __future__ import annotations

import re

# Other separators that str.splitlines knows are content: a Summary may hold U+2028.
_LINE_END = r"(?:\r\n|\n|\r(?!\n))"
_BLANK = re.compile(f"{_LINE_END}[ \t]*{_LINE_END}".encode())
_LINES = re.compile(_LINE_END)


class Headers:
    """The fields of a header block, by name without regard to case."""

    def __init__(self, data: bytes) -> None:
        """Raises ValueError for what is no UTF-8 or no header block."""
        blank = _BLANK.search(data)
        block = (data[: blank.start()] if blank is not None else data).decode("utf-8-sig")
        self.fields: dict[str, list[list[str]]] = {}
        """The lines of each value, by the name in lower case."""
        last: list[str] | None = None
        for number, line in enumerate(_LINES.split(block), 1):
            if not line.strip(" \t"):
                break
            if line[0] in " \t":
                if last is None:
                    raise ValueError(f"line {number} continues nothing")
                last.append(line.strip())
                continue
            name, colon, value = line.partition(":")
            if not colon or not name or name != name.strip():
                raise ValueError(f"line {number} is no 'Key: value'")
            last = [value.strip()]
            self.fields.setdefault(name.lower(), []).append(last)

    @classmethod
    def of(cls, fields: dict[str, list[list[str]]]) -> Headers:
        """Those that ``fields`` of another gave."""
        headers = cls(b"")
        headers.fields = fields
        return headers

    def one(self, name: str) -> str:
        """The value of a field that must stand there once; raises ValueError otherwise."""
        values = self.all(name)
        if len(values) != 1 or not values[0]:
            found = "is missing" if not values else f"stands there {len(values)} times"
            raise ValueError(f"the field {name} {found if values != [''] else 'is empty'}")
        return values[0]

    def optional(self, name: str) -> str | None:
        """The value of a field, None where it does not stand."""
        values = self.fields.get(name.lower())
        return "\n".join(values[0]) if values else None

    def all(self, name: str) -> list[str]:
        """Every value of a field that may repeat."""
        return ["\n".join(lines) for lines in self.fields.get(name.lower(), [])]
