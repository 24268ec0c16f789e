"""Resolves a TARGET (a project, a bundle or an image) and returns its bundle."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING

from lls_provider.bundle.assemble import on_this_machine
from lls_provider.bundle.bundle import is_bundle
from lls_provider.bundle.image_names import OCI, REGISTRY
from lls_provider.contract.names import SPEC_FILE
from lls_provider.errors import Code, SdkError, Where, nearest_word
from lls_provider.image.bundle_image import unpack
from lls_provider.image.inspect.distribution import load_distributions
from lls_provider.image.transports.layout import is_layout, parse_reference
from lls_provider.image.transports.transport import (
    is_transport_name,
    local_file,
    names_registry,
    read_image,
)
from lls_provider.operations.provider_file import (
    located_in,
    read_provider_file,
    require_providers,
)
from lls_provider.progress import SILENT, Progress
from lls_provider.project.pyproject import FILE

if TYPE_CHECKING:
    from lls_provider.operations.provider_file import ProviderEntry, ProviderFile, ServerEntry
    from lls_provider.wheels.distribution import Distribution


_FILE_SUFFIXES = (".yaml", ".yml")


class SourceKind(Enum):
    """The kind of a target."""

    PROJECT = "project"
    BUNDLE = "bundle"
    IMAGE = "image"


@dataclass(frozen=True, slots=True)
class ProviderSource:
    """A target: its text on the command line, and its kind. An image is read by ``text``.

    ``entry`` is set for an image of a provider file.
    """

    text: str
    kind: SourceKind
    path: Path = Path()  # of a project or a bundle
    entry: ProviderEntry | None = None

    @property
    def label(self) -> str:
        """What it is called: an image of a provider file as its Pod names it."""
        return self.text if self.entry is None else self.entry.image

    def located(self, error: SdkError) -> SdkError:
        """The error, with the place in the provider file if it names no other."""
        if self.entry is None:
            return error
        found = located_in(error, self.entry.where)
        return found.located(provider=self.entry.provider_id, image=self.entry.image)


@dataclass(frozen=True, slots=True)
class Targets:
    """The targets of a command, in order, and the provider file that named them, if one did."""

    sources: tuple[ProviderSource, ...]
    file: ProviderFile | None = None

    @property
    def server(self) -> ServerEntry | None:
        """The server of the provider file."""
        return self.file.server if self.file is not None else None

    @property
    def server_images(self) -> tuple[str, ...]:
        """The image of that server as a distribution is named, if the file has one."""
        image = self.server.image if self.server is not None else None
        return () if image is None else (REGISTRY + image,)

    def located(self, error: SdkError) -> SdkError:
        """An error about the server's image, with the server's place in the provider file."""
        return error if self.server is None else located_in(error, self.server.where)


def resolve_targets(texts: Sequence[str]) -> Targets:
    """Determine what ``texts`` name: one provider file, or the targets themselves.

    Raises SdkError USAGE for a provider file among others, what `read_provider_file` and
    `require_providers` raise, and what `resolve_source` raises.
    """
    files = [text for text in texts if is_provider_file(text)]
    if not files:
        return Targets(tuple(resolve_source(text) for text in texts))
    if len(texts) > 1:
        raise SdkError(
            Code.USAGE,
            f"{files[0]} is a provider file, and not the only target",
            why="A provider file names all the providers of a server.",
            resolution="Name it alone, or add the other providers to it.",
        )
    file = read_provider_file(Path(files[0]))
    require_providers(file)
    return Targets(
        tuple(
            ProviderSource(REGISTRY + entry.image, SourceKind.IMAGE, entry=entry)
            for entry in file.providers
        ),
        file,
    )


def is_provider_file(text: str) -> bool:
    """Whether a target is a provider file: YAML is neither an image nor a directory."""
    path = Path(text)
    return (
        path.suffix in _FILE_SUFFIXES
        and not is_transport_name(text)
        and not path.is_dir()
        and not is_layout(parse_reference(text)[0])
    )


def resolve_source(text: str) -> ProviderSource:
    """Determine what ``text`` names.

    With a prefix (``oci:``, ``docker://`` and so on, see `transport`) it is an image. A directory
    with ``oci-layout`` is a layout, with ``lls-provider-spec.yaml`` a bundle, with
    ``pyproject.toml`` a project, in this order; a file is an archive. Nothing is requested over a
    network. Raises SdkError FILE_MISSING, PROJECT_INVALID (none of these is there), IMAGE_INVALID
    (``oci:`` names no layout) or USAGE (a provider file among others), with the files that were
    looked for.
    """
    if is_transport_name(text):
        _require_image(text)
        return ProviderSource(text, SourceKind.IMAGE)
    path = Path(text)
    if path.is_file() and is_provider_file(text):
        raise SdkError(
            Code.USAGE,
            f"{text} is a provider file, which this command does not take",
            where=Where(file=text),
            resolution=f"Judge its providers with `lls-provider compat {text}`, or name one of its "
            "images.",
        )
    layout, tag = parse_reference(text)
    if path.is_file() or is_layout(path) or (tag is not None and is_layout(layout)):
        return ProviderSource(text, SourceKind.IMAGE)
    _require_there(path, text)
    if is_bundle(path):
        return ProviderSource(text, SourceKind.BUNDLE, path)
    if (path / FILE).is_file():
        return ProviderSource(text, SourceKind.PROJECT, path)
    raise SdkError(
        Code.PROJECT_INVALID,
        f"There is no provider at {text}",
        why="Looked for:\n"
        f"  {path / 'oci-layout'} (an OCI layout)\n"
        f"  {path / SPEC_FILE} (a bundle)\n"
        f"  {path / FILE} (a project)",
        where=Where(file=str(path)),
        resolution="Name a project, a bundle directory or an image; "
        "`lls-provider new DIR` makes a project.",
    )


def _require_image(text: str) -> None:
    """Refuse an invalid image name, and a local one without a file or layout."""
    path = local_file(text)
    if path is None:
        return
    if text.startswith(OCI):
        _require_there(path, text)
        if not is_layout(path):
            raise SdkError(
                Code.IMAGE_INVALID,
                f"{path} is not an OCI layout",
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
    found = "It is not a directory." if path.exists() else ""
    prefix = OCI if text.startswith(OCI) else ""
    meant = _meant(path, is_layout if prefix else _is_target)
    raise SdkError(
        Code.FILE_MISSING,
        f"There is no directory {path}" + (f"; did you mean '{meant}'?" if meant else ""),
        why=found or (f"The target was {text}." if text != str(path) else ""),
        where=Where(file=str(path)),
        resolution=f"Name {prefix}{meant}."
        if meant is not None
        else f"Name an image in a registry docker://{text}."
        if names_registry(text)
        else "Name an existing project or bundle directory, or an image: oci:DIR, "
        "oci-archive:FILE, docker-archive:FILE, docker-daemon:REF or docker://REF.",
    )


def _meant(path: Path, fits: Callable[[Path], bool]) -> Path | None:
    """The directory beside a missing one that fits and has nearly its name."""
    try:
        names = [it.name for it in path.parent.iterdir() if fits(it)]
    except OSError:
        return None
    name = nearest_word(path.name, names)
    return None if name is None else path.with_name(name)


def _is_target(path: Path) -> bool:
    return is_layout(path) or is_bundle(path) or (path / FILE).is_file()


def bundle_of(
    target: ProviderSource,
    directory: Path,
    *,
    distributions: Sequence[Distribution] = (),
    python: str | None = None,
    insecure: bool = False,
    progress: Progress = SILENT,
) -> Path:
    """Return the root of a target's bundle; a bundle that has to be built is built in
    ``directory``.

    A project is built against ``distributions``, else against those that its settings name. Raises
    what building, reading and unpacking raise.
    """
    if target.kind is SourceKind.BUNDLE:
        return target.path.resolve()
    if target.kind is SourceKind.IMAGE:
        try:
            return unpack(read_image(target.text, insecure=insecure, progress=progress), directory)
        except SdkError as error:
            raise target.located(error) from error
    from lls_provider.bundle.bundle import BundleOptions
    from lls_provider.project.bundle import bundle_project  # slow to import
    from lls_provider.project.settings import read_settings

    settings = read_settings(target.path)
    beside = distributions or load_distributions(
        settings.distributions,
        python=python or settings.python,
        at_least=settings.lowest_python,
        insecure=insecure,
        progress=progress,
    )
    (bundle,) = bundle_project(
        settings, on_this_machine(directory), BundleOptions(beside, python), progress=progress
    )
    return bundle.root
