"""What a lock was asked for, so that a later build can tell whether it is still the answer."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

_SHOWN = 5  # changed versions that are named; the rest is counted


@dataclass(frozen=True, slots=True)
class Asked:
    """The question that a resolution answers.

    ``requires`` are the project's own dependencies, or the published package, and ``build`` what
    its build backend is. ``sources`` is a digest of the project's ``[tool.uv.sources]``.
    ``distributions`` are the pins by label.
    """

    python: str  # 3.12
    requires: tuple[str, ...]
    build: tuple[str, ...] = ()
    sources: str | None = None
    overrides: tuple[str, ...] = ()
    bundle: tuple[str, ...] = ()
    distributions: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    def to_document(self) -> dict[str, Any]:
        """As it stands in the table ``[tool.lls-provider]`` of a lock."""
        document: dict[str, Any] = {"python": self.python, "requires": list(self.requires)}
        document["build"] = list(self.build)
        if self.sources is not None:
            document["sources"] = self.sources
        document["overrides"] = list(self.overrides)
        document["bundle"] = list(self.bundle)
        document["distributions"] = [
            {"name": label, "pins": [f"{name}=={it}" for name, it in sorted(pins.items())]}
            for label, pins in sorted(self.distributions.items())
        ]
        return document


def parse_asked(document: Mapping[str, Any]) -> Asked:
    """The reverse of `Asked.to_document`. Raises ValueError for a table that is none."""
    if not isinstance(document, dict):
        _wrong("requires")
    sources = document.get("sources")
    return Asked(
        python=_text(document.get("python"), "python"),
        requires=_texts(document.get("requires"), "requires"),
        build=_texts(document.get("build"), "build"),
        sources=None if sources is None else _text(sources, "sources"),
        overrides=_texts(document.get("overrides"), "overrides"),
        bundle=_texts(document.get("bundle"), "bundle"),
        distributions=dict(_distributions(document.get("distributions"))),
    )


def differences(locked: Asked, now: Asked) -> list[str]:
    """What ``now`` asks otherwise than ``locked`` did, one line each; empty when nothing."""
    lines = [
        *_changed("needs {}", locked.requires, now.requires),
        *_changed("is built by {}", locked.build, now.build),
        *_changed("is built with --override {}", locked.overrides, now.overrides),
        *_changed("is built with --bundle {}", locked.bundle, now.bundle),
        *_changed("is built beside {}", locked.distributions, now.distributions),
    ]
    if locked.python != now.python:
        lines.append(f"the lock is for Python {locked.python}, this build for {now.python}")
    if locked.sources != now.sources:
        lines.append("[tool.uv.sources] of the project changed")
    for label in sorted(locked.distributions.keys() & now.distributions.keys()):
        lines += _moved(label, locked.distributions[label], now.distributions[label])
    return lines


def _changed(what: str, before: Collection[str], after: Collection[str]) -> Iterator[str]:
    for text in sorted(set(after) - set(before)):
        yield f"new: the provider {what.format(text)}"
    for text in sorted(set(before) - set(after)):
        yield f"no longer: the provider {what.format(text)}"


def _moved(label: str, before: Mapping[str, str], after: Mapping[str, str]) -> Iterator[str]:
    moved = sorted(
        name for name in before.keys() | after.keys() if before.get(name) != after.get(name)
    )
    for name in moved[:_SHOWN]:
        yield (
            f"{label} has {_version(name, after)}, and the lock was made beside "
            f"{_version(name, before)}"
        )
    if len(moved) > _SHOWN:
        yield f"{label} has {len(moved) - _SHOWN} more packages in other versions"


def _version(name: str, pins: Mapping[str, str]) -> str:
    return f"{name} {pins[name]}" if name in pins else f"no {name}"


def _distributions(value: Any) -> Iterator[tuple[str, dict[str, str]]]:
    for item in value if isinstance(value, list) else _wrong("distributions"):
        if not isinstance(item, dict):
            _wrong("distributions")
        pins = {}
        for text in _texts(item.get("pins"), "pins"):
            name, separator, version = text.partition("==")
            if not separator:
                _wrong("pins")
            pins[name] = version
        yield _text(item.get("name"), "name"), pins


def _text(value: Any, key: str) -> str:
    return value if isinstance(value, str) else _wrong(key)


def _texts(value: Any, key: str) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(it, str) for it in value):
        _wrong(key)
    return tuple(value)


def _wrong(key: str) -> Any:
    raise ValueError(f"tool.lls-provider: '{key}' is missing or of another type")
