"""The messages that the contract fixes to the letter (section 6; the override of section 4).

Every function that makes one returns the text without a trailing newline. ``contract/golden``
holds one example of each, and the tests compare. A value that somebody else wrote stays in its
line: it cannot pass for another one, such as a resolution. The functions at the end leave an error
in a Pod's status, and as data for whoever started the runtime.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from lls_provider.contract.names import IMAGE_ROOT, SPEC_FILE, TERMINATION_LOG_LIMIT, cr_name
from lls_provider.system.files import write_atomically
from lls_provider.untrusted import bounded, one_line

if TYPE_CHECKING:
    from lls_provider.errors import SdkError


_INSTALLED_PACKAGES = "/opt/llama-stack/external-providers/installed-packages.txt"


class FieldComparison(NamedTuple):
    """A field that stands in the metadata and in the runtime spec."""

    field: str
    metadata: str
    runtime: str

    @property
    def matches(self) -> bool:
        """Whether both say the same."""
        return self.metadata == self.runtime


def conflict(provider: str, image: str, container: str, details: str) -> str:
    """Dependencies that cannot live together; ``details`` tells packages and who needs what."""
    return f"""\
ERROR: Cannot install provider '{one_line(provider)}' due to dependency conflict

Provider: {one_line(provider)}
Image: {one_line(image)}
Init Container: {one_line(container)}

Installation failed with:
{bounded(details)}

Previously installed packages can be found in: {_INSTALLED_PACKAGES}

Resolution: Update provider images to use compatible dependency versions, or reorder providers \
in the CRD if one provider's dependencies are a superset of another's."""


def api_mismatch(provider: str, image: str, declared: str, placement: str) -> str:
    """A provider in the section of another API; both are snake_case, the CR writes camelCase."""
    return f"""\
ERROR: Provider API type mismatch

Provider '{one_line(provider)}' (image: {one_line(image)})
declares api={declared} in {SPEC_FILE}
but is placed under externalProviders.{cr_name(placement)}

Resolution: Move the provider to externalProviders.{cr_name(declared)} section in the LLSD spec."""


def validation_failed(
    provider: str, module: str, reason: str, details: str, resolution: str, image: str | None = None
) -> str:
    """A provider that cannot be loaded; ``image`` is told when the volume knows it."""
    lines = [f"Image: {one_line(image)}"] if image else []
    if details:
        lines.append(bounded(details))
    block = "\n".join(lines) + "\n\n" if lines else ""
    return f"""\
ERROR: Provider validation failed

Provider: {one_line(provider)}
Module: {one_line(module)}
Reason: {one_line(reason)}

{block}Resolution: {resolution}"""


def architecture(
    provider: str, module: str, package: str, expected: str, found: str, image: str | None = None
) -> str:
    """Native code for another machine; ``expected`` and ``found`` such as ``linux/arm64``."""
    return validation_failed(
        provider,
        module,
        "Native extension architecture mismatch",
        f"Package: {package}\nExpected architecture: {expected}\nFound architecture: {found}",
        f"Build the provider image for {expected}.",
        image,
    )


def spec_invalid(
    provider: str, module: str, field: str, *, returned: str = "", way: str = ""
) -> str:
    """A spec that lacks a field.

    ``returned`` is what is no spec at all, ``way`` what to change, in sentences.
    """
    found = f"\nReturned: {one_line(returned)}" if returned else ""
    more = f" {way}" if way else ""
    return f"""\
ERROR: Provider spec validation failed

Provider: {one_line(provider)}
Module: {one_line(module)}
Reason: get_provider_spec() returned invalid data

Missing required field: {one_line(field)}{found}

Resolution: Provider implementation must return ProviderSpec with {field} field.{more}"""


def metadata_mismatch(provider: str, fields: Sequence[FieldComparison]) -> str:
    """Metadata and runtime differ in at least one of ``fields``; never a failure."""
    blocks = []
    for field in fields:
        end = "Match ✓" if field.matches else f"Using: {one_line(field.runtime)} (runtime value)"
        blocks.append(
            f"Field: {one_line(field.field)}\n"
            f"  Metadata ({SPEC_FILE}): {one_line(field.metadata)}\n"
            f"  Runtime (get_provider_spec()): {one_line(field.runtime)}\n"
            f"  {end}\n\n"
        )
    return f"""\
WARNING: Provider metadata mismatch (non-blocking)

Provider: {one_line(provider)}

{"".join(blocks)}\
Note: Update {SPEC_FILE} to match runtime implementation for mismatched fields."""


def override(provider: str, api: str, base_type: str, external_type: str) -> str:
    """An external provider takes the place of one in the base."""
    return f"""\
External provider '{one_line(provider)}' overrides base provider in API '{api}'
  Base type: {one_line(base_type)}
  External type: {one_line(external_type)}"""


def metadata_missing(provider: str, image: str, container: str) -> str:
    """An image without metadata."""
    return f"""\
ERROR: Missing {IMAGE_ROOT}/{SPEC_FILE} in image {one_line(image)}

Provider: {one_line(provider)}
Image: {one_line(image)}
Init Container: {one_line(container)}

Resolution: Build the provider image again with {SPEC_FILE} under {IMAGE_ROOT} \
('lls-provider build' writes it)."""


ERROR_FILE = "LLS_PROVIDER_ERROR_FILE"
"""The variable that names the file for an error as JSON."""

# without waiting for somebody to read, should it be a pipe
_FLAGS = os.O_WRONLY | os.O_TRUNC | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_CUT = "\n[…]\n"


def write_termination_log(message: str, path: str) -> None:
    """Write the message, best effort: a file that is not there is not created."""
    with contextlib.suppress(OSError, ValueError):
        descriptor = os.open(path, _FLAGS)
        try:
            os.write(descriptor, cut_message(message, TERMINATION_LOG_LIMIT))
        finally:
            os.close(descriptor)


def write_error_file(error: SdkError, path: str) -> None:
    """Write the error as JSON, whole or not at all, best effort; `SdkError.from_json` reads it."""
    with contextlib.suppress(OSError, ValueError):
        write_atomically(Path(path), error.to_json().encode("ascii"), mode=0o600)


def cut_message(message: str, limit: int) -> bytes:
    """The message as UTF-8 in at most ``limit`` bytes.

    The beginning (who, and the cause) and the resolution at the end stay; the middle goes.
    """
    data = message.encode("utf-8", "replace")
    if len(data) <= limit:
        return data
    head, separator, tail = message.rpartition("\n\nResolution: ")
    mark = _CUT.encode()
    end = (separator + tail).encode("utf-8", "replace") if separator else b""
    end = _whole(end[: limit // 2])
    room = limit - len(mark) - len(end)
    return _whole((head if separator else tail).encode("utf-8", "replace")[:room]) + mark + end


def _whole(data: bytes) -> bytes:
    """Without the half of a character at the end."""
    return data.decode("utf-8", "ignore").encode()
