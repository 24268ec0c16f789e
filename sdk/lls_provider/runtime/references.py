"""Provider IDs with references to environment variables, as every server line reads them.

``${env.NAME}`` is the variable's value, ``${env.NAME:=text}`` the text where the variable is unset
or empty, ``${env.NAME:+text}`` the text where it is set and nothing where it is not. Whatever is
written in another way is text. A server leaves out an entry whose ID becomes empty or
``__disabled__``, and of several entries with one ID in an API it uses the last.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping
from typing import NamedTuple

_REFERENCE = re.compile(r"\$\{env\.([A-Z0-9_]+)(?::([=+])([^}]*))?\}")
_DISABLED = "__disabled__"
_LEFT_OUT = frozenset({"", _DISABLED})
_VARIABLES = 8  # in one ID; what more would mean is not worked out


class Meeting(NamedTuple):
    """When an entry has a certain ID."""

    condition: str
    """Such as ``when the variable X is set``; empty for an ID without references."""
    alone: bool
    """Whether the server leaves the entry out at all other times."""


def meeting(written: object, provider_id: str) -> Meeting | None:
    """When an entry, whose ID is ``written`` like this, has the ID ``provider_id``.

    None when that cannot be, or only by what a variable holds: `resolved` tells it where the
    variables are known.
    """
    if not isinstance(written, str):
        return None
    variables = list(dict.fromkeys(match[1] for match in _REFERENCE.finditer(written)))
    if not variables or len(variables) > _VARIABLES:
        return Meeting("", alone=True) if written == provider_id else None
    texts = {
        states: _text(written, dict(zip(variables, states, strict=True)))
        for states in itertools.product((True, False), repeat=len(variables))
    }
    same = [states for states, text in texts.items() if text == provider_id]
    if not same:
        return None
    others = {text for states, text in texts.items() if states not in same}
    return Meeting(_condition(variables, same), alone=others <= _LEFT_OUT)


def resolved(written: object, env: Mapping[str, str]) -> str | None:
    """The ID that a server in ``env`` makes of what is written; None for an entry it leaves out.

    An ID that is no text, and one that names a variable without a value, counts as left out: no
    server starts with it.
    """
    text = _in_environment(written, env)
    return text if text not in _LEFT_OUT else None


def is_disabled(written: object, env: Mapping[str, str]) -> bool:
    """Whether a server in ``env`` drops the entry before it loads the entry's module.

    It does not where the ID becomes empty: then the module is loaded and not used.
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
    """The ID where some variables are set; None where that depends on what they hold."""
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
