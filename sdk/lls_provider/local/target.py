"""What a TARGET names: a provider's project, a bundle, or an image wherever it is."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from lls_provider.bundle.read import is_bundle
from lls_provider.contract.paths import SPEC_FILE
from lls_provider.errors import Code, SdkError, Where
from lls_provider.image import reference
from lls_provider.image.layout import is_layout, parse_reference
from lls_provider.image.places import file_of, is_place

_PROJECT_FILE = "pyproject.toml"
_LAYOUT_PREFIX = "oci:"


class Kind(Enum):
    """What lies at the target's path."""

    PROJECT = "project"
    BUNDLE = "bundle"
    IMAGE = "image"


@dataclass(frozen=True, slots=True)
class Target:
    """A target as it was named, and what it is; an image is read by ``text``."""

    text: str
    kind: Kind
    path: Path = Path()  # of a project or a bundle


def resolve_target(text: str) -> Target:
    """Find out what ``text`` names.

    With a prefix (``oci:``, ``docker://`` and so on, see `image.places`) it is an image. A plain
    path is looked at: a layout has ``oci-layout``, a bundle ``lls-provider-spec.yaml``, a project
    ``pyproject.toml``, asked in this order; a file is an archive. Nothing is asked for over a
    network. Raises SdkError FILE_MISSING, PROJECT_INVALID (nothing of these there), IMAGE_INVALID
    (``oci:`` names no layout) or USAGE, each naming what was looked for.
    """
    if is_place(text):
        _require_image(text)
        return Target(text, Kind.IMAGE)
    path = Path(text)
    layout, tag = parse_reference(text)
    if path.is_file() or is_layout(path) or (tag is not None and is_layout(layout)):
        return Target(text, Kind.IMAGE)
    _require_there(path, text)
    if is_bundle(path):
        return Target(text, Kind.BUNDLE, path)
    if (path / _PROJECT_FILE).is_file():
        return Target(text, Kind.PROJECT, path)
    raise SdkError(
        Code.PROJECT_INVALID,
        f"There is no provider at {text}",
        why="Looked for:\n"
        f"  {path / 'oci-layout'} (an OCI layout)\n"
        f"  {path / SPEC_FILE} (a bundle)\n"
        f"  {path / _PROJECT_FILE} (a project)",
        where=Where(file=str(path)),
        resolution="Name a project, a bundle directory or an image; "
        "`lls-provider new DIR` makes a project.",
    )


def _require_image(text: str) -> None:
    """Refuse a place that is written wrongly, or that is no file or layout of this machine."""
    path = file_of(text)
    if path is None:
        return
    if text.startswith(_LAYOUT_PREFIX):
        _require_there(path, text)
        if not is_layout(path):
            raise SdkError(
                Code.IMAGE_INVALID,
                f"{path} is no OCI layout",
                why="It has no file oci-layout.",
                where=Where(file=str(path)),
                resolution="Name the directory that was given to --output oci:DIR.",
            )
    elif not path.is_file():
        raise SdkError(
            Code.FILE_MISSING,
            f"There is no file {path}",
            why=f"The target was {text}.",
            where=Where(file=str(path)),
            resolution="Name a file that `lls-provider build`, `skopeo copy` or `docker save` "
            "wrote.",
        )


def _require_there(path: Path, text: str) -> None:
    if path.is_dir():
        return
    found = "It is no directory." if path.exists() else ""
    raise SdkError(
        Code.FILE_MISSING,
        f"There is no directory {path}",
        why=found or (f"The target was {text}." if text != str(path) else ""),
        where=Where(file=str(path)),
        resolution=f"Name an image in a registry docker://{text}."
        if _is_registry(text)
        else "Name an existing project or bundle directory, or an image: oci:DIR, "
        "oci-archive:FILE, docker-archive:FILE, docker-daemon:REF or docker://REF.",
    )


def _is_registry(text: str) -> bool:
    """Whether a path that is not there looks like a name that begins with a registry's host."""
    if text.startswith((".", "/")):
        return False
    try:
        return reference.parse(text).registry == text.partition("/")[0]
    except SdkError:
        return False
