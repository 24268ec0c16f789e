"""``lls-provider push``: pushes a finished image to registries."""

from __future__ import annotations

import click

from lls_provider.cli.boundary import EXIT_STATUSES, console, show, show_document
from lls_provider.cli.options import format_option, insecure_option


@click.command(
    "push",
    epilog="Example: lls-provider push oci:build/image registry.example.com/acme/echo:1.0.0\n\n"
    + EXIT_STATUSES,
)
@click.argument("image", metavar="IMAGE")
@click.argument("references", metavar="REF...", nargs=-1, required=True)
@insecure_option()
@format_option()
def command(image: str, references: tuple[str, ...], *, insecure: bool, form: str) -> None:
    """Push IMAGE, byte for byte, to each REF.

    IMAGE is oci:DIR[:TAG], oci-archive:FILE[:TAG], docker-archive:FILE[:NAME], docker-daemon:REF or
    [docker://]REF in another registry.

    An index is pushed whole: the images for every platform, and what else it lists. Blobs that the
    registry has are not sent again. The tag is set last: if a push fails, it stays as it was.
    Credentials are those of `podman login`, `docker login` or `skopeo login`.
    """
    from lls_provider.operations.images import push

    result = push(image, references, insecure=insecure, progress=console())
    if form == "json":
        show_document(result.to_document())
        return
    for written in result.outputs:
        show(f"{written.output.removeprefix('docker://')} {written.digest}")
