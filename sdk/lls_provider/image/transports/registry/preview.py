"""What a push would send: the registry is asked which layers it has, and gets none."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lls_provider.image.manifest import manifests
from lls_provider.image.transports.registry.repository import Repository
from lls_provider.progress import SILENT, counted, shown_size

if TYPE_CHECKING:
    from lls_provider.image.manifest import Content
    from lls_provider.image.transports.registry.reference import Reference
    from lls_provider.progress import Progress


def bytes_to_push(
    content: Content,
    reference: Reference,
    *,
    insecure: bool = False,
    progress: Progress = SILENT,
) -> int:
    """How many bytes of layers the registry lacks.

    A layer that the registry could take over from another repository counts. Raises SdkError
    NETWORK, REGISTRY_DENIED and REGISTRY_FAILED.
    """
    layers = {it.digest: it.size for manifest in manifests(content) for it in manifest.layers}
    with Repository(reference, push=True, insecure=insecure) as repository:
        lacking = {it: size for it, size in layers.items() if not repository.has_blob(it)}
    total = sum(lacking.values())
    progress.note(
        f"{reference.registry} lacks {len(lacking)} of {counted(len(layers), 'layer')}, "
        f"{shown_size(total)}"
    )
    return total
