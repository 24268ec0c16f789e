"""``lls-provider build``: wheel, closure, bundle, image."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from lls_provider.cli.buildoptions import BuildOptions
from lls_provider.cli.console import EXIT_STATUSES
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

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from lls_provider.bundle.bundle import Bundle
    from lls_provider.progress import Progress
    from lls_provider.project.settings import Settings
    from lls_provider.wheels.distribution import Distribution


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
    help="Put a package into the image although the server provides it (repeatable); a version "
    "that the server's own packages do not accept is refused.",
)
@click.option(
    "--allow-failure",
    metavar="REASON",
    help="Build although the provider does not load beside the distribution, or the distribution's "
    "own packages do not accept what is bundled; the reason is recorded in the image.",
)
@click.option("--nevertheless", hidden=True)
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
    _accept_former_name(options)
    _build(BuildOptions(**options))  # type: ignore[arg-type]


def _accept_former_name(options: dict[str, object]) -> None:
    """Read ``--nevertheless``, the name of ``--allow-failure`` before 0.1.0, for one release."""
    reason = options.pop("nevertheless")
    if reason is None:
        return
    from lls_provider.cli.console import console

    if options["allow_failure"] is not None:
        raise click.UsageError("Give --allow-failure only: '--nevertheless' is its former name.")
    console().warn("--nevertheless is now --allow-failure; the next release refuses the old name.")
    options["allow_failure"] = reason


def _build(options: BuildOptions) -> None:
    from lls_provider.cli.console import console
    from lls_provider.image.transports.transport import (
        parse_output,
        prepare,
        read_base,
        require_index_sinks,
    )
    from lls_provider.runtime.preflight.probe_client import time_limit
    from lls_provider.wheels.build import scratch
    from lls_provider.wheels.epoch import source_date_epoch

    # whatever can be told before the long work is told before it
    options.require_consistent()
    source_date_epoch()
    time_limit()
    use_indexes(
        default_index=options.default_index,
        index=options.index,
        find_links=options.find_links,
        offline=options.offline,
    )
    progress = console()
    outputs = [
        parse_output(text, insecure=options.insecure, progress=progress) for text in options.output
    ]
    source = options.source()
    platforms = options.chosen_platforms(source)
    if len(platforms) > 1:
        require_index_sinks(outputs)
    named = options.chosen_base(source)
    bases = [
        read_base(named, platform, insecure=options.insecure, progress=progress)
        for platform in platforms
    ]
    servers = _servers(source, options, progress)

    def meanwhile() -> None:
        from lls_provider.cli import built  # noqa: F401 - imported when nothing else is to do

        prepare(outputs)

    with scratch("build") as folder:
        outs = {platform.machine: folder / platform.machine for platform in platforms}
        bundles = _bundles(source, options, servers, outs, meanwhile, progress)
        from lls_provider.cli.built import show_built, write_images

        images, written = write_images(bundles, bases, outputs, base_name=named, progress=progress)
        show_built(bundles, images, written, options.form)


def _servers(
    source: str | Settings, options: BuildOptions, progress: Progress
) -> Sequence[str | Distribution]:
    """What to resolve against, images among it loaded."""
    project = None if isinstance(source, str) else source
    named = options.distributions or (project.distributions if project else ())
    if not named:
        return ()
    from lls_provider.image.inspect.distribution import with_images

    return with_images(
        named,
        python=options.python or (project.python if project else None),
        insecure=options.insecure,
        progress=progress,
    )


def _bundles(
    source: str | Settings,
    options: BuildOptions,
    servers: Sequence[str | Distribution],
    outs: Mapping[str, Path],
    meanwhile: Callable[[], object],
    progress: Progress,
) -> list[Bundle]:
    """The bundles of a published package, named as a requirement, or of a project.

    ``meanwhile`` is called while a project's wheel is built.
    """
    from lls_provider.bundle.bundle import BundleOptions
    from lls_provider.bundle.trial import Trial
    from lls_provider.wheels.lock import LOCK_NAME

    project = Path() if isinstance(source, str) else source.root
    lock_file = options.lock_file or project / LOCK_NAME
    told = BundleOptions(
        servers,
        python=options.python,
        overrides=options.override,
        bundle=options.bundle,
        lock=lock_file if options.lock else None,
        locked=lock_file if options.locked else None,
        trial=Trial(options.allow_failure),
    )
    if isinstance(source, str):
        from lls_provider.bundle.published import bundle_published
        from lls_provider.bundle.spec_selection import SpecFlags

        return bundle_published(
            source,
            outs,
            told,
            asked=SpecFlags(options.module, options.api, options.provider_type),
            vendor=options.vendor,
            words=_command_line(),
            progress=progress,
        )
    from lls_provider.project.bundle import bundle_project

    return bundle_project(source, outs, told, meanwhile=meanwhile, progress=progress)


def _command_line() -> list[str]:
    """The words of this command line, without the logins that an index may have in its URL."""
    from lls_provider.wheels.uv import without_logins

    words: tuple[str, ...] = click.get_current_context().find_root().obj or ()
    return ["lls-provider", *map(without_logins, words)]
