"""JSON as plain data within the limits of documents; anything unusual is left to the YAML reader.

JSON is read first because YAML 1.1 has other numbers (``1e3`` is text there), tabs and escapes.
What this reader refuses without a position, `document.load` refuses with line and column.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lls_provider.contract.limits import DocumentLimits

_SURROGATE = re.compile("[\ud800-\udfff]")


class Timestamp(str):
    """The text of an unquoted YAML timestamp, such as ``2026-11-22``.

    No field of ours is a timestamp, so a schema never accepts one as text. In free data
    it is text that `dump` writes back unquoted, so that the server reads the same value.
    """

    __slots__ = ()


def parse_json(data: bytes, limits: DocumentLimits, *, constants: bool = False) -> Any:
    """The value of a JSON text; raises ValueError for what `document.load` has to judge.

    That is text that is not UTF-8 (`json` itself would accept UTF-16), duplicate keys, NaN and
    Infinity, half of a surrogate pair, and what exceeds a limit. `json.JSONDecodeError` is a
    ValueError too. With ``constants``, NaN and Infinity are read as Python's `json` writes them.
    """
    text = data.decode("utf-8-sig")
    try:
        value = json.loads(
            text, object_pairs_hook=_unique, parse_constant=float if constants else _refuse
        )
    except RecursionError as error:
        raise ValueError("too many levels") from error
    _check(value, limits)
    return value


def _check(value: Any, limits: DocumentLimits) -> None:
    level, depth, count = [value], 0, 0
    while level:
        count += len(level)
        children: list[Any] = []
        for item in level:
            if isinstance(item, str):
                if _SURROGATE.search(item):
                    raise ValueError("half a surrogate pair")
            elif isinstance(item, dict):
                children += [*item, *item.values()]
            elif isinstance(item, list):
                children += item
        depth += any(isinstance(item, (dict, list)) for item in level)
        if depth > limits.depth or count > limits.nodes:
            raise ValueError("too many levels or values")
        level = children


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise ValueError("duplicate key")
    return value


def _refuse(name: str) -> None:
    raise ValueError(f"{name} is not JSON")
