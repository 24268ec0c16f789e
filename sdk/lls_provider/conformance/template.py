"""A command line with placeholders, as a user gives it for an implementation."""

from __future__ import annotations

import os
import re
import shlex
import shutil
from collections.abc import Mapping
from dataclasses import dataclass

from lls_provider.errors import Code, SdkError

PLACEHOLDERS: Mapping[str, Mapping[str, str]] = {
    "installer": {
        "source": "the provider image's /lls-provider, unpacked",
        "root": "the volume",
        "provider_id": "the providerId",
        "api": "the section of the CR, in snake_case",
        "image": "the image's reference",
        "container": "the init container's name",
        "order": "the provider's place in the CR",
        "python_tag": "the server's Python, such as cp312",
        "termination_log": "the file for the message of a failure",
    },
    "merger": {
        "root": "the volume",
        "base": "the base configuration, ROOT/base-config/run.yaml",
    },
    "preflight": {
        "root": "the volume",
        "run_yaml": "the configuration that the server gets",
    },
    "operator": {
        "cr": "a LlamaStackDistribution",
        "provider_file": "the same as a provider file",
    },
    "checker": {"source": "a provider image's /lls-provider, unpacked"},
}
"""What stands for a value in the command line of each role."""

NEEDED: Mapping[str, frozenset[str]] = {
    "installer": frozenset({"source", "root"}),
    "merger": frozenset({"root"}),
    "preflight": frozenset({"run_yaml"}),
    "operator": frozenset({"cr", "provider_file"}),
    "checker": frozenset({"source"}),
}
"""Of these placeholders a command line must have all, an operator's one."""

_PLACEHOLDER = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True, slots=True)
class CommandTemplate:
    """The words of a command line; a placeholder is replaced within its word, never split."""

    role: str
    words: tuple[str, ...]
    text: str

    @property
    def placeholders(self) -> frozenset[str]:
        """The placeholders that occur."""
        return frozenset(name for word in self.words for name in _PLACEHOLDER.findall(word))

    def fill(self, values: Mapping[str, str]) -> list[str]:
        """The command with its values."""
        return [_PLACEHOLDER.sub(lambda match: values[match[1]], word) for word in self.words]

    def __str__(self) -> str:
        return self.text


def parse_template(role: str, text: str) -> CommandTemplate:
    """Split a command line as a shell would, without running one.

    Raises SdkError USAGE for quotes that are not closed, a placeholder that the role does not have
    and one that is missing, TOOL_MISSING for a program that does not exist.
    """
    option = f"--{role}"
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise _usage(option, f"It cannot be split into words: {error}.", role) from error
    if not words:
        raise _usage(option, "It is empty.", role)
    template = CommandTemplate(role, tuple(words), text)
    known = PLACEHOLDERS[role]
    for name in sorted(template.placeholders - set(known)):
        raise _usage(option, f"There is no placeholder {{{name}}} for it.", role)
    needed = NEEDED[role]
    missing = needed - template.placeholders
    if missing and (role != "operator" or missing == needed):
        names = (" or " if role == "operator" else ", ").join(f"{{{it}}}" for it in sorted(missing))
        raise _usage(option, f"It does not name {names}.", role)
    program = words[0]
    if "{" not in program and shutil.which(program) is None:
        raise SdkError(
            Code.TOOL_MISSING,
            f"The program of {option} cannot be run: {program}",
            why=f"It is not an executable file{_searched(program)}.",
            resolution="Correct the path (relative ones count from the current directory), make "
            "the file executable, or name its interpreter first, as in 'sh ./install.sh …'.",
        )
    return template


def _searched(program: str) -> str:
    return "" if os.sep in program else " in a directory of PATH"


def _usage(option: str, why: str, role: str) -> SdkError:
    known = "\n".join(f"  {{{name}}}  {text}" for name, text in PLACEHOLDERS[role].items())
    return SdkError(
        Code.USAGE,
        f"The command line of {option} cannot be used",
        why=f"{why}\nIts placeholders are:\n{known}",
        resolution=f"Correct it; 'lls-provider conformance run --help' describes {option}.",
    )
