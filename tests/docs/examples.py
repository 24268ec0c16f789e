"""What the examples of errors are made with: situations, and the errors that they lead to."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from click.testing import CliRunner

from lls_provider.cli.group import group
from lls_provider.cli.output import CommandOutput
from lls_provider.errors import Code, SdkError

Make = Callable[[Path], object]
"""Brings about a failure in an empty directory, which is the working directory too."""


@dataclass(frozen=True)
class Finding:
    """A failure and its text, as a reader sees it."""

    code: Code
    text: str

    @classmethod
    def of(cls, make: Callable[[], object]) -> Finding:
        """The failure that is raised or returned."""
        try:
            found = make()
        except SdkError as error:
            found = error
        if isinstance(found, SdkError):
            return cls(found.code, found.render())
        assert isinstance(found, cls), f"no error, but {found!r}"
        return found

    @classmethod
    def renamed(cls, make: Callable[[], object], name: str, shown: str) -> Finding:
        """The same, with a name of this run replaced by one that can be shown."""
        found = cls.of(make)
        return cls(found.code, found.text.replace(name, shown))


@dataclass(frozen=True)
class Example:
    """A situation: what led to the error, in one sentence, and how it is brought about."""

    about: str
    make: Make

    def finding(self, folder: Path) -> Finding:
        """The failure that the situation leads to."""
        found = Finding.of(lambda: self.make(folder))
        text = found.text.replace(f"{folder.resolve()}/", "").replace(f"{folder}/", "")
        return Finding(found.code, text.rstrip("\n"))


Examples = dict[Code, Example]


def example(examples: Examples, code: Code, about: str) -> Callable[[Make], Make]:
    """Add the decorated function as the example of a code."""

    def add(make: Make) -> Make:
        assert code not in examples, code
        examples[code] = Example(about, make)
        return make

    return add


def run(*words: str) -> object:
    """Run a command of ours in this process, and raise what it raises."""
    output = CommandOutput(words)
    result = CliRunner().invoke(
        group, list(words), prog_name="lls-provider", standalone_mode=False, obj=output
    )
    output.close()  # ends the display of what is waited for
    if result.exception is not None:
        raise result.exception
    return result.output


def finding(code: Code, target: str) -> Finding:
    """The lines in which ``check`` shows the first complaint of a code."""
    (report,) = json.loads(str(run("check", target, "--format", "json")))["reports"]
    what = next(it["what"] for it in report["findings"] if it.get("code") == code.slug)
    lines = str(run("check", target)).splitlines()
    first = next(place for place, line in enumerate(lines) if str(what) in line)
    return Finding(code, "\n".join(line.strip() for line in lines[first : first + 2]))
