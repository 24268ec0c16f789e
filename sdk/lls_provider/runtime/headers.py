"""Reads the header block of METADATA and WHEEL files: ``Key: value``, continued by indentation.

The body (a long description) is never looked at. `email` would do the same at the cost of an
import that a Pod's start can do without.
"""

from __future__ import annotations


class Headers:
    """The fields of a header block, by name without regard to case."""

    def __init__(self, data: bytes) -> None:
        """Raises ValueError for what is no UTF-8 or no header block."""
        self._fields: dict[str, list[str]] = {}
        last: list[str] | None = None
        for number, line in enumerate(data.decode("utf-8-sig").splitlines(), 1):
            if not line.strip():
                break
            if line[0] in " \t":
                if last is None:
                    raise ValueError(f"line {number} continues nothing")
                last[-1] += "\n" + line.strip()
                continue
            name, colon, value = line.partition(":")
            if not colon or not name or name != name.strip():
                raise ValueError(f"line {number} is no 'Key: value'")
            last = self._fields.setdefault(name.lower(), [])
            last.append(value.strip())

    def one(self, name: str) -> str:
        """The value of a field that must stand there once; raises ValueError otherwise."""
        values = self._fields.get(name.lower(), [])
        if len(values) != 1 or not values[0]:
            found = "is missing" if not values else f"stands there {len(values)} times"
            raise ValueError(f"the field {name} {found if values != [''] else 'is empty'}")
        return values[0]

    def optional(self, name: str) -> str | None:
        """The value of a field, None where it does not stand."""
        values = self._fields.get(name.lower())
        return values[0] if values else None

    def all(self, name: str) -> list[str]:
        """Every value of a field that may repeat."""
        return list(self._fields.get(name.lower(), []))
