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
    insecure_option,
    lock_options,
    python_option,
)
from lls_provider.progress import counted, shown_size

if TYPE_CHECKING:
    from lls_provider.bundle.read import Bundle
    from lls_provider.image.model import Image
    from lls_provider.image.places import Output
    from lls_provider.progress import Progress
    from lls_provider.project.settings import Settings

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
    base: str | None
    output: tuple[str, ...]
    override: tuple[str, ...]
    bundle: tuple[str, ...]
    lock: bool
    locked: bool
    lock_file: Path | None
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
    "--package",
    metavar="'NAME[EXTRA]==VERSION'",
    help="Package a published provider; takes no PATH.",
)
@click.option("--module", help="With --package: the provider's importable module.")
@click.option("--api", help="With --package: the API it implements.")
@click.option("--provider-type", help="With --package: which of its types, remote::… or inline::….")
@click.option("--vendor", help="With --package: the organisation.")
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
    from lls_provider.image.places import parse_output, read_base
    from lls_provider.wheels.build import scratch

    if not options.output and not options.lock:
        raise click.UsageError("Missing option '--output', such as --output oci:build/image.")
    _consistent(options)
    # whatever can be told before the long work is told before it
    progress = console()
    outputs = [
        parse_output(text, insecure=options.insecure, progress=progress) for text in options.output
    ]
    source: str | Settings
    source = options.package if options.package is not None else _settings(options.path or Path())
    named = options.base or _own_base(source) if outputs else "scratch"
    base = read_base(named, insecure=options.insecure, progress=progress)
    with scratch("build") as folder:
        bundle = _bundle(source, options, folder / "bundle", progress)
        image = compose(bundle, base)
        written = []
        for output in outputs:
            progress.step(f"writing {output}")
            written.append((output, output.write(image)))
        _show(bundle, image, written, options.form)


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


def _bundle(source: str | Settings, options: _Options, out: Path, progress: Progress) -> Bundle:
    """The bundle of a published package, named as a requirement, or of a project."""
    from lls_provider.wheels.lockfile import LOCK_NAME

    project = Path() if isinstance(source, str) else source.root
    lock_file = options.lock_file or project / LOCK_NAME
    if isinstance(source, str):
        from lls_provider.bundle.published import bundle_published

        return bundle_published(
            source,
            out=out,
            distributions=options.distributions,
            module=options.module,
            api=options.api,
            provider_type=options.provider_type,
            vendor=options.vendor,
            python=options.python,
            overrides=options.override,
            bundle=options.bundle,
            lock=lock_file if options.lock else None,
            locked=lock_file if options.locked else None,
            progress=progress,
        )
    from lls_provider.project.bundle import bundle_project

    return bundle_project(
        source,
        out,
        distributions=options.distributions or source.distributions,
        python=options.python,
        overrides=options.override,
        bundle=options.bundle,
        lock=lock_file if options.lock else None,
        locked=lock_file if options.locked else None,
        progress=progress,
    )


def _show(bundle: Bundle, image: Image, written: list[tuple[Output, str]], form: str) -> None:
    sizes = {path.name: path.stat().st_size for path in bundle.wheels}
    manifest = bundle.manifest
    provided = dict(manifest.provided) if manifest else {}
    distributions = list(manifest.distributions) if manifest else []
    metadata = bundle.metadata
    if form == "json":
        document = {
            "provider": {
                "provider_id": bundle.provider_id,
                "name": metadata.name,
                "version": metadata.version,
                "api": metadata.api,
                "provider_type": metadata.provider_type,
                "module": metadata.package_name,
            },
            "platform": str(image.platform),
            "wheels": [{"file": name, "size": size} for name, size in sorted(sizes.items())],
            "provided": provided,
            "distributions": distributions,
            "outputs": [{"output": str(output), "digest": digest} for output, digest in written],
        }
        click.echo(json.dumps(document, indent=2))
        return
    total = sum(sizes.values())
    click.echo(f"{metadata.name} {metadata.version}: {metadata.api} {metadata.provider_type}")
    click.echo(f"  wheels:   {len(sizes)}, {shown_size(total)}")
    if distributions:
        click.echo(f"  provided: {counted(len(provided), 'package')} by {', '.join(distributions)}")
    click.echo(f"  platform: {image.platform}")
    for output, digest in written:
        click.echo(f"  {output} {digest}")
