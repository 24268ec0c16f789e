"""What `up` adds to a configuration after preflight named the APIs that it lacks."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from packaging.utils import canonicalize_name
from packaging.version import Version

from lls_provider.contract.document import load_file
from lls_provider.contract.limits import merged_limits
from lls_provider.runtime.dependencies import Supply, missing_in, supply

if TYPE_CHECKING:
    from lls_provider.errors import SdkError


def supply_after(
    error: SdkError, run_yaml: Path, pins: Mapping[str, str], env: Mapping[str, str]
) -> Supply | None:
    """The server's own providers of the APIs that ``error`` of preflight says are missing.

    None for every other error, and where something is left that only the user can add: the message
    of preflight names it. ``pins`` are the versions of the server's packages.
    """
    missing = missing_in(error.layout or "")
    if not missing:
        return None
    server = {canonicalize_name(name): Version(version) for name, version in pins.items()}
    document = load_file(run_yaml, limits=merged_limits())
    found = supply(missing, server, document, env)
    return None if found.unknown or found.listed else found
