"""``lls-provider build``: builds a provider into an image."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lls_provider.cli.boundary import EXIT_STATUSES, console, current, show_result
from lls_provider.cli.options import (
    completed_by,
    distribution_option,
    dry_run_option,
    index_options,
    indexes_of,
    insecure_option,
    lock_options,
    output_options,
    platform_option,
    python_option,
)
from lls_provider.progress import counted, shown_size

if TYPE_CHECKING:
    from lls_provider.operations.build import BuildResult


@click.command(
    "build",
    epilog="Example: lls-provider build acme-echo --output oci:build/image\n\n" + EXIT_STATUSES,
)
@click.argument("path", required=False, type=click.Path(path_type=Path))
@click.option(
    "--output",
    multiple=True,
    metavar="DEST",
    help="Where the image goes (repeatable): docker://REF (a registry), docker-daemon:REF (Docker "
    "or Podman), oci:DIR[:TAG] (an OCI layout), oci-archive:FILE[:TAG] or "
    "docker-archive:FILE[:NAME:TAG] (one file). bundle:DIR gets the files of /lls-provider.",
    shell_complete=completed_by("images"),
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
    metavar="scratch|IMAGE",
    help="scratch makes a data image; a base with Python, docker://REF for example, makes a "
    "runnable one.  "
    "[default: the project's, else scratch]",
    shell_complete=completed_by("images"),
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
@click.option(
    "--api", help="With --package: the API it implements.", shell_complete=completed_by("apis")
)
@click.option("--provider-type", help="With --package: which of its types, remote::… or inline::….")
@click.option("--vendor", help="With --package: the organisation.")
@index_options
@lock_options
@dry_run_option("Do all but write the outputs: resolve, build, load, and show the digests.")
@insecure_option()
@output_options()
def command(*, output: tuple[str, ...], **options: Any) -> None:
    """Build the project at PATH (default: here), or a published package, into an image.

    The provider's wheel and every wheel that the distribution does not provide go into
    /lls-provider of the image, with the metadata and the installer. The same input gives the
    same digest.
    """
    _accept_former_name(options)
    from lls_provider.operations.build import BuildRequest, build_request

    request = BuildRequest(
        outputs=output,
        overrides=options.pop("override"),
        indexes=indexes_of(options),
        command=_command_line() if options["package"] is not None else (),
        **options,
    )
    result = build_request(request, progress=console())
    show_result("build/1", result.to_document, lambda: describe(result))


def _accept_former_name(options: dict[str, Any]) -> None:
    """Read ``--nevertheless``, the name of ``--allow-failure`` before 0.1.0, for one release."""
    reason = options.pop("nevertheless")
    if reason is None:
        return
    if options["allow_failure"] is not None:
        raise click.UsageError("Give --allow-failure only: '--nevertheless' is its former name.")
    console().warn("--nevertheless is now --allow-failure; the next release refuses the old name.")
    options["allow_failure"] = reason


def describe(result: BuildResult) -> str:
    """Return the provider, its images and their destinations as text."""
    provider = result.provider
    lines = [f"{provider.name} {provider.version}: {provider.api} {provider.provider_type}"]
    for image in result.images:
        total = sum(wheel.size for wheel in image.wheels)
        lines.append(f"  platform: {image.platform}")
        lines.append(f"  wheels:   {len(image.wheels)}, {shown_size(total)}")
        if result.distributions:
            provided = counted(len(image.provided), "package")
            lines.append(f"  provided: {provided} by {', '.join(result.distributions)}")
    would = "would write " if result.dry_run else ""
    lines += [f"  {would}{written.output} {written.digest}" for written in result.outputs]
    return "\n".join(lines)


def _command_line() -> tuple[str, ...]:
    """Return the arguments of this command line, without the credentials in index URLs."""
    from lls_provider.wheels.uv import without_logins

    return ("lls-provider", *map(without_logins, current().arguments))
