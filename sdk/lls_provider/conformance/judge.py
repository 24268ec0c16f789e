"""Compares what an implementation did with what a vector expects; nothing is read or run here."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from lls_provider.conformance.cases import ANY_FAILURE, Expectation, ExpectedMessage
from lls_provider.conformance.message_layout import MessagePattern
from lls_provider.conformance.pods import pod_differences
from lls_provider.conformance.volume_state import VolumeState
from lls_provider.contract.document import load
from lls_provider.contract.names import TERMINATION_LOG_LIMIT
from lls_provider.errors import SdkError
from lls_provider.progress import counted

if TYPE_CHECKING:
    from lls_provider.conformance.process import CommandResult

MERGE_LOG = "config/merge-log.txt"
_LISTED = 5  # of many differing files


@dataclass(frozen=True, slots=True)
class Difference:
    """What was expected, and what was found instead."""

    expected: str
    found: str


@dataclass(frozen=True, slots=True)
class Observed:
    """All that is visible of one run. ``clean`` is a new volume after `Expectation.as_clean`."""

    result: CommandResult
    before: VolumeState = field(default_factory=VolumeState)
    after: VolumeState = field(default_factory=VolumeState)
    image: Mapping[str, bytes] = field(default_factory=dict)
    clean: VolumeState | None = None
    termination_log: bytes = b""


def differences(expect: Expectation, observed: Observed) -> list[Difference]:
    """Everything that is not as expected, the exit status first."""
    found = list(_status(expect.status, observed.result))
    found += _volume(expect, observed)
    found += _outputs(expect, observed)
    if expect.pod is not None and not found:
        text = observed.result.text("stdout")
        found += [Difference(*it) for it in pod_differences(expect.pod, text)]
    return found


def _status(expected: int | str, result: CommandResult) -> Iterator[Difference]:
    said = _last_words(result)
    if expected == ANY_FAILURE:
        if not result.status:
            word = "an exit status other than 0"
            yield Difference(word, f"{result.described()}{said}")
    elif result.status != expected:
        yield Difference(f"exit status {expected}", f"{result.described()}{said}")


def _last_words(result: CommandResult) -> str:
    """The end of stderr, which mostly says why."""
    lines = [line for line in result.text("stderr")[-2_000:].splitlines() if line.strip()]
    return "; stderr ends in: " + " | ".join(lines[-3:]) if lines else "; nothing on stderr"


def _volume(expect: Expectation, observed: Observed) -> Iterator[Difference]:
    after = observed.after
    for problem in after.problems:
        yield Difference("a volume that can be read", problem)
    if expect.packages is not None:
        there = after.distributions()
        if there != dict(sorted(expect.packages.items())):
            yield Difference(
                f"distributions in python-packages: {_pins(expect.packages)}", _pins(there)
            )
    for path, text in expect.files.items():
        yield from _file(path, text, after)
    for path, name in expect.copies.items():
        if after.files.get(path) != observed.image[name]:
            there_text = "other content" if path in after.files else "no such file"
            yield Difference(f"{path} is the image's {name}", there_text)
    for path, lines in expect.lines.items():
        text_there = after.text(path)
        if text_there is None or text_there.splitlines() != list(lines):
            yield Difference(f"{path} has the lines {list(lines)}", _shown(text_there))
    yield from _documents(expect, after)
    if expect.unchanged:
        yield from _equal("as it was before", observed.before.public(), after.public())
    if observed.clean is not None:
        yield from _equal("as after one clean run", observed.clean.public(), after.public())


def _file(path: str, text: str | None, after: VolumeState) -> Iterator[Difference]:
    there = after.text(path)
    if text is None and there is not None:
        yield Difference(f"no file {path}", _shown(there))
    elif text is not None and there != text:
        yield Difference(f"{path}: {text!r}", _shown(there))


def _documents(expect: Expectation, after: VolumeState) -> Iterator[Difference]:
    for path in dict.fromkeys([*expect.documents, *expect.includes, *expect.lacks]):
        data = after.files.get(path)
        if data is None:
            yield Difference(f"a file {path}", "no such file")
            continue
        try:
            value = load(data, path).value
        except SdkError as error:
            yield Difference(f"{path} is a YAML document", error.what)
            continue
        if path in expect.documents and not _same(value, expect.documents[path]):
            yield Difference(f"{path} is {expect.documents[path]}", _shown(str(value)))
        mapping = value if isinstance(value, dict) else {}
        for key, wanted in expect.includes.get(path, {}).items():
            if not _same(mapping.get(key), wanted):
                yield Difference(f"{path} has {key}: {wanted}", _shown(repr(mapping.get(key))))
        for key in expect.lacks.get(path, ()):
            if key in mapping:
                yield Difference(f"{path} has no {key}", _shown(f"{key}: {mapping[key]}"))


def _same(value: Any, expected: Any) -> bool:
    """Equal in type, value and the order of keys; Python's True equals 1, YAML's does not."""
    if isinstance(expected, dict) and isinstance(value, dict):
        if list(value) != list(expected):
            return False
        return all(_same(value[key], expected[key]) for key in expected)
    if isinstance(expected, list) and isinstance(value, list):
        return len(value) == len(expected) and all(map(_same, value, expected))
    if isinstance(expected, str):
        return isinstance(value, str) and value == expected
    return type(value) is type(expected) and bool(value == expected)


def _equal(
    what: str, expected: Mapping[str, bytes], found: Mapping[str, bytes]
) -> Iterator[Difference]:
    changes = [f"{path} is missing" for path in expected if path not in found]
    changes += [f"{path} is there besides" for path in found if path not in expected]
    changes += [
        f"{path} differs" for path, data in expected.items() if found.get(path, data) != data
    ]
    if changes:
        more = len(changes) - _LISTED
        rest = f" and {counted(more, 'more difference')}" if more > 0 else ""
        yield Difference(f"the volume {what}", ", ".join(sorted(changes)[:_LISTED]) + rest)


def _outputs(expect: Expectation, observed: Observed) -> Iterator[Difference]:
    result = observed.result
    both = result.text("stdout") + "\n" + result.text("stderr")
    for text in expect.output:
        if text not in both:
            yield Difference(f"output with {text!r}", _shown(both.strip()))
    for number in expect.numbers:
        if not re.search(rf"(?<!\d){number}(?!\d)", both):
            yield Difference(f"output with the number {number}", _shown(both.strip()))
    for message in expect.messages:
        yield from _message(message, observed)
    for layout in expect.no_messages:
        if MessagePattern(layout, {}).find(both) is not None:
            yield Difference(f"no message in the layout {layout}", _shown(both.strip()))


def _message(expected: ExpectedMessage, observed: Observed) -> Iterator[Difference]:
    text = _stream(expected.stream, observed)
    pattern = MessagePattern(expected.layout, expected.values)
    place = f"{expected.stream}: a message in the layout {expected.layout}"
    message = pattern.find(text)
    if message is None:
        yield Difference(f"{place}\n{pattern.shown()}", _shown(text.strip()))
        return
    for part in expected.contains:
        if part not in message:
            yield Difference(f"{place} that names {part!r}", message)
    if (
        expected.stream == "termination_log"
        and len(observed.termination_log) > TERMINATION_LOG_LIMIT
    ):
        yield Difference(
            f"a termination log of at most {TERMINATION_LOG_LIMIT:,} bytes", "a longer one"
        )


def _stream(name: str, observed: Observed) -> str:
    if name == "log":
        return observed.after.text(MERGE_LOG) or ""
    if name == "termination_log":
        return observed.termination_log.decode("utf-8", "replace")
    return observed.result.text(name)


def _pins(packages: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {version}" for name, version in packages.items()) or "none"


def _shown(text: str | None) -> str:
    """The end of a text, where the reason mostly is."""
    if text is None:
        return "no such file"
    return f"…{text[-1500:]}" if len(text) > 1500 else text or "nothing"
