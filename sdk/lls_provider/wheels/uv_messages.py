"""The phrases of uv's messages: the only module that searches them.

Each constant below is a phrase, with the command that prints it and what it means to us. The
functions turn a message into values and do nothing else. `tests/wheels/test_uv_messages.py` makes
the installed uv print every phrase, `tools/try_newest_uv.py` the newest uv.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version


@dataclass(frozen=True, slots=True)
class Phrase:
    """A part of uv's messages: its pattern, the commands that print it, and what it means to us."""

    text: str
    printed_by: str
    meaning: str
    pattern: re.Pattern[str] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "pattern", re.compile(self.text))

    def find(self, message: str) -> re.Match[str] | None:
        """The first match in a message; None if there is none."""
        return self.pattern.search(message)


_RESOLVING = "uv pip compile, uv pip install"
_ANY = "every command"
_NAME = r"[\w.-]*\w"  # without the full stop after a name at the end of a sentence

# How a message is laid out

LABEL = Phrase(r"^(?:error: |\s*cause: |\s+)", _ANY, "The layout of an error, which is not shown.")
PROJECT_HINT = Phrase(
    r"^hint: .*`requires-python`",
    "uv pip compile --universal",
    "Advice about the settings of a project that uv manages, which we do not have.",
)

# Storage

NO_SPACE = Phrase(
    r"No space left on device|os error 28|Disk quota exceeded",
    _ANY,
    "A file system is full, or the user's share of it.",
)
# errors of the system: no permission, read-only, a file in place of a directory
_NUMBERS = r"\(os error (?:1|13|17|20|21|30)\)"
# no pattern starts with what can match anywhere: a build backend prints lines of any length
PATH_FIRST = Phrase(
    rf"`(?P<path>/[^`\n]{{1,4096}})`: (?P<reason>[^`\n]{{1,200}}?) {_NUMBERS}",
    _ANY,
    "A file or directory that the system does not let uv write, and its reason.",
)
PATH_LAST = Phrase(
    rf" {_NUMBERS} at path \"(?P<path>/[^\"\n]+)\"",
    f"{_ANY}, for temporary files",
    "As PATH_FIRST; the reason is before it.",
)
CACHE_NOT_MADE = Phrase(
    r"initialize cache",
    _ANY,
    "The path that cannot be written is uv's cache, whichever setting names it.",
)

# The network

REQUEST_FAILED = Phrase(r"error sending request", _RESOLVING, "A server did not answer.")
NAME_UNKNOWN = Phrase(r"dns error", _RESOLVING, "A host's name cannot be resolved.")
NOT_CONNECTED = Phrase(r"client error \(Connect\)", _RESOLVING, "No connection was made.")
TCP_FAILED = Phrase(r"tcp connect error", _RESOLVING, "No connection was made.")
REFUSED = Phrase(r"Connection refused", _RESOLVING, "Nothing listens at a server's port.")
CLOSED = Phrase(
    r"connection closed", _RESOLVING, "A server closed the connection before it answered."
)
TIMED_OUT = Phrase(r"operation timed out", _RESOLVING, "A server did not answer in time.")
BODY_CUT = Phrase(r"error decoding response body", _RESOLVING, "A response is incomplete.")
SERVER_ERROR = Phrase(r"HTTP status server error", _RESOLVING, "A server answered 5xx.")
RATE_LIMITED = Phrase(r"Too Many Requests", _RESOLVING, "A server answered 429.")
CERTIFICATE_UNKNOWN = Phrase(
    r"invalid peer certificate", _RESOLVING, "A server's certificate is not from a known authority."
)
TUNNEL_FAILED = Phrase(r"tunnel error", _RESOLVING, "A proxy does not connect to a server.")
PROXY_LOGIN_REQUIRED = Phrase(
    r"Proxy Authentication Required", _RESOLVING, "A proxy requires a login: it answered 407."
)
OFFLINE_FETCH = Phrase(
    r"Network connectivity is disabled",
    f"{_RESOLVING}, offline",
    "A file at a URL is not in the cache.",
)
OFFLINE_RESOLUTION = Phrase(
    r"network was disabled",
    f"{_RESOLVING}, offline, as a hint",
    "A package is not in the cache; it may be on an index.",
)
INDEX_LOGIN_REQUIRED = Phrase(
    r"lack of valid authentication credentials",
    f"{_RESOLVING}, as a hint",
    "An index answered 401: it may have what was not found.",
)
INDEX_FORBIDDEN = Phrase(
    r"returned a 403 Forbidden",
    f"{_RESOLVING}, as a hint",
    "An index answered 403: it may have what was not found.",
)
FILE_LOGIN_REQUIRED = Phrase(
    r"401 Unauthorized", f"{_RESOLVING}, for a URL", "A server requires a login for a file."
)
FILE_FORBIDDEN = Phrase(
    r"403 Forbidden", f"{_RESOLVING}, for a URL", "A server refuses a file to this login."
)

_NETWORK = (
    REQUEST_FAILED,
    NAME_UNKNOWN,
    NOT_CONNECTED,
    TCP_FAILED,
    REFUSED,
    CLOSED,
    TIMED_OUT,
    BODY_CUT,
    SERVER_ERROR,
    RATE_LIMITED,
    CERTIFICATE_UNKNOWN,
    TUNNEL_FAILED,
    PROXY_LOGIN_REQUIRED,
    OFFLINE_FETCH,
    # uv reports "was not found" if an index did not answer
    OFFLINE_RESOLUTION,
    INDEX_LOGIN_REQUIRED,
    INDEX_FORBIDDEN,
)

# Resolutions without a result

UNSATISFIABLE = Phrase(r"No solution found", _RESOLVING, "No set of packages satisfies everything.")
NOT_FOUND = Phrase(
    r"(?<![\w.-])(?P<name>[\w.-]+)(?:\[[^\]]*\])? was not found in",
    _RESOLVING,
    "No index and no directory has a package of this name.",
)
NO_VERSIONS = Phrase(
    rf"there are no versions of (?P<name>{_NAME})",
    _RESOLVING,
    "As NOT_FOUND, of a package with an extra; or a setting hides all its versions.",
)
NO_SUCH_VERSION = Phrase(
    r"there is no version of (?P<name>[\w.-]+)(?:\[[^\]]*\])?===?(?P<version>[\w.+!-]+)",
    _RESOLVING,
    "The package exists, but not in this version.",
)
DEPENDENCY = Phrase(
    rf"depends? on (?P<name>{_NAME})(?:\[[^\]]*\])?"
    r"(?P<bounds>(?:(?:===|[<>!=~]=|[<>])[\w.*+!-]*[\w*],?)+)?",
    _RESOLVING,
    "Some package depends on this one, within these bounds.",
)
PINNED = Phrase(
    r"(?<![\w.-])(?P<name>[\w.-]+)(?:\{[^}]*\})?==(?P<version>[\w+!-]+(?:\.[\w+!-]+)*)",
    _RESOLVING,
    "This version of the package is part of the conflict.",
)
ONLY_VERSION = Phrase(
    r"only (?P<only>[\w.-]+)(?:\{[^}]*\})?\S* is available"
    r"|no version of (?P<other>[\w.-]+)(?:\{[^}]*\})?==",
    f"{_RESOLVING}, of a package that is named by its URL",
    "The one version of the package that is available is part of the conflict.",
)
IN_SOME_ENVIRONMENTS = Phrase(
    r"\{",
    "uv pip compile --universal",
    "Packages of the conflict are requested only where a marker holds.",
)
OTHER_PYTHON = Phrase(
    r"does not satisfy (?P<python>Python\S+)"
    r"(?: and (?P<name>[\w.-]++)(?:\[[^\]]*\])?\S* depends on)?",
    f"{_RESOLVING}, of a package on an index",
    "A version of a package is for these Pythons, and not for the one that was named.",
)
OTHER_PYTHON_OF_FILE = Phrase(
    # bounded: a build backend prints words of any length
    r"(?<![\w.-])(?P<name>[\w.-]{1,200}+)(?:\[[^\]\n]{0,200}\])?\S{0,200} "
    r"requires (?P<python>Python \S+)",
    f"{_RESOLVING}, of a wheel in a directory",
    "As OTHER_PYTHON.",
)
CONFLICTING_URLS = Phrase(
    r"contain conflicting URLs for package `(?P<name>[\w.-]+)`",
    "uv pip compile",
    "The package is requested at two URLs.",
)
HIDDEN_BY_DATE = Phrase(
    r"`([^`]+)` was filtered by `exclude-newer` .*? uploaded before (\S+?)T",
    f"{_RESOLVING}, as a hint",
    "A setting of uv hides every release of the package after a date.",
)

# Sources and builds

BUILD_FAILED = Phrase(
    r"Failed to (?:download and )?build `",
    _RESOLVING,
    "A package cannot be built, and only a build reveals its metadata.",
)
BUILD_REQUIREMENT = Phrase(
    rf"(?:you require|build-system depends on) (?P<name>{_NAME})",
    "uv pip compile, of the requirements of a build",
    "This requirement of [build-system] has no resolution.",
)
GIT_MISSING = Phrase(
    r"Git executable not found", _RESOLVING, "A dependency needs git, which is not on PATH."
)
GIT_REVISION_UNKNOWN = Phrase(
    r"failed to f(?:etch|ind) "
    r"(?:branch or tag|commit|branch, tag, or commit|branch|tag|ref) `([^`]+)`",
    _RESOLVING,
    "A repository has no such branch, tag or commit.",
)
GIT_FAILED = Phrase(r"Git operation failed", _RESOLVING, "A repository cannot be cloned.")

# Warnings of a command that succeeds

YANKED = Phrase(
    r"`(?P<what>[^`]+)` is yanked(?: \(reason: \"(?P<reason>.*)\"\))?",
    "uv pip compile",
    "An index withdrew the version, for this reason.",
)
NO_SUCH_EXTRA = Phrase(
    r"package `(?P<name>[\w.-]+)[^`]*` does not have an extra named `(?P<extra>[^`]+)`",
    "uv pip compile",
    "What the extra requires is not in the resolution.",
)

PHRASES = {name: it for name, it in dict(globals()).items() if isinstance(it, Phrase)}
"""Every phrase by its name."""

_ANSI = re.compile(r"\x1b\[[0-9;]*m")


def without_colours(message: str) -> str:
    """A message without the escape sequences of a terminal."""
    return _ANSI.sub("", message)


def explanation(message: str, limit: int) -> str:
    """The text of an error without its layout, at most its last ``limit`` lines."""
    found = [
        LABEL.pattern.sub("", line)
        for line in message.strip().splitlines()[-limit:]
        if PROJECT_HINT.find(line) is None
    ]
    while found and not found[-1]:
        del found[-1]
    if found and UNSATISFIABLE.pattern.match(found[0]):
        del found[0]
    return "\n".join(found)


def is_out_of_space(message: str) -> bool:
    """Whether a file system was full."""
    return NO_SPACE.find(message) is not None


def unwritable_path(message: str) -> tuple[Path, str] | None:
    """The path that uv could not write, and the system's reason; None for other errors."""
    if (found := PATH_FIRST.find(message)) is not None:
        return Path(found["path"]), found["reason"].strip()
    if (found := PATH_LAST.find(message)) is not None:
        line = message[: found.start()].rpartition("\n")[2]
        return Path(found["path"]), line.rpartition(":")[2].strip()
    return None


def is_about_cache(message: str) -> bool:
    """Whether uv reports that it cannot write its cache."""
    return CACHE_NOT_MADE.find(message) is not None


def is_about_network(message: str) -> bool:
    """Whether a server could not be reached, or did not answer with what it has."""
    return any(it.find(message) is not None for it in _NETWORK)


def is_unsatisfiable(message: str) -> bool:
    """Whether no set of packages satisfies everything."""
    return UNSATISFIABLE.find(message) is not None


def is_about_markers(message: str) -> bool:
    """Whether an explanation names packages that are requested in some environments only."""
    return IN_SOME_ENVIRONMENTS.find(message) is not None


def is_about_build(message: str) -> bool:
    """Whether an explanation is about a package that has to be built for its metadata."""
    return BUILD_FAILED.find(message) is not None


def conflicting_url(message: str) -> str | None:
    """The package that is requested at two URLs; None for other messages."""
    found = CONFLICTING_URLS.find(message)
    return canonicalize_name(found["name"]) if found is not None else None


def not_found_names(message: str) -> list[str]:
    """The packages that no index has, as uv writes them."""
    return [
        found["name"]
        for phrase in (NOT_FOUND, NO_VERSIONS)
        for found in phrase.pattern.finditer(message)
    ]


def missing_versions(message: str) -> list[tuple[str, str]]:
    """The packages, by normalised name, that exist but not in this version."""
    return [
        (canonicalize_name(found["name"]), found["version"].rstrip("."))
        for found in NO_SUCH_VERSION.pattern.finditer(message)
    ]


def unavailable_version(message: str) -> tuple[str, Version] | None:
    """The package and version that no index has, according to an explanation; None if all exist."""
    for name, version in missing_versions(message)[:1]:
        try:
            return name, Version(version)
        except InvalidVersion:
            break
    return None


def dependencies(message: str) -> list[tuple[str, str]]:
    """The dependencies that a message names: normalised names, each with its bounds or none."""
    return [
        (canonicalize_name(found["name"]), (found["bounds"] or "").rstrip(","))
        for found in DEPENDENCY.pattern.finditer(message)
    ]


def names_dependency(message: str, name: str) -> bool:
    """Whether an explanation says that a package depends on the one of this name."""
    return any(it == name for it, _ in dependencies(message))


def clashing_packages(message: str) -> dict[str, list[str]]:
    """The packages for which an explanation names several bounds, with these bounds."""
    bounds: dict[str, list[str]] = {}
    for name, bound in dependencies(message):
        found = bounds.setdefault(name, [])
        if bound and bound not in found:
            found.append(bound)
    return {name: found for name, found in bounds.items() if len(found) > 1}


def pinned_versions(message: str) -> set[tuple[str, str]]:
    """The packages for which an explanation names a version, with that version."""
    return {(found["name"], found["version"]) for found in PINNED.pattern.finditer(message)}


def only_versions(message: str) -> set[str]:
    """The packages, by normalised name, that have one version only, according to a message."""
    return {
        canonicalize_name(found["only"] or found["other"])
        for found in ONLY_VERSION.pattern.finditer(message)
    }


def highest_required_python(message: str) -> str | None:
    """The highest of the minimum Pythons (``3.13``) of packages; None if a message names none."""
    required = [
        found[1]
        for it in OTHER_PYTHON.pattern.finditer(message)
        if (found := re.match(r"Python>=(3\.\d+)", it["python"]))
    ]
    return max(required, key=lambda it: int(it.partition(".")[2]), default=None)


def required_python(message: str, name: str) -> str | None:
    """The Pythons that a package is for, as uv writes them; None for other messages.

    ``name`` is normalised.
    """
    for phrase in (OTHER_PYTHON, OTHER_PYTHON_OF_FILE):
        for found in phrase.pattern.finditer(message):
            if canonicalize_name(found["name"] or "") == name:
                return str(found["python"])
    return None


def build_requirement(message: str) -> str | None:
    """The requirement of a build that is not available; None if uv does not name it."""
    found = BUILD_REQUIREMENT.find(message)
    return found["name"] if found is not None else None


def yanked(line: str) -> str | None:
    """The warning about a version that its index withdrew; None for other warnings."""
    found = YANKED.find(line)
    if found is None:
        return None
    return f"{found['what']} is yanked" + (f": {found['reason']}" if found["reason"] else "")


def missing_extra(line: str) -> tuple[str, str] | None:
    """The package and the extra that it does not have; None for other warnings."""
    found = NO_SUCH_EXTRA.find(line)
    return (canonicalize_name(found["name"]), found["extra"]) if found is not None else None
