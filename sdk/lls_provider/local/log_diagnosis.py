"""Turns a server's log into an error with the true cause, the provider at fault and a resolution.

Covers only what preflight and merge do not find before the server starts: exceptions of factories,
of config classes, of calls and of the server itself, and a port in use. A log holds tracebacks as
Python prints them, or in a column that the server's log handler indents.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from packaging.utils import canonicalize_name

from lls_provider.errors import Code, SdkError, Where
from lls_provider.runtime.preflight.probe import leads_back
from lls_provider.runtime.wheelfile.wheel import read_wheel

_TRACEBACK = "Traceback (most recent call last):"
_DIRECT = "The above exception was the direct cause of the following exception:"
_DURING = "During handling of the above exception, another exception occurred:"
_RECORD = re.compile(r"(DEBUG|INFO|WARNING|ERROR|CRITICAL)\s+\d{4}-\d\d-\d\dT")
_COMPLAINT = re.compile(r"(ERROR|CRITICAL)\s")
_CATEGORY = re.compile(r"\s+category=\S+\s*$")
_FRAME = re.compile(r'\s*File "(?P<file>.+)", line (?P<line>\d+)(, in ?(?P<name>.*))?$')
_EXCEPTION = re.compile(r"(\w+\.)*[A-Z]\w*(: |:?$)|(\w+\.)+\w+: ")
_IN_USE = re.compile(r"address already in use|\[Errno (98|48)\]", re.IGNORECASE)
_NOT_FOUND = re.compile(r"ModuleNotFoundError: No module named '([^']+)'")
_NOT_INSTALLED = re.compile(
    r"(?P<quote>[`'\"]?)(?P<name>[A-Za-z_][\w.-]*)[`'\"]? "
    r"(?P<noun>(?:package|module|library) )?is not installed"
)
_PIP = re.compile(
    r"pip3? install\s+(?:-[\w-]+\s+)*[`'\"]?(?P<name>[A-Za-z0-9](?:[\w.-]*\w)?|\.)"
    r"(?:\[(?P<extras>[\w.,\s-]+)\])?"
)
_IMPORT_ERRORS = ("ModuleNotFoundError", "ImportError")
# also printed by a server that ends for another reason
_ENDING = ("KeyboardInterrupt", "SystemExit", "CancelledError", "asyncio.exceptions.CancelledError")
_LONG_LINE = 300


@dataclass(frozen=True, slots=True)
class TracebackFrame:
    """One frame of a traceback."""

    file: str
    line: int
    name: str

    def __str__(self) -> str:
        return f"{self.file}, line {self.line}" + (f", in {self.name}" if self.name else "")


@dataclass(frozen=True, slots=True)
class LoggedCause:
    """Why a server failed.

    ``reason`` is the exception with its message; ``frames`` are outermost first. ``chain`` holds
    the reasons of all chained exceptions, the first one first.
    """

    reason: str
    frames: tuple[TracebackFrame, ...]
    chain: tuple[str, ...]

    @property
    def missing_module(self) -> str | None:
        """The module that an import did not find, or that a message reports as not installed."""
        for reason in (self.reason, *self.chain):
            if (found := _NOT_FOUND.match(reason)) is not None:
                return found[1]
        hint = _PIP.search(self.reason)
        if hint is not None and not hint["extras"]:
            return hint["name"]
        found = _NOT_INSTALLED.search(self.reason)
        if found is None:
            return None
        # other errors use these words for drivers, models and programs
        is_import = self.reason.partition(":")[0] in _IMPORT_ERRORS
        return found["name"] if is_import or found["quote"] or found["noun"] else None

    @property
    def requested_extras(self) -> tuple[tuple[str, str], ...]:
        """The packages and extras that a message says to install; ``.`` is the project itself."""
        return tuple(
            (hint["name"], extra.strip())
            for reason in (self.reason, *self.chain)
            for hint in _PIP.finditer(reason)
            for extra in (hint["extras"] or "").split(",")
            if extra.strip()
        )

    @property
    def place(self) -> TracebackFrame | None:
        """The innermost frame outside the import system."""
        inner = [frame for frame in self.frames if not frame.file.startswith("<frozen ")]
        return inner[-1] if inner else None

    def frames_below(self, directory: Path) -> Iterator[tuple[TracebackFrame, str]]:
        """Yield the frames below ``directory``, innermost first, with modules: ``acme.adapter``."""
        for frame in reversed(self.frames):
            path = Path(frame.file)
            if path.is_relative_to(directory):
                parts = list(path.relative_to(directory).with_suffix("").parts)
                if parts[-1] == "__init__":
                    parts.pop()
                yield frame, ".".join(parts)

    def module_below(self, directory: Path) -> str | None:
        """Return the module of the innermost frame below ``directory``: ``acme.adapter``."""
        return next((module for _, module in self.frames_below(directory)), None)

    def text(self, own: TracebackFrame | None = None) -> str:
        """Return the reason and the position as text; ``own`` is the provider's own frame.

        A library that the provider calls is the innermost position, but not the one to correct.
        """
        lines = [self.reason]
        if own is not None:
            lines.append(f"  at {own}")
        if self.place is not None and self.place != own:
            lines.append(f"  {'raised at' if own else 'at'} {self.place}")
        return "\n".join(lines)


def true_cause(log: str) -> LoggedCause | None:
    """Return the cause of the last failure in ``log``; None if the log names none.

    The last traceback counts, and in it the exception that started the chain (`leads_back`).
    """
    lines = [line.rstrip() for line in log.splitlines()]
    roots = [(_root(chain), chain) for chain in _chains(lines)]
    for link, chain in (it for it in reversed(roots) if not it[0].is_ending):
        return LoggedCause(link.reason, link.frames, tuple(it.reason for it in chain))
    # a SystemExit is only useful with a message
    for link, chain in (it for it in reversed(roots) if ": " in it[0].reason):
        return LoggedCause(link.reason, link.frames, tuple(it.reason for it in chain))
    return None


def port_in_use(log: str) -> bool:
    """Whether the server reports that its port is in use."""
    return any(_COMPLAINT.match(line) and _IN_USE.search(line) for line in log.splitlines())


def last_lines(log: str, count: int = 25) -> str:
    """Return the end of a log, without the padding and borders of the servers' log handler."""
    lines = [line.rstrip(" │") for line in log.rstrip().splitlines()]
    return "\n".join(
        line if len(line) <= _LONG_LINE else f"{line[:_LONG_LINE]}…" for line in lines[-count:]
    )


@dataclass(frozen=True, slots=True)
class _Link:
    """One exception of a chain."""

    reason: str
    frames: tuple[TracebackFrame, ...]
    direct: bool  # "direct cause": the previous exception is its cause
    during: bool  # raised while the previous exception was handled

    @property
    def kind(self) -> str:
        return self.reason.partition(":")[0]

    @property
    def is_ending(self) -> bool:
        return self.kind in _ENDING


def _root(chain: Sequence[_Link]) -> _Link:
    index = len(chain) - 1
    while index:
        link, before = chain[index], chain[index - 1]
        if not leads_back(
            stated=link.direct,
            context_is_import=link.during and before.kind in _IMPORT_ERRORS,
            is_import=link.kind in _IMPORT_ERRORS,
        ):
            break
        index -= 1
    return chain[index]


def _chains(lines: Sequence[str]) -> Iterator[list[_Link]]:
    chain: list[_Link] = []
    index = 0
    joint = ""
    while index < len(lines):
        if not lines[index].endswith(_TRACEBACK):
            index += 1
            continue
        link, index = _link(lines, index + 1, joint)
        if link is not None:
            if not joint and chain:
                yield chain
                chain = []
            chain.append(link)
        joint = _joint(lines, index)
    if chain:
        yield chain


def _joint(lines: Sequence[str], index: int) -> str:
    """Return the sentence that links the next traceback to the one before ``index``, or ""."""
    while index < len(lines) and not lines[index].strip():
        index += 1
    text = lines[index].strip() if index < len(lines) else ""
    return text if text in (_DIRECT, _DURING) else ""


def _link(lines: Sequence[str], start: int, joint: str) -> tuple[_Link | None, int]:
    """Return the exception whose traceback begins at ``start``, and the index after it."""
    if start >= len(lines) or not _FRAME.match(lines[start]):
        return None, start
    # frames are indented by two more columns than the exception; handlers indent both
    indent = _indent(lines[start]) - 2
    frames: list[TracebackFrame] = []
    index = start
    while index < len(lines) and not _is_exception(lines[index], indent):
        if _RECORD.match(lines[index]):
            return None, index  # cut off
        found = _FRAME.match(lines[index])
        if found:
            frames.append(TracebackFrame(found["file"], int(found["line"]), found["name"] or ""))
        index += 1
    if index == len(lines):
        return None, index
    reason, index = _reason(lines, index, indent)
    return _Link(reason, tuple(frames), joint == _DIRECT, joint == _DURING), index


def _is_exception(line: str, indent: int) -> bool:
    # a narrow log handler also wraps long source lines into this column: hence the pattern
    return _indent(line) == indent and _EXCEPTION.match(line[indent:]) is not None


def _reason(lines: Sequence[str], start: int, indent: int) -> tuple[str, int]:
    """Return the exception's line and the other lines of its message, and the index after them."""
    message: list[str] = []
    index = start
    while index < len(lines):
        line = lines[index]
        if _RECORD.match(line) or line.strip() in (_DIRECT, _DURING):
            break
        if line.strip() and _indent(line) < indent:
            break
        if line.endswith(_TRACEBACK):
            break
        text = _CATEGORY.sub("", line[indent:])
        message.append("" if text.strip().startswith("category=") else text)
        index += 1
    return "\n".join(message).strip(), index


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip()) if line.strip() else -1


_NO_SPACE = ("[Errno 28]", "[Errno 122]", "No space left on device", "disk is full")
_SILENT = (
    "The server's log names no error. A provider that ends the process while it starts, with "
    "sys.exit() for example, leaves none."
)
_NOWHERE = Where()
_LOG_HEADING = "The end of the server's log:"


@dataclass(frozen=True, slots=True)
class LogDiagnosis:
    """The installed providers, to attribute a traceback to one of them.

    ``modules`` maps modules to providerIds; ``overlay`` is ``python-packages``. With ``own_base``
    the base configuration is our smallest one. ``wheels`` holds the providers' own wheels by
    providerId; ``projects`` are the providers whose source is available. ``supplied`` are the APIs
    for which `up` added the server's own providers.
    """

    overlay: Path
    modules: Mapping[str, str]
    own_base: bool = False
    wheels: Mapping[str, Path] = field(default_factory=dict)
    projects: frozenset[str] = frozenset()
    supplied: tuple[str, ...] = ()

    def provider_of(self, cause: LoggedCause) -> str | None:
        """Return the provider whose code raised the cause, if the frames show it."""
        own = self._own_frame(cause)
        if own is not None:
            return own[1]
        # a dependency: with one provider it is that provider's
        is_below = cause.module_below(self.overlay) is not None
        return next(iter(self.modules.values())) if is_below and len(self.modules) == 1 else None

    def _own_frame(self, cause: LoggedCause) -> tuple[TracebackFrame, str] | None:
        """Return the innermost frame in a provider's own package, and that provider."""
        for frame, module in cause.frames_below(self.overlay):
            for name, provider_id in self.modules.items():
                if module == name or module.startswith(f"{name}."):
                    return frame, provider_id
        return None

    def error(
        self,
        code: Code,
        what: str,
        log: str,
        *,
        why: str = "",
        kept: bool = False,
        where: Where = _NOWHERE,
        running: str = "",
    ) -> SdkError:
        """Return the error for ``what``, with the true cause in ``log`` and the end of the log.

        For a full disk it is NO_SPACE, regardless of ``code``. If the server goes on, ``running``
        is the resolution for a log without a cause, and ``where`` the place that it is about.
        """
        cause = true_cause(log)
        if cause is None and running:
            end = log_end(log) if log.strip() else ""
            paragraphs = [text for text in (why, end) if text]
            return SdkError(
                code, what, why="\n\n".join(paragraphs), where=where, resolution=running
            )
        if cause is None:
            missing = _SILENT if log.strip() else "The server wrote nothing to its log."
            end = log_end(log) if log.strip() else ""
            return SdkError(
                code,
                what,
                why="\n\n".join(text for text in (why, missing, end) if text),
                resolution="Run it again with --keep, and start the server by hand on the "
                "configuration that is kept.",
            )
        provider = self.provider_of(cause)
        own = self._own_frame(cause)
        frame = own[0] if own is not None else None
        if any(sign in cause.reason for sign in _NO_SPACE):
            code = Code.NO_SPACE
        paragraphs = [why, cause.text(frame), log_end(log)]
        return SdkError(
            code,
            what,
            why="\n\n".join(paragraph for paragraph in paragraphs if paragraph),
            where=Where(provider=provider),
            resolution=self._advice(cause, provider, code, kept=kept),
        )

    def _advice(self, cause: LoggedCause, provider: str | None, code: Code, *, kept: bool) -> str:
        if self.own_base and _is_of_base(cause):
            return _BASE
        advice = (
            self._extra(cause, provider)
            or self._of_server(cause)
            or _resolution(cause, provider, code, kept=kept, place=self._place(cause))
        )
        if not self.supplied or code is Code.NO_SPACE or cause.module_below(self.overlay):
            return advice
        return (
            f"{advice} If it is about a provider of {' or '.join(self.supplied)}: lls-provider "
            "added it because the spec needs that API; give one of your own with --base-config "
            "FILE."
        )

    def _place(self, cause: LoggedCause) -> str:
        """Return where in its package a provider is to be corrected; "" without such a frame."""
        own = self._own_frame(cause)
        if own is None:
            return ""
        return f"{Path(own[0].file).relative_to(self.overlay)}, line {own[0].line}"

    def _of_server(self, cause: LoggedCause) -> str:
        """Return the resolution if a module that the server itself imports is missing; else ""."""
        module = cause.missing_module
        if module is None or cause.module_below(self.overlay) is not None:
            return ""
        top = module.partition(".")[0]
        if any(name.partition(".")[0] == top for name in self.modules):
            return ""  # a module of a provider
        base = "" if self.own_base else ", or take what needs it out of --base-config"
        return (
            f"The server itself imports '{module}', but it is missing from its environment: give "
            f"one that has it with --server python:ENV{base}."
        )

    def _extra(self, cause: LoggedCause, provider: str | None) -> str:
        """Return the resolution if an extra of the provider has the missing module; else ""."""
        wheel = self.wheels.get(provider or "")
        module = cause.missing_module
        if wheel is None or (module is None and not cause.requested_extras):
            return ""
        from lls_provider.bundle.option_search import extras_that_bring
        from lls_provider.bundle.static_spec import declared_extras

        try:
            own = read_wheel(wheel)
            extras = declared_extras(wheel)
        except SdkError:
            return ""  # the installation has reported the error
        requested = [
            canonicalize_name(extra)
            for name, extra in cause.requested_extras
            if (name == "." or canonicalize_name(name) == own.name)
            and canonicalize_name(extra) in extras
        ]
        if requested and provider in self.projects:
            return (
                f"An image is built without extras: add what the extra {requested[0]} brings to "
                "the provider's dependencies and run it again."
            )
        if requested:
            return (
                "Build the image with the extra that the message names: lls-provider build "
                f"--package '{own.name}[{requested[0]}]=={own.version}'."
            )
        found = extras_that_bring(own, module) if module is not None else []
        if not found:
            return ""
        bringing, requirement = found[0]
        if provider in self.projects:
            return (
                f"Its extra {bringing} brings '{module}', and an image is built without extras: "
                f"add '{requirement}' to the provider's dependencies and run it again."
            )
        return (
            f"Build the image with the extra that brings '{module}': lls-provider build --package "
            f"'{own.name}[{bringing}]=={own.version}'."
        )


_BASE = (
    "Start from a configuration that this server starts with: --base-config FILE. The smallest "
    "one, which lls-provider makes itself, does not fit this version of the server: please report "
    "it with what the cause names."
)
_OTHERS = ("providers", "registered_resources", "models", "shields", "tool_groups", "vector_dbs")


def _is_of_base(cause: LoggedCause) -> bool:
    """Whether a server refuses a part of the configuration that lls-provider wrote."""
    first, *lines = cause.reason.splitlines()
    if "ValidationError" not in first or " for Stack" not in first:
        return False
    places = [line for line in lines if line and not line.startswith((" ", "For further"))]
    # without a field it is about the whole: name and storage, not the providers
    return not places or not places[0].startswith(_OTHERS)


def log_end(log: str) -> str:
    """Return the end of a server's log as an indented part of an error."""
    return f"{_LOG_HEADING}\n" + textwrap.indent(last_lines(log), "  | ", lambda _line: True)


def _resolution(
    cause: LoggedCause, provider: str | None, code: Code, *, kept: bool, place: str
) -> str:
    who = f"provider '{provider}'" if provider else "the provider that imports it"
    if code is Code.NO_SPACE:
        return "Free space, or set TMPDIR to a directory on a larger file system."
    if cause.missing_module is not None:
        return (
            f"Add the package that holds the module '{cause.missing_module}' to the dependencies "
            f"of {who}, then build it again."
        )
    if "ValidationError" in cause.reason.partition("\n")[0]:
        return (
            "Correct the configuration that it is about: --config or [tool.lls-provider.up.config]"
            " for a provider, --base-config for the rest."
        )
    if provider is not None and place:
        return f"Correct provider '{provider}' at {place}."
    if provider is not None:
        return f"Correct provider '{provider}': a package that it brings fails at the place shown."
    if kept:
        return "Read the whole log in the directory that is kept, and correct what it names."
    return "Correct what the cause names; --keep keeps the whole log and the configuration."
