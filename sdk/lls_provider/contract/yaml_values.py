"""Makes plain data of nodes: which tags are read, how merge keys work, the limits of aliases."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import yaml

from lls_provider.contract.plain_data import Timestamp
from lls_provider.contract.yaml_text import (
    TAG,
    Composer,
    NodeTree,
    Pairs,
    compose,
    limit_error,
    short,
    where_of,
)
from lls_provider.errors import Code, Problem, SdkError, Where

if TYPE_CHECKING:
    from lls_provider.contract.limits import DocumentLimits

_MAP = TAG + "map"
_SEQ = TAG + "seq"
_STR = TAG + "str"
_MERGE = TAG + "merge"
_TIMESTAMP = TAG + "timestamp"
_SET = TAG + "set"
_PAIRS = frozenset({TAG + "omap", TAG + "pairs"})
# An unquoted "=" or "<<" as a value: no server uses the meaning that YAML 1.1 gives them.
_TEXT = frozenset({_STR, TAG + "value", _MERGE})
_NUMBER = frozenset({TAG + "int", TAG + "float"})


def read_plain(data: bytes, source: str, limits: DocumentLimits) -> NodeTree:
    """Read one document of plain data; raises SdkError as `document.load` says."""
    root, loader = compose(data, source, limits)
    builder = _Builder(loader, source, limits, NodeTree(root))
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


_Mark = tuple[str, str]


def _mark(node: yaml.Node) -> _Mark:
    """Equal for scalars of the same tag and text; a list or mapping equals only itself."""
    is_scalar = isinstance(node, yaml.ScalarNode)
    return node.tag, str(node.value) if is_scalar else str(id(node))


class _Builder:
    """Makes plain data of nodes, counting what aliases expand to and collecting problems."""

    def __init__(
        self, loader: Composer, source: str, limits: DocumentLimits, tree: NodeTree
    ) -> None:
        self.tree = tree
        self.problems: list[Problem] = []
        self._loader = loader
        self._source = source
        self._limits = limits
        self._count = 0
        self._text = 0  # characters
        self._open: list[int] = []  # ids of the nodes that are being built, outermost first
        self._reported: set[tuple[Where, str]] = set()

    def build(self, node: yaml.Node) -> Any:
        """The plain data of ``node``; a refused value becomes None and a problem."""
        self._spend(node, 1)
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node)
        if id(node) in self._open:
            self._add(Code.YAML_INVALID, node, "an alias is inside the value that it refers to")
            return None
        if len(self._open) >= self._limits.depth:
            raise limit_error(self._where(node), self._limits, "depth")
        self._open.append(id(node))
        try:
            if isinstance(node, yaml.SequenceNode):
                return self._sequence(node)
            assert isinstance(node, yaml.MappingNode)  # noqa: S101 - there is no fourth kind
            return self._mapping(node)
        finally:
            self._open.pop()

    def _sequence(self, node: yaml.SequenceNode) -> list[Any] | None:
        if node.tag in _PAIRS:
            return [self._pair(child, node) for child in node.value]
        if node.tag != _SEQ:
            self._refuse_tag(node)
            return None
        return [self.build(child) for child in node.value]

    def _pair(self, node: yaml.Node, pairs: yaml.SequenceNode) -> tuple[Any, Any] | None:
        """One entry of ``!!omap`` or ``!!pairs``, which the servers read as a tuple."""
        if not isinstance(node, yaml.MappingNode) or len(node.value) != 1:
            tag = pairs.tag.removeprefix(TAG)
            what = f"'!!{tag}' is a list of mappings of one key each"
            self._add(Code.YAML_INVALID, node, what)
            return None
        self._spend(node, 1)
        ((key, value),) = node.value
        return self.build(key), self.build(value)

    def _mapping(self, node: yaml.MappingNode) -> dict[Any, Any] | set[Any] | None:
        if node.tag not in (_MAP, _SET):
            self._refuse_tag(node)
            return None
        self._refuse_duplicates(node)
        result = {}
        for key_node, value_node in self._merge(node):
            if isinstance(key_node, yaml.ScalarNode):
                self._spend(key_node, 1)
                key = self._key(key_node)
                if not isinstance(key, str):
                    self.tree.keys[id(key_node)] = key
                result[key] = self.build(value_node)
            else:
                self._add(Code.YAML_INVALID, key_node, "a key must be a single value")
        return set(result) if node.tag == _SET else result

    def _refuse_duplicates(self, node: yaml.MappingNode) -> None:
        first: dict[Any, yaml.ScalarNode] = {}
        for key_node, _ in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                continue
            merge = key_node.tag == _MERGE
            key = (merge, self._key(key_node))
            if key in first:
                self._add(Code.DUPLICATE_KEY, key_node, *self._twice(node, first[key], key_node))
            first.setdefault(key, key_node)

    def _twice(
        self, node: yaml.MappingNode, first: yaml.ScalarNode, second: yaml.ScalarNode
    ) -> tuple[str, str]:
        """What is wrong with a key that appears twice, and what to do."""
        one, other = short(first.value), short(second.value)
        lines = first.start_mark.line + 1, second.start_mark.line + 1
        if first.value != second.value:
            what = (
                f"the keys '{one}' (line {lines[0]}) and '{other}' (line {lines[1]}) are the same"
            )
            text = f"Remove one of the two, or quote the one that is meant as text: '{other}'."
            return f"{what} to a reader of YAML", text
        what = f"the key '{other}' appears twice, first in line {lines[0]}"
        if second.tag == _MERGE:
            return what, f"Keep both in one, the last first: {self._one_merge(node)}"
        return what, "Keep one of the two: a reader would silently take the last."

    def _one_merge(self, node: yaml.MappingNode) -> str:
        """One ``<<`` in place of several, with the values that they have in PyYAML."""
        sources: list[yaml.Node] = []
        for key, value in reversed(node.value):
            if key.tag == _MERGE:
                is_list = isinstance(value, yaml.SequenceNode)
                sources += value.value if is_list else [value]
        names = [self._loader.names.get(id(source), "") for source in sources]
        text = f"<<: [{', '.join(f'*{name}' for name in names)}]."
        if all(names) and len(text) <= 200:
            return text
        return "<<: [*second, *first], with an anchor for each of the mappings."

    def _merge(self, node: yaml.MappingNode) -> Pairs:
        """The pairs of a mapping with those of its merge key in front, so that its own win."""
        pairs: Pairs = node.value
        if not any(key.tag == _MERGE for key, _ in pairs):
            return pairs
        if id(node) not in self.tree.merged:
            own, merged = [], []
            for key, value in pairs:
                if key.tag == _MERGE:
                    merged += list(self._merged_pairs(value))
                else:
                    own.append((key, value))
            self._spend(node, len(merged))
            self.tree.merged[id(node)] = merged + own
            for key, value in pairs:
                if key.tag == _MERGE and isinstance(value, yaml.SequenceNode):
                    self._dispute(key, value, {_mark(it) for it, _ in own})
        return self.tree.merged[id(node)]

    def _dispute(self, merge: yaml.Node, sources: yaml.SequenceNode, own: set[_Mark]) -> None:
        """Record the keys to which mappings of one ``<<`` give different values."""
        first: dict[_Mark, yaml.Node] = {}
        for source in sources.value:
            if isinstance(source, yaml.MappingNode):
                for mark, value in {_mark(key): it for key, it in self._merge(source)}.items():
                    other = first.setdefault(mark, value)
                    if mark not in own and _mark(other) != _mark(value):
                        own.add(mark)  # once is enough
                        self.tree.disputed.append((short(mark[1]), self._where(merge)))

    def _merged_pairs(self, value: yaml.Node) -> Iterator[tuple[yaml.Node, yaml.Node]]:
        # from a list of mappings the first wins, so it comes last
        sources = value.value[::-1] if isinstance(value, yaml.SequenceNode) else [value]
        for source in sources:
            if not isinstance(source, yaml.MappingNode):
                self._add(Code.YAML_INVALID, source, "'<<' takes a mapping or a list of mappings")
            elif id(source) in self._open:
                self._add(Code.YAML_INVALID, value, "'<<' names a mapping that it is part of")
            else:
                self._open.append(id(source))
                yield from self._merge(source)
                self._open.pop()

    def _key(self, node: yaml.ScalarNode) -> Any:
        """A key: two timestamps that are written in two ways are one key to a server."""
        key = self._scalar(node)
        if not isinstance(key, Timestamp):
            return key
        return self._constructed(node, Composer.construct_yaml_timestamp)

    def _scalar(self, node: yaml.ScalarNode) -> Any:
        text = str(node.value)
        if node.tag in _NUMBER and len(text) > self._limits.digits:
            raise limit_error(self._where(node), self._limits, "digits")
        if any("\ud800" <= character <= "\udfff" for character in text):
            self._add(Code.YAML_INVALID, node, "half a surrogate pair is not a character")
            return None
        if node.tag in _TEXT:
            return text
        construct = _CONSTRUCT.get(node.tag)
        if construct is None:
            self._refuse_tag(node)
            return None
        return self._constructed(node, construct)

    def _constructed(
        self, node: yaml.ScalarNode, construct: Callable[[Composer, yaml.ScalarNode], Any]
    ) -> Any:
        try:
            return construct(self._loader, node)
        except (ValueError, KeyError, IndexError, OverflowError, yaml.YAMLError):
            kind = node.tag.removeprefix(TAG)
            self._add(Code.YAML_INVALID, node, f"'{short(str(node.value))}' is not a valid {kind}")
            return None

    def _refuse_tag(self, node: yaml.Node) -> None:
        tag = short(node.tag.removeprefix(TAG))
        shown = tag if tag.startswith("!") else f"!!{tag}"
        self._add(
            Code.YAML_INVALID,
            node,
            f"the tag '{shown}' is refused: no server reads it",
            "Remove the tag; text, numbers, true, false, null, lists and mappings need none.",
        )

    def _add(
        self,
        code: Code,
        node: yaml.Node,
        what: str,
        resolution: str = "Correct the YAML at this place.",
    ) -> None:
        where = self._where(node)
        if (where, what) not in self._reported:  # what an alias repeats is reported once
            self._reported.add((where, what))
            self.problems.append(Problem(code, what, where, resolution))

    def _spend(self, node: yaml.Node, count: int) -> None:
        self._count += count
        if self._count > self._limits.nodes:
            raise limit_error(self._where(node), self._limits, "nodes")
        if isinstance(node, yaml.ScalarNode):
            self._text += len(node.value)
            if self._text > self._limits.size:
                raise limit_error(self._where(node), self._limits, "size")

    def _where(self, node: yaml.Node) -> Where:
        return where_of(self._source, node.start_mark)


def _timestamp(loader: Composer, node: yaml.ScalarNode) -> Timestamp:
    # "!!timestamp" may precede any text; what is not a timestamp must not be written unquoted
    tag = loader.resolve(yaml.ScalarNode, node.value, (True, False))  # type: ignore[no-untyped-call]
    if tag != _TIMESTAMP:
        raise ValueError(node.value)
    return Timestamp(node.value)


_CONSTRUCT = {
    TAG + "null": Composer.construct_yaml_null,
    TAG + "bool": Composer.construct_yaml_bool,
    TAG + "int": Composer.construct_yaml_int,
    TAG + "float": Composer.construct_yaml_float,
    TAG + "binary": Composer.construct_yaml_binary,
    _TIMESTAMP: _timestamp,
}
