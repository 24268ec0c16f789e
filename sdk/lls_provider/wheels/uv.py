"""Calls uv: its binary, its environment, and what its failures mean to a user.

The phrases of uv's messages are in `uv_messages`; what to do about them is decided here.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from lls_provider.errors import Code, SdkError, Where
from lls_provider.system.cache import cache_of, unwritable_cache, uv_cache_variables
from lls_provider.system.cache_sections import cache_section, uv_is_inside
from lls_provider.wheels import uv_messages
from lls_provider.wheels.reproducible import backend_epoch
from lls_provider.wheels.uv_settings import settings

_SHOWN_LINES = 40
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

    ``doing`` completes the sentence "Failed while …". ``meanwhile`` is called while uv runs;
    ``warned`` is called with each line that uv prints on stderr although it succeeds. The user's
    own settings of uv (indexes, proxies, certificates) hold; the current `Indexes` take precedence.
    Raises SdkError RESOLUTION_FAILED with uv's explanation, NETWORK, NO_SPACE, CACHE_UNWRITABLE,
    TOOL_MISSING, USAGE for a wrong SOURCE_DATE_EPOCH, or TOOL_FAILED with all that uv printed.
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
            out, err = process.communicate((stdin or "").encode())
        except BaseException:
            process.kill()
            raise
    if process.returncode:
        raise uv_error(err.decode(errors="replace"), process.returncode, doing)
    if warned is not None:
        for line in _readable(err.decode(errors="replace")).splitlines():
            warned(line)
    return out.decode(errors="replace")


def uv_environment(cwd: Path | None, environ: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment variables for uv if it starts in ``cwd``, and for a build backend.

    ``environ`` are additional ones. Raises SdkError USAGE for a wrong SOURCE_DATE_EPOCH.
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
    if uv_is_inside():
        cache_section("uv")  # nothing may be removed while uv runs
    # uv must not install into the virtual environment that is active
    environment.pop("VIRTUAL_ENV", None)
    return environment


def _rooted(environ: Mapping[str, str]) -> dict[str, str]:
    """The variables with paths, made absolute: uv starts in another directory than the user's."""
    found = {}
    for name in _PATHS:
        if value := environ.get(name):
            separator = _LISTS.get(name)
            parts = value.split(separator) if separator else [value]
            found[name] = (separator or "").join(
                it if "://" in it else str(Path(it).absolute()) for it in parts if it
            )
    return found


def _binary() -> str:
    try:
        from uv import find_uv_bin

        return find_uv_bin()
    except (ImportError, FileNotFoundError) as error:
        raise _missing(str(error)) from error


def _missing(why: str) -> SdkError:
    return SdkError(
        Code.TOOL_MISSING,
        "uv is missing, or cannot be run",
        why=why,
        where=Where(),
        resolution="Install the SDK again with its dependencies: pip install lls-provider-sdk.",
    )


def uv_error(message: str, status: int, doing: str) -> SdkError:
    """The error for a failure of uv, from its message and exit status only."""
    why = uv_messages.explanation(_readable(message), _SHOWN_LINES)
    if uv_messages.is_out_of_space(message):
        return SdkError(
            Code.NO_SPACE,
            f"No space left while {doing}",
            why=why,
            resolution="Free space, or set UV_CACHE_DIR, LLS_PROVIDER_CACHE and TMPDIR to places "
            "on a larger file system.",
        )
    if (refused := uv_messages.unwritable_path(message)) is not None:
        place, reason = refused
        cache = cache_of(place)
        if cache is not None or uv_messages.is_about_cache(message):
            # uv's own settings can name a cache that we do not know
            return unwritable_cache(cache or place, reason, Where(file=str(place)))
    if uv_messages.is_about_network(message):
        return SdkError(
            Code.NETWORK,
            f"The package index could not be reached while {doing}",
            why=why,
            resolution=cause_of(message)
            or "Check the network, the proxy (HTTPS_PROXY) and the certificates "
            "(SSL_CERT_FILE); a private index is named with --default-index, its login in "
            "UV_INDEX_<NAME>_USERNAME and UV_INDEX_<NAME>_PASSWORD or in ~/.netrc. Without a "
            "network, --offline builds from what is in uv's cache, and --locked from a lock.",
        )
    if uv_messages.is_unsatisfiable(message):
        return SdkError(
            Code.RESOLUTION_FAILED,
            f"No set of packages satisfies everything, found while {doing}",
            why=why,
            resolution=cause_of(message)
            or _not_found(why)
            or "Change the requirement that the explanation names in the project's "
            "dependencies; or build for another server; or, when a bound is wrong "
            "upstream, build with --override 'NAME==VERSION'."
            + python_hint(why),
        )
    return SdkError(
        Code.TOOL_FAILED,
        f"uv failed while {doing} (exit {status})",
        why=why,
        resolution=cause_of(message) or "Correct what uv reports above.",
    )


def _not_found(why: str) -> str | None:
    """What to do about a package that no index has at all; None if all exist."""
    for name in uv_messages.not_found_names(why):
        return (
            f"Check the spelling of '{name}'. If an index or a directory of your own has it, name "
            "that: UV_INDEX=URL or UV_FIND_LINKS=DIR."
        )
    return None


def without_logins(text: str) -> str:
    """A text without the logins of the URLs in it."""
    return _CREDENTIALS.sub("", text)


def _readable(message: str) -> str:
    """uv's message without colours and logins."""
    return without_logins(uv_messages.without_colours(message))


def cause_of(message: str) -> str | None:
    """What to do about the cause that uv's message names; None if it names none of ours."""
    for phrase, resolution in _CAUSES:
        if (found := phrase.find(message)) is not None:
            return found.expand(resolution)
    return None


def requires_cause(message: str) -> str:
    """What to do if ``[build-system] requires`` has no resolution."""
    name = uv_messages.build_requirement(message)
    what = f" {name} in" if name is not None else ""
    return (
        f"Correct{what} [build-system] requires of pyproject.toml, or name the index or "
        "directory that has it with --index or --find-links."
    )


def backend_cause(message: str, backend: str) -> str | None:
    """What to do about a build that failed because of its backend; None for other causes.

    ``backend`` is what ``[build-system] build-backend`` names.
    """
    missing = re.search(r"ModuleNotFoundError: No module named '([\w.]+)'", message)
    if missing is None:
        return None
    module = missing[1]
    if backend and (backend == module or backend.partition(":")[0].startswith(f"{module}.")):
        return (
            "Correct build-backend in [build-system] of pyproject.toml, or its requires: they "
            f"bring no module {module}."
        )
    return (
        f"Add what provides {module} to [build-system] requires of pyproject.toml: the build is "
        "isolated and has only what is listed there."
    )


def python_hint(why: str) -> str:
    """Text to append to a resolution if uv's explanation names another Python; else empty.

    uv also names one if only a version that is not needed requires it.
    """
    version = uv_messages.highest_required_python(why)
    if version is None:
        return ""
    return f"\nWhere the Python is too old, build for another one: --python {version}."


_RELEASED = (
    "An image takes nothing from version control, since its content has no hash: depend on a "
    "released version, or on an archive of it with a fixed URL."
)
_HIDDEN = (
    r"Unset UV_EXCLUDE_NEWER, or `exclude-newer` in uv's settings, or set it to a later date: "
    r"it hides every release of \1 that is newer than \2."
)
_CERTIFICATE = (
    "Name the certificate authority that signed the index's certificate: "
    "SSL_CERT_FILE=/path/of/ca.pem. UV_SYSTEM_CERTS=1 takes those of this machine."
)
_PROXY = "Write the proxy's login into HTTPS_PROXY=http://USER:PASSWORD@HOST:PORT."
_LOGIN = (
    "Give the index's login: UV_INDEX_<NAME>_USERNAME and UV_INDEX_<NAME>_PASSWORD for the index "
    "that --index <NAME>=URL or uv's settings name, or an entry in ~/.netrc."
)
_OFFLINE = (
    "Run it once without --offline (UV_OFFLINE), so that the cache gets what is missing; or "
    "name a directory of wheels with --find-links."
)
# in the order of the search: the first match decides
_CAUSES = (
    (uv_messages.HIDDEN_BY_DATE, _HIDDEN),
    (uv_messages.GIT_MISSING, f"git is not on PATH. {_RELEASED}"),
    (uv_messages.GIT_REVISION_UNKNOWN, rf"The repository has no \1. {_RELEASED}"),
    (uv_messages.GIT_FAILED, f"The repository cannot be cloned from here. {_RELEASED}"),
    (uv_messages.CERTIFICATE_UNKNOWN, _CERTIFICATE),
    (uv_messages.PROXY_LOGIN_REQUIRED, _PROXY),
    (uv_messages.INDEX_LOGIN_REQUIRED, _LOGIN),
    (uv_messages.FILE_LOGIN_REQUIRED, _LOGIN),
    (uv_messages.FILE_FORBIDDEN, _LOGIN),
    (uv_messages.OFFLINE_RESOLUTION, _OFFLINE),
    (uv_messages.OFFLINE_FETCH, _OFFLINE),
    (
        uv_messages.RATE_LIMITED,
        "Run the command again later: the index limits the rate of requests.",
    ),
)
