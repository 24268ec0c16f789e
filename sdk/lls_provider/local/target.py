"""What a TARGET names: a provider's project, a bundle, or an image in an OCI layout."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from lls_provider.bundle.read import is_bundle
from lls_provider.contract.paths import SPEC_FILE
from lls_provider.errors import Code, SdkError, Where
from lls_provider.image.layout import is_layout, parse_reference

_PROJECT_FILE = "pyproject.toml"
_LAYOUT_PREFIX = "oci:"
_OTHER_PREFIXES = ("oci-archive:", "docker-archive:", "docker:", "registry:")


class Kind(Enum):
    """What lies at the target's path."""

    PROJECT = "project"
    BUNDLE = "bundle"
    IMAGE = "image"


@dataclass(frozen=True, slots=True)
class Target:
    """A target as it was named, and what was found there."""

    text: str
    kind: Kind
    path: Path
    tag: str | None = None  # of an image, when the layout holds several


def resolve_target(text: str) -> Target:
    """Find out what ``text`` names.

    ``oci:DIR[:TAG]`` is an OCI layout. A plain path is looked at: a layout has ``oci-layout``,
    a bundle ``lls-provider-spec.yaml``, a project ``pyproject.toml``, asked in this order.
    Raises SdkError FILE_MISSING, PROJECT_INVALID (nothing of these there), IMAGE_INVALID
    (``oci:`` names no layout) or USAGE, each naming what was looked for.
    """
    if text.startswith(_OTHER_PREFIXES):
        raise SdkError(
            Code.USAGE,
            f"This kind of image is not read: {text}",
            why="A target is a project, a bundle directory or an OCI layout directory.",
            resolution="Write the image to a layout first: lls-provider build --output oci:DIR, "
            "or skopeo copy SOURCE oci:DIR.",
        )
    if text.startswith(_LAYOUT_PREFIX):
        path, tag = parse_reference(text)
        _require_there(path, text)
        if not is_layout(path):
            raise SdkError(
                Code.IMAGE_INVALID,
                f"{path} is no OCI layout",
                why="It has no file oci-layout.",
                where=Where(file=str(path)),
                resolution="Name the directory that was given to --output oci:DIR.",
            )
        return Target(text, Kind.IMAGE, path, tag)
    path = Path(text)
    if not path.exists():
        layout, tag = parse_reference(text)
        if tag is not None and is_layout(layout):
            return Target(text, Kind.IMAGE, layout, tag)
    _require_there(path, text)
    if is_layout(path):
        return Target(text, Kind.IMAGE, path)
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
        resolution="Name a project, a bundle directory or oci:DIR; "
        "`lls-provider new DIR` makes a project.",
    )


def _require_there(path: Path, text: str) -> None:
    if path.is_dir():
        return
    found = "It is a file, not a directory." if path.exists() else ""
    raise SdkError(
        Code.FILE_MISSING,
        f"There is no directory {path}",
        why=found or (f"The target was {text}." if text != str(path) else ""),
        where=Where(file=str(path)),
        resolution="Name an existing project, bundle directory or OCI layout (oci:DIR).",
    )
