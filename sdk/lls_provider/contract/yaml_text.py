"""YAML text: parsed into nodes with positions, within limits, and written from plain data.

PyYAML's pure-Python loader composes the nodes: the one in C is not in the zipapp and differs in its
messages. What is written is deterministic and safe for every reader of YAML.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import yaml

from lls_provider.contract.limits import raise_hint
from lls_provider.contract.plain_data import Timestamp
from lls_provider.errors import Code, SdkError, Where
from lls_provider.untrusted import one_line

if TYPE_CHECKING:
    from lls_provider.contract.limits import DocumentLimits
    from lls_provider.errors import Step


TAG = "tag:yaml.org,2002:"

Pairs = list[tuple[yaml.Node, yaml.Node]]


@dataclass(slots=True)
class NodeTree:
    """The composed nodes of a document, kept to find positions."""

    root: yaml.Node
    value: Any = None
    merged: dict[int, Pairs] = field(default_factory=dict)  # by id(): mappings with a "<<"
    keys: dict[int, Any] = field(default_factory=dict)  # by id(): keys that are not text
    disputed: list[tuple[str, Where]] = field(default_factory=list)  # see `Document.disputed`

    def position(self, path: Sequence[Step], *, key: bool) -> tuple[int, int]:
        """Line and column, from 1, of the deepest node on ``path`` (or of its key)."""
        node = shown = self.root
        for step in path:
            found = self._child(node, step)
            if found is None:
                break
            key_node, node = found
            shown = key_node if key else node
        return shown.start_mark.line + 1, shown.start_mark.column + 1

    def text(self, path: Sequence[Step]) -> str | None:
        """The text of the scalar at ``path``; None when there is no scalar."""
        node = self.root
        for step in path:
            found = self._child(node, step)
            if found is None:
                return None
            node = found[1]
        return str(node.value) if isinstance(node, yaml.ScalarNode) else None

    def pairs(self, node: yaml.MappingNode) -> Pairs:
        """The pairs of a mapping; those from a merge key come first."""
        own: Pairs = node.value
        return self.merged.get(id(node), own)

    def _child(self, node: yaml.Node, step: Step) -> tuple[yaml.Node, yaml.Node] | None:
        if isinstance(node, yaml.SequenceNode):
            if isinstance(step, int) and 0 <= step < len(node.value):
                return node.value[step], node.value[step]
        elif isinstance(node, yaml.MappingNode):
            for key, value in reversed(self.pairs(node)):
                if self.keys.get(id(key), key.value) == step:
                    return key, value
        return None


def compose(data: bytes, source: str, limits: DocumentLimits) -> tuple[yaml.Node, Composer]:
    """The nodes of one document, and the loader that composed them.

    Raises SdkError YAML_INVALID or YAML_LIMIT.
    """
    text = _decode(data, source)
    try:
        loader = Composer(text, source, limits)
    except yaml.reader.ReaderError as error:
        raise SdkError(
            Code.YAML_INVALID,
            "Invalid YAML",
            why=f"the character U+{int(error.character):04X} is not allowed",
            where=_place(source, text[: error.position]),
            resolution='Remove the character, or write it as an escape in double quotes ("\\x00").',
        ) from error
    try:
        root = loader.get_single_node()
    except yaml.MarkedYAMLError as error:
        raise _syntax_error(source, error) from error
    except (ValueError, OverflowError) as error:
        # PyYAML does not catch what chr() raises for an escape beyond Unicode
        where = where_of(source, loader.get_mark())
        raise SdkError(
            Code.YAML_INVALID,
            "Invalid YAML",
            why="an escape that is not a character",
            where=where,
            resolution="Correct the escape; the largest is \\U0010FFFF.",
        ) from error
    if root is None or (root.tag == TAG + "null" and root.value == ""):
        raise SdkError(
            Code.YAML_INVALID,
            "The file is empty",
            where=Where(source, 1, 1),
            resolution="Write one YAML document into it.",
        )
    return root, loader


def _decode(data: bytes, source: str) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = error.object[: error.start].decode("utf-8", "replace")
        raise SdkError(
            Code.YAML_INVALID,
            "The file is not UTF-8 text",
            why=f"byte 0x{error.object[error.start]:02x}: {error.reason}",
            where=_place(source, before),
            resolution="Save the file in the encoding UTF-8.",
        ) from error


def _place(source: str, before: str) -> Where:
    """The position after the text ``before``."""
    lines = before.splitlines(keepends=True)
    if lines and lines[-1].endswith(("\n", "\r")):
        lines.append("")
    return Where(source, max(len(lines), 1), len(lines[-1]) + 1 if lines else 1)


class Composer(yaml.SafeLoader):
    """The loader that stops at the limits before recursion or memory do."""

    def __init__(self, text: str, source: str, limits: DocumentLimits) -> None:
        self.source = source
        self.limits = limits
        self.depth = 0
        self.nodes = 0
        self.aliases = 0
        self.names: dict[int, str] = {}  # by id(): the name under which a node was last used again
        super().__init__(text)

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        """Compose one node and what is in it."""
        if self.check_event(yaml.AliasEvent):
            self.aliases += 1
            self._limit("aliases", self.aliases)
        is_alias: bool = self.check_event(yaml.AliasEvent)
        event: yaml.Event = self.peek_event()  # type: ignore[no-untyped-call]
        self.nodes += 1
        self._limit("nodes", self.nodes)
        self.depth += 1
        # the value in the deepest level is one deeper, and adds no level
        self._limit("depth", self.depth - 1)
        node = super().compose_node(parent, index)
        if is_alias and isinstance(event, yaml.AliasEvent):
            self.names[id(node)] = str(event.anchor)
        self.depth -= 1
        return node

    def _limit(self, name: str, count: int) -> None:
        if count > getattr(self.limits, name):
            event: yaml.Event = self.peek_event()  # type: ignore[no-untyped-call]
            raise limit_error(where_of(self.source, event.start_mark), self.limits, name)


def _syntax_error(source: str, error: yaml.MarkedYAMLError) -> SdkError:
    mark = error.problem_mark or error.context_mark
    where = Where(file=source)
    why = short(error.problem or "not YAML", 200)
    if mark is not None:  # pragma: no branch - the scanner and the parser set one of the two
        where = where_of(source, mark)
        why += f" (line {where.line}, column {where.column})"
    if error.context and error.context_mark is not None:
        start = where_of(source, error.context_mark)
        why += f"\n{error.context} (line {start.line}, column {start.column})"
    resolution = "Correct the YAML at this place."
    if error.context == "expected a single document in the stream":
        why = f"a second document starts here (line {where.line}, column {where.column})"
        resolution = "Keep one document in the file: remove the second and its '---'."
    elif error.problem and "'\\t'" in error.problem:
        resolution = "Indent with spaces: YAML takes no tabs."
    return SdkError(Code.YAML_INVALID, "Invalid YAML", why=why, where=where, resolution=resolution)


def short(text: str, length: int = 60) -> str:
    """A text of the document, shortened for a message, on one line."""
    return one_line(text if len(text) <= length else f"{text[: length - 3]}...")


def where_of(source: str, mark: Any) -> Where:
    """The position of a mark of PyYAML."""
    return Where(source, mark.line + 1, mark.column + 1)


_COUNTED = {
    "size": "characters, aliases expanded",
    "depth": "levels",
    "nodes": "values",
    "aliases": "aliases",
    "digits": "characters in one number",
}


def limit_error(where: Where, limits: DocumentLimits, name: str) -> SdkError:
    """The error of a document that exceeds the limit ``name``."""
    limit: int = getattr(limits, name)
    return SdkError(
        Code.YAML_LIMIT,
        f"The document has more than {limit:,} {_COUNTED[name]}",
        where=where,
        resolution="Make it smaller (aliases count for all that they represent)"
        f"{raise_hint(name, limit)}.",
    )


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
        """A list; ``!!omap`` and ``!!pairs`` are read as a list of tuples."""
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


def dump_yaml(value: Any) -> str:
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
    # after a scalar PyYAML writes the end of the document, a line of its own
    return str(text).removesuffix("\n").removesuffix("\n...") + "\n"
