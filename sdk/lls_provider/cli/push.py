"""``lls-provider push``: pushes a finished image to registries."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from lls_provider.cli.boundary import EXIT_STATUSES, console, show_result
from lls_provider.cli.options import completed_by, dry_run_option, insecure_option, output_options
from lls_provider.progress import shown_size

if TYPE_CHECKING:
    from lls_provider.operations.images import Written


@click.command(
    "push",
    epilog="Example: lls-provider push oci:build/image registry.example.com/acme/echo:1.0.0\n\n"
    + EXIT_STATUSES,
)
@click.argument("image", metavar="IMAGE", shell_complete=completed_by("images"))
@click.argument("references", metavar="REF...", nargs=-1, required=True)
@dry_run_option("Ask the registries what they lack, and send nothing.")
@insecure_option()
@output_options()
def command(image: str, references: tuple[str, ...], *, dry_run: bool, insecure: bool) -> None:
    """Push IMAGE, byte for byte, to each REF.

    IMAGE is oci:DIR[:TAG], oci-archive:FILE[:TAG], docker-archive:FILE[:NAME], docker-daemon:REF or
    [docker://]REF in another registry.

    An index is pushed whole: the images for every platform, and what else it lists. Blobs that the
    registry has are not sent again. The tag is set last: if a push fails, it stays as it was.
    Credentials are those of `podman login`, `docker login` or `skopeo login`.
    """
    from lls_provider.operations.images import push

    progress = console(f"reading {image}")
    result = push(image, references, dry_run=dry_run, insecure=insecure, progress=progress)
    show_result("push/1", result.to_document, lambda: "\n".join(map(_line, result.outputs)))


def _line(written: Written) -> str:
    line = f"{written.output.removeprefix('docker://')} {written.digest}"
    if written.to_send is None:
        return line
    return f"Would push {line}: {shown_size(written.to_send)} to send"
