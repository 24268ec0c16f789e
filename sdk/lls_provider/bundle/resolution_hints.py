"""What helps if a provider does not resolve beside a server: only options that were tried.

An author who reads "--override" needs to know whether it helps here and what it costs. Another
resolution takes a fraction of a second, because uv has the metadata by then. A user of
``--package`` cannot change the requirements, but can name another version, Python or server.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from lls_provider.errors import Code, SdkError
from lls_provider.wheels import uv_messages
from lls_provider.wheels.loading import shared_versions
from lls_provider.wheels.resolve import provided_in
from lls_provider.wheels.servers import LINES
from lls_provider.wheels.uv import python_hint

if TYPE_CHECKING:
    from lls_provider.wheels.distribution import Distribution
    from lls_provider.wheels.resolve import Closure


_SERVERS = frozenset(line.name for line in LINES)
_TOGETHER = 8  # the most packages for which one option is tried at once


@dataclass(frozen=True, slots=True)
class Change:
    """Changes to the options of a build."""

    overrides: tuple[str, ...] = ()
    bundle: frozenset[str] = frozenset()
    servers: tuple[Distribution, ...] | None = None  # instead of those that were named


HintAttempt = Callable[[Change], Sequence["Closure"]]
"""Resolves beside each server with a change. Raises SdkError RESOLUTION_FAILED."""

Judge = Callable[["Distribution", Mapping[str, str]], Sequence[str] | None]
"""Which packages of a server do not accept versions that shadow its own; None if unknown."""


def add_resolution_hints(
    error: SdkError,
    servers: Sequence[Distribution],
    attempt: HintAttempt,
    alternatives: Sequence[Distribution] = (),
    *,
    judge: Judge,
    first: str,
) -> None:
    """Add to a RESOLUTION_FAILED the solutions that work, each with its consequence.

    ``alternatives`` are distributions to build for instead; ``first`` is what to do before any of
    these.
    """
    versions = shared_versions(servers)
    named = list(provided_in(error.why, versions))
    applying: list[str] = []
    tried: list[str] = []
    for way in (
        *_groups(named, lambda names: _override(names, versions, attempt)),
        # a server is never bundled
        *_groups(
            [name for name in named if name not in _SERVERS],
            lambda names: _bundle(names, servers, attempt, judge),
            never=_SERVERS,
        ),
        *(way for server in alternatives for way in _other(server, servers, attempt, judge)),
    ):
        if way.consequence is None:
            tried.append(way.option)
        else:
            applying.append(f"  {way.option}: {way.consequence}")
    lines = [f"{first}, or build with" if applying else f"{first}."]
    lines += applying
    if tried:
        lines.append(f"These do not help: {'; '.join(tried)}.")
    if not named:
        lines.append(
            "It is not about what the server provides, so --bundle does not apply; when a bound is "
            "wrong upstream, --override 'NAME==VERSION' replaces it everywhere in the image, which "
            "records it."
        )
    error.resolution = "\n".join(lines) + python_hint(error.why)


@dataclass(frozen=True, slots=True)
class _Way:
    """An option and its consequence if it helps; otherwise the packages that prevent it."""

    option: str
    consequence: str | None = None
    blocked_by: tuple[str, ...] = ()


def _groups(
    names: Sequence[str],
    way: Callable[[Sequence[str]], _Way],
    never: Collection[str] = (),
) -> Iterator[_Way]:
    """The option for each name alone; if none helps, for all packages that are in conflict.

    A resolver explains the first conflict only; the next one appears when that is solved.
    """
    alone = [way([name]) for name in names]
    yield from alone
    if not alone or any(it.consequence is not None for it in alone):
        return
    together = list(names)
    last = alone[0] if len(alone) == 1 else way(together)
    while last.consequence is None:
        more = [it for it in last.blocked_by if it not in together and it not in never]
        together += more
        if not more or len(together) > _TOGETHER:
            break
        last = way(together)
    if last is not alone[0]:
        yield last


def _override(
    names: Sequence[str], versions: dict[str, tuple[str, ...]], attempt: HintAttempt
) -> _Way:
    texts = tuple(
        f"{name}=={found[0]}" if len(found) == 1 else f"{name}>={min(found, key=Version)}"
        for name, found in ((name, versions[name]) for name in names)
    )
    option = " ".join(f"--override '{text}'" for text in texts)
    closures = _closures(attempt, Change(overrides=texts))
    if isinstance(closures, SdkError):
        return _Way(option, blocked_by=tuple(provided_in(closures.why, versions)))
    return _Way(
        option,
        f"every bound on {_and(names)} is replaced and the image records it; what set the bound "
        "runs with a version that it does not claim to support.",
    )


def _bundle(
    names: Sequence[str], servers: Sequence[Distribution], attempt: HintAttempt, judge: Judge
) -> _Way:
    versions = shared_versions(servers)
    option = " ".join(f"--bundle {name}" for name in names)
    closures = _closures(attempt, Change(bundle=frozenset(names)))
    if isinstance(closures, SdkError):
        return _Way(option, blocked_by=tuple(provided_in(closures.why, versions)))
    goes_in = {it.name: it.version for it in closures[0].packages if it.version is not None}
    bundled = {name: version for name, version in goes_in.items() if name in names}
    if not bundled:  # nothing on this platform needs them
        theirs = _and([f"{name} {_and(versions[name])}" for name in sorted(names)])
        return _Way(
            option,
            f"another platform's image gets its own in front of the server's {theirs}, for the "
            "server itself and for other providers too.",
        )
    versions_text = _and([f"{name} {version}" for name, version in sorted(bundled.items())])
    unchanged = [name for name in names if versions[name] == (bundled.get(name),)]
    if unchanged and len(unchanged) < len(names):  # perhaps not needed
        fewer = _bundle([it for it in names if it not in unchanged], servers, attempt, judge)
        if fewer.consequence is not None:
            return fewer
    judged = [judge(server, goes_in) for server in servers]
    if refused := [line for lines in judged for line in lines or ()]:
        return _Way(
            f"{option} (with {versions_text} the server itself would not run: {_and(refused)})"
        )
    goes, shadows = ("goes", "shadows") if len(bundled) == 1 else ("go", "shadow")
    shadowed = _and([_and(versions[name]) for name in sorted(bundled)])
    accept = (
        "whether its packages accept that is not known"
        if None in judged
        else ("whose packages accept that")
    )
    return _Way(
        option,
        f"{versions_text} {goes} into the image and {shadows} the server's {shadowed}, for "
        f"the server itself ({accept}) and for other providers too.",
    )


def _other(
    server: Distribution, servers: Sequence[Distribution], attempt: HintAttempt, judge: Judge
) -> Iterator[_Way]:
    """Another server; if that does not help, another server with packages bundled."""
    option = f"--distribution '{server.label}'"
    consequence = f"the image is then for that server and not for {_labels(servers)}"
    closures = _closures(attempt, Change(servers=(server,)))
    if not isinstance(closures, SdkError):
        yield _Way(option, f"{consequence}.")
        return
    versions = shared_versions([server])
    helping = [
        replace(
            way, option=f"{option} {way.option}", consequence=f"{consequence}; {way.consequence}"
        )
        for way in _groups(
            [name for name in provided_in(closures.why, versions) if name not in _SERVERS],
            lambda names: _bundle(
                names, [server], lambda change: attempt(replace(change, servers=(server,))), judge
            ),
            never=_SERVERS,
        )
        if way.consequence is not None
    ]
    yield from helping or [_Way(option)]


def _closures(attempt: HintAttempt, change: Change) -> Sequence[Closure] | SdkError:
    try:
        return attempt(change)
    except SdkError as error:
        if error.code not in (Code.RESOLUTION_FAILED, Code.WHEEL_INCOMPATIBLE):
            raise
        return error


def _and(names: Sequence[str]) -> str:
    return " and ".join([*([", ".join(names[:-1])] if names[1:] else []), *names[-1:]])


def _labels(servers: Sequence[Distribution]) -> str:
    return _and([server.label for server in servers])


CHANGE_REQUIREMENT = (
    "Change the requirement that the explanation names in the provider's dependencies"
)

Newest = Callable[[str], str | None]
"""The newest version that satisfies a requirement; None if none is available."""


def resolution_of(error: SdkError, package: Requirement, newest: Newest) -> str | None:
    """What to write after --package or --python instead; None for other causes."""
    name = canonicalize_name(package.name)
    if name in uv_messages.not_found_names(error.why):
        return (
            "Correct the name after --package, or name the index or directory that has it with "
            "--index or --find-links."
        )
    if name in dict(uv_messages.missing_versions(error.why)):
        version = newest(name)
        newest_note = f"; the newest for this Python is {name}=={version}" if version else ""
        return f"Correct the version after --package{newest_note}."
    if python := uv_messages.required_python(error.why, name):
        return (
            f"Name a Python that it supports ({python}) with --python, "
            f"or another version of {name} after --package."
        )
    return None


def not_found_resolution(error: SdkError, package: Requirement | None) -> str | None:
    """What to do if a dependency is not available anywhere, so that no override helps.

    ``package`` is the published one whose dependency it is, None for a project's.
    """
    names = uv_messages.not_found_names(error.why)
    if not names:
        return None
    has_it = "name the index or directory that has it with --index or --find-links"
    if package is None:
        return f"Correct the name {names[0]} in the provider's dependencies, or {has_it}."
    return f"{other_version_resolution(package)}; or, for {names[0]}, {has_it}."


def other_version_resolution(package: Requirement) -> str:
    """What to do first if the requirements of a published package do not fit."""
    return f"Name another version of {package.name} after --package, whose requirements fit"


def required_server(error: SdkError, newest: Newest) -> str | None:
    """The server for which a provider is made, as the explanation shows: ``NAME==VERSION``."""
    required = uv_messages.dependencies(error.why)
    for line in LINES:
        names = (line.name, canonicalize_name(line.api_package))
        bounds = next((it for name, it in required if it and name in names), None)
        if bounds is None:
            continue
        text = f"{line.name}{bounds}"
        try:
            version = newest(str(Requirement(text)))
        except InvalidRequirement:
            return None
        return f"{line.name}=={version}" if version else None
    return None
