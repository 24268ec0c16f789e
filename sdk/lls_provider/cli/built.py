"""Writes the images of ``lls-provider build`` and shows them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lls_provider.cli.console import show, show_document
from lls_provider.image.compose import compose, require_fit
from lls_provider.image.manifest import Index
from lls_provider.image.transports.transport import recorded_base_name
from lls_provider.progress import Progress, counted, shown_size

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lls_provider.bundle.bundle import Bundle
    from lls_provider.image.image import Image, JsonObject
    from lls_provider.image.transports.transport import Output


def write_images(
    bundles: Sequence[Bundle],
    bases: Sequence[Image | None],
    outputs: Sequence[Output],
    *,
    base_name: str,
    progress: Progress,
) -> tuple[list[Image], list[tuple[Output, str]]]:
    """Put each bundle on its base and write the whole everywhere; gives the digests there.

    Raises what `require_fit`, `compose` and the outputs raise.
    """
    pairs = list(zip(bundles, bases, strict=True))
    for bundle, base in pairs:
        require_fit(bundle, base, base_name=base_name, progress=progress)
    images = [
        compose(bundle, base, base_name=recorded_base_name(base_name)) for bundle, base in pairs
    ]
    content = Index.of(images) if len(images) > 1 else images[0]
    written = []
    for output in outputs:
        progress.step(f"writing {output}")
        written.append((output, output.write(content)))
    return images, written


def show_built(
    bundles: Sequence[Bundle],
    images: Sequence[Image],
    written: Sequence[tuple[Output, str]],
    form: str,
) -> None:
    """Write the provider, its images and where they went to stdout, as ``form`` says."""
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
        show_document(document)
        return
    show(f"{metadata.name} {metadata.version}: {metadata.api} {metadata.provider_type}")
    for image in made:
        total = sum(wheel["size"] for wheel in image["wheels"])
        show(f"  platform: {image['platform']}")
        show(f"  wheels:   {len(image['wheels'])}, {shown_size(total)}")
        if distributions:
            provided = counted(len(image["provided"]), "package")
            show(f"  provided: {provided} by {', '.join(distributions)}")
    for output, digest in written:
        show(f"  {output} {digest}")


def _made(bundle: Bundle, image: Image) -> JsonObject:
    return {
        "platform": str(image.platform),
        "digest": image.digest,
        "wheels": [{"file": path.name, "size": path.stat().st_size} for path in bundle.wheels],
        "provided": dict(bundle.manifest.provided) if bundle.manifest else {},
    }
