"""What --verbose shows besides: each process that is started, each HTTP request.

Nothing in the library has to say it: Python reports every process to an audit hook (PEP 578), and
urllib3, which all transfers go through, logs its requests.
"""

from __future__ import annotations

import logging
import os
import re
import shlex
import sys
from collections.abc import Callable
from itertools import pairwise
from typing import Any

Say = Callable[[str], object]

_LOGGERS = ("urllib3.connectionpool",)
_LIMIT = 300  # characters of a command line
_LOGIN = re.compile(r"(?<=://)[^/\s@]+@")
_QUERY = re.compile(r"\?[^\s\"]*")  # of a signed URL it is a login
_says: list[Say] = []


def show_details(say: Say) -> None:
    """Pass a line about each process and each request to ``say`` from now on."""
    if not _says:
        sys.addaudithook(_heard)  # which cannot be removed again
        handler = _Handler()
        for name in _LOGGERS:
            logging.getLogger(name).setLevel(logging.DEBUG)
            logging.getLogger(name).addHandler(handler)
    _says[:] = [say]


def process_line(arguments: Any) -> str:
    """A process's command line, without logins and configurations; a long one is cut."""
    words = [arguments] if isinstance(arguments, (str, bytes, os.PathLike)) else arguments
    shown = [os.fsdecode(word) for word in words]
    # a provider's configuration may hold a password
    shown = shown[:1] + ["…" if it == "--config" else word for it, word in pairwise(shown)]
    text = _LOGIN.sub("", shlex.join(shown))
    return f"runs {text if len(text) <= _LIMIT else text[: _LIMIT - 1] + '…'}"


def request_line(message: str) -> str:
    """What urllib3 says of a request, without logins and queries."""
    return _QUERY.sub("?…", _LOGIN.sub("", message))


def _heard(event: str, details: tuple[Any, ...]) -> None:
    if event == "subprocess.Popen":
        for say in _says:
            say(process_line(details[1]))


class _Handler(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        for say in _says:
            say(request_line(record.getMessage()))
