"""The final configuration: its external providers, their IDs, and what the server will not serve.

A provider ID may refer to environment variables, as every server line reads them: ``${env.NAME}``
is the variable's value, ``${env.NAME:=text}`` the text if the variable is unset or empty,
``${env.NAME:+text}`` the text if it is set and nothing otherwise. Anything else is text. A server
skips an entry whose ID becomes empty or ``__disabled__``, and of several entries with one ID
in an API it uses the last.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from packaging.utils import canonicalize_name
from packaging.version import Version

from lls_provider.contract.names import unloadable
from lls_provider.contract.schema import path_text
from lls_provider.errors import Code, SdkError
from lls_provider.untrusted import one_line

if TYPE_CHECKING:
    from packaging.utils import NormalizedName

    from lls_provider.contract.document import Document


@dataclass(frozen=True, slots=True)
class ConfiguredProvider:
    """An entry of the configuration that names a module."""

    provider_id: str
    provider_type: str
    api: str
    module: str

    @property
    def package(self) -> str:
        """The module without the version that a server splits off."""
        return self.module.partition("==")[0]


def configured_providers(document: Document) -> list[ConfiguredProvider]:
    """The entries with a ``module``, in the order of the file; others are the server's own.

    Raises SdkError FIELD_TYPE or FIELD_MISSING with the place of an entry that no server reads.
    """
    value = document.value
    sections = value.get("providers") if isinstance(value, dict) else None
    if sections is None:
        return []
    found = []
    for api, entries in _pairs(document, sections):
        for index, entry in enumerate(entries or []):
            if not isinstance(entry, dict):
                path = ("providers", api, index)
                raise _shape(document, path, f"{path_text(path)} must be a mapping")
            if entry.get("module"):
                found.append(_entry(document, api, index, entry))
    return found


def provider_entries(document: Document) -> dict[str, list[dict[str, Any]]]:
    """All entries by API, the server's own too; `configured_providers` refuses other shapes."""
    value = document.value
    sections = value.get("providers") if isinstance(value, dict) else None
    return {
        str(api): [entry for entry in entries if isinstance(entry, dict)]
        for api, entries in (sections.items() if isinstance(sections, dict) else ())
        if isinstance(entries, list)
    }


def _pairs(document: Document, sections: Any) -> list[tuple[str, list[Any]]]:
    if not isinstance(sections, dict):
        raise _shape(document, ("providers",), "providers must be a mapping")
    for api, entries in sections.items():
        if entries is not None and not isinstance(entries, list):
            raise _shape(document, ("providers", str(api)), f"providers.{api} must be a list")
    return [(str(api), entries) for api, entries in sections.items()]


def _entry(document: Document, api: str, index: int, entry: dict[str, Any]) -> ConfiguredProvider:
    for field in ("provider_id", "provider_type", "module"):
        if not isinstance(entry.get(field), str) or not entry[field]:
            path = ("providers", api, index)
            raise _shape(document, path, f"providers.{api}[{index}].{field} must be text")
    return ConfiguredProvider(entry["provider_id"], entry["provider_type"], api, entry["module"])


def _shape(document: Document, path: tuple[str | int, ...], what: str) -> SdkError:
    return SdkError(
        Code.FIELD_TYPE,
        what,
        where=document.where(path),
        resolution="Correct the configuration, or the base that it was merged from.",
    )


_REFERENCE = re.compile(r"\$\{env\.([A-Z0-9_]+)(?::([=+])([^}]*))?\}")
_DISABLED = "__disabled__"
_SKIPPED = frozenset({"", _DISABLED})
_VARIABLES = 8  # in one ID; more are not evaluated


class IdMatch(NamedTuple):
    """When an entry has a certain ID."""

    condition: str
    """Such as ``when the variable X is set``; empty for an ID without references."""
    alone: bool
    """Whether the server skips the entry at all other times."""


def match_ids(written: object, provider_id: str) -> IdMatch | None:
    """When an entry whose ID is written as ``written`` has the ID ``provider_id``.

    None if it never has it, or only by the value of a variable: `resolve_reference` returns the ID
    if the variables are known.
    """
    if not isinstance(written, str):
        return None
    variables = list(dict.fromkeys(match[1] for match in _REFERENCE.finditer(written)))
    if not variables or len(variables) > _VARIABLES:
        return IdMatch("", alone=True) if written == provider_id else None
    texts = {
        states: _text(written, dict(zip(variables, states, strict=True)))
        for states in itertools.product((True, False), repeat=len(variables))
    }
    same = [states for states, text in texts.items() if text == provider_id]
    if not same:
        return None
    others = {text for states, text in texts.items() if states not in same}
    return IdMatch(_condition(variables, same), alone=others <= _SKIPPED)


def resolve_reference(written: object, env: Mapping[str, str]) -> str | None:
    """The ID that a server in ``env`` reads; None for an entry that it skips.

    An ID that is not text, or that names a variable without a value, counts as skipped: no server
    starts with it.
    """
    text = _in_environment(written, env)
    return text if text not in _SKIPPED else None


def is_disabled(written: object, env: Mapping[str, str]) -> bool:
    """Whether a server in ``env`` drops the entry before it loads the entry's module.

    It does not if the ID becomes empty: then the module is loaded and not used.
    """
    return _in_environment(written, env) == _DISABLED


def _in_environment(written: object, env: Mapping[str, str]) -> str | None:
    if not isinstance(written, str):
        return None
    states = {match[1]: bool(env.get(match[1])) for match in _REFERENCE.finditer(written)}
    return _text(written, states, env)


def _text(
    written: str, is_set: Mapping[str, bool], values: Mapping[str, str] | None = None
) -> str | None:
    """The ID if some variables are set; None if it depends on their values."""
    unknown = False

    def replacement(match: re.Match[str]) -> str:
        nonlocal unknown
        name, operator, text = match.groups()
        if operator == "+":
            return str(text) if is_set[name] else ""
        if operator == "=" and not is_set[name]:
            return str(text)
        if values is not None and is_set[name]:
            return values[name]
        unknown = True
        return ""

    found = _REFERENCE.sub(replacement, written)
    return None if unknown else found


def _condition(variables: list[str], same: list[tuple[bool, ...]]) -> str:
    if len(variables) > 1:
        return f"depending on the variables {', '.join(variables)}"
    if len(same) > 1:  # the text is the same in both states
        return ""
    when = "when" if same[0][0] else "unless"
    return f"{when} the variable {variables[0]} is set"


_SERVER = canonicalize_name("ogx")
_EMPTY_IS_NONE = Version("1.5.0.dev0")  # before, and in llama-stack, an empty list means all


def hidden_entries(document: Document, env: Mapping[str, str]) -> Iterator[str]:
    """A warning for each entry that another of its API hides, with the variables of ``env``.

    Two entries of the server's own are not reported: one of the two must have a module.
    """
    for api, entries in provider_entries(document).items():
        shown: dict[str, dict[str, Any]] = {}
        for entry in entries:
            identifier = resolve_reference(entry.get("provider_id"), env)
            if identifier is None:
                continue
            hidden = shown.get(identifier)
            if hidden is not None and (hidden.get("module") or entry.get("module")):
                yield (
                    f"Two providers of API '{one_line(api)}' have the ID "
                    f"'{one_line(identifier)}'; the server uses the "
                    f"last\n  Used: {_shown(entry)}\n  Not used: {_shown(hidden)}"
                )
            shown[identifier] = entry


def unloadable_entries(document: Document) -> Iterator[str]:
    """A warning for each external provider of an API that no supported server loads."""
    for api, entries in provider_entries(document).items():
        reason = unloadable(api)
        for entry in entries if reason else []:
            if entry.get("module"):
                yield f"Provider '{entry.get('provider_id')}': {reason}"


def unserved_apis(
    document: Document, server: Mapping[NormalizedName, Version] | None
) -> Iterator[str]:
    """A warning if the list ``apis`` is empty and this server therefore serves no API."""
    version = (server or {}).get(_SERVER)
    value = document.value
    is_empty = isinstance(value, dict) and value.get("apis") == []
    if version is None or version < _EMPTY_IS_NONE or not is_empty:
        return
    yield (
        f"The list 'apis' is empty: ogx {version} loads the providers and serves none of their "
        "APIs; remove the key to serve all of them, or list those to serve"
    )


def _shown(entry: Mapping[str, Any]) -> str:
    text = f"{entry.get('provider_type')} (provider_id: {entry.get('provider_id')})"
    return one_line(f"{text}, module {entry['module']}" if entry.get("module") else text)
