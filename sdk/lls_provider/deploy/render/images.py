"""What rendering needs to know of images: labels, sizes and what they start; no layer is read."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypeVar

from lls_provider.bundle.image_names import REGISTRY
from lls_provider.contract.models import ProviderPackage
from lls_provider.errors import Code, SdkError
from lls_provider.image.inspect.configuration import image_variables
from lls_provider.image.transports.registry import reference
from lls_provider.image.transports.transport import find_image
from lls_provider.operations.images import image_facts
from lls_provider.operations.provider_file import require_same_api
from lls_provider.progress import SILENT, Progress

if TYPE_CHECKING:
    from lls_provider.image.image import Image
    from lls_provider.image.manifest import Content
    from lls_provider.operations.provider_file import ProviderEntry, ProviderFile

_AT_ONCE = 8  # registries answer several requests at a time

_Named = TypeVar("_Named")
_Facts = TypeVar("_Facts")


@dataclass(frozen=True, slots=True)
class ProviderImageFacts:
    """A provider's image; what it does not say is None. Sizes are bytes."""

    reference: str  # as a Pod names it; with a digest when it was pinned
    api: str
    package: ProviderPackage | None = None
    installed_size: int | None = None
    runnable: bool = True


@dataclass(frozen=True, slots=True)
class ServerImageFacts:
    """The distribution's image: what it starts, with which variables."""

    reference: str
    entrypoint: tuple[str, ...] = ()
    args: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    known: bool = True  # False when the image was not read


@dataclass(frozen=True, slots=True)
class DeployedImages:
    """The images of a provider file, those of the providers in its order."""

    server: ServerImageFacts | None
    providers: tuple[ProviderImageFacts, ...]


def read_images(
    file: ProviderFile, *, pin: bool = False, insecure: bool = False, progress: Progress = SILENT
) -> DeployedImages:
    """Read manifest and configuration of every image in ``file``, several at a time.

    With ``pin`` each tag is resolved once, and the reference carries the digest that was read.
    Raises SdkError with the provider: IMAGE_MISSING, REGISTRY_DENIED, REGISTRY_FAILED, NETWORK,
    USAGE for a name that is no reference; FIELD_MISSING when neither image nor file names the API,
    API_MISMATCH when they disagree.
    """

    def content(image: str) -> tuple[str, Content]:
        named = reference.parse(image)
        progress.step(f"reading {named}")
        found = find_image(f"{REGISTRY}{named}", insecure=insecure, progress=progress).whole()
        # the tag stays, so that a reader sees which version the digest is
        return (f"{image.partition('@')[0]}@{found.digest}" if pin else image), found

    def provider(entry: ProviderEntry) -> ProviderImageFacts:
        try:
            name, found = content(entry.image)
            return provider_image(entry, name, found)
        except SdkError as error:
            raise error.located(provider=entry.provider_id, image=entry.image) from error

    def server(image: str) -> ServerImageFacts:
        try:
            return server_image(*content(image))
        except SdkError as error:
            raise error.located(image=image) from error

    images = [file.server.image] if file.server.image is not None else []
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        servers = _all(pool, server, images)
        providers = _all(pool, provider, file.providers)
        return DeployedImages(next(iter(servers()), None), tuple(providers()))


def unread_images(file: ProviderFile) -> DeployedImages:
    """What the file alone says of its images. Raises SdkError FIELD_MISSING for a missing API."""
    providers = []
    for entry in file.providers:
        if entry.api is None:
            raise _no_api(entry, "The images are not read.")
        providers.append(ProviderImageFacts(entry.image, entry.api))
    image = file.server.image
    server = ServerImageFacts(image, known=False) if image is not None else None
    return DeployedImages(server, tuple(providers))


def provider_image(entry: ProviderEntry, name: str, content: Content) -> ProviderImageFacts:
    """What the image of ``entry`` says of itself; of an index the largest of its images.

    Raises SdkError FIELD_MISSING or API_MISMATCH.
    """
    images = _images(content)
    own: list[Mapping[str, Any]] = [it["provider"] for it in images if it["provider"]]
    api = next((it["api"] for it in own if it["api"]), None)
    serves = entry.api or api
    if serves is None:
        raise _no_api(
            entry,
            "The image has no labels of a provider. It is not a provider image, or other tools "
            "made it.",
        )
    require_same_api(entry, api)
    sizes = [it["installed_size"] for it in own if it["installed_size"] is not None]
    return ProviderImageFacts(
        name,
        serves,
        _package(own[0]) if own else None,
        max(sizes, default=None),
        runnable=all(it["kind"] == "runnable" for it in images),
    )


def server_image(name: str, content: Content) -> ServerImageFacts:
    """What the distribution's image starts; of an index the first of its images."""
    from lls_provider.image.image import Image

    images: Sequence[Image] = (content,) if isinstance(content, Image) else content.images
    runtime = (images[0].config.get("config") or {}) if images else {}
    return ServerImageFacts(
        name,
        tuple(runtime.get("Entrypoint") or ()),
        tuple(runtime.get("Cmd") or ()),
        image_variables(images[0]) if images else {},
    )


def _package(labels: Mapping[str, Any]) -> ProviderPackage | None:
    """The metadata in the labels; the path of the wheel is in the image alone."""
    texts = {
        "name": labels["name"],
        "version": labels["version"],
        "vendor": labels["vendor"],
        "package_name": labels["module"],
        "provider_type": labels["provider_type"],
        "api": labels["api"],
    }
    if not all(texts.values()):
        return None
    return ProviderPackage(**texts, description=None, maintainer=None, wheel_path="")


def _images(content: Content) -> list[Mapping[str, Any]]:
    facts = image_facts(content)
    return list(facts.get("images", [facts]))


def _all(
    pool: ThreadPoolExecutor, read: Callable[[_Named], _Facts], names: Iterable[_Named]
) -> Callable[[], list[_Facts]]:
    """Start reading all; the result is waited for, and the first error in order raised, later."""
    started = [pool.submit(read, name) for name in names]
    return lambda: [it.result() for it in started]


def _no_api(entry: ProviderEntry, why: str) -> SdkError:
    return SdkError(
        Code.FIELD_MISSING,
        f"The API of provider '{entry.provider_id}' is unknown",
        why=why,
        where=replace(entry.where, provider=entry.provider_id, image=entry.image),
        resolution=f"Run `lls-provider check docker://{entry.image}`. If it is a provider image, "
        "add 'api' to the entry, such as 'api: inference'.",
    )
