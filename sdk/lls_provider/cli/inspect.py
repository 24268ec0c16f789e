"""``lls-provider inspect``: shows an image's manifest, configuration and labels."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from lls_provider.cli.boundary import EXIT_STATUSES, console, show_result
from lls_provider.cli.options import completed_by, insecure_option, output_options, platform_option
from lls_provider.progress import counted, shown_size
from lls_provider.untrusted import one_line

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any


@click.command(
    "inspect",
    epilog="Example: lls-provider inspect registry.example.com/acme/echo:1.0.0\n\n" + EXIT_STATUSES,
)
@click.argument("image", metavar="IMAGE", shell_complete=completed_by("images"))
@platform_option("Of an index, the image for one platform.  [default: all of them]")
@insecure_option()
@output_options()
def command(image: str, *, platform: str | None, insecure: bool) -> None:
    """Show what IMAGE says of itself.

    IMAGE is [docker://]REF in a registry, docker-daemon:REF, oci:DIR[:TAG], oci-archive:FILE[:TAG]
    or docker-archive:FILE[:NAME]. Its manifest, configuration and labels are read, its layers are
    not: `check` reads those.
    """
    from lls_provider.operations.images import inspect

    progress = console(f"reading {image}")
    found = inspect(image, platform=platform, insecure=insecure, progress=progress)
    if not found.is_provider:
        progress.note(
            "an image made by hand, or of something else: it has no labels of a provider; "
            f"`lls-provider check {image}` reads what is in it"
        )
    show_result(
        "inspect/1",
        found.to_document,
        lambda: "\n".join(one_line(line) for line in _lines(image, found.facts)),
    )


def _lines(name: str, found: Mapping[str, Any]) -> Iterator[str]:
    yield name
    yield f"  digest:   {found['digest']}"
    if found["kind"] == "index":
        yield f"  kind:     index of {counted(len(found['images']), 'image')}"
        yield f"  platform: {', '.join(found['platforms'])}"
        for image in found["images"]:
            yield from ("", *_lines(f"{name} for {image['platform']}", image))
        return
    if found["provider"] is None:
        yield "  provider: unknown, the image has no labels of one"
    else:
        yield from _provider_lines(found["provider"])
    starts = " ".join(found["command"])
    kind = f"runnable, starts {starts}" if starts else "data, starts nothing"
    yield f"  kind:     {kind}" + (f", user {found['user']}" if found["user"] else "")
    yield f"  platform: {found['platform']}"
    if found["base"]:
        named = f" ({found['base_name']})" if found["base_name"] else ""
        yield f"  base:     {found['base']}{named}"
    yield f"  sbom:     {_sbom(found['sbom'])}"
    yield f"  size:     {shown_size(found['size'])} in {counted(len(found['layers']), 'layer')}"
    for layer in found["layers"]:
        yield f"    {layer['digest'][:19]}  {shown_size(layer['size']):>10}  {layer['title']}"


def _sbom(sbom: Mapping[str, Any]) -> str:
    inside = "in the image" if sbom["digest"] else "none in the image"
    how = {True: ", attached to it", False: ", not attached", None: ""}[sbom["attached"]]
    return inside + how


def _provider_lines(provider: Mapping[str, Any]) -> Iterator[str]:
    who = f"{provider['name']} {provider['version']}"
    yield f"  provider: {who}" + (f" of {provider['vendor']}" if provider["vendor"] else "")
    yield f"  serves:   {provider['api']} as {provider['provider_type']}"
    yield f"  module:   {provider['module']}"
    if provider["wheels"] is not None:
        size = provider["installed_size"]
        installed = f", {shown_size(size)} installed" if size is not None else ""
        yield f"  wheels:   {provider['wheels']}{installed}"
    target = [it for it in (provider["python_tag"], provider["machine"]) if it]
    if target:
        yield f"  target:   {' on '.join(target)}"
    if provider["distributions"]:
        yield f"  beside:   {', '.join(provider['distributions'])}"
    if provider["sdk"]:
        yield f"  made by:  lls-provider-sdk {provider['sdk']}"
