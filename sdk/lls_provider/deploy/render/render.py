"""Renders a provider file into manifests: the use case behind ``lls-provider render``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

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
    """How a plan is rendered."""

    image_volumes: bool = False
    network_policy: bool = False


@dataclass(frozen=True, slots=True)
class Rendered:
    """Manifests as text: one stream, or for kustomize files by name."""

    files: Mapping[str, str]

    @property
    def text(self) -> str:
        """All of it as one stream of YAML documents."""
        return "---\n".join(self.files.values())

    def to_document(self) -> dict[str, Any]:
        """The manifests as plain data, in their order, for ``--format json``."""
        import yaml

        return {
            "files": [
                {"name": name, "manifests": list(yaml.safe_load_all(text))}
                for name, text in self.files.items()
            ]
        }


_ONE = "manifests.yaml"
_Choice = TypeVar("_Choice", RenderTarget, ProviderSourceKind)


def render(
    path: str | os.PathLike[str],
    target: RenderTarget | str,
    *,
    source: ProviderSourceKind | str = ProviderSourceKind.INIT_CONTAINER,
    network_policy: bool = False,
    pin: bool = False,
    read: bool = True,
    insecure: bool = False,
    progress: Progress = SILENT,
) -> Rendered:
    """Render the provider file ``path`` for ``target``.

    The arguments are the options of ``lls-provider render``; ``source`` is ``--from``. Equal files
    and images give equal text. Raises SdkError USAGE for an option that the target does not have,
    and what reading the file, its images and the base configuration raises.
    """
    wanted = _choice(RenderTarget, target)
    image_volumes = _choice(ProviderSourceKind, source) is ProviderSourceKind.IMAGE_VOLUME
    options = RenderOptions(image_volumes, network_policy)
    _check(wanted, options)
    if pin and not read:
        raise SdkError(
            Code.USAGE,
            "--pin reads the images, and --no-read forbids it",
            resolution="Remove one of the two options.",
        )
    file = read_provider_file(Path(path))
    images = (
        read_images(file, pin=pin, insecure=insecure, progress=progress)
        if read
        else unread_images(file)
    )
    return _TARGETS[wanted](plan_deployment(file, images), options)


def _choice(kind: type[_Choice], value: _Choice | str) -> _Choice:
    try:
        return kind(value)
    except ValueError as error:
        known = ", ".join(str(it.value) for it in kind)
        raise SdkError(
            Code.USAGE,
            f"{value!r:.100} is not something to render",
            why=f"Known are {known}.",
            resolution="Choose one of these.",
        ) from error


def write_rendered(rendered: Rendered, output: Path) -> list[Path]:
    """Write one stream to a file, or several files into a directory, each atomically.

    Returns their paths. Raises SdkError OUTPUT_UNWRITABLE or NO_SPACE.
    """
    from lls_provider.system.files import wrapping_write_errors, write_atomically

    several = len(rendered.files) > 1 or _ONE not in rendered.files
    with wrapping_write_errors(output, "the manifests"):
        if several:
            output.mkdir(parents=True, exist_ok=True)
        paths = {name: output / name if several else output for name in rendered.files}
        for name, path in paths.items():
            write_atomically(path, rendered.files[name].encode())
    return list(paths.values())


def _check(target: RenderTarget, options: RenderOptions) -> None:
    if options.image_volumes and target is RenderTarget.CR:
        raise _unavailable("--from image-volume", target, "The operator decides how it installs.")
    if options.network_policy and target not in (RenderTarget.DEPLOYMENT, RenderTarget.KUSTOMIZE):
        raise _unavailable("--network-policy", target, "It belongs to a Deployment.")


def _unavailable(option: str, target: RenderTarget, why: str) -> SdkError:
    return SdkError(
        Code.USAGE,
        f"{option} is not for 'render {target.value}'",
        why=why,
        resolution=f"Remove {option}, or render deployment.",
    )


def _pod(plan: DeploymentPlan, options: RenderOptions) -> Rendered:
    from lls_provider.deploy.render.workloads import pod

    return _stream(pod(plan, image_volumes=options.image_volumes))


def _deployment(plan: DeploymentPlan, options: RenderOptions) -> Rendered:
    from lls_provider.deploy.render.workloads import deployment

    return _stream(
        deployment(plan, image_volumes=options.image_volumes, network_policy=options.network_policy)
    )


def _kustomize(plan: DeploymentPlan, options: RenderOptions) -> Rendered:
    from lls_provider.deploy.render.workloads import kustomize

    return Rendered(
        kustomize(plan, image_volumes=options.image_volumes, network_policy=options.network_policy)
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


_TARGETS: Mapping[RenderTarget, Callable[[DeploymentPlan, RenderOptions], Rendered]] = {
    RenderTarget.POD: _pod,
    RenderTarget.DEPLOYMENT: _deployment,
    RenderTarget.CR: _cr,
    RenderTarget.OGXSERVER: _ogxserver,
    RenderTarget.LLAMASTACKDISTRIBUTION: _llamastackdistribution,
    RenderTarget.KUSTOMIZE: _kustomize,
}
