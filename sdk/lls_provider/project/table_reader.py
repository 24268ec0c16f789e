"""Reads a table of ``pyproject.toml`` key by key and collects every complaint with its place."""

from __future__ import annotations

import datetime
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from lls_provider.contract.schema import load_schema, nearest, shown
from lls_provider.errors import Code, Problem

if TYPE_CHECKING:
    from lls_provider.project.pyproject import PyProject, Step


@dataclass(frozen=True, slots=True)
class KeyRule:
    """What a text must be: one of ``choices``, or something that ``pattern`` finds."""

    about: str
    choices: tuple[str, ...] = ()
    pattern: str = ""

    def allows(self, text: str) -> bool:
        """Whether ``text`` keeps the rule."""
        if self.choices and text not in self.choices:
            return False
        pattern = re.sub(r"\$$", r"\\Z", self.pattern)
        return re.search(pattern, text) is not None


def metadata_rule(part: str, name: str) -> KeyRule:
    """The contract's own rule for a field of the metadata (contract section 1)."""
    schema = load_schema("provider-package")["properties"][part]["properties"][name]
    return KeyRule(schema["description"], tuple(schema.get("enum", ())), schema.get("pattern", ""))


@dataclass(slots=True)
class TableReader:
    """One table; sections of the same file share their list of problems."""

    project: PyProject
    path: tuple[Step, ...]
    table: dict[str, Any]
    problems: list[Problem]
    asked: list[str] = field(default_factory=list)

    @property
    def title(self) -> str:
        """The table as TOML writes it: ``[tool.lls-provider]``."""
        if not self.path:
            return "the file"
        return "[" + ".".join(str(step) for step in self.path if isinstance(step, str)) + "]"

    def text(self, key: str, rule: KeyRule | None = None, *, required: str = "") -> str | None:
        """A text; ``required`` is a line that would set it, reported when it is missing."""
        value = self._get(key, required)
        if value is None:
            return None
        if not isinstance(value, str):
            self._wrong_type(key, "text", value)
            return None
        return value if rule is None or self._keeps(rule, value, key) else None

    def texts(self, key: str) -> tuple[str, ...]:
        """A list of texts; a single one represents a list of one."""
        value = self._get(key)
        if value is None:
            return ()
        found = value if isinstance(value, list) else [value]
        for index, item in enumerate(found):
            if not isinstance(item, str) or not item.strip():
                steps = (key, index) if isinstance(value, list) else (key,)
                self.tell(
                    Code.FIELD_TYPE,
                    f"{key} in {self.title} must be a list of texts, not {shown(item)}",
                    f'Write a list such as {key} = ["…"].',
                    *steps,
                )
                return ()
        return tuple(found)

    def number(self, key: str, default: int) -> int:
        """A whole number."""
        value = self._get(key)
        if value is None:
            return default
        if not isinstance(value, int) or isinstance(value, bool):
            self._wrong_type(key, "a whole number", value)
            return default
        return value

    def mapping(self, key: str) -> dict[str, str]:
        """A table whose values are texts."""
        found = self.section(key)
        if found is None:
            return {}
        return {name: text for name in found.table if (text := found.text(name)) is not None}

    def plain(self, key: str) -> Any:
        """Any value that JSON and YAML can hold as well."""
        value = self._get(key)
        for steps, found in _not_plain(value, (key,)):
            self.tell(
                Code.FIELD_TYPE,
                f"{'.'.join(map(str, steps))} in {self.title} is {found}, which JSON cannot hold",
                "Write it as text, in quotes.",
                *steps,
            )
        return value

    def section(self, key: str, *, required: str = "") -> TableReader | None:
        """The table below ``key``."""
        value = self._get(key, required)
        if value is None:
            return None
        if not isinstance(value, dict):
            self._wrong_type(key, "a table", value)
            return None
        return TableReader(self.project, (*self.path, key), value, self.problems)

    def closed(self) -> None:
        """Complain about every key that was not requested."""
        for key in self.table:
            if key in self.asked:
                continue
            meant = nearest(key, [name for name in self.asked if name not in self.table])
            self.tell(
                Code.FIELD_UNKNOWN,
                f"unknown key {shown(key)} in {self.title}"
                + (f"; did you mean '{meant}'?" if meant else ""),
                f"Rename it to '{meant}'."
                if meant
                else f"Remove it; the known keys are {', '.join(sorted(self.asked))}.",
                key,
                key=True,
            )

    def tell(self, code: Code, what: str, resolution: str, *steps: Step, key: bool = False) -> None:
        """Complain about the place ``steps`` below this table."""
        path = (*self.path, *steps)
        where = self.project.where(path, key=key)
        self.problems.append(Problem(code, what, where, resolution, ".".join(map(str, path))))

    def _get(self, key: str, required: str = "") -> Any:
        if key not in self.asked:
            self.asked.append(key)
        value = self.table.get(key)
        if value is None and required:
            self.tell(
                Code.FIELD_MISSING,
                f"{key} is missing in {self.title}",
                f"Add a line such as: {required}",
                key,
            )
        return value

    def _keeps(self, rule: KeyRule, value: str, key: str) -> bool:
        if rule.allows(value):
            return True
        meant = nearest(value, rule.choices) if rule.choices else None
        self.tell(
            Code.FIELD_VALUE,
            f"{key} in {self.title} is {shown(value)}, expected {rule.about}"
            + (f"; did you mean '{meant}'?" if meant else ""),
            f"Write one of {', '.join(rule.choices)}."
            if rule.choices
            else f"Correct the value of {key}.",
            key,
        )
        return False

    def _wrong_type(self, key: str, noun: str, value: object) -> None:
        self.tell(
            Code.FIELD_TYPE,
            f"{key} in {self.title} must be {noun}, not {shown(value)}",
            f"Write {noun}.",
            key,
        )


def _not_plain(value: Any, steps: tuple[Step, ...]) -> Iterator[tuple[Sequence[Step], str]]:
    if isinstance(value, dict):
        for name, child in value.items():
            yield from _not_plain(child, (*steps, name))
    elif isinstance(value, list):
        for index, child in enumerate(value):
            yield from _not_plain(child, (*steps, index))
    elif isinstance(value, datetime.date | datetime.time):
        yield steps, f"the date or time {value.isoformat()}"
    elif isinstance(value, float) and not math.isfinite(value):
        yield steps, f"the number {value}"
