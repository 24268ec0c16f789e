"""Plain data to YAML text, deterministic and safe for every reader of YAML."""

from __future__ import annotations

import re
import sys
from typing import Any

import yaml

from lls_provider.contract.jsontext import Timestamp

_TAG = "tag:yaml.org,2002:"
# PyYAML quotes what YAML 1.1 resolves. These are texts to it, but numbers, booleans or null to
# a reader of YAML 1.2 or to one that follows the letter of 1.1 (an operator in Go, say).
_AMBIGUOUS = re.compile(r"[-+]?\.?[0-9]|[-+]?\.(inf|nan)$|[yn]$", re.IGNORECASE)
# Texts of several lines that survive as a literal block in any reader.
_BLOCK = re.compile(r"[!-~]([\t -~]*[!-~])?(\n+[\t -~]*[!-~])+\n?")
_PRINTABLE = re.compile(r"[ -~\xa1-\u1fff\u2c00-\ud7ff\U00010000-\U0001f9ff]*")


class _Dumper(yaml.SafeDumper):
    def ignore_aliases(self, data: object) -> bool:  # noqa: ARG002
        return True

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, indentless)

    def text(self, data: str) -> yaml.ScalarNode:
        style = None
        if _BLOCK.fullmatch(data):
            style = "|"
        elif not _PRINTABLE.fullmatch(data):
            style = '"'
        elif _AMBIGUOUS.match(data):
            style = "'"
        return self.represent_scalar(_TAG + "str", data, style=style)

    def timestamp(self, data: Timestamp) -> yaml.ScalarNode:
        return self.represent_scalar(_TIMESTAMP, str(data))

    def whole(self, data: int) -> yaml.ScalarNode:
        # Python writes no number of more than 4,300 digits, and one in hexadecimal is shorter
        text = str(data) if abs(data) < _LONG else hex(data)
        return self.represent_scalar(_TAG + "int", text)

    def pairs(self, data: list[Any]) -> yaml.Node:
        """A list; one of tuples is what ``!!omap`` and ``!!pairs`` are read as."""
        if not data or not all(isinstance(item, tuple) and len(item) == 2 for item in data):
            return self.represent_list(data)
        entries = [
            yaml.MappingNode(
                _TAG + "map",
                [(self.represent_data(key), self.represent_data(value))],
                flow_style=False,
            )
            for key, value in data
        ]
        return yaml.SequenceNode(_TAG + "pairs", entries, flow_style=False)

    def unordered(self, data: set[Any]) -> yaml.Node:
        ordered = sorted(data, key=lambda item: (type(item).__name__, repr(item)))
        return self.represent_mapping(_TAG + "set", dict.fromkeys(ordered))


_TIMESTAMP = _TAG + "timestamp"
_LONG = 10**300
_Dumper.add_representer(str, _Dumper.text)
_Dumper.add_representer(int, _Dumper.whole)
_Dumper.add_representer(list, _Dumper.pairs)
_Dumper.add_representer(set, _Dumper.unordered)
_Dumper.add_representer(Timestamp, _Dumper.timestamp)


def dump(value: Any) -> str:
    """The value as YAML text; see `document.dump`."""
    try:
        text = yaml.dump(
            value,
            Dumper=_Dumper,
            default_flow_style=False,
            sort_keys=False,
            allow_unicode=True,
            width=sys.maxsize,
        )
    except yaml.representer.RepresenterError as error:
        raise TypeError(f"not plain data: {error}") from error
    # behind a single value PyYAML writes the end of the document, a line of its own
    return str(text).removesuffix("\n").removesuffix("\n...") + "\n"
