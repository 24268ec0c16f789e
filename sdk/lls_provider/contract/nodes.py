"""YAML text to plain data, position by position, within limits.

PyYAML's pure-Python loader composes the nodes (the one in C is not in the zipapp and would
differ in its messages); what a node means is decided here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import yaml

from lls_provider.contract.document import Limits, Step, Timestamp
from lls_provider.errors import Code, Problem, SdkError, Where

_TAG = "tag:yaml.org,2002:"
_MAP = _TAG + "map"
_SEQ = _TAG + "seq"
_STR = _TAG + "str"
_MERGE = _TAG + "merge"
_TIMESTAMP = _TAG + "timestamp"
# An unquoted "=" or "<<" as a value: signs of YAML 1.1 that no server gives a meaning.
_TEXT = frozenset({_STR, _TAG + "value", _MERGE})
_NUMBER = frozenset({_TAG + "int", _TAG + "float"})

_Pairs = list[tuple[yaml.Node, yaml.Node]]


@dataclass(slots=True)
class Tree:
    """The composed nodes behind a document, kept to answer where something stands."""

    root: yaml.Node
    value: Any = None
    merged: dict[int, _Pairs] = field(default_factory=dict)  # by id(): mappings with a "<<"
    keys: dict[int, Any] = field(default_factory=dict)  # by id(): keys that are no text

    def position(self, path: Sequence[Step], *, key: bool) -> tuple[int, int]:
        """Line and column, from 1, of the deepest node on ``path`` (or of its key)."""
        node, at = self.root, self.root
        for step in path:
            found = self._child(node, step)
            if found is None:
                break
            key_node, node = found
            at = key_node if key else node
        return at.start_mark.line + 1, at.start_mark.column + 1

    def text(self, path: Sequence[Step]) -> str | None:
        """The text of the scalar at ``path``; None when there is no scalar."""
        node = self.root
        for step in path:
            found = self._child(node, step)
            if found is None:
                return None
            node = found[1]
        return str(node.value) if isinstance(node, yaml.ScalarNode) else None

    def pairs(self, node: yaml.MappingNode) -> _Pairs:
        """The pairs of a mapping; those that a merge key brought come first."""
        own: _Pairs = node.value
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


def compose(data: bytes, source: str, limits: Limits) -> Tree:
    """Read one document of plain data; raises SdkError as `document.load` tells."""
    text = _decode(data, source)
    root, loader = _compose(text, source, limits)
    builder = _Builder(loader, source, limits, Tree(root))
    builder.tree.value = builder.build(root)
    if builder.problems:
        raise _refusal(builder.problems, source)
    return builder.tree


def _refusal(problems: Sequence[Problem], source: str) -> SdkError:
    if len(problems) == 1:
        (problem,) = problems
        what = f"Invalid YAML: {problem.what}"
        return SdkError(problem.code, what, where=problem.where, resolution=problem.resolution)
    codes = {problem.code for problem in problems}
    return SdkError(
        codes.pop() if len(codes) == 1 else Code.YAML_INVALID,
        f"Invalid YAML: {len(problems)} problems",
        where=Where(file=source),
        resolution="Correct the file at the places listed.",
        problems=problems,
    )


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


class _Composer(yaml.SafeLoader):
    """The loader that stops at the limits before recursion or memory do."""

    def __init__(self, text: str, source: str, limits: Limits) -> None:
        self.source = source
        self.limits = limits
        self.depth = 0
        self.nodes = 0
        self.aliases = 0
        super().__init__(text)

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            self.aliases += 1
            self._limit("aliases", self.aliases, self.limits.aliases)
        self.nodes += 1
        self._limit("values", self.nodes, self.limits.nodes)
        self.depth += 1
        # the value in the deepest level stands one deeper, and adds no level
        self._limit("levels", self.depth - 1, self.limits.depth)
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node

    def _limit(self, what: str, count: int, limit: int) -> None:
        if count > limit:
            event: yaml.Event = self.peek_event()  # type: ignore[no-untyped-call]
            raise _limit_error(_at(self.source, event.start_mark), what, limit)


def _compose(text: str, source: str, limits: Limits) -> tuple[yaml.Node, _Composer]:
    try:
        loader = _Composer(text, source, limits)
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
        # PyYAML passes on what chr() says to an escape beyond Unicode
        where = _at(source, loader.get_mark())
        raise SdkError(
            Code.YAML_INVALID,
            "Invalid YAML",
            why="an escape that is no character",
            where=where,
            resolution="Correct the escape; the largest is \\U0010FFFF.",
        ) from error
    if root is None or (root.tag == _TAG + "null" and root.value == ""):
        raise SdkError(
            Code.YAML_INVALID,
            "The file is empty",
            where=Where(source, 1, 1),
            resolution="Write one YAML document into it.",
        )
    return root, loader


def _syntax_error(source: str, error: yaml.MarkedYAMLError) -> SdkError:
    mark = error.problem_mark or error.context_mark
    where = Where(file=source)
    why = _short(error.problem or "not YAML", 200)
    if mark is not None:
        where = _at(source, mark)
        why += f" (line {where.line}, column {where.column})"
    if error.context and error.context_mark is not None:
        start = _at(source, error.context_mark)
        why += f"\n{error.context} (line {start.line}, column {start.column})"
    resolution = "Correct the YAML at this place."
    if error.context == "expected a single document in the stream":
        why = f"a second document starts here (line {where.line}, column {where.column})"
        resolution = "Keep one document in the file: remove the second and its '---'."
    elif error.problem and "'\\t'" in error.problem:
        resolution = "Indent with spaces: YAML takes no tabs."
    return SdkError(Code.YAML_INVALID, "Invalid YAML", why=why, where=where, resolution=resolution)


def _short(text: str, length: int = 60) -> str:
    """A text of the document as far as a message shows it."""
    return text if len(text) <= length else f"{text[: length - 3]}..."


def _at(source: str, mark: Any) -> Where:
    return Where(source, mark.line + 1, mark.column + 1)


def _limit_error(where: Where, what: str, limit: int) -> SdkError:
    return SdkError(
        Code.YAML_LIMIT,
        f"The document has more than {limit:,} {what}",
        where=where,
        resolution="Make it smaller; aliases count for all that they stand for.",
    )


class _Builder:
    """Makes plain data of nodes, counting what aliases expand to and collecting problems."""

    def __init__(self, loader: _Composer, source: str, limits: Limits, tree: Tree) -> None:
        self.tree = tree
        self.problems: list[Problem] = []
        self._loader = loader
        self._source = source
        self._limits = limits
        self._count = 0
        self._open: list[int] = []  # ids of the nodes that are being built, outermost first
        self._told: set[tuple[Where, str]] = set()

    def build(self, node: yaml.Node) -> Any:
        """The plain data of ``node``; a refused value becomes None and a problem."""
        self._spend(node, 1)
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node)
        if id(node) in self._open:
            self._tell(Code.YAML_INVALID, node, "an alias stands inside of what it stands for")
            return None
        if len(self._open) >= self._limits.depth:
            raise _limit_error(self._where(node), "levels", self._limits.depth)
        self._open.append(id(node))
        try:
            if isinstance(node, yaml.SequenceNode):
                return self._sequence(node)
            assert isinstance(node, yaml.MappingNode)  # noqa: S101 - there is no fourth kind
            return self._mapping(node)
        finally:
            self._open.pop()

    def _sequence(self, node: yaml.SequenceNode) -> list[Any] | None:
        if node.tag != _SEQ:
            self._refuse_tag(node)
            return None
        return [self.build(child) for child in node.value]

    def _mapping(self, node: yaml.MappingNode) -> dict[Any, Any] | None:
        if node.tag != _MAP:
            self._refuse_tag(node)
            return None
        self._refuse_duplicates(node)
        result = {}
        for key_node, value_node in self._merge(node):
            if isinstance(key_node, yaml.ScalarNode):
                self._spend(key_node, 1)
                key = self._scalar(key_node)
                if not isinstance(key, str):
                    self.tree.keys[id(key_node)] = key
                result[key] = self.build(value_node)
            else:
                self._tell(Code.YAML_INVALID, key_node, "a key must be a single value")
        return result

    def _refuse_duplicates(self, node: yaml.MappingNode) -> None:
        first: dict[Any, yaml.Node] = {}
        for key_node, _ in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                continue
            merge = key_node.tag == _MERGE
            key = (merge, self._scalar(key_node))
            if key in first:
                line = first[key].start_mark.line + 1
                self._tell(
                    Code.DUPLICATE_KEY,
                    key_node,
                    f"the key '{_short(key_node.value)}' stands here twice, first in line {line}",
                    "Keep one of the two: a reader would silently take the last.",
                )
            first.setdefault(key, key_node)

    def _merge(self, node: yaml.MappingNode) -> _Pairs:
        """The pairs of a mapping with those of its merge key in front, so that its own win."""
        pairs: _Pairs = node.value
        if not any(key.tag == _MERGE for key, _ in pairs):
            return pairs
        if id(node) not in self.tree.merged:
            own, brought = [], []
            for key, value in pairs:
                if key.tag == _MERGE:
                    brought += list(self._brought(value))
                else:
                    own.append((key, value))
            self._spend(node, len(brought))
            self.tree.merged[id(node)] = brought + own
        return self.tree.merged[id(node)]

    def _brought(self, value: yaml.Node) -> Iterator[tuple[yaml.Node, yaml.Node]]:
        # from a list of mappings the first wins, so it comes last
        sources = value.value[::-1] if isinstance(value, yaml.SequenceNode) else [value]
        for source in sources:
            if not isinstance(source, yaml.MappingNode):
                self._tell(Code.YAML_INVALID, source, "'<<' takes a mapping or a list of mappings")
            elif id(source) in self._open:
                self._tell(Code.YAML_INVALID, value, "'<<' names a mapping that it is part of")
            else:
                self._open.append(id(source))
                yield from self._merge(source)
                self._open.pop()

    def _scalar(self, node: yaml.ScalarNode) -> Any:
        text = str(node.value)
        if node.tag in _NUMBER and len(text) > self._limits.digits:
            raise _limit_error(self._where(node), "characters in one number", self._limits.digits)
        if any("\ud800" <= character <= "\udfff" for character in text):
            self._tell(Code.YAML_INVALID, node, "half a surrogate pair is no character")
            return None
        if node.tag in _TEXT:
            return text
        construct = _CONSTRUCT.get(node.tag)
        if construct is None:
            self._refuse_tag(node)
            return None
        try:
            return construct(self._loader, node)
        except (ValueError, KeyError, IndexError, OverflowError):
            kind = node.tag.removeprefix(_TAG)
            self._tell(Code.YAML_INVALID, node, f"'{_short(text)}' is no {kind}")
            return None

    def _refuse_tag(self, node: yaml.Node) -> None:
        tag = _short(node.tag.removeprefix(_TAG))
        shown = tag if tag.startswith("!") else f"!!{tag}"
        self._tell(
            Code.YAML_INVALID,
            node,
            f"the tag '{shown}' is refused: only plain data is read",
            "Remove the tag; text, numbers, true, false, null, lists and mappings need none.",
        )

    def _tell(
        self,
        code: Code,
        node: yaml.Node,
        what: str,
        resolution: str = "Correct the YAML at this place.",
    ) -> None:
        where = self._where(node)
        if (where, what) not in self._told:  # what an alias repeats is told once
            self._told.add((where, what))
            self.problems.append(Problem(code, what, where, resolution))

    def _spend(self, node: yaml.Node, count: int) -> None:
        self._count += count
        if self._count > self._limits.nodes:
            raise _limit_error(self._where(node), "values", self._limits.nodes)

    def _where(self, node: yaml.Node) -> Where:
        return _at(self._source, node.start_mark)


def _timestamp(loader: _Composer, node: yaml.ScalarNode) -> Timestamp:
    # "!!timestamp" may stand before any text; one that is none must not be written unquoted
    tag = loader.resolve(yaml.ScalarNode, node.value, (True, False))  # type: ignore[no-untyped-call]
    if tag != _TIMESTAMP:
        raise ValueError(node.value)
    return Timestamp(node.value)


_CONSTRUCT = {
    _TAG + "null": _Composer.construct_yaml_null,
    _TAG + "bool": _Composer.construct_yaml_bool,
    _TAG + "int": _Composer.construct_yaml_int,
    _TAG + "float": _Composer.construct_yaml_float,
    _TIMESTAMP: _timestamp,
}
