"""Write the pages of the reference that follow from code: ``python tools/write_reference.py``.

``schemas.md`` has a table for each schema of ``contract/``, ``python-signatures.md`` the signature
and the docstring of each public name. A test compares both with what this script writes.
"""

from __future__ import annotations

import dataclasses
import inspect
import json
import re
import textwrap
from collections.abc import Callable, Iterable, Iterator, Mapping
from enum import Enum
from pathlib import Path
from typing import Any

import lls_provider

ROOT = Path(__file__).parents[1]
REFERENCE = ROOT / "docs" / "reference"
SCHEMAS = ROOT / "contract" / "schemas"

SCHEMAS_HEAD = """\
# Schemas

The keys of each document, from the JSON Schemas in [contract/](../../contract/README.md), which
also has the rules beyond them. A path such as `providers[].id` is the key `id` of each entry of
the list `providers`; `*` stands for any key.
"""
SIGNATURES_HEAD = """\
# Python signatures

Every public name of `lls_provider`, with what its docstring says. The [Python API](python-api.md)
explains how they belong together.
"""

Schema = Mapping[str, Any]


def schemas() -> str:
    """The page of the schemas."""
    return SCHEMAS_HEAD + "".join(
        _schema(path, json.loads(path.read_text("utf-8")))
        for path in sorted(SCHEMAS.rglob("*.json"))
    )


def _schema(path: Path, schema: Schema) -> str:
    link = f"../../{path.relative_to(ROOT).as_posix()}"
    rows = "".join(
        f"| `{key}` | {kind} | {'yes' if needed else 'no'} | {_cell(what)} |\n"
        for key, kind, needed, what in _keys(schema, schema, "")
    )
    about = str(schema.get("description", schema.get("title", "")))
    return (
        f"\n## {path.stem}\n\n{about[:1].upper()}{about[1:].rstrip('.')}. The file is\n"
        f"[`{path.relative_to(ROOT).as_posix()}`]({link}).\n\n"
        f"| key | type | required | what |\n|---|---|---|---|\n{rows}"
    )


def _keys(root: Schema, schema: Schema, path: str) -> Iterator[tuple[str, str, bool, str]]:
    """Each key below a schema: its path, type, whether it is required, and what it is."""
    found = dict(schema.get("properties", {}))
    if isinstance(schema.get("additionalProperties"), dict):
        found["*"] = schema["additionalProperties"]
    if len(found) > 3 and len({json.dumps(it) for it in found.values()}) == 1:  # one for each API
        found = {"API": {**next(iter(found.values())), "description": _each(found)}}
    for name, given in found.items():
        value = _resolved(root, given)
        place = f"{path}.{name}" if path else name
        yield place, _type(value), name in schema.get("required", ()), _about(value)
        inner = _resolved(root, value["items"]) if "items" in value else value
        yield from _keys(root, inner, f"{place}[]" if "items" in value else place)


def _each(names: Iterable[str]) -> str:
    return "a list of providers; API is " + ", ".join(f"`{name}`" for name in names)


def _resolved(root: Schema, schema: Schema) -> Schema:
    found = dict(schema)
    while "$ref" in found:
        target: Any = root
        for part in str(found.pop("$ref")).removeprefix("#/").split("/"):
            target = target[part]
        found = {**target, **found}
    return found


def _type(schema: Schema) -> str:
    kind = schema.get("type", "any")
    names = {"object": "mapping", "array": "list", "string": "text", "integer": "whole number"}
    kinds = kind if isinstance(kind, list) else [kind]
    return " or ".join(names.get(str(it), str(it)) for it in kinds)


def _about(schema: Schema) -> str:
    text = str(schema.get("description", ""))
    if "const" in schema:
        text += f"; always `{schema['const']}`"
    if "enum" in schema:
        text += "; one of " + ", ".join(f"`{it}`" for it in schema["enum"])
    if "default" in schema:
        text += f"; default `{json.dumps(schema['default']).strip(chr(34))}`"
    return text


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def signatures() -> str:
    """The page of the public names."""
    named = {name: getattr(lls_provider, name) for name in lls_provider.__all__}
    functions = {name: it for name, it in named.items() if inspect.isroutine(it)}
    classes = {name: it for name, it in named.items() if inspect.isclass(it)}
    page = SIGNATURES_HEAD + "\n## Functions\n"
    for name, function in sorted(functions.items()):
        page += f"\n### {name}\n\n{_code(name, function)}\n{_said(function)}\n"
    page += "\n## Classes\n"
    for name, kind in sorted(classes.items()):
        page += f"\n### {name}\n\n{_class(name, kind)}"
    return page


def _class(name: str, kind: type) -> str:
    text = _said(kind) + "\n"
    rows = [f"| `{field}` | `{annotation}` |\n" for field, annotation in _fields(kind)]
    if rows:
        text += "\n| field | type |\n|---|---|\n" + "".join(rows)
    if issubclass(kind, Enum):
        members = textwrap.fill(" ".join(member.name for member in kind), 80)
        return f"{text}\nMembers:\n\n```text\n{members}\n```\n"
    for method, value in vars(kind).items():
        if method.startswith("_"):
            continue
        if isinstance(value, property):
            text += f"\n`{name}.{method}`: {_said(value.fget)}\n"
        elif isinstance(value, (classmethod, staticmethod)) or inspect.isfunction(value):
            function: Any = getattr(value, "__func__", value)
            text += f"\n{_code(f'{name}.{method}', function)}\n{_said(function)}\n"
    return text


def _fields(kind: type) -> Iterator[tuple[str, str]]:
    if dataclasses.is_dataclass(kind):
        for field in dataclasses.fields(kind):
            yield field.name, _shown(field.type).replace("|", "\\|")


def _said(value: object) -> str:
    """A docstring without its indentation, with the code spans of Markdown."""
    text = inspect.cleandoc(getattr(value, "__doc__", None) or "")
    return re.sub(r"(?<!`)(`+)([^`]+)\1(?!`)", r"`\2`", text)


def _code(name: str, function: Callable[..., object]) -> str:
    found = inspect.signature(function)
    parts, starred = [], False
    for parameter in found.parameters.values():
        if parameter.name in ("self", "cls"):
            continue
        if parameter.kind is parameter.KEYWORD_ONLY and not starred:
            parts.append("*")
            starred = True
        parts.append(_parameter(parameter))
        starred = starred or parameter.kind is parameter.VAR_POSITIONAL
        if parameter.kind is parameter.POSITIONAL_ONLY:
            parts.append("/")
    inside = "".join(f"    {part},\n" for part in parts)
    head = f"{name}(\n{inside})" if parts else f"{name}()"
    return f"```python\n{head} -> {_shown(found.return_annotation)}\n```\n"


def _parameter(parameter: inspect.Parameter) -> str:
    many = {inspect.Parameter.VAR_POSITIONAL.name: "*", inspect.Parameter.VAR_KEYWORD.name: "**"}
    stars = many.get(parameter.kind.name, "")
    text = f"{stars}{parameter.name}: {_shown(parameter.annotation)}"
    default = parameter.default
    if default is parameter.empty:
        return text
    if isinstance(default, Enum):
        return f"{text} = {default}"
    plain = default is None or isinstance(default, (str, int, float, tuple))
    return f"{text} = {repr(default) if plain else '…'}"


def _shown(annotation: object) -> str:
    if annotation is inspect.Signature.empty:
        return "object"
    if isinstance(annotation, str):
        return annotation
    return str(getattr(annotation, "__name__", annotation))


PAGES: dict[str, Callable[[], str]] = {
    "schemas.md": schemas,
    "python-signatures.md": signatures,
}


def main() -> None:
    """Write the pages."""
    for name, write in PAGES.items():
        (REFERENCE / name).write_text(write(), "utf-8")


if __name__ == "__main__":
    main()
