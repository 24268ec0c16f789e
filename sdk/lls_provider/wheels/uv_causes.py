"""What to do about the causes of a failure that uv's messages distinguishes."""

from __future__ import annotations

import re

from lls_provider.wheels import uv_messages

_RELEASED = (
    "An image takes nothing from version control, since its content has no hash: depend on a "
    "released version, or on an archive of it with a fixed URL."
)


def cause_of(said: str) -> str | None:
    """What to do about the cause that uv names; None when its words say none apart."""
    for phrase, resolution in _CAUSES:
        if (found := phrase.find(said)) is not None:
            return found.expand(resolution)
    return None


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
    "Leave --offline (UV_OFFLINE) out, once at least, so that the cache gets what is missing; or "
    "name a directory of wheels with --find-links."
)

# in the order in which they are looked for: the first that is found decides
_CAUSES = (
    (uv_messages.HIDDEN_BY_DATE, _HIDDEN),
    (uv_messages.GIT_MISSING, f"git is not on PATH. {_RELEASED}"),
    (uv_messages.GIT_REVISION_UNKNOWN, rf"The repository has no \1. {_RELEASED}"),
    (uv_messages.GIT_FAILED, f"The repository cannot be cloned from here. {_RELEASED}"),
    (uv_messages.CERTIFICATE_UNKNOWN, _CERTIFICATE),
    (uv_messages.PROXY_LOGIN_WANTED, _PROXY),
    (uv_messages.INDEX_LOGIN_WANTED, _LOGIN),
    (uv_messages.FILE_LOGIN_WANTED, _LOGIN),
    (uv_messages.FILE_FORBIDDEN, _LOGIN),
    (uv_messages.OFFLINE_RESOLUTION, _OFFLINE),
    (uv_messages.OFFLINE_FETCH, _OFFLINE),
    (
        uv_messages.RATE_LIMITED,
        "Run the command again later: the index limits how often it is asked.",
    ),
)


def requires_cause(said: str) -> str:
    """What to do where ``[build-system] requires`` has no resolution."""
    name = uv_messages.build_requirement(said)
    what = f" {name} in" if name is not None else ""
    return (
        f"Correct{what} [build-system] requires of pyproject.toml, or name the index or "
        "directory that has it with --index or --find-links."
    )


def backend_cause(said: str, backend: str) -> str | None:
    """What to do about a build that failed for its backend; None when it is about something else.

    ``backend`` is what ``[build-system] build-backend`` names.
    """
    missing = re.search(r"ModuleNotFoundError: No module named '([\w.]+)'", said)
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
        "isolated and has what is there alone."
    )


def python_hint(why: str) -> str:
    """The solution where an explanation speaks of another Python, to end a resolution; or nothing.

    uv speaks of it too where a version that is not needed would want another one.
    """
    version = uv_messages.highest_python_wanted(why)
    if version is None:
        return ""
    return f"\nWhere the Python is too old, build for another one: --python {version}."
