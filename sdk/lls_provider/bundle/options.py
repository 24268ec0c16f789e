"""What a bundle is built for and of, whether of a project or of a published package."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from packaging.requirements import InvalidRequirement
from packaging.utils import canonicalize_name, is_normalized_name

from lls_provider.errors import Code, SdkError
from lls_provider.runtime.requirements import parse_requirement

if TYPE_CHECKING:
    from lls_provider.bundle.waiting import Trial
    from lls_provider.wheels.distribution import Distribution


@dataclass(frozen=True, slots=True)
class BundleOptions:
    """The options of a build that say what goes into a bundle.

    ``distributions`` are what to resolve against; without one every dependency goes into the
    bundle, and so does what ``bundle`` names. ``python`` wins over the project's. The lock of
    the closure is written to ``lock``; from the one at ``locked`` it is built without resolving.
    With a ``trial`` the provider is loaded beside each distribution before it is assembled.
    """

    distributions: Sequence[str | Distribution] = ()
    python: str | None = None
    overrides: tuple[str, ...] = ()
    bundle: tuple[str, ...] = ()
    lock: Path | None = None
    locked: Path | None = None
    trial: Trial | None = None


def require_readable(overrides: Sequence[str], bundle: Sequence[str]) -> None:
    """Raises SdkError USAGE for an override or a name of a package that is none."""
    for text in overrides:
        try:
            parse_requirement(text)
        except InvalidRequirement as error:
            raise _unreadable("--override", text, str(error).partition("\n")[0]) from error
    for text in bundle:
        if not is_normalized_name(canonicalize_name(text)):
            raise _unreadable("--bundle", text, "It is no name of a package.")


def _unreadable(option: str, text: str, why: str) -> SdkError:
    like = "'pydantic==2.12.0'" if option == "--override" else "pydantic"
    return SdkError(
        Code.USAGE,
        f"{option} {text!r:.200} cannot be read",
        why=why,
        resolution=f"Write it as {option} {like}.",
    )
