"""What a wheel puts into ``bin``: commands made from entry_points.txt, scripts it brings."""

from __future__ import annotations

import re
from typing import NamedTuple

from lls_provider.runtime.archive import name_problem

_SECTIONS = ("console_scripts", "gui_scripts")
_ENTRY_POINT = re.compile(
    r"(?P<module>[^\W\d]\w*(?:\.[^\W\d]\w*)*)\s*:\s*(?P<call>[^\W\d]\w*(?:\.[^\W\d]\w*)*)"
    r"\s*(?:\[[^\]]*\])?"
)
_SHEBANG = b"#!/usr/bin/env python3\n"
_SCRIPT = """\
#!/usr/bin/env python3
# -*- coding: utf-8 -*-
import re
import sys
from {module} import {name}
if __name__ == '__main__':
    sys.argv[0] = re.sub(r'(-script\\.pyw|\\.exe)?$', '', sys.argv[0])
    sys.exit({call}())
"""


class Command(NamedTuple):
    """An entry point that becomes a file of ``bin``."""

    name: str
    module: str
    call: str

    def source(self) -> bytes:
        """The script, with a first line that any image with a Python on its path knows."""
        first = self.call.partition(".")[0]
        return _SCRIPT.format(module=self.module, name=first, call=self.call).encode()


def parse_entry_points(data: bytes) -> list[Command]:
    """The commands of an entry_points.txt; raises ValueError naming the line that is wrong.

    Every section must be well formed, as far as it can be told; only those of commands count.
    `configparser` would take time that grows with the square of a long line.
    """
    section: str | None = None
    commands: dict[str, Command] = {}
    for number, line in enumerate(data.decode("utf-8-sig").splitlines(), 1):
        text = line.strip()
        if not text or text[0] in "#;":
            continue
        if text[0] == "[" and text[-1] == "]":
            section = text[1:-1].strip()
            continue
        name, equals, value = (part.strip() for part in text.partition("="))
        if section is None:
            raise ValueError(f"line {number:,} stands in no section")
        if section not in _SECTIONS:
            continue
        match = _ENTRY_POINT.fullmatch(value)
        if not equals or match is None or "/" in name or name_problem(name) is not None:
            raise ValueError(f"line {number:,}: {text!r:.200} is no script")
        if name in commands:
            raise ValueError(f"line {number:,}: {name!r:.200} stands there twice")
        commands[name] = Command(name, match["module"], match["call"])
    return list(commands.values())


def with_shebang(content: bytes) -> bytes:
    """A script of the wheel, its ``#!python`` made a line that any image with a Python knows."""
    return _SHEBANG + content.partition(b"\n")[2]
