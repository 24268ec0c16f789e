"""Builds a project or a published package into images and writes them to their outputs."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lls_provider.bundle.image_names import SCRATCH
from lls_provider.errors import Code, SdkError, nearest_word
from lls_provider.operations.images import Written, several
from lls_provider.progress import SILENT, Progress
from lls_provider.wheels.uv_settings import Indexes, using

if TYPE_CHECKING:
    from lls_provider.bundle.bundle import Bundle, BundleOptions
    from lls_provider.image.image import Image, Platform
    from lls_provider.image.transports.transport import Output
    from lls_provider.project.settings import Settings
    from lls_provider.wheels.distribution import Distribution


@dataclass(frozen=True, slots=True)
class BuildRequest:
    """What to build, its targets and its outputs; the fields are the options of the command.

    ``command`` is the command line of the request: an error may name one that succeeds.
    """

    path: Path | None = None
    package: str | None = None
    module: str | None = None
    api: str | None = None
    provider_type: str | None = None
    vendor: str | None = None
    outputs: tuple[str, ...] = ()
    distributions: tuple[str, ...] = ()
    python: str | None = None
    platforms: tuple[str, ...] = ()
    base: str | None = None
    overrides: tuple[str, ...] = ()
    bundle: tuple[str, ...] = ()
    indexes: Indexes = Indexes()  # noqa: RUF009 - frozen
    lock: bool = False
    locked: bool = False
    lock_file: Path | None = None
    allow_failure: str | None = None
    insecure: bool = False
    command: tuple[str, ...] = ()
    dry_run: bool = False

    def require_consistent(self) -> None:
        """Raise SdkError USAGE for options that conflict, are incomplete or cannot be parsed."""
        from lls_provider.bundle.bundle import require_valid_names

        if not self.outputs and not self.lock:
            raise _usage("Missing option '--output', such as --output oci:build/image")
        if self.lock and self.locked:
            raise _usage("Give --lock or --locked, not both")
        if self.lock and self.dry_run:
            raise _usage("Give --lock or --dry-run, not both")
        if self.lock_file is not None and not (self.lock or self.locked):
            raise _usage("'--lock-file' goes with --lock or --locked")
        about_package = ("module", "api", "provider_type", "vendor")
        if self.package is None:
            for name in about_package:
                if getattr(self, name) is not None:
                    raise _usage(
                        f"'--{name.replace('_', '-')}' goes with --package; "
                        "a project sets it in [tool.lls-provider]"
                    )
        elif self.path is not None:
            raise _usage("Give a PATH or --package, not both")
        require_valid_names(self.overrides, self.bundle)
        if self.api is not None:
            _require_api(self.api)

    def source(self) -> str | Settings:
        """Return a published package, named as a requirement, or the settings of a project.

        Raises what `read_settings` raises.
        """
        if self.package is not None:
            return self.package
        from lls_provider.project.settings import read_settings

        return read_settings(self.path or Path())

    def chosen_platforms(self, source: str | Settings) -> tuple[Platform, ...]:
        """Return the requested platforms, else the project's, else this machine's."""
        from lls_provider.image.image import parse_platforms

        if self.platforms or isinstance(source, str):
            return parse_platforms(self.platforms)
        try:
            return parse_platforms(source.platforms)
        except SdkError as error:
            error.where = source.where("platforms")
            raise

    def chosen_base(self, source: str | Settings) -> str:
        """Return the requested base, else the project's."""
        if not self.outputs:
            return SCRATCH  # of a lock alone
        if self.base is not None or isinstance(source, str) or source.base is None:
            return self.base or SCRATCH
        return source.base


@dataclass(frozen=True, slots=True)
class BuiltWheel:
    """A wheel in an image: its file name and its size in bytes."""

    file: str
    size: int


@dataclass(frozen=True, slots=True)
class BuiltImage:
    """An image that was built; ``provided`` are the packages left to the server, by name."""

    platform: str
    digest: str
    wheels: tuple[BuiltWheel, ...]
    provided: Mapping[str, str]

    def to_document(self) -> dict[str, Any]:
        """Return the image as plain data."""
        return {
            "platform": self.platform,
            "digest": self.digest,
            "wheels": [{"file": wheel.file, "size": wheel.size} for wheel in self.wheels],
            "provided": dict(self.provided),
        }


@dataclass(frozen=True, slots=True)
class BuiltProvider:
    """The provider that the images install."""

    provider_id: str
    name: str
    version: str
    api: str
    provider_type: str
    module: str

    def to_document(self) -> dict[str, str]:
        """Return the provider as plain data."""
        return {
            "provider_id": self.provider_id,
            "name": self.name,
            "version": self.version,
            "api": self.api,
            "provider_type": self.provider_type,
            "module": self.module,
        }


@dataclass(frozen=True, slots=True)
class BuildResult:
    """The result of a build; ``distributions`` are those that it was built for."""

    provider: BuiltProvider
    distributions: tuple[str, ...]
    images: tuple[BuiltImage, ...]
    outputs: tuple[Written, ...]
    dry_run: bool = False

    def to_document(self) -> dict[str, Any]:
        """Return the result as plain data, for ``--format json``."""
        return {
            "dry_run": self.dry_run,
            "provider": self.provider.to_document(),
            "distributions": list(self.distributions),
            "images": [image.to_document() for image in self.images],
            "outputs": [written.to_document() for written in self.outputs],
        }


def build(
    path: str | os.PathLike[str] | None = None,
    *,
    outputs: str | Sequence[str] = (),
    package: str | None = None,
    module: str | None = None,
    api: str | None = None,
    provider_type: str | None = None,
    vendor: str | None = None,
    distributions: str | Sequence[str] = (),
    python: str | None = None,
    platforms: str | Sequence[str] = (),
    base: str | None = None,
    overrides: str | Sequence[str] = (),
    bundle: str | Sequence[str] = (),
    lock: bool = False,
    locked: bool = False,
    lock_file: str | os.PathLike[str] | None = None,
    allow_failure: str | None = None,
    dry_run: bool = False,
    insecure: bool = False,
    indexes: Indexes = Indexes(),  # noqa: B008 - frozen
    progress: Progress = SILENT,
) -> BuildResult:
    """Build the project at ``path`` (default: here), or a published ``package``, into images.

    The arguments are the options of ``lls-provider build``. With ``dry_run`` all is done but
    writing to the outputs, which then name where it would go. Returns what was built and where it
    was written. Raises SdkError: USAGE for arguments that do not fit together, and what resolving,
    building, loading the provider beside the distribution and writing the images raise.
    """
    request = BuildRequest(
        Path(path) if path is not None else None,
        package,
        module,
        api,
        provider_type,
        vendor,
        several(outputs),
        several(distributions),
        python,
        several(platforms),
        base,
        several(overrides),
        several(bundle),
        indexes,
        lock,
        locked,
        Path(lock_file) if lock_file is not None else None,
        allow_failure,
        insecure,
        dry_run=dry_run,
    )
    return build_request(request, progress=progress)


def build_request(request: BuildRequest, *, progress: Progress = SILENT) -> BuildResult:
    """Build what ``request`` describes.

    Raises what `build` raises; what can be checked early is checked before any work.
    """
    from lls_provider.runtime.preflight.probe_client import time_limit
    from lls_provider.wheels.reproducible import source_date_epoch

    request.require_consistent()
    source_date_epoch()
    time_limit()
    with using(request.indexes):
        return _build(request, progress)


def _build(request: BuildRequest, progress: Progress) -> BuildResult:
    from lls_provider.image.transports.transport import (
        parse_output,
        prepare,
        read_base,
        require_index_sinks,
    )
    from lls_provider.system.cache import scratch

    insecure = request.insecure
    outputs = [parse_output(text, insecure=insecure, progress=progress) for text in request.outputs]
    source = request.source()
    platforms = request.chosen_platforms(source)
    if len(platforms) > 1:
        require_index_sinks(outputs)
    base_name = request.chosen_base(source)
    bases = {
        platform.machine: read_base(base_name, platform, insecure=insecure, progress=progress)
        for platform in platforms
    }
    servers = _servers(source, request, progress)

    def meanwhile() -> None:
        from lls_provider.image import bundle_image, manifest  # noqa: F401 - there is time now

        prepare(outputs)

    with scratch("build") as directory:
        made = make_images(
            source,
            directory,
            _options(source, request, servers),
            bases,
            base_name=base_name,
            request=request,
            meanwhile=meanwhile,
            progress=progress,
        )
        images = [image for _, image in made]
        written = _write(images, outputs, progress, dry_run=request.dry_run)
        return _result(made, written, dry_run=request.dry_run)


def make_images(
    source: str | Settings,
    directory: Path,
    options: BundleOptions,
    bases: Mapping[str, Image | None],
    *,
    base_name: str = SCRATCH,
    request: BuildRequest = BuildRequest(),
    fitting: bool = True,
    meanwhile: Callable[[], object] = lambda: None,
    progress: Progress = SILENT,
) -> list[tuple[Bundle, Image]]:
    """Return the images of a project or a package, one for each machine in ``bases``.

    Their bundles are made in ``directory``, which must exist until the images are written. Native
    code and bases are checked unless ``fitting`` is false. ``meanwhile`` is called while a
    project's wheel is built. Raises what making the bundles, `require_fit` and `compose` raise.
    """
    outs = {machine: directory / machine for machine in bases}
    if isinstance(source, str):
        bundles = _published(source, outs, options, request, progress)
    else:
        from lls_provider.project.bundle import bundle_project

        bundles = bundle_project(source, outs, options, meanwhile=meanwhile, progress=progress)
    from lls_provider.image.bundle_image import compose
    from lls_provider.image.inspect.pythons import require_fit
    from lls_provider.image.transports.transport import recorded_base_name

    pairs = list(zip(bundles, bases.values(), strict=True))
    if fitting:
        for bundle, base in pairs:
            require_fit(bundle, base, base_name=base_name, progress=progress)
    name = recorded_base_name(base_name)
    return [(bundle, compose(bundle, base, base_name=name)) for bundle, base in pairs]


def _published(
    package: str,
    outs: Mapping[str, Path],
    options: BundleOptions,
    request: BuildRequest,
    progress: Progress,
) -> list[Bundle]:
    from lls_provider.bundle.published import SpecFlags, bundle_published

    return bundle_published(
        package,
        outs,
        options,
        flags=SpecFlags(request.module, request.api, request.provider_type),
        vendor=request.vendor,
        command=request.command,
        progress=progress,
    )


def _servers(
    source: str | Settings, request: BuildRequest, progress: Progress
) -> Sequence[str | Distribution]:
    """Return the distributions to resolve against; images among them are loaded."""
    project = None if isinstance(source, str) else source
    named = request.distributions or (project.distributions if project else ())
    if not named:
        return ()
    from lls_provider.image.inspect.distribution import with_images

    return with_images(
        named,
        python=request.python or (project.python if project else None),
        insecure=request.insecure,
        progress=progress,
    )


def _options(
    source: str | Settings, request: BuildRequest, servers: Sequence[str | Distribution]
) -> BundleOptions:
    from lls_provider.bundle.bundle import BundleOptions
    from lls_provider.bundle.trial import Trial
    from lls_provider.wheels.lock import LOCK_NAME

    project = Path() if isinstance(source, str) else source.root
    lock_file = request.lock_file or project / LOCK_NAME
    return BundleOptions(
        servers,
        python=request.python,
        overrides=request.overrides,
        bundle=request.bundle,
        lock=lock_file if request.lock else None,
        locked=lock_file if request.locked else None,
        trial=Trial(request.allow_failure),
    )


def _write(
    images: Sequence[Image], outputs: Sequence[Output], progress: Progress, *, dry_run: bool
) -> tuple[Written, ...]:
    """Write the image or index to every output, or say what would be written.

    Raises what the outputs raise.
    """
    from lls_provider.image.manifest import Index

    content = Index.of(images) if len(images) > 1 else images[0]
    written = []
    for output in outputs:
        if dry_run:
            written.append(Written(str(output), content.digest))
            continue
        progress.step(f"writing {output}")
        written.append(Written(str(output), output.write(content)))
    return tuple(written)


def _result(
    made: Sequence[tuple[Bundle, Image]], written: tuple[Written, ...], *, dry_run: bool
) -> BuildResult:
    first, _ = made[0]
    metadata = first.metadata
    return BuildResult(
        BuiltProvider(
            first.provider_id,
            metadata.name,
            metadata.version,
            metadata.api,
            metadata.provider_type,
            metadata.package_name,
        ),
        tuple(first.manifest.distributions) if first.manifest else (),
        tuple(_built(bundle, image) for bundle, image in made),
        written,
        dry_run,
    )


def _built(bundle: Bundle, image: Image) -> BuiltImage:
    return BuiltImage(
        str(image.platform),
        image.digest,
        tuple(BuiltWheel(path.name, path.stat().st_size) for path in bundle.wheels),
        dict(bundle.manifest.provided) if bundle.manifest else {},
    )


def _require_api(api: str) -> None:
    from lls_provider.contract.names import APIS
    from lls_provider.contract.schema import shown

    if api in APIS:
        return
    meant = nearest_word(api, APIS)
    raise SdkError(
        Code.USAGE,
        f"There is no API {shown(api)}" + (f"; did you mean '{meant}'?" if meant else ""),
        resolution=f"Use one of {', '.join(APIS)}.",
    )


def _usage(what: str) -> SdkError:
    return SdkError(
        Code.USAGE,
        what,
        resolution="Run 'lls-provider build --help' for the options and an example.",
    )
