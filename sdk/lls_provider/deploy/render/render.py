"""Renders a provider file into manifests: the use case behind ``lls-provider render``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING

from lls_provider.deploy.render.images import read_images, unread_images
from lls_provider.deploy.render.manifest_text import documents_text
from lls_provider.deploy.render.plan import plan_deployment
from lls_provider.errors import Code, SdkError
from lls_provider.operations.provider_file import read_provider_file
from lls_provider.progress import SILENT, Progress

if TYPE_CHECKING:
    import os

    from lls_provider.deploy.render.plan import DeploymentPlan


class RenderTarget(Enum):
    """What a provider file is rendered into."""

    POD = "pod"
    DEPLOYMENT = "deployment"
    CR = "cr"
    OGXSERVER = "ogxserver"
    LLAMASTACKDISTRIBUTION = "llamastackdistribution"
    KUSTOMIZE = "kustomize"


class ProviderSourceKind(Enum):
    """Where the Pod finds a provider: in an init container of its image, or in a volume."""

    INIT_CONTAINER = "init-container"
    IMAGE_VOLUME = "image-volume"


@dataclass(frozen=True, slots=True)
class RenderOptions:
    """How manifests are rendered."""

    source: ProviderSourceKind = ProviderSourceKind.INIT_CONTAINER
    network_policy: bool = False
    pin: bool = False
    read_images: bool = True
    insecure: bool = False


@dataclass(frozen=True, slots=True)
class Rendered:
    """Manifests as text: one stream, or for kustomize files by name."""

    files: Mapping[str, str]

    @property
    def text(self) -> str:
        """All of it as one stream of YAML documents."""
        return "---\n".join(self.files.values())


_ONE = "manifests.yaml"


def render(
    path: str | os.PathLike[str],
    target: RenderTarget | str,
    options: RenderOptions = RenderOptions(),
    *,
    progress: Progress = SILENT,
) -> Rendered:
    """Render the provider file ``path`` for ``target``.

    Equal files and images give equal text. Raises SdkError USAGE for an option that the target
    does not have, and what reading the file, its images and the base configuration raises.
    """
    wanted = RenderTarget(target)
    _check(wanted, options)
    file = read_provider_file(Path(path))
    images = (
        read_images(file, pin=options.pin, insecure=options.insecure, progress=progress)
        if options.read_images
        else unread_images(file)
    )
    return _TARGETS[wanted](plan_deployment(file, images), options)


def write_rendered(rendered: Rendered, output: Path) -> None:
    """Write one stream to a file, or several files into a directory, each atomically.

    Raises SdkError OUTPUT_UNWRITABLE or NO_SPACE.
    """
    from lls_provider.system.files import wrapping_write_errors, write_atomically

    several = len(rendered.files) > 1 or _ONE not in rendered.files
    with wrapping_write_errors(output, "the manifests"):
        if several:
            output.mkdir(parents=True, exist_ok=True)
        for name, text in rendered.files.items():
            write_atomically(output / name if several else output, text.encode())


def _check(target: RenderTarget, options: RenderOptions) -> None:
    workload = target in (RenderTarget.POD, RenderTarget.DEPLOYMENT, RenderTarget.KUSTOMIZE)
    if options.source is ProviderSourceKind.IMAGE_VOLUME and target is RenderTarget.CR:
        raise _unavailable("--from image-volume", target, "the operator decides how it installs")
    if options.network_policy and (not workload or target is RenderTarget.POD):
        raise _unavailable("--network-policy", target, "it belongs to a Deployment")
    if options.pin and not options.read_images:
        raise SdkError(
            Code.USAGE,
            "--pin reads the images, and --no-read forbids it",
            resolution="Remove one of the two options.",
        )


def _unavailable(option: str, target: RenderTarget, why: str) -> SdkError:
    return SdkError(
        Code.USAGE,
        f"{option} is not for 'render {target.value}'",
        why=f"{why[0].upper()}{why[1:]}.",
        resolution=f"Remove {option}, or render deployment.",
    )


def _pod(plan: DeploymentPlan, options: RenderOptions) -> Rendered:
    from lls_provider.deploy.render.workloads import pod

    return _stream(pod(plan, image_volumes=_volumes(options)))


def _deployment(plan: DeploymentPlan, options: RenderOptions) -> Rendered:
    from lls_provider.deploy.render.workloads import deployment

    return _stream(
        deployment(plan, image_volumes=_volumes(options), network_policy=options.network_policy)
    )


def _kustomize(plan: DeploymentPlan, options: RenderOptions) -> Rendered:
    from lls_provider.deploy.render.workloads import kustomize

    return Rendered(
        kustomize(plan, image_volumes=_volumes(options), network_policy=options.network_policy)
    )


def _cr(plan: DeploymentPlan, _options: RenderOptions) -> Rendered:
    from lls_provider.deploy.render.operator import cr

    return _stream(cr(plan))


def _ogxserver(plan: DeploymentPlan, _options: RenderOptions) -> Rendered:
    from lls_provider.deploy.render.operator import ogxserver

    return _stream(ogxserver(plan))


def _llamastackdistribution(plan: DeploymentPlan, _options: RenderOptions) -> Rendered:
    from lls_provider.deploy.render.operator import llamastackdistribution

    return _stream(llamastackdistribution(plan))


def _stream(manifests: list[dict[str, object]]) -> Rendered:
    return Rendered({_ONE: documents_text(manifests)})


def _volumes(options: RenderOptions) -> bool:
    return options.source is ProviderSourceKind.IMAGE_VOLUME


_TARGETS: Mapping[RenderTarget, Callable[[DeploymentPlan, RenderOptions], Rendered]] = {
    RenderTarget.POD: _pod,
    RenderTarget.DEPLOYMENT: _deployment,
    RenderTarget.CR: _cr,
    RenderTarget.OGXSERVER: _ogxserver,
    RenderTarget.LLAMASTACKDISTRIBUTION: _llamastackdistribution,
    RenderTarget.KUSTOMIZE: _kustomize,
}
