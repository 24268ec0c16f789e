"""A request to the server that shows that the provider works, and its filling-in from replies."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

from lls_provider.contract.schema import shown
from lls_provider.errors import Code, SdkError, Step, Where, nearest_word
from lls_provider.untrusted import bounded

Steps = tuple[Step, ...]
"""Where a text is in a call, such as ``("body", "chunks", 0, "content")``."""

REPLY_FIELD = re.compile(r"\$\{replies\.(?P<steps>[^{}]*)\}")
"""A reply field, ``${replies.1.data.0.id}``: a field of the reply to an earlier call."""


@dataclass(frozen=True, slots=True)
class SampleCall:
    """A request to the server that shows that the provider works.

    ``body`` is sent as JSON. ``form`` and ``files`` make it a multipart form instead, as file
    processors take it. The reply must have ``expect_status`` and hold ``expect_text``, at the
    latest ``within`` seconds from the first of repeated requests; with 0 it is sent once.
    ``places`` has the positions of the texts with reply fields, of ``expect-status`` and
    ``expect-text``, and with no steps that of the call; it is empty for the command line's.
    """

    method: str
    path: str
    body: Any | None = None
    expect_status: int = 200
    form: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, Path] = field(default_factory=dict)
    expect_text: str = ""
    within: float = 0.0
    places: Mapping[Steps, Where] = field(default_factory=dict, compare=False, repr=False)

    @property
    def name(self) -> str:
        """The method and the path."""
        return f"{self.method} {self.path}"


def texts_with_reply_fields(call: SampleCall) -> Iterator[tuple[Steps, str]]:
    """Yield the texts of a call that have reply fields, and where they are."""
    parts = {"path": call.path, "body": call.body, "form": call.form}
    for steps, text in _texts(parts, ()):
        if REPLY_FIELD.search(text):
            yield steps, text


def filled(call: SampleCall, number: int, replies: Sequence[Any]) -> SampleCall:
    """Return the call with the values of its reply fields in their place.

    ``number`` is the call's, from 1; ``replies`` are the bodies of the replies to the calls before
    it. A text that is one reply field becomes its value; in a path, a form or a longer text it is
    written as text. Raises SdkError CALL_FAILED for what a reply does not have.
    """

    def value(steps: Steps, text: str, write: Callable[[Any], str] | None) -> Any:
        def found(match: re.Match[str]) -> Any:
            return _field(match["steps"], replies, number, call.places.get(steps, Where()))

        whole = REPLY_FIELD.fullmatch(text)
        if whole is not None and write is None:
            return found(whole)
        writing = write or _as_text
        return REPLY_FIELD.sub(lambda match: writing(found(match)), text)

    return replace(
        call,
        path=value(("path",), call.path, lambda it: quote(_as_text(it), safe="")),
        body=_mapped(call.body, ("body",), lambda steps, text: value(steps, text, None)),
        form={name: value(("form", name), it, _as_text) for name, it in call.form.items()},
    )


def _as_text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _texts(value: Any, steps: Steps) -> Iterator[tuple[Steps, str]]:
    if isinstance(value, str):
        yield steps, value
    elif isinstance(value, Mapping):
        for name, child in value.items():
            yield from _texts(child, (*steps, name))
    elif isinstance(value, list):
        for index, child in enumerate(value):
            yield from _texts(child, (*steps, index))


def _mapped(value: Any, steps: Steps, change: Callable[[Steps, str], Any]) -> Any:
    """Return a value with each of its texts changed."""
    if isinstance(value, str):
        return change(steps, value)
    if isinstance(value, Mapping):
        return {name: _mapped(it, (*steps, name), change) for name, it in value.items()}
    if isinstance(value, list):
        return [_mapped(it, (*steps, index), change) for index, it in enumerate(value)]
    return value


def _field(written: str, replies: Sequence[Any], number: int, where: Where) -> Any:
    """Return the value of a reply field. Raises SdkError CALL_FAILED if it is not there."""
    first, *steps = written.split(".")
    value = replies[int(first) - 1]
    for index, step in enumerate(steps):
        known = _fields(value)
        if step not in known:
            raise _absent(number, first, steps, index, value, where)
        value = known[step]
    return value


def _fields(value: Any) -> dict[str, Any]:
    """Return what a step may lead to, by how a reply field writes it."""
    if isinstance(value, Mapping):
        return {str(name): child for name, child in value.items()}
    if isinstance(value, list):
        return {str(index): child for index, child in enumerate(value)}
    return {}


def _absent(
    number: int, first: str, steps: Sequence[str], index: int, value: Any, where: Where
) -> SdkError:
    known = list(_fields(value))
    meant = nearest_word(steps[index], known) if isinstance(value, Mapping) else None
    above = ".".join(steps[:index])
    place = f"its field {above}" if above else "it"
    if isinstance(value, list):
        has = f"{place} is a list of {len(value)}, counted from 0"
    elif isinstance(value, Mapping):
        has = f"{place} has {bounded(', '.join(known)) or 'no fields'}"
    else:
        has = f"{place} is {shown(value)}"
    rest = (meant, *steps[index + 1 :]) if meant else known[:1]
    better = ".".join(("replies", first, *steps[:index], *rest))
    written = ".".join((first, *steps))
    return SdkError(
        Code.CALL_FAILED,
        f"Call {number} needs ${{replies.{written}}}, which the reply to call {first} does not "
        f"have" + (f"; did you mean '{meant}'?" if meant else ""),
        why=f"There is no {shown('.'.join(steps[: index + 1]))}: {has}.",
        where=where,
        resolution=f"Write ${{{better}}}."
        if meant
        else f"Name what the reply has, such as ${{{better}}}."
        if known
        else f"Name another field, or change call {first} so that its reply has this one.",
    )
