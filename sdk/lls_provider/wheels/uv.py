"""Calls uv: the one place where its binary, its environment and its failures are known."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from lls_provider.errors import Code, SdkError, Where
from lls_provider.system.cache import cache_of, unwritable_cache, uv_cache_variables
from lls_provider.wheels.epoch import backend_epoch
from lls_provider.wheels.indexes import settings
from lls_provider.wheels.uv_causes import cause_of

_SHOWN_LINES = 40
_UNSATISFIABLE = "No solution found"
_NETWORK = (
    "error sending request",
    "dns error",
    "client error (Connect)",
    "Connection refused",
    "connection closed",
    "operation timed out",
    "invalid peer certificate",
    "Network connectivity is disabled",
    "tcp connect error",
    "tunnel error",
    "HTTP status server error",
    "Proxy Authentication Required",
    "Too Many Requests",
    "error decoding response body",
    # an index that did not tell what it has leaves uv with "was not found"
    "network was disabled",
    "lack of valid authentication credentials",
    "returned a 403 Forbidden",
)
_SPACE = ("No space left on device", "os error 28", "Disk quota exceeded")
# of what the system refuses: no permission, read-only, a file where a folder goes
_NUMBERS = r"\(os error (?:1|13|17|20|21|30)\)"
# neither begins with what may stand anywhere: a build backend writes lines of any length
_PLACE_FIRST = re.compile(
    rf"`(?P<place>/[^`\n]{{1,4096}})`: (?P<reason>[^`\n]{{1,200}}?) {_NUMBERS}"
)
_PLACE_LAST = re.compile(rf" {_NUMBERS} at path \"(?P<place>/[^\"\n]+)\"")
_PATHS = (
    "UV_CACHE_DIR",
    "UV_CONFIG_FILE",
    "UV_FIND_LINKS",
    "UV_BUILD_CONSTRAINT",
    "UV_CONSTRAINT",
    "UV_OVERRIDE",
    "NETRC",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "SSL_CLIENT_CERT",
    "TMPDIR",
)
_LISTS = {"UV_FIND_LINKS": ",", "SSL_CERT_DIR": os.pathsep}
_ANSI = re.compile(r"\x1b\[[0-9;]*m")
_CREDENTIALS = re.compile(r"(?<=://)[^/\s]+@")  # up to the last @: a password may hold one


def run_uv(
    args: Sequence[str],
    *,
    doing: str,
    stdin: str | None = None,
    cwd: Path | None = None,
    environ: Mapping[str, str] | None = None,
    meanwhile: Callable[[], object] | None = None,
    warned: Callable[[str], object] | None = None,
) -> str:
    """Run ``uv`` and return what it printed on stdout.

    ``doing`` completes the sentence "Failed while …"; ``meanwhile`` is called while uv runs,
    ``warned`` with each line of what it said although it succeeded. The
    user's own settings of uv (indexes, proxies, certificates) hold, the current `Indexes` win over
    them. Raises SdkError
    RESOLUTION_FAILED with uv's explanation, NETWORK, NO_SPACE, CACHE_UNWRITABLE, TOOL_MISSING,
    USAGE for a wrong SOURCE_DATE_EPOCH, or TOOL_FAILED with all that uv said.
    """
    environment = uv_environment(cwd, environ)
    try:
        process = subprocess.Popen(
            [_binary(), *args],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=cwd,
            env=environment,
        )
    except OSError as error:
        raise _missing(str(error)) from error
    with process:
        try:
            if meanwhile is not None:
                meanwhile()
            out, said = process.communicate((stdin or "").encode())
        except BaseException:
            process.kill()
            raise
    if process.returncode:
        raise uv_error(said.decode(errors="replace"), process.returncode, doing)
    if warned is not None:
        for line in without_logins(_ANSI.sub("", said.decode(errors="replace"))).splitlines():
            warned(line)
    return out.decode(errors="replace")


def uv_environment(cwd: Path | None, environ: Mapping[str, str] | None = None) -> dict[str, str]:
    """The variables of uv where it starts in ``cwd``, and of a build backend beside it.

    ``environ`` are further ones. Raises SdkError USAGE for a wrong SOURCE_DATE_EPOCH.
    """
    environment = {
        **settings(),
        **uv_cache_variables(),
        "SOURCE_DATE_EPOCH": backend_epoch(),  # uv runs build backends in many of its commands
        **(environ or {}),
        "UV_NO_PROGRESS": "1",
        "UV_PYTHON_DOWNLOADS": "never",
        "NO_COLOR": "1",
        "UV_NO_WRAP": "1",  # explanations are searched for names, and shown as they are
    }
    if cwd is not None:
        environment |= _rooted(environment)
    # a surrounding environment must not become the one that uv installs into
    environment.pop("VIRTUAL_ENV", None)
    return environment


def _rooted(environ: Mapping[str, str]) -> dict[str, str]:
    """The variables that name files, meant from the user's folder: uv starts in another."""
    found = {}
    for name in _PATHS:
        if value := environ.get(name):
            separator = _LISTS.get(name)
            parts = value.split(separator) if separator else [value]
            found[name] = (separator or "").join(
                it if "://" in it else str(Path(it).absolute()) for it in parts if it
            )
    return found


def uv_error(said: str, status: int, doing: str) -> SdkError:
    """What a failure of uv means: pure, so that every kind can be tested by its text."""
    why = _explanation(said)
    if any(sign in said for sign in _SPACE):
        return SdkError(
            Code.NO_SPACE,
            f"No space left while {doing}",
            why=why,
            resolution="Free space, or set UV_CACHE_DIR, LLS_PROVIDER_CACHE and TMPDIR to places "
            "on a larger file system.",
        )
    if (refused := _unwritable(said)) is not None:
        place, reason = refused
        cache = cache_of(place)
        if cache is not None or "initialize cache" in said:
            # uv's own settings can name another place than we know of
            return unwritable_cache(cache or place, reason, Where(file=str(place)))
    if any(sign in said for sign in _NETWORK):
        return SdkError(
            Code.NETWORK,
            f"The package index could not be reached while {doing}",
            why=why,
            resolution=cause_of(said)
            or "Check the network, the proxy (HTTPS_PROXY) and the certificates "
            "(SSL_CERT_FILE); a private index is named with --default-index, its login in "
            "UV_INDEX_<NAME>_USERNAME and UV_INDEX_<NAME>_PASSWORD or in ~/.netrc. Without a "
            "network, --offline builds from what is in uv's cache, and --locked from a lock.",
        )
    if _UNSATISFIABLE in said:
        return SdkError(
            Code.RESOLUTION_FAILED,
            f"No set of packages satisfies everything, found while {doing}",
            why=why,
            resolution=cause_of(said)
            or "Change the requirement that the explanation names in the project's "
            "dependencies; or build for another --distribution; or, when a bound is wrong "
            "upstream, replace it with --override 'NAME==VERSION'."
            + python_hint(why),
        )
    return SdkError(
        Code.TOOL_FAILED,
        f"uv failed while {doing} (exit {status})",
        why=why,
        resolution=cause_of(said) or "Correct what uv reports above.",
    )


def _unwritable(said: str) -> tuple[Path, str] | None:
    """The place that uv could not write, and what the system said."""
    if (found := _PLACE_FIRST.search(said)) is not None:
        return Path(found["place"]), found["reason"].strip()
    if (found := _PLACE_LAST.search(said)) is not None:
        line = said[: found.start()].rpartition("\n")[2]
        return Path(found["place"]), line.rpartition(":")[2].strip()
    return None


def python_hint(why: str) -> str:
    """The way out where an explanation speaks of another Python, to end a resolution; or nothing.

    uv speaks of it too where a version that is not needed would want another one.
    """
    wanted = re.findall(r"does not satisfy Python>=(3\.\d+)", why)
    if not wanted:
        return ""
    version = max(wanted, key=lambda it: int(it.partition(".")[2]))
    return f"\nWhere the Python is too old, build for another one: --python {version}."


def without_logins(text: str) -> str:
    """A text without the logins that URLs in it have."""
    return _CREDENTIALS.sub("", text)


def is_about_markers(why: str) -> bool:
    """Whether an explanation names packages that are asked for in some environments alone."""
    return "{" in why or "split (markers" in why


def is_about_build(why: str) -> bool:
    """Whether an explanation is of a package that has to be built to be known."""
    return bool(re.search(r"Failed to (?:download and )?build `", why))


def conflicting_url(why: str) -> str | None:
    """The package that is asked for at two URLs; None when uv says something else."""
    found = re.search(r"contain conflicting URLs for package `([\w.-]+)`", why)
    return canonicalize_name(found[1]) if found is not None else None


def names_dependency(why: str, name: str) -> bool:
    """Whether an explanation says of some package that it depends on the one of this name."""
    return bool(re.search(rf"depends? on {re.escape(name)}(?![\w-]|\.\w)", why))


def yanked(line: str) -> str | None:
    """What uv warns of a version that its index withdrew; None for another warning."""
    found = re.search(r"`([^`]+)` is yanked(?: \(reason: \"(.*)\"\))?", line)
    if found is None:
        return None
    return f"{found[1]} is yanked" + (f": {found[2]}" if found[2] else "")


def lacking_extra(line: str) -> tuple[str, str] | None:
    """The package and the extra that uv warns it does not have; None for another warning."""
    found = re.search(r"package `([\w.-]+)[^`]*` does not have an extra named `([^`]+)`", line)
    return (canonicalize_name(found[1]), found[2]) if found is not None else None


def lacking_version(why: str) -> tuple[str, Version] | None:
    """The package and version that an explanation says no index has; None when it is not so."""
    found = re.search(r"there is no version of ([\w.-]+)(?:\[[^\]]*\])?===?([\w.+!-]+)", why)
    if found is None:
        return None
    try:
        return canonicalize_name(found[1]), Version(found[2].rstrip("."))
    except InvalidVersion:
        return None


def clashing_packages(why: str) -> dict[str, list[str]]:
    """The packages on which an explanation names several bounds, and these."""
    bounds: dict[str, list[str]] = {}
    for name, bound in re.findall(
        r"depends? on ([\w.-]+)(?:\[[^\]]*\])?((?:(?:[<>!=~]=|[<>])[\w.*+!-]*[\w*],?)+)", why
    ):
        found = bounds.setdefault(canonicalize_name(name), [])
        if (bound := bound.rstrip(",")) not in found:
            found.append(bound)
    return {name: found for name, found in bounds.items() if len(found) > 1}


def _explanation(said: str) -> str:
    """What uv said, without its headings, indentation, colours and credentials."""
    lines = without_logins(_ANSI.sub("", said)).strip().splitlines()[-_SHOWN_LINES:]
    found = [
        re.sub(r"^(error: |\s*cause: |\s+)", "", line)
        for line in lines
        # advice for a project that uv manages: there is none whose settings it could be about
        if not (line.startswith("hint: ") and "`requires-python`" in line)
    ]
    while found and not found[-1]:
        del found[-1]
    if found and found[0].startswith(_UNSATISFIABLE):
        del found[0]
    return "\n".join(found)


def _binary() -> str:
    try:
        from uv import find_uv_bin

        return find_uv_bin()
    except (ImportError, FileNotFoundError) as error:
        raise _missing(str(error)) from error


def _missing(why: str) -> SdkError:
    return SdkError(
        Code.TOOL_MISSING,
        "uv is not there, or cannot be run",
        why=why,
        where=Where(),
        resolution="Install the SDK anew with its dependencies: pip install lls-provider-sdk.",
    )
