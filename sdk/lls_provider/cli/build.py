"""``lls-provider build``: wheel, closure, bundle, image."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from lls_provider.cli import EXIT_STATUSES
from lls_provider.cli.options import (
    distribution_option,
    format_option,
    index_options,
    insecure_option,
    lock_options,
    platform_option,
    python_option,
    use_indexes,
)
from lls_provider.progress import counted, shown_size

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from lls_provider.bundle.read import Bundle
    from lls_provider.image.model import Image, JsonObject
    from lls_provider.image.places import Output
    from lls_provider.image.platforms import Platform
    from lls_provider.progress import Progress
    from lls_provider.project.settings import Settings
    from lls_provider.wheels.distribution import Distribution

_FILES = ("oci", "oci-archive", "docker-archive")


@dataclass(frozen=True, slots=True)
class _Options:
    """What the command line asks for, as click hands it over."""

    path: Path | None
    package: str | None
    module: str | None
    api: str | None
    provider_type: str | None
    vendor: str | None
    distributions: tuple[str, ...]
    python: str | None
    platforms: tuple[str, ...]
    base: str | None
    output: tuple[str, ...]
    override: tuple[str, ...]
    bundle: tuple[str, ...]
    default_index: str | None
    index: tuple[str, ...]
    find_links: tuple[str, ...]
    offline: bool
    lock: bool
    locked: bool
    lock_file: Path | None
    nevertheless: str | None
    insecure: bool
    form: str


@click.command(
    "build",
    epilog="Example: lls-provider build acme-echo --output oci:build/image\n\n" + EXIT_STATUSES,
)
@click.argument("path", required=False, type=click.Path(path_type=Path))
@click.option(
    "--output",
    multiple=True,
    metavar="docker://REF|docker-daemon:REF|oci:DIR|oci-archive:FILE|docker-archive:FILE",
    help="Where the image goes (repeatable): a registry, a Docker or Podman daemon, an OCI layout, "
    "or one file as skopeo or `docker load` read it. oci: and oci-archive: take :TAG after the "
    "name, docker-archive: takes :NAME:TAG.",
)
@distribution_option(
    "A server to resolve against (repeatable); what all of them provide stays out of the image.  "
    "[default: the project's; none bundles everything]"
)
@python_option("The Python to build for.")
@platform_option(
    "What to build for (repeatable); several make an index, and nothing is emulated.  "
    "[default: the project's, else this machine's]",
    multiple=True,
)
@click.option(
    "--base",
    metavar="scratch|docker://REF|docker-daemon:REF|oci:DIR|oci-archive:FILE|docker-archive:FILE",
    help="scratch makes a data image; a base with Python makes a runnable one.  "
    "[default: the project's, else scratch]",
)
@click.option(
    "--override",
    multiple=True,
    metavar="REQUIREMENT",
    help="Replace a bound that is wrong upstream; recorded in the image (repeatable).",
)
@click.option(
    "--bundle",
    multiple=True,
    metavar="NAME",
    help="Put a package into the image although the server provides it (repeatable).",
)
@click.option(
    "--nevertheless",
    metavar="REASON",
    help="Build although the provider does not load beside the distribution; the reason is "
    "recorded in the image.",
)
@click.option(
    "--package",
    metavar="'NAME[EXTRA]==VERSION'",
    help="Package a published provider; takes no PATH.",
)
@click.option("--module", help="With --package: the provider's importable module.")
@click.option("--api", help="With --package: the API it implements.")
@click.option("--provider-type", help="With --package: which of its types, remote::… or inline::….")
@click.option("--vendor", help="With --package: the organisation.")
@index_options
@lock_options
@insecure_option()
@format_option()
def command(**options: object) -> None:
    """Build the project at PATH (default: here), or a published package, into an image.

    The provider's wheel and every wheel that the distribution does not provide go into
    /lls-provider of the image, with the metadata and the installer. The same input gives the
    same digest.
    """
    _build(_Options(**options))  # type: ignore[arg-type]


def _build(options: _Options) -> None:
    from lls_provider.cli.console import console
    from lls_provider.image.compose import compose
    from lls_provider.image.distribution import with_images
    from lls_provider.image.fitness import require_fit
    from lls_provider.image.index import Index
    from lls_provider.image.places import parse_output, read_base, require_index_sinks
    from lls_provider.wheels.build import scratch

    if not options.output and not options.lock:
        raise click.UsageError("Missing option '--output', such as --output oci:build/image.")
    _consistent(options)
    use_indexes(
        default_index=options.default_index,
        index=options.index,
        find_links=options.find_links,
        offline=options.offline,
    )
    # whatever can be told before the long work is told before it
    progress = console()
    outputs = [
        parse_output(text, insecure=options.insecure, progress=progress) for text in options.output
    ]
    source: str | Settings
    source = options.package if options.package is not None else _settings(options.path or Path())
    platforms = _platforms(options, source)
    if len(platforms) > 1:
        require_index_sinks(outputs)
    named = options.base or _own_base(source) if outputs else "scratch"
    bases = [
        read_base(named, platform, insecure=options.insecure, progress=progress)
        for platform in platforms
    ]
    project = None if isinstance(source, str) else source
    servers = with_images(
        options.distributions or (project.distributions if project else ()),
        python=options.python or (project.python if project else None),
        insecure=options.insecure,
        progress=progress,
    )
    with scratch("build") as folder:
        outs = {platform.machine: folder / platform.machine for platform in platforms}
        bundles = _bundles(source, options, servers, outs, progress)
        for bundle, base in zip(bundles, bases, strict=True):
            require_fit(bundle, base, base_name=named, progress=progress)
        images = [compose(bundle, base) for bundle, base in zip(bundles, bases, strict=True)]
        content = Index.of(images) if len(images) > 1 else images[0]
        written = []
        for output in outputs:
            progress.step(f"writing {output}")
            written.append((output, output.write(content)))
        _show(bundles, images, written, options.form)


def _platforms(options: _Options, source: str | Settings) -> tuple[Platform, ...]:
    """What to build for: as the command line, else the project, else this machine tells."""
    from lls_provider.errors import SdkError
    from lls_provider.image.platforms import parse_platforms

    if options.platforms or isinstance(source, str):
        return parse_platforms(options.platforms)
    try:
        return parse_platforms(source.platforms)
    except SdkError as error:
        error.where = source.where("platforms")
        raise


def _consistent(options: _Options) -> None:
    if options.lock and options.locked:
        raise click.UsageError("Give --lock or --locked, not both.")
    if options.lock_file is not None and not (options.lock or options.locked):
        raise click.UsageError("'--lock-file' goes with --lock or --locked.")
    about_package = ("module", "api", "provider_type", "vendor")
    if options.package is None:
        for name in about_package:
            if getattr(options, name) is not None:
                raise click.UsageError(
                    f"'--{name.replace('_', '-')}' goes with --package; "
                    "a project says it in [tool.lls-provider]."
                )
    elif options.path is not None:
        raise click.UsageError("Give a PATH or --package, not both.")


def _settings(project: Path) -> Settings:
    from lls_provider.project.settings import read_settings

    return read_settings(project)


def _own_base(source: str | Settings) -> str:
    """The base that the project names; a file or folder is meant relative to the project."""
    if isinstance(source, str) or source.base is None:
        return "scratch"
    kind, _, place = source.base.partition(":")
    return f"{kind}:{source.root / place}" if kind in _FILES else source.base


def _bundles(
    source: str | Settings,
    options: _Options,
    servers: Sequence[str | Distribution],
    outs: Mapping[str, Path],
    progress: Progress,
) -> list[Bundle]:
    """The bundles of a published package, named as a requirement, or of a project."""
    from lls_provider.bundle.trial import Trial
    from lls_provider.wheels.lockfile import LOCK_NAME

    trial = Trial(options.nevertheless)
    project = Path() if isinstance(source, str) else source.root
    lock_file = options.lock_file or project / LOCK_NAME
    if isinstance(source, str):
        from lls_provider.bundle.published import published_platforms

        return published_platforms(
            source,
            outs=outs,
            distributions=servers,
            module=options.module,
            api=options.api,
            provider_type=options.provider_type,
            vendor=options.vendor,
            python=options.python,
            overrides=options.override,
            bundle=options.bundle,
            lock=lock_file if options.lock else None,
            locked=lock_file if options.locked else None,
            trial=trial,
            progress=progress,
        )
    from lls_provider.project.bundle import bundle_platforms

    return bundle_platforms(
        source,
        outs,
        distributions=servers,
        python=options.python,
        overrides=options.override,
        bundle=options.bundle,
        lock=lock_file if options.lock else None,
        locked=lock_file if options.locked else None,
        trial=trial,
        progress=progress,
    )


def _show(
    bundles: Sequence[Bundle],
    images: Sequence[Image],
    written: Sequence[tuple[Output, str]],
    form: str,
) -> None:
    first = bundles[0]
    metadata = first.metadata
    distributions = list(first.manifest.distributions) if first.manifest else []
    made = [_made(bundle, image) for bundle, image in zip(bundles, images, strict=True)]
    if form == "json":
        document = {
            "provider": {
                "provider_id": first.provider_id,
                "name": metadata.name,
                "version": metadata.version,
                "api": metadata.api,
                "provider_type": metadata.provider_type,
                "module": metadata.package_name,
            },
            "distributions": distributions,
            "images": made,
            "outputs": [{"output": str(output), "digest": digest} for output, digest in written],
        }
        click.echo(json.dumps(document, indent=2))
        return
    click.echo(f"{metadata.name} {metadata.version}: {metadata.api} {metadata.provider_type}")
    for image in made:
        total = sum(wheel["size"] for wheel in image["wheels"])
        click.echo(f"  platform: {image['platform']}")
        click.echo(f"  wheels:   {len(image['wheels'])}, {shown_size(total)}")
        if distributions:
            provided = counted(len(image["provided"]), "package")
            click.echo(f"  provided: {provided} by {', '.join(distributions)}")
    for output, digest in written:
        click.echo(f"  {output} {digest}")


def _made(bundle: Bundle, image: Image) -> JsonObject:
    return {
        "platform": str(image.platform),
        "digest": image.digest,
        "wheels": [{"file": path.name, "size": path.stat().st_size} for path in bundle.wheels],
        "provided": dict(bundle.manifest.provided) if bundle.manifest else {},
    }
