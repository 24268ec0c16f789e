"""``lls-provider push``: an image that is built already, into registries."""

from __future__ import annotations

import click

from lls_provider.cli.console import EXIT_STATUSES, console, show, show_document
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

    IMAGE is oci:DIR[:TAG], oci-archive:FILE[:TAG], docker-archive:FILE[:NAME], docker-daemon:REF
    or [docker://]REF in another registry.

    Of an index all is pushed: the images for every platform, and what else it lists. What the
    registry has is not sent again. The tag is put last: when a push fails, it stays as
    it was. Credentials are those of `podman login`, `docker login` or `skopeo login`.
    """
    from lls_provider.image.transports.registry.push import push
    from lls_provider.image.transports.registry.reference import tagged
    from lls_provider.image.transports.transport import find_image

    targets = [tagged(text.removeprefix("docker://")) for text in references]
    progress = console()
    found = find_image(image, insecure=insecure, progress=progress).whole()
    written = []
    for target in targets:
        progress.step(f"pushing to {target}")
        written.append((target, push(found, target, insecure=insecure, progress=progress)))
    if form == "json":
        outputs = [{"output": f"docker://{it}", "digest": digest} for it, digest in written]
        show_document({"outputs": outputs})
        return
    for target, digest in written:
        show(f"{target} {digest}")
