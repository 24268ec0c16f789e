"""The messages that the contract fixes to the letter (section 6; the override of section 4).

Their functions return the text without a trailing newline. ``contract/golden`` has one example of
each, and the tests compare. A value from an untrusted source stays on its line, so that it cannot
pass for another line, such as a resolution.

Other functions write an error to a Pod's status and, as data, to the process that started the
runtime; and make our errors of what the operating system says about the volume or the image, and
of what is wrong with a wheel.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from lls_provider.contract.names import IMAGE_ROOT, SPEC_FILE, TERMINATION_LOG_LIMIT, cr_name
from lls_provider.errors import Code, SdkError, Where
from lls_provider.system.files import OsCause, os_cause, os_error, path_kind, write_atomically
from lls_provider.untrusted import bounded, one_line

_INSTALLED_PACKAGES = "/opt/llama-stack/external-providers/installed-packages.txt"


class FieldComparison(NamedTuple):
    """A field that is in the metadata and in the runtime spec."""

    field: str
    metadata: str
    runtime: str

    @property
    def matches(self) -> bool:
        """Whether both say the same."""
        return self.metadata == self.runtime


def conflict(provider: str, image: str, container: str, details: str) -> str:
    """Dependencies that cannot be installed together; ``details`` has packages and requirers."""
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
    """A provider that cannot be loaded; ``image`` is reported when the volume knows it."""
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
    """A spec without a required field.

    ``returned`` is what is not a spec at all, ``way`` what to change, in sentences.
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

# without waiting for a reader if it is a pipe
_FLAGS = os.O_WRONLY | os.O_TRUNC | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
TERMINATION_LOG_LIMIT_VARIABLE = "LLS_TERMINATION_LOG_LIMIT"
_LEAST = 256  # bytes, in which a cause and a resolution still fit
_CUT = "\n[…]\n"


def write_termination_log(message: str, path: str) -> None:
    """Write the message, best effort: a file that does not exist is not created."""
    with contextlib.suppress(OSError, ValueError):
        descriptor = os.open(path, _FLAGS)
        try:
            os.write(descriptor, cut_message(message, termination_log_limit()))
        finally:
            os.close(descriptor)


def termination_log_limit() -> int:
    """How many bytes of a termination message Kubernetes keeps (contract section 6).

    A kubelet shares 12 KiB equally among the containers of a Pod, and cuts the end, where the
    resolution is: what renders the Pod passes on the share.
    """
    given = os.environ.get(TERMINATION_LOG_LIMIT_VARIABLE, "")
    share = int(given) if given.isascii() and given.isdigit() and len(given) < 6 else 0
    return min(share, TERMINATION_LOG_LIMIT) if share >= _LEAST else TERMINATION_LOG_LIMIT


def write_error_file(error: SdkError, path: str) -> None:
    """Write the error as JSON, atomically, best effort; `SdkError.from_json` reads it."""
    with contextlib.suppress(OSError, ValueError):
        write_atomically(Path(path), error.to_json().encode("ascii"), mode=0o600)


def cut_message(message: str, limit: int) -> bytes:
    """The message as UTF-8 in at most ``limit`` bytes.

    The beginning (who, and the cause) and the resolution at the end are kept.
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
    """Without half of a character at the end."""
    return data.decode("utf-8", "ignore").encode()


def volume_error(
    error: OSError, doing: str, path: str | os.PathLike[str] | None = None
) -> SdkError:
    """The SdkError for a failed write or read on the volume: NO_SPACE or VOLUME_UNWRITABLE.

    ``path`` is the directory that was meant, if the error itself does not name it.
    """
    # for a rename, the second name is the one where something is in the way
    reported = error.filename2 if isinstance(error.filename2, str) else error.filename
    place = os.fspath(path) if path is not None else reported
    name = place if isinstance(place, str) else None
    cause = os_cause(error)
    if cause is OsCause.NO_SPACE:
        return os_error(
            error,
            Code.NO_SPACE,
            f"No space left while {doing}",
            file=name,
            resolution="Raise the sizeLimit of the volume, or free space on the node.",
        )
    detail = ""
    if cause is OsCause.OBSTACLE:
        name = _obstacle(reported) or _obstacle(place) or name
        detail = f": {path_kind(name)} is there" if name is not None else ""
    elif cause is OsCause.FORBIDDEN and name is not None:
        detail = _owner(name)
    return os_error(
        error,
        Code.VOLUME_UNWRITABLE,
        f"The volume failed while {doing}",
        detail=detail,
        file=name,
        resolution=_resolution(cause),
    )


def image_error(error: OSError) -> SdkError:
    """The SdkError FILE_UNREADABLE for a failed read below ``/lls-provider``."""
    name = error.filename if isinstance(error.filename, str) else None
    resolution = "Build the provider image again with 'lls-provider build'."
    detail = ""
    if os_cause(error) is OsCause.FORBIDDEN:
        detail = _owner(name) if name is not None else ""
        resolution = (
            "Build the provider image again so that everybody may read it ('lls-provider build' "
            f"does), or run the container as its owner: now it is {_user()}."
        )
    return os_error(
        error,
        Code.FILE_UNREADABLE,
        "The provider image cannot be read",
        detail=detail,
        file=name,
        resolution=resolution,
    )


_WHEEL_RESOLUTION = (
    "Build the wheel again, or download it again; where that brings the same file, use another "
    "version of the package. Then build the provider image with it."
)
_OF_RECORD = frozenset(
    {
        Code.WHEEL_RECORD_MISSING,
        Code.WHEEL_RECORD_INVALID,
        Code.WHEEL_RECORD_INCOMPLETE,
        Code.WHEEL_FILE_MISSING,
        Code.WHEEL_HASH_WEAK,
    }
)
"""Errors in RECORD alone. Some published wheels have them, so another download does not help."""


def wheel_error(
    code: Code,
    path: str | os.PathLike[str],
    why: str,
    *,
    resolution: str | None = None,
    of_record: bool = False,
) -> SdkError:
    """The error of a wheel that breaks the format or its own RECORD.

    ``of_record`` says that RECORD alone is wrong, if the code does not.
    """
    file = os.fspath(path)
    if resolution is None:
        is_record = of_record or code in _OF_RECORD
        resolution = _record_repair(os.path.basename(file)) if is_record else _WHEEL_RESOLUTION  # noqa: PTH119
    return SdkError(
        code,
        f"The wheel {os.path.basename(file)} is not valid",  # noqa: PTH119 - may be no path
        why=why,
        where=Where(file=file),
        resolution=resolution,
    )


def _record_repair(name: str) -> str:
    """How to write the RECORD of a wheel again; 'wheel unpack' would refuse it too."""
    import shlex  # rarely needed

    directory = shlex.quote("-".join(name.split("-")[:2]))
    return (
        "Build the wheel again if it is your own. One that was published like this comes again "
        "with each download: use another version of the package, or write its RECORD again with "
        f"`python3 -m zipfile -e {shlex.quote(name)} {directory}` and `wheel pack {directory}`, "
        "and give the result to the build with --find-links."
    )


def _resolution(cause: OsCause) -> str:
    if cause is OsCause.OBSTACLE:
        return (
            "Remove what is there, or give the Pod a new volume that the user of the "
            f"container may write ({_user()})."
        )
    if cause is OsCause.READ_ONLY:
        return "Mount the volume read-write: this mount is read-only."
    if cause is OsCause.STORAGE:
        return "The storage below the volume fails: give the Pod a new volume, or another node."
    if cause is OsCause.PROCESS_LIMIT:
        return "Give the container more memory and open files: the volume itself is fine."
    return f"Mount the volume read-write, writable by the user of the container ({_user()})."


def _obstacle(path: object) -> str | None:
    """The first part of a path that is not a directory, or else the path if it exists."""
    if not isinstance(path, str):
        return None
    for part in (*reversed(Path(path).parents), Path(path)):
        if not part.is_dir():
            return str(part) if os.path.lexists(part) else None
    return path


def _user() -> str:
    return f"uid {os.getuid()}, gid {os.getgid()}"


def _owner(path: str) -> str:
    """The owner of a path, or of the nearest directory above it that can be read."""
    while True:
        try:
            state = os.lstat(path)
            break
        except OSError:
            above = os.path.dirname(path)  # noqa: PTH120
            if above == path:
                return ""
            path = above
    mode = stat.S_IMODE(state.st_mode)
    return f": {path} belongs to uid {state.st_uid}, gid {state.st_gid}, with mode {mode:04o}"
