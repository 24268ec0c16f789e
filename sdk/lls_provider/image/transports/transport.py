"""Parses the names of images on the command line, in skopeo's syntax, and opens their transports.

The module of a transport is imported only when a name requires it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from lls_provider.bundle.image_names import (
    DAEMON,
    DOCKER_ARCHIVE,
    OCI,
    OCI_ARCHIVE,
    REGISTRY,
    SCRATCH,
    TRANSPORTS,
)
from lls_provider.errors import Code, SdkError, nearest_word
from lls_provider.image.transports.registry import reference
from lls_provider.image.transports.registry.reference import DEFAULT_TAG
from lls_provider.progress import SILENT

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lls_provider.image.image import Image, Platform
    from lls_provider.image.manifest import Content
    from lls_provider.image.transports.layout import StoredManifest
    from lls_provider.image.transports.registry.reference import Reference
    from lls_provider.progress import Progress

_BUNDLE = "bundle:"  # not skopeo's: a directory with the bundle itself
_PLACES = (
    "docker://REGISTRY/NAME[:TAG], docker-daemon:NAME[:TAG], oci:DIR[:TAG], "
    "oci-archive:FILE[:TAG] or docker-archive:FILE[:NAME[:TAG]]"
)


class Output(Protocol):
    """An output of images; its text is that of the command line."""

    def write(self, content: Content) -> str:
        """Write ``content`` atomically; returns its digest there."""
        ...


@dataclass(frozen=True, slots=True)
class OciLayout:
    """An OCI layout to write, and the tag of the image in it."""

    directory: Path
    tag: str
    progress: Progress = SILENT

    def __str__(self) -> str:
        return f"{OCI}{self.directory}" + ("" if self.tag == DEFAULT_TAG else f":{self.tag}")

    def write(self, content: Content) -> str:
        """Write ``content`` there; returns its digest. Raises what `write_layout` raises."""
        from lls_provider.image.manifest import layers_size
        from lls_provider.image.transports.layout import write_layout

        with self.progress.task("writing", layers_size(content)) as advance:
            return write_layout(content, self.directory, tag=self.tag, advance=advance)


@dataclass(frozen=True, slots=True)
class RegistryTag:
    """A tag in a registry as an output."""

    reference: Reference
    insecure: bool = False
    progress: Progress = SILENT

    def __str__(self) -> str:
        return f"{REGISTRY}{self.reference}"

    def write(self, content: Content) -> str:
        """Push ``content``; returns its digest. Raises what `push` raises."""
        from lls_provider.image.transports.registry.transfer import push

        return push(content, self.reference, insecure=self.insecure, progress=self.progress)


def parse_output(text: str, *, insecure: bool = False, progress: Progress = SILENT) -> Output:
    """Parse ``--output``; refuse an output that cannot be written before any work.

    ``insecure`` accepts a registry without TLS. Raises SdkError USAGE for another kind of place,
    TARGET_EXISTS, DAEMON_FAILED.
    """
    if text.startswith(REGISTRY):
        return RegistryTag(reference.tagged(text.removeprefix(REGISTRY)), insecure, progress)
    if text.startswith(DAEMON) and text != DAEMON:
        from lls_provider.image.transports.daemon import Daemon, DaemonOutput

        with Daemon.connect():  # a daemon that does not answer is reported before any work
            pass
        return DaemonOutput(reference.tagged(text.removeprefix(DAEMON)), progress)
    kind, colon, place = text.partition(":")
    prefix = kind + colon
    if place and prefix == _BUNDLE:
        from lls_provider.image.bundle_image import require_empty
        from lls_provider.image.transports.directory import BundleDirectory

        require_empty(Path(place))
        return BundleDirectory(Path(place))
    if place and prefix in (OCI, OCI_ARCHIVE, DOCKER_ARCHIVE):
        from lls_provider.image.transports import archive, layout

        if prefix == DOCKER_ARCHIVE:
            file, name = _docker_archive(place)
            archive.writable_archive(file)
            return archive.DockerArchive(file, name, progress)
        path, tag = layout.parse_reference(place)
        if prefix == OCI_ARCHIVE:
            archive.writable_archive(path)
            return archive.OciArchive(path, tag or DEFAULT_TAG, progress)
        layout.writable_layout(path)
        return OciLayout(path, tag or DEFAULT_TAG, progress)
    raise _unknown("--output", text, f"{_PLACES}, or {_BUNDLE}DIR", (*TRANSPORTS, _BUNDLE))


def require_index_sinks(outputs: Sequence[Output]) -> None:
    """Refuse, before any work, outputs that hold one platform. Raises SdkError USAGE."""
    from lls_provider.image.manifest import several_refused
    from lls_provider.image.transports.archive import DockerArchive
    from lls_provider.image.transports.daemon import DaemonOutput

    for output in outputs:
        if isinstance(output, (DockerArchive, DaemonOutput)):
            raise several_refused(output)


def prepare(outputs: Sequence[Output]) -> None:
    """Import the modules of these outputs while the build waits for another process."""
    if any(isinstance(output, RegistryTag) for output in outputs):
        import requests  # noqa: F401

        from lls_provider.image.transports.registry import transfer  # noqa: F401


def read_base(
    text: str,
    platform: Platform | None = None,
    *,
    insecure: bool = False,
    progress: Progress = SILENT,
) -> Image | None:
    """Return the base image that ``--base`` names; None for ``scratch``.

    ``platform`` selects one of several. Raises what `find_transport` raises, and SdkError
    IMAGE_MISSING if there is none for the platform.
    """
    if text == SCRATCH:
        return None
    if not is_transport_name(text):
        raise _unknown("--base", text, f"{SCRATCH}, {_PLACES}")
    return find_transport(text, insecure=insecure, progress=progress).image(platform)


def recorded_base_name(text: str) -> str:
    """Return the name of the image in a registry; empty if it is in none."""
    return str(reference.parse(text.removeprefix(REGISTRY))) if text.startswith(REGISTRY) else ""


def read_image(
    text: str,
    platform: Platform | None = None,
    *,
    insecure: bool = False,
    progress: Progress = SILENT,
) -> Image:
    """Return the image that an argument names. Raises what `find_image` and reading raise."""
    return find_image(text, insecure=insecure, progress=progress).image(platform)


def find_image(text: str, *, insecure: bool = False, progress: Progress = SILENT) -> StoredManifest:
    """Find the image that an argument names, with or without a transport.

    Without one, a directory is a layout, a file an archive, anything else a reference. Raises what
    `find_transport` raises, and SdkError USAGE for any other text.
    """
    if is_transport_name(text):
        return find_transport(text, insecure=insecure, progress=progress)
    from lls_provider.image.transports.layout import parse_reference

    path, tag = parse_reference(text)
    if path.is_file():
        return _find_archive(path, tag)
    if text.startswith((".", "/")) or path.is_dir():
        return _find_layout(path, tag)
    return _find_remote(reference.parse(text), insecure=insecure, progress=progress)


def is_transport_name(text: str) -> bool:
    """Whether ``text`` begins with the name of a transport."""
    return text.startswith(TRANSPORTS)


def find_transport(
    text: str, *, insecure: bool = False, progress: Progress = SILENT
) -> StoredManifest:
    """Find the image at a place that is named with its transport.

    Raises SdkError USAGE for another kind of place and what `find_remote`, `find_daemon`,
    `find_layout` and `find_archive` raise.
    """
    kind, path, name = _place(text)
    if isinstance(path, Path):
        tag = str(name) if name is not None else None
        return _find_layout(path, tag) if kind == OCI else _find_archive(path, tag)
    if kind == DAEMON:
        from lls_provider.image.transports.daemon import find_daemon

        progress.step(f"reading {path} out of the daemon")
        return find_daemon(path, progress=progress)
    return _find_remote(path, insecure=insecure, progress=progress)


def _find_layout(path: Path, tag: str | None) -> StoredManifest:
    from lls_provider.image.transports.layout import find_layout

    return find_layout(path, tag)


def _find_archive(path: Path, tag: str | None) -> StoredManifest:
    from lls_provider.image.transports.archive import find_archive

    return find_archive(path, tag)


def _find_remote(named: Reference, *, insecure: bool, progress: Progress) -> StoredManifest:
    from lls_provider.image.transports.registry.transfer import find_remote

    return find_remote(named, insecure=insecure, progress=progress)


def local_file(text: str) -> Path | None:
    """Return the file or directory of a local place, None for a registry or a daemon.

    Raises SdkError USAGE for an invalid name. Does not access the file system.
    """
    _, path, _ = _place(text)
    return path if isinstance(path, Path) else None


def _place(text: str) -> tuple[str, Path | Reference, str | Reference | None]:
    """Split a place into its transport, its path or reference, and the image's name in a file."""
    kind = next((it for it in TRANSPORTS if text.startswith(it)), "")
    place = text.removeprefix(kind)
    if not place or not kind:
        raise _unknown("The image", text, _PLACES)
    if kind in (REGISTRY, DAEMON):
        return kind, reference.parse(place), None
    if kind == DOCKER_ARCHIVE:
        return kind, *_docker_archive(place)
    from lls_provider.image.transports.layout import parse_reference

    return kind, *parse_reference(place)


def _docker_archive(place: str) -> tuple[Path, Reference | None]:
    """Split into a file and an image name; as in skopeo, the path has no colon."""
    file, _, name = place.partition(":")
    return Path(file), reference.tagged(name) if name else None


def names_registry(text: str) -> bool:
    """Whether a text without a transport looks like an image name with a registry's host."""
    if text.startswith((".", "/", "~")):
        return False
    try:
        return reference.parse(text).registry == text.partition("/")[0]
    except SdkError:
        return False


def _unknown(what: str, text: str, known: str, kinds: Sequence[str] = TRANSPORTS) -> SdkError:
    return SdkError(
        Code.USAGE,
        f"{what} {text!r:.200} is not a place this version knows",
        why=f"It takes {known}.",
        resolution=_kind_of_place(text, kinds)
        + " From and to elsewhere images are copied with skopeo: `skopeo copy SOURCE oci:DIR`.",
    )


def _kind_of_place(text: str, kinds: Sequence[str]) -> str:
    """Say which transports of ``kinds`` fit a text that names none."""
    kind, colon, place = text.partition(":")
    if not text:
        return "Write one of these."
    if text in kinds:
        return f"Write the {'name' if text in (REGISTRY, DAEMON) else 'path'} after it."
    meant = nearest_word(kind + colon, kinds) if colon and "/" not in kind else None
    if meant:
        return f"Did you mean '{meant}{place.lstrip('/') if meant == REGISTRY else place}'?"
    if names_registry(text):
        fitting: Sequence[str] = (REGISTRY,)
    elif Path(text).is_file() or text.endswith(".tar"):
        fitting = (OCI_ARCHIVE, DOCKER_ARCHIVE)
    elif text.startswith((".", "/", "~")) or Path(text).is_dir():
        fitting = (OCI, OCI_ARCHIVE, _BUNDLE)
    else:
        fitting = (OCI, DAEMON, f"{REGISTRY}REGISTRY/")
    found = [f"{it}{text}" for it in fitting if it in kinds or it.startswith(REGISTRY)]
    *others, last = found
    return f"Say what kind of place it is: {', '.join(others)}{' or ' if others else ''}{last}."
