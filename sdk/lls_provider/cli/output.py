"""What a command writes: its result to stdout, in the form of --format; all else to stderr.

Everything passes through `show` or `show_document`, so that nothing a provider, an image or a
registry says reaches a terminal unescaped. `CommandOutput` holds what --format, --quiet and
--verbose asked for; it is the object of click's context, so that one mechanism serves all commands.
"""

from __future__ import annotations

import codecs
import contextlib
import io
import os
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import IntEnum

import click

from lls_provider.untrusted import escaped

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any
    from xml.etree.ElementTree import Element

TEXT, JSON = "text", "json"
SCHEMA_PREFIX = "lls-provider/"
"""What the name of a result's schema begins with; ``contract/schemas/results`` has the schemas."""


class Verbosity(IntEnum):
    """How much is shown besides the result and errors."""

    QUIET = 0  # warnings
    NORMAL = 1  # and progress
    VERBOSE = 2  # and when each step began, the processes that are started, HTTP requests


@dataclass(slots=True)
class CommandOutput:
    """How one run of the command line writes."""

    arguments: tuple[str, ...] = ()
    form: str = TEXT
    verbosity: Verbosity = Verbosity.NORMAL
    documents: int = 0  # JSON documents on stdout so far
    closing: Callable[[], object] | None = field(default=None, repr=False)

    @property
    def is_json(self) -> bool:
        """Whether the result is written as JSON."""
        return self.form == JSON

    def close(self) -> None:
        """End the live display, if there is one."""
        if self.closing is not None:
            self.closing()


_outside = CommandOutput()


def current() -> CommandOutput:
    """The output of the command that runs; one and the same outside of commands."""
    context = click.get_current_context(silent=True)
    found = context.find_object(CommandOutput) if context is not None else None
    return found if found is not None else _outside


def show_prose(text: str, *, err: bool = False) -> None:
    """The same for what people read: on a terminal no line ends in the middle of a word."""
    current().close()
    stream = sys.stderr if err else sys.stdout
    write(fitted(escaped(text), terminal_width(stream)), err=err)


def terminal_width(stream: Any) -> int | None:
    """The columns of the terminal that a stream is, else None."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        return os.get_terminal_size(stream.fileno()).columns or None
    return None


_QUOTED = re.compile(r"(?<!\w)'[^'\n]*'(?!\w)|`[^`\n]*`")
_KEPT = "\ue000"  # stands for a space in what is quoted, such as a command


def fitted(text: str, width: int | None) -> str:
    """The text with lines of at most ``width`` characters, broken between words.

    What is quoted stays on one line, since it may be a command to copy.
    """
    if width is None or all(len(line) <= width for line in text.split("\n")):
        return text
    import textwrap

    lines = []
    for line in text.split("\n"):
        kept = _QUOTED.sub(lambda it: it[0].replace(" ", _KEPT), line)
        indent = line[: len(line) - len(line.lstrip())]
        folded = textwrap.wrap(
            kept,
            width,
            subsequent_indent=indent,
            break_long_words=False,
            break_on_hyphens=False,
            drop_whitespace=True,
        )
        lines += [it.replace(_KEPT, " ") for it in folded] or [""]
    return "\n".join(lines)


def show_result(
    schema: str,
    document: Callable[[], Mapping[str, Any]],
    text: Callable[[], str],
    *,
    verbatim: bool = False,
) -> None:
    """Write a command's result in the form that --format names.

    ``schema`` is the name and version of the JSON form, such as ``build/1``. Text that is
    ``verbatim``, such as a script or a diff, is not broken at a terminal's width.
    """
    if current().is_json:
        show_document(named(schema, document()))
    elif verbatim:
        show(text())
    else:
        show_prose(text())


def named(schema: str, document: Mapping[str, Any]) -> dict[str, Any]:
    """The JSON form of a result, which names its own schema first."""
    return {"schema": f"{SCHEMA_PREFIX}{schema}", **document}


def show(text: str, *, err: bool = False) -> None:
    """Write text, escaped, and a newline to stdout or stderr; a live display ends before."""
    current().close()
    write(escaped(text), err=err)


def show_document(document: object) -> None:
    """Write JSON to stdout in ASCII, with all other characters escaped."""
    import json  # --help needs no JSON

    output = current()
    output.close()
    output.documents += 1
    write(json.dumps(document, indent=2).replace("\x7f", "\\u007f"))


def xml_text(root: Element) -> str:
    """An XML document, such as JUnit's: ASCII, which is valid in every encoding of a stream."""
    from xml.etree.ElementTree import indent, tostring

    indent(root)
    data: bytes = tostring(root, encoding="us-ascii", xml_declaration=True)
    return data.decode("ascii")


def write(text: str, *, err: bool = False) -> None:
    """Write text that is safe already, and a newline."""
    stream = sys.stderr if err else sys.stdout
    try:
        click.echo(encodable(text, stream), err=err)
    except BrokenPipeError:
        # the reader closed the pipe, as `| head` does; continue, so that the status is correct
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def encodable(text: str, stream: object) -> str:
    """The text in characters that the stream can represent: others must not end the command."""
    encoding = getattr(stream, "encoding", None) or "utf-8"
    return text.encode(encoding, PLAIN_ERRORS).decode(encoding)


PLAIN_ERRORS = "lls-provider-plain"
"""The error handler that writes typographic signs in ASCII, and other characters as escapes."""
_PLAIN = {"…": "...", "–": "-", "—": "-", "‘": "'", "’": "'", "“": '"', "”": '"', "→": "->"}  # noqa: RUF001


def _plain(error: UnicodeError) -> tuple[str | bytes, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    text = error.object[error.start : error.end]
    return "".join(
        _PLAIN.get(it) or it.encode("ascii", "backslashreplace").decode() for it in text
    ), error.end


codecs.register_error(PLAIN_ERRORS, _plain)
_ASCII = "lls_provider_ascii"


def _find_ascii(name: str) -> codecs.CodecInfo | None:
    """ASCII under a name of ours: under its own click would write UTF-8 instead."""
    if name != _ASCII:
        return None
    it = codecs.lookup("ascii")
    return codecs.CodecInfo(
        it.encode,
        it.decode,
        streamreader=it.streamreader,
        streamwriter=it.streamwriter,
        incrementalencoder=it.incrementalencoder,
        incrementaldecoder=it.incrementaldecoder,
        name=_ASCII,
    )


codecs.register(_find_ascii)


def prepare_streams(environ: Mapping[str, str]) -> None:
    """Let stdout and stderr take every text: what the terminal cannot show is written in ASCII.

    With LC_ALL=C Python writes UTF-8 all the same (PEP 540), which such a terminal shows as other
    characters; PYTHONUTF8=1 and PYTHONIOENCODING say that it is meant.
    """
    ascii_only = environ.get("LC_ALL") in ("C", "POSIX") and not (
        environ.get("PYTHONUTF8") or environ.get("PYTHONIOENCODING")
    )
    for stream in (sys.stdout, sys.stderr):
        if not isinstance(stream, io.TextIOWrapper):
            continue
        with contextlib.suppress(OSError, ValueError):
            if ascii_only or codecs.lookup(stream.encoding).name == "ascii":
                stream.reconfigure(encoding=_ASCII, errors=PLAIN_ERRORS)
            elif not is_unicode(stream.encoding):
                stream.reconfigure(errors=PLAIN_ERRORS)


def is_unicode(encoding: str | None) -> bool:
    """Whether an encoding can represent every character."""
    return (encoding or "").lower().replace("-", "").replace("_", "").startswith("utf")
