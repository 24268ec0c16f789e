"""The JSON Schemas of ``contract/schemas``, checked with a position for every complaint.

Only the keywords that those schemas use are implemented; another one fails when the schema is
loaded. Which documents pass is what any JSON Schema draft-07 validator says (the tests compare
with ``jsonschema``), without the rules that no schema can express (`validation`).
"""

from __future__ import annotations

import datetime
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

from lls_provider import resources
from lls_provider.contract.plain_data import Timestamp
from lls_provider.errors import Code, Problem, Step, nearest_word
from lls_provider.untrusted import one_line

if TYPE_CHECKING:
    from lls_provider.contract.document import Document

SCHEMAS = (
    "provider-package",
    "external-providers",
    "crd-config",
    "externalproviders-cr",
    "manifest",
    "provider-file",
)
"""The kinds of documents; each is a file of ``contract/schemas``."""

_ANNOTATIONS = frozenset({"$schema", "$id", "title", "description", "default"})
_KEYWORDS = _ANNOTATIONS | {
    "$ref",
    "definitions",
    "type",
    "const",
    "enum",
    "pattern",
    "minLength",
    "maxLength",
    "minimum",
    "properties",
    "required",
    "additionalProperties",
    "propertyNames",
    "items",
}
_NOUNS = {
    "string": "text",
    "object": "a mapping",
    "array": "a list",
    "integer": "a whole number",
    "boolean": "true or false",
}

_SHOWN: dict[type, str] = {
    dict: "a mapping",
    list: "a list",
    set: "a set",
    tuple: "a pair",
    bytes: "binary data",
}

Schema = Mapping[str, Any]
Hint = Callable[[str], str | None]
"""What to do about an unknown key, where that is known."""


def problems(document: Document, schema: str, hint: Hint = lambda _: None) -> list[Problem]:
    """The complaints of a schema about a document, in no order. ``schema`` is one of `SCHEMAS`."""
    walk = _Walk(document, load_schema(schema), hint)
    walk.check(document.value, walk.root, ())
    return walk.found


@cache
def load_schema(name: str) -> Schema:
    """A schema of ``contract/schemas``; ValueError for a keyword that is not implemented."""
    schema: Schema = json.loads(resources.read_data(f"contract/schemas/{name}.json"))
    verify(schema)
    return schema


def verify(schema: Schema) -> None:
    """Raise ValueError when a schema uses what the walk does not implement."""
    for part in _parts(schema):
        unknown = part.keys() - _KEYWORDS
        if unknown:
            raise ValueError(f"keywords that are not implemented: {sorted(unknown)}")
        if "$ref" in part:
            _resolve(part, schema)
        if part.get("type", "object") not in _NOUNS:
            raise ValueError(f"type that is not implemented: {part['type']}")


def _parts(schema: Schema) -> Iterator[Schema]:
    """The schema and every schema in it."""
    yield schema
    for keyword in ("properties", "definitions"):
        for child in schema.get(keyword, {}).values():
            yield from _parts(child)
    for keyword in ("additionalProperties", "propertyNames", "items"):
        child = schema.get(keyword)
        if isinstance(child, dict):
            yield from _parts(child)
        elif not isinstance(child, bool | None):
            raise ValueError(f"not implemented: {keyword} {child}")  # noqa: TRY004 - one error


def _resolve(schema: Schema, root: Schema) -> Schema:
    reference = schema.get("$ref")
    if reference is None:
        return schema
    name = str(reference).removeprefix("#/definitions/")
    try:
        found: Schema = root["definitions"][name]
    except KeyError:
        raise ValueError(f"$ref that leads nowhere: {reference}") from None
    return found


def path_text(path: Sequence[Step]) -> str:
    """A path inside a document as people write it: ``providers.inference[0].module``."""
    text = ""
    for step in path:
        if isinstance(step, int) and not isinstance(step, bool):
            text += f"[{step}]"
        else:
            key = one_line(str(step) if len(str(step)) <= 100 else f"{str(step)[:97]}...")
            text += f".{key}" if text else key
    return text


def shown(value: object, text: str | None = None) -> str:
    """A value as a complaint shows it; ``text`` is how it was written."""
    if isinstance(value, str):
        short = value if len(value) <= 60 else f"{value[:57]}..."
        kind = "the timestamp " if isinstance(value, Timestamp) else ""
        return f"{kind}'{short}'" if short.isprintable() else f"{kind}{short!r}"
    if value is None:
        return "no value"
    if type(value) in _SHOWN:
        return _SHOWN[type(value)]
    if isinstance(value, datetime.date):  # a key: as a value it is a Timestamp
        return f"the timestamp '{value}'"
    if isinstance(value, bool):
        return f"the truth value {text or str(value).lower()}"
    return f"the number {text or value}"


def _is(value: object, kind: str) -> bool:
    if kind == "string":
        return isinstance(value, str) and not isinstance(value, Timestamp)
    if kind == "integer":
        if isinstance(value, bool):
            return False
        return isinstance(value, int) or (isinstance(value, float) and value.is_integer())
    if kind == "boolean":
        return isinstance(value, bool)
    return isinstance(value, dict if kind == "object" else list)


def _equal(value: object, expected: object) -> bool:
    """Equality as JSON has it: true is not 1."""
    return isinstance(value, bool) == isinstance(expected, bool) and value == expected


def _pattern(text: str) -> re.Pattern[str]:
    """A schema's pattern; ``$`` is the end of the text, not the place before a last newline."""
    if text.endswith("$"):
        text = text[:-1] + r"\Z"
    return re.compile(text)


class _Walk:
    """One walk over a document's value and the schema beside it."""

    def __init__(self, document: Document, root: Schema, hint: Hint) -> None:
        self.document = document
        self.root = root
        self.hint = hint
        self.found: list[Problem] = []

    def check(self, value: Any, schema: Schema, path: tuple[Step, ...]) -> None:
        """Collect the complaints about ``value``."""
        schema = _resolve(schema, self.root)
        kind = schema.get("type")
        if kind is not None and not _is(value, kind):
            self._wrong_type(value, kind, schema, path)
            return
        if not self._allowed(value, schema):
            self._wrong_value(value, schema, path)
        if isinstance(value, dict):
            self._mapping(value, schema, path)
        elif isinstance(value, list) and "items" in schema:
            for index, item in enumerate(value):
                self.check(item, schema["items"], (*path, index))

    def _allowed(self, value: Any, schema: Schema) -> bool:
        if "const" in schema and not _equal(value, schema["const"]):
            return False
        if "enum" in schema and not any(_equal(value, choice) for choice in schema["enum"]):
            return False
        if isinstance(value, str) and not isinstance(value, Timestamp):
            if len(value) < schema.get("minLength", 0):
                return False
            if len(value) > schema.get("maxLength", len(value)):
                return False
            return "pattern" not in schema or bool(_pattern(schema["pattern"]).search(value))
        if isinstance(value, int | float) and not isinstance(value, bool):
            # NaN is no less than anything, itself included
            return "minimum" not in schema or bool(value >= schema["minimum"])
        return True

    def _mapping(self, value: dict[Any, Any], schema: Schema, path: tuple[Step, ...]) -> None:
        properties = schema.get("properties", {})
        rest = schema.get("additionalProperties", {})
        for key in schema.get("required", ()):
            if key not in value:
                self._missing(key, properties.get(key, {}), path)
        for key, child in value.items():
            here = (*path, key)
            if not isinstance(key, str):
                what = f"{self._in(path)} has the key {shown(key)}, expected text"
                text = f"Quote the key: '{key}'."
                self._add(Code.FIELD_TYPE, what, (*path, str(key)), text, key=True, at=here)
            elif key in properties:
                self.check(child, properties[key], here)
            elif rest is False:
                self._unknown(key, list(properties), here)
            else:
                names = schema.get("propertyNames")
                if names is not None and not self._allowed(key, names):
                    what = f"the key {shown(key)} in {self._in(path)} is not {names['description']}"
                    self._add(Code.FIELD_VALUE, what, here, "Correct the key.", key=True)
                if isinstance(rest, dict):
                    self.check(child, rest, here)

    def _missing(self, key: str, schema: Schema, path: tuple[Step, ...]) -> None:
        schema = _resolve(schema, self.root)
        about = schema.get("description", "")
        entry = f"{key}: {schema['const']}" if "const" in schema else key
        self._add(
            Code.FIELD_MISSING,
            f"{path_text((*path, key))} is missing" + (f": {about}" if about else ""),
            (*path, key),
            f"Add '{entry}' to {self._in(path)}.",
            at=path,
        )

    def _unknown(self, key: str, known: list[str], path: tuple[Step, ...]) -> None:
        what = f"unknown key {shown(key)} in {self._in(path[:-1])}"
        resolution = self.hint(key)
        meant = nearest_word(key, known)
        if resolution is None and meant is not None:
            what += f"; did you mean '{meant}'?"
            resolution = f"Rename it to '{meant}'."
        elif resolution is None:
            resolution = f"Remove it; the known keys are {', '.join(known)}."
        self._add(Code.FIELD_UNKNOWN, what, path, resolution, key=True)

    def _wrong_type(self, value: Any, kind: str, schema: Schema, path: tuple[Step, ...]) -> None:
        text = self.document.text(path)
        what = f"{self._in(path)} must be {_NOUNS[kind]}, not {shown(value, text)}"
        resolution = f"Write {schema.get('description', _NOUNS[kind])}."
        if kind == "string" and isinstance(value, Timestamp | int | float):
            resolution = f"Quote it: '{text if text is not None else value}'"
        self._add(Code.FIELD_TYPE, what, path, resolution)

    def _wrong_value(self, value: Any, schema: Schema, path: tuple[Step, ...]) -> None:
        what = f"{self._in(path)} is {shown(value, self.document.text(path))}"
        about = schema.get("description", "another value")
        resolution = f"Correct the value of {self._in(path)}."
        if "const" in schema:
            what += f", expected {shown(schema['const'])}"
            resolution = f"Write {schema['const']}, if this is the right file."
        elif "enum" in schema:
            meant = nearest_word(str(value), schema["enum"])
            what += f", expected {about}" + (f"; did you mean '{meant}'?" if meant else "")
            resolution = f"Write one of {', '.join(schema['enum'])}."
        else:
            what += f", expected {about}"
        self._add(Code.FIELD_VALUE, what, path, resolution)

    def _in(self, path: tuple[Step, ...]) -> str:
        return path_text(path) or "the document"

    def _add(
        self,
        code: Code,
        what: str,
        path: tuple[Step, ...],
        resolution: str,
        *,
        key: bool = False,
        at: tuple[Step, ...] | None = None,
    ) -> None:
        where = self.document.where(path if at is None else at, key=key)
        self.found.append(Problem(code, what, where, resolution, path_text(path)))
