"""What `render` prints is what `diagnose` understands; the recordings are valid Pods."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tests.deploy.conftest import VERSIONS, manifests, validate_native
from tests.deploy.recordings import PODS, diagnosed, document
from tests.factories.provider_files import ECHO, GUARD, SERVER

from lls_provider.deploy.render.render import render

if TYPE_CHECKING:
    from lls_provider.deploy.pod_status import PodDiagnosis

WriteFile = Callable[..., Path]
UNREAD: dict[str, Any] = {"read": False}
VOLUMES = {**UNREAD, "source": "image-volume"}


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(it.stem for it in PODS.glob("*.json")))
def test_a_recording_is_a_pod_of_kubernetes(name: str) -> None:
    found = document(name)
    for pod in found.get("items", [found]):
        validate_native(pod, VERSIONS[-1])


def created(pod: dict[str, Any]) -> PodDiagnosis:
    """The diagnosis of a Pod that the API server has just accepted."""
    status = {"phase": "Pending", "qosClass": "Burstable"}
    return diagnosed(json.loads(json.dumps({**pod, "status": status}, default=str)))


def providers(diagnosis: PodDiagnosis) -> list[tuple[str, str, str]]:
    return [(it.provider_id, it.image, it.init_container_name) for it in diagnosis.providers]


@pytest.mark.parametrize("options", [UNREAD, VOLUMES], ids=["images", "volumes"])
@pytest.mark.parametrize("base", [{}, {"configMap": {"name": "base"}}], ids=["extract", "given"])
def test_the_containers_of_a_rendered_pod_are_known(
    write_file: WriteFile, options: dict[str, Any], base: dict[str, Any]
) -> None:
    path = write_file(GUARD, ECHO, server={**SERVER, **base})
    (pod,) = (it for it in manifests(render(path, "pod", **options).text) if it["kind"] == "Pod")
    found = created(pod)
    one = "install-providers" if options is VOLUMES else None
    # in the order of the sections of a CR
    assert providers(found) == [
        ("acme-echo", ECHO["image"], one or "install-provider-acme-echo"),
        ("acme-guard", GUARD["image"], one or "install-provider-acme-guard"),
    ]
    names = [it.name for it in found.phases]
    extract = [] if base else ["extract"]
    assert names == ["install", "install", *extract, "merge", "preflight", "server"]
    assert [it.container for it in found.phases][-1] == "llama-stack"


@pytest.mark.parametrize("target", ["ogxserver", "llamastackdistribution"])
def test_the_container_that_an_operator_makes_is_known(write_file: WriteFile, target: str) -> None:
    path = write_file(GUARD, ECHO, server=SERVER)
    resource = manifests(render(path, target, **UNREAD).text)[-1]
    if target == "ogxserver":
        container = volumes = resource["spec"]["workload"]["overrides"]
    else:
        server = resource["spec"]["server"]
        container = {**server["containerSpec"], **server["podOverrides"]}
        volumes = server["podOverrides"]
    pod = document("ogxserver-ready")
    pod["spec"]["volumes"] = volumes["volumes"]
    pod["spec"]["containers"][0] |= {
        key: container[key] for key in ("command", "args", "env", "volumeMounts")
    }
    found = diagnosed(pod)
    assert found.is_ready
    assert providers(found) == [
        ("acme-echo", ECHO["image"], ""),
        ("acme-guard", GUARD["image"], ""),
    ]
    assert [it.name for it in found.phases] == ["install", "install", "preflight", "server"]
