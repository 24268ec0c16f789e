"""What Python's faulthandler wrote of a process that ended or hangs, as a traceback.

Its threads stand there innermost call first; frames of the import system and of our own script
are left out, and what a recursion repeats is shown once.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from lls_provider.foreign import bounded
from lls_provider.runtime.probetext import CHARACTERS, LINES, SCRIPT, folded

_FATAL = re.compile(r"Fatal Python error: (?P<what>.*)")
_HEADING = "(most recent call first):"
_THREAD = re.compile(r"(Current thread|Thread|Stack) ")
_FRAME = re.compile(r'  File "(?P<file>.*)", line (?P<line>\d+|\?\?\?) in (?P<name>.*)')
_OUR_NAMES = ("<frozen importlib", "<frozen runpy", SCRIPT)
_IMPORTLIB = "/importlib/__init__.py"


def traceback(text: str, *, headline: bool = True) -> str:
    """The threads in ``text`` that were in somebody's Python code; empty when there are none.

    The main thread comes first. Without ``headline`` the fatal error is left out: it was ours.
    """
    fatal = ""
    threads: list[list[str]] = []
    calls: list[str] = []
    for line in text.splitlines():
        if found := _FATAL.match(line):
            fatal = found[0]
        elif line.endswith(_HEADING):
            # of what newer Pythons add, the stack in C says nothing that a reader could change
            calls = []
            if _THREAD.match(line):
                threads.append(calls)
        elif line.startswith("  "):
            calls.append(line)
    # the main thread is the one that runs our script; it stands last
    shown = [part for lines in threads[::-1] if (part := folded(_calls(lines)))]
    if not shown:
        return ""
    parts = [fatal] if fatal and headline else []
    for number, calls in enumerate(shown, 1):
        if len(shown) > 1:
            parts.append(f"thread {number}:" if number > 1 else "main thread:")
        parts += calls
    return bounded("\n".join(parts), lines=LINES, characters=CHARACTERS)


def _calls(lines: Sequence[str]) -> list[str]:
    calls = []
    ours = False
    for line in lines:
        found = _FRAME.match(line)
        if found is None:
            if line.strip() == "...":  # where a thread has more than it shows
                calls.append(line)
            continue
        # the script is started by a line of its own, and imports through `importlib`
        ours = (
            found["file"].startswith(_OUR_NAMES)
            or found["file"].endswith(_IMPORTLIB)
            or (ours and found["file"] == "<string>")
        )
        if not ours:
            calls.append(f'  File "{found["file"]}", line {found["line"]}, in {found["name"]}')
    return calls
