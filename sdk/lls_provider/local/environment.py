"""The environment of the server that `up` runs: its packages, installed on this machine."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lls_provider.errors import SdkError
from lls_provider.image.inspect.distribution import image_distribution, load_distribution
from lls_provider.image.transports.transport import read_image
from lls_provider.local.server import start_command
from lls_provider.operations.provider_file import located_in
from lls_provider.progress import SILENT, Progress
from lls_provider.wheels.environment import Environment, ensure_environment

if TYPE_CHECKING:
    from lls_provider.image.image import Image
    from lls_provider.local.plan import UpOptions
    from lls_provider.wheels.distribution import Distribution


@dataclass(frozen=True, slots=True)
class PreparedServer:
    """A server that can be started; ``image`` is set if its layers have the configuration."""

    environment: Environment
    image: Image | None = None

    @property
    def distribution(self) -> Distribution:
        """What it consists of."""
        return self.environment.distribution


def prepare_server(
    named: str, python: str | None, options: UpOptions, progress: Progress = SILENT
) -> PreparedServer:
    """Prepare the server that is named; an image of a provider file is opened once.

    Its tag may move before its configuration is read. Raises what loading a distribution, making
    its environment and `start_command` raise, with the place in the provider file.
    """
    image: Image | None = None
    found: str | Distribution = named
    insecure, entry = options.insecure, options.image_server
    try:
        if entry is not None:
            image = read_image(named, insecure=insecure, progress=progress)
            found = image_distribution(image, named, python=python, progress=progress)
        distribution = load_distribution(found, python=python, insecure=insecure, progress=progress)
    except SdkError as error:
        raise error if entry is None else located_in(error, entry.where) from error
    environment = ensure_environment(distribution, progress=progress)
    start_command(environment, Path(), 0)  # refuses one without a server
    return PreparedServer(environment, image)
