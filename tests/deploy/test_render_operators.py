"""What the released operators' container is told: where the configuration is, what it becomes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from tests.deploy.conftest import validate_custom
from tests.factories.provider_files import ECHO, SERVER

from lls_provider.contract.names import CONFIG_VARIABLES
from lls_provider.deploy.render import operator
from lls_provider.deploy.render.images import DeployedImages, ServerImageFacts, unread_images
from lls_provider.deploy.render.manifest_text import plain
from lls_provider.deploy.render.plan import plan_deployment
from lls_provider.deploy.render.pod_spec import PACKAGES, RUN_YAML
from lls_provider.operations.provider_file import read_provider_file

WriteFile = Callable[..., Path]
TARGETS = ("ogxserver", "llamastackdistribution")
BASE = {"configMap": {"name": "base", "key": "mine.yaml"}}


def rendered(path: Path, target: str, **image: Any) -> dict[str, Any]:
    """What the container is told by the resource, for a server's image with these facts."""
    file = read_provider_file(path)
    images = unread_images(file)
    server = ServerImageFacts(SERVER["image"], **image) if image else images.server
    plan = plan_deployment(file, DeployedImages(server, images.providers))
    resource = plain(getattr(operator, target)(plan))[-1]
    validate_custom(resource)
    if target == "ogxserver":
        return dict(resource["spec"]["workload"]["overrides"])
    return dict(resource["spec"]["server"]["containerSpec"])


def variables(told: Mapping[str, Any]) -> dict[str, str]:
    return {it["name"]: it["value"] for it in told["env"]}


@pytest.mark.parametrize("target", TARGETS)
def test_without_a_config_map_the_container_looks_for_a_configuration(
    write_file: WriteFile, target: str
) -> None:
    told = rendered(write_file(ECHO, server=SERVER), target, entrypoint=("/start",))
    assert told["args"] == ["--", "/start"]
    # else what the operator sets there, or the image, would not be found
    assert not {*CONFIG_VARIABLES} & {*variables(told)}


@pytest.mark.parametrize(
    ("target", "place"),
    [
        ("ogxserver", "/etc/ogx/config.yaml"),
        ("llamastackdistribution", "/etc/llama-stack/mine.yaml"),
    ],
)
def test_a_config_map_is_merged_into_where_the_operator_mounts_it(
    write_file: WriteFile, target: str, place: str
) -> None:
    path = write_file(ECHO, server={**SERVER, **BASE})
    told = rendered(path, target, entrypoint=("/start",))
    assert told["args"] == ["--base", place, "--", "/start"]


@pytest.mark.parametrize("target", TARGETS)
def test_the_server_is_not_started_on_what_the_image_names(
    write_file: WriteFile, target: str
) -> None:
    told = rendered(
        write_file(ECHO, server=SERVER),
        target,
        entrypoint=("/opt/venv/bin/llama",),
        args=("stack", "run", "/etc/llama-stack/run.yaml", "--config=/etc/ogx/config.yaml"),
        env={"PYTHONPATH": "/opt/lib"},
    )
    started = ["/opt/venv/bin/llama", "stack", "run", RUN_YAML, f"--config={RUN_YAML}"]
    assert told["args"] == ["--", *started]
    assert variables(told)["PYTHONPATH"] == f"{PACKAGES}:/opt/lib"


def test_a_command_of_the_file_is_left_as_it_is(write_file: WriteFile) -> None:
    command = ["llama", "stack", "run", "/etc/llama-stack/run.yaml"]
    path = write_file(ECHO, server={**SERVER, "command": command, "args": ["--port", "1"]})
    told = rendered(path, "llamastackdistribution", entrypoint=("/start",))
    assert told["args"] == ["--", *command, "--port", "1"]
    path = write_file(ECHO, server={**SERVER, "args": ["--port", "1"]})
    told = rendered(path, "llamastackdistribution", entrypoint=("/start",), args=("x",))
    assert told["args"] == ["--", "/start", "--port", "1"]
