"""Manifests as text: YAML in the order and style in which people write it, with comments.

A comment is a key of its own in front of the key that it is about; `comment` makes it. It
disappears from the data (`plain`), and becomes a line of the text.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from itertools import count
from typing import Any

from lls_provider.contract.document import dump

_QUANTITY = re.compile(r"[0-9]+(m|Ki|Mi|Gi|Ti)")  # text to every reader of YAML
_NOT_FIRST = "a comment cannot be the first key of a list's entry"

Manifest = dict[str, Any]


class Comment(str):
    """A key that becomes a comment line."""

    __slots__ = ()


def comment(text: str) -> Comment:
    """The key for a comment in front of the next key; its value is None.

    It is one line of plain words, without a colon, so that YAML needs no quotes for it.
    """
    if re.search(r"[^ -~]|:|#", text):
        raise ValueError(f"not a comment that YAML writes plainly: {text!r}")
    return Comment(text)


def plain(value: Any) -> Any:
    """The data without comments."""
    if isinstance(value, Mapping):
        return {key: plain(it) for key, it in value.items() if not isinstance(key, Comment)}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return value


def manifest_text(manifest: Mapping[str, Any]) -> str:
    """One manifest as YAML. Raises ValueError when a comment begins an entry of a list."""
    text = dump(plain(manifest))
    # a mark that no text of a user has: a configuration is data, whatever it looks like
    mark = next(it for it in map("__comment{}__".format, count()) if it not in text)
    marked = dump(_marked(manifest, mark))
    return re.sub(rf"^( *){mark}(.*): null$", r"\1# \2", marked, flags=re.MULTILINE).replace(
        mark, ""
    )


def documents_text(manifests: Iterable[Mapping[str, Any]]) -> str:
    """Several manifests as one stream of YAML documents."""
    return "---\n".join(manifest_text(manifest) for manifest in manifests)


def _marked(value: Any, mark: str) -> Any:
    if isinstance(value, Mapping):
        return {
            f"{mark}{key}" if isinstance(key, Comment) else key: _marked(it, mark)
            for key, it in value.items()
        }
    if isinstance(value, (list, tuple)):
        if any(isinstance(item, Mapping) and _comes_first(item) for item in value):
            raise ValueError(_NOT_FIRST)
        return [_marked(item, mark) for item in value]
    if isinstance(value, str) and _QUANTITY.fullmatch(value):
        return f"{mark}{value}"  # or it would be quoted, for it begins with a digit
    return value


def _comes_first(item: Mapping[Any, Any]) -> bool:
    return isinstance(next(iter(item), None), Comment)
