"""``lls-provider render``: manifests from a provider file."""

from __future__ import annotations

from pathlib import Path

import click

from lls_provider.cli.boundary import EXIT_STATUSES, console, current, show, show_document
from lls_provider.cli.options import Choice, insecure_option, output_options
from lls_provider.cli.output import named

_TARGETS = ("pod", "deployment", "cr", "ogxserver", "llamastackdistribution", "kustomize")


@click.command(
    "render",
    epilog="Example: lls-provider render deployment providers.yaml --pin | kubectl apply -f -\n\n"
    + EXIT_STATUSES,
)
@click.argument("target", metavar="TARGET", type=Choice(_TARGETS))
@click.argument("file", metavar="FILE", type=click.Path(path_type=Path))
@click.option(
    "--from",
    "source",
    type=Choice(("init-container", "image-volume")),
    default="init-container",
    show_default=True,
    help="Whether an init container of each provider's image installs it, or the server's image "
    "does, with the providers' images mounted (Kubernetes 1.35).",
)
@click.option("--pin", is_flag=True, help="Write each image with the digest that its tag has now.")
@click.option(
    "--network-policy", is_flag=True, help="Add a NetworkPolicy: who may call the server."
)
@click.option(
    "--no-read",
    is_flag=True,
    help="Read no image: each provider then needs 'api', and the volume gets its default size.",
)
@click.option(
    "--output",
    type=click.Path(path_type=Path),
    metavar="PATH",
    help="The file to write, or for kustomize the directory.  [default: stdout]",
)
@insecure_option()
@output_options()
def command(
    target: str,
    file: Path,
    *,
    source: str,
    pin: bool,
    network_policy: bool,
    no_read: bool,
    output: Path | None,
    insecure: bool,
) -> None:
    """Render the provider file FILE as manifests for TARGET.

    TARGET is pod, deployment (with a Service), kustomize (a base), cr (the custom resource of the
    specification), ogxserver (the operator that is released), or llamastackdistribution (the
    operator before). The images are read to compute sizes; equal files and images give equal
    manifests.
    """
    from lls_provider.deploy.render.render import render, write_rendered

    rendered = render(
        file,
        target,
        source=source,
        network_policy=network_policy,
        pin=pin,
        read=not no_read,
        insecure=insecure,
        progress=console(f"reading {file} and its images"),
    )
    written = write_rendered(rendered, output) if output is not None else ()
    if current().is_json:
        paths = [str(path) for path in written]
        show_document(named("render/1", {**rendered.to_document(), "written": paths}))
    elif output is None:
        show(rendered.text.removesuffix("\n"))
