"""From a server's log to an error that says whose fault it is and what to change."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from packaging.utils import canonicalize_name

from lls_provider.errors import Code, SdkError, Where
from lls_provider.local.causes import Cause, last_lines, true_cause
from lls_provider.runtime.wheel import read_wheel

_NO_SPACE = ("[Errno 28]", "[Errno 122]", "No space left on device", "disk is full")
_SILENT = (
    "The server's log names no error. A provider that ends the process while it starts, with "
    "sys.exit() for example, leaves none."
)
_LOG_HEADING = "The end of the server's log:"


@dataclass(frozen=True, slots=True)
class Suspects:
    """The providers that were installed, so that a traceback can be laid at one's door.

    ``modules`` gives the providerId by module path; ``overlay`` is ``python-packages``. With
    ``own_base`` the base configuration is our smallest one. ``wheels`` are the providers' own, by
    providerId; ``projects`` are those whose source is at hand.
    ``supplied`` are the APIs of which `up` added the server's own providers.
    """

    overlay: Path
    modules: Mapping[str, str]
    own_base: bool = False
    wheels: Mapping[str, Path] = field(default_factory=dict)
    projects: frozenset[str] = frozenset()
    supplied: tuple[str, ...] = ()

    def provider_of(self, cause: Cause) -> str | None:
        """The provider whose code the cause arose in, as far as the frames tell."""
        module = cause.module_below(self.overlay)
        if module is None:
            return None
        for name, provider_id in self.modules.items():
            if module == name or module.startswith(f"{name}."):
                return provider_id
        # some dependency: with one provider there is no doubt whose
        return next(iter(self.modules.values())) if len(self.modules) == 1 else None

    def error(
        self, code: Code, what: str, log: str, *, why: str = "", kept: bool = False
    ) -> SdkError:
        """The error for ``what``, with the true cause that ``log`` tells and the log's end.

        A full disk makes it NO_SPACE, whatever ``code`` says.
        """
        cause = true_cause(log)
        if cause is None:
            nothing = _SILENT if log.strip() else "The server wrote nothing to its log."
            end = log_end(log) if log.strip() else ""
            return SdkError(
                code,
                what,
                why="\n\n".join(text for text in (why, nothing, end) if text),
                resolution="Run it again with --keep, and start the server by hand on the "
                "configuration that is kept.",
            )
        provider = self.provider_of(cause)
        if any(sign in cause.reason for sign in _NO_SPACE):
            code = Code.NO_SPACE
        paragraphs = [why, cause.text(), log_end(log)]
        return SdkError(
            code,
            what,
            why="\n\n".join(paragraph for paragraph in paragraphs if paragraph),
            where=Where(provider=provider),
            resolution=self._way(cause, provider, code, kept=kept),
        )

    def _way(self, cause: Cause, provider: str | None, code: Code, *, kept: bool) -> str:
        if self.own_base and _is_of_base(cause):
            return _BASE
        way = (
            self._extra(cause, provider)
            or self._of_server(cause)
            or _resolution(cause, provider, code, kept=kept)
        )
        if not self.supplied or code is Code.NO_SPACE or cause.module_below(self.overlay):
            return way
        return (
            f"{way} If it is about a provider of {' or '.join(self.supplied)}: lls-provider added "
            "it because the spec needs that API; give one of your own with --base-config FILE."
        )

    def _of_server(self, cause: Cause) -> str:
        """What to do where the server's own code imports what its environment lacks; else empty."""
        module = cause.missing_module
        if module is None or not cause.frames or cause.module_below(self.overlay) is not None:
            return ""
        top = module.partition(".")[0]
        if any(name.partition(".")[0] == top for name in self.modules):
            return ""  # a module of the provider that the server is to load
        base = "" if self.own_base else ", or take what needs it out of --base-config"
        return (
            f"The server itself imports '{module}', and its environment lacks it: give one that "
            f"has it with --server python:ENV{base}."
        )

    def _extra(self, cause: Cause, provider: str | None) -> str:
        """What to do where an extra of the provider brings what is missing; else empty."""
        wheel = self.wheels.get(provider or "")
        module = cause.missing_module
        if wheel is None or (module is None and not cause.asked_extras):
            return ""
        from lls_provider.bundle.declared import declared_extras
        from lls_provider.bundle.extras import extras_that_bring

        try:
            own = read_wheel(wheel)
            extras = declared_extras(wheel)
        except SdkError:
            return ""  # installing it told what is wrong with it
        asked = [
            canonicalize_name(extra)
            for name, extra in cause.asked_extras
            if (name == "." or canonicalize_name(name) == own.name)
            and canonicalize_name(extra) in extras
        ]
        if asked and provider in self.projects:
            return (
                f"An image is built without extras: add what the extra {asked[0]} brings to the "
                "provider's dependencies and run it again."
            )
        if asked:
            return (
                "Build the image with the extra that the message names: lls-provider build "
                f"--package '{own.name}[{asked[0]}]=={own.version}'."
            )
        found = extras_that_bring(own, module) if module is not None else []
        if not found:
            return ""
        bringing, requirement = found[0]
        if provider in self.projects:
            return (
                f"Its extra {bringing} brings '{module}', and an image is built without extras: "
                f"add '{requirement}' to the provider's dependencies and run it again."
            )
        return (
            f"Build the image with the extra that brings '{module}': lls-provider build --package "
            f"'{own.name}[{bringing}]=={own.version}'."
        )


_BASE = (
    "Start from a configuration that this server starts with: --base-config FILE. The smallest "
    "one, which lls-provider makes itself, does not fit this version of the server: please report "
    "it with what the cause names."
)
_OTHERS = ("providers", "registered_resources", "models", "shields", "tool_groups", "vector_dbs")


def _is_of_base(cause: Cause) -> bool:
    """Whether a server refuses a part of its configuration that nobody gave."""
    first, *lines = cause.reason.splitlines()
    if "ValidationError" not in first or " for Stack" not in first:
        return False
    places = [line for line in lines if line and not line.startswith((" ", "For further"))]
    # without a place it judges the whole: its name and its storage, nothing of the providers
    return not places or not places[0].startswith(_OTHERS)


def log_end(log: str) -> str:
    """The end of a server's log as a part of an error, set off from our own words."""
    return f"{_LOG_HEADING}\n" + textwrap.indent(last_lines(log), "  | ", lambda _line: True)


def _resolution(cause: Cause, provider: str | None, code: Code, *, kept: bool) -> str:
    who = f"provider '{provider}'" if provider else "the provider that imports it"
    if code is Code.NO_SPACE:
        return "Free space, or set TMPDIR to a folder on a larger file system."
    if cause.missing_module is not None:
        return (
            f"Add the package that holds the module '{cause.missing_module}' to the dependencies "
            f"of {who}, then build it again."
        )
    if "ValidationError" in cause.reason.partition("\n")[0]:
        return (
            "Correct the configuration that it speaks of: --config or [tool.lls-provider.up.config]"
            " for a provider, --base-config for the rest."
        )
    if provider is not None:
        return f"Correct provider '{provider}' at the place shown."
    if kept:
        return "Read the whole log in the folder that is kept, and correct what it names."
    return "Correct what the cause names; --keep keeps the whole log and the configuration."
