"""Values of a TOML document by a path of keys, whatever an author wrote in their places."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def value_at(data: Mapping[str, Any], *keys: str) -> Any:
    """Return the value at a path of keys; None if there is none, or no table on the way to it."""
    found: Any = data
    for key in keys:
        found = found.get(key) if isinstance(found, dict) else None
    return found


def table_at(data: Mapping[str, Any], *keys: str) -> Mapping[str, Any]:
    """Return the table at a path of keys; an empty one if there is none."""
    found = value_at(data, *keys)
    return found if isinstance(found, dict) else {}
