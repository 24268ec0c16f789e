"""Rendered manifests: valid for Kubernetes and the operators, and right in their meaning."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from tests.deploy.conftest import (
    VERSIONS,
    manifests,
    validate_custom,
    validate_native,
)
from tests.factories.provider_files import ECHO, GUARD, SERVER

from lls_provider.contract import validation
from lls_provider.contract.document import load
from lls_provider.contract.models import ProviderPackage
from lls_provider.contract.names import APIS
from lls_provider.deploy.render import manifest_text, operator, provider_mounts, sizes
from lls_provider.deploy.render import pod_spec as pod
from lls_provider.deploy.render.images import (
    DeployedImages,
    ProviderImageFacts,
    ServerImageFacts,
    unread_images,
)
from lls_provider.deploy.render.plan import DeploymentPlan, plan_deployment
from lls_provider.deploy.render.render import render
from lls_provider.errors import Code, SdkError
from lls_provider.operations.provider_file import read_provider_file
from lls_provider.runtime.start import parse_providers

WriteFile = Callable[..., Path]
UNREAD: dict[str, Any] = {"read": False}
VOLUMES = {**UNREAD, "source": "image-volume"}
FULL_SERVER = {
    **SERVER,
    "configMap": {"name": "base"},
    "python": "/opt/venv/bin/python3",
    "replicas": 2,
    "env": [
        {"name": "LEVEL", "value": "debug"},
        {"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "tokens", "key": "acme"}}},
    ],
    "imagePullSecrets": ["login"],
    "serviceAccountName": "llama",
    "pullPolicy": "Always",
    "resources": {"requests": {"cpu": 1, "memory": "2Gi"}, "limits": {"memory": "4Gi"}},
}
FULL = [
    {**GUARD, "config": {"api_key": "abc"}, "imagePullSecrets": ["login", "other"]},
    {**ECHO, "config": {"url": "http://x"}, "pullPolicy": "Always"},
    {"id": "big", "image": "acme/big:1", "api": "eval", "config": {"text": "x" * 5000}},
    {
        "id": "own",
        "image": "acme/own:1",
        "api": "files",
        "configFrom": {"configMap": {"name": "o"}},
    },
]


def _rendered(path: Path, target: str, options: dict[str, Any] = UNREAD) -> list[dict[str, Any]]:
    return manifests(render(path, target, **options).text)


def _one(found: list[dict[str, Any]], kind: str) -> dict[str, Any]:
    (manifest,) = [it for it in found if it["kind"] == kind]
    return manifest


def _spec(path: Path, options: dict[str, Any] = UNREAD) -> dict[str, Any]:
    spec: dict[str, Any] = _one(_rendered(path, "pod", options), "Pod")["spec"]
    return spec


def _containers(spec: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    yield from spec["initContainers"]
    yield from spec["containers"]


@pytest.fixture(params=["small", "full"])
def path(request: pytest.FixtureRequest, write_file: WriteFile) -> Path:
    if request.param == "small":
        return write_file(GUARD, ECHO, server=SERVER)
    return write_file(*FULL, server=FULL_SERVER)


@pytest.mark.unmeasured
@pytest.mark.slow
@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("target", ["pod", "deployment"])
def test_a_workload_is_valid_for_kubernetes(path: Path, target: str, version: str) -> None:
    options = {**UNREAD, "network_policy": target == "deployment"}
    for manifest in _rendered(path, target, options):
        validate_native(manifest, version)


@pytest.mark.unmeasured
@pytest.mark.slow
@pytest.mark.parametrize("version", [it for it in VERSIONS if it != "1.30"])
def test_image_volumes_are_valid_for_kubernetes_that_has_them(path: Path, version: str) -> None:
    for manifest in _rendered(path, "pod", VOLUMES):
        validate_native(manifest, version)


@pytest.mark.unmeasured
@pytest.mark.slow
@pytest.mark.parametrize("target", ["ogxserver", "llamastackdistribution"])
def test_a_custom_resource_is_valid_for_the_released_operator(path: Path, target: str) -> None:
    *objects, resource = _rendered(path, target)
    validate_custom(resource)
    for manifest in objects:
        validate_native(manifest, VERSIONS[-1])


@pytest.mark.slow
def test_a_wrong_resource_is_found_by_these_checks(path: Path) -> None:
    resource = _rendered(path, "ogxserver")[-1]
    resource["spec"]["initContainers"] = []
    with pytest.raises(jsonschema.ValidationError):
        validate_custom(resource)
    del resource["spec"]["initContainers"]
    resource["spec"]["distribution"] = {"name": "starter", "image": "a/b:1"}
    with pytest.raises((AssertionError, jsonschema.ValidationError)):
        validate_custom(resource)
    spec = _rendered(path, "pod")[-1]
    spec["spec"]["containers"][0]["imagePolicy"] = "Always"
    with pytest.raises(Exception, match="imagePolicy"):
        validate_native(spec, VERSIONS[-1])


def test_the_specifications_resource_is_valid_by_the_contract(write_file: WriteFile) -> None:
    path = write_file(GUARD, {**ECHO, "config": {"a": 1}}, server={**SERVER, "replicas": 3})
    text = render(path, "cr", **UNREAD).text
    assert validation.problems(load(text.encode(), "cr.yaml"), "externalproviders-cr") == []
    sections = yaml.safe_load(text)["spec"]["server"]["externalProviders"]
    assert list(sections) == ["inference", "safety"]
    assert sections["inference"][0]["config"] == {"a": 1}


def test_the_specifications_resource_has_no_place_for_a_secret(write_file: WriteFile) -> None:
    path = write_file({**ECHO, "configFrom": {"secret": {"name": "a"}}}, server=SERVER)
    with pytest.raises(SdkError) as caught:
        render(path, "cr", **UNREAD)
    assert caught.value.where.line == 7
    assert "configFrom" in caught.value.what


def test_init_containers_come_in_the_order_of_the_contract(write_file: WriteFile) -> None:
    second = {**ECHO, "id": "second"}
    spec = _spec(write_file(GUARD, ECHO, second, server=SERVER))
    assert [container["name"] for container in spec["initContainers"]] == [
        "install-provider-acme-echo",
        "install-provider-second",
        "install-provider-acme-guard",
        "extract-distribution-config",
        "merge-config",
        "preflight",
    ]
    orders = [it for c in spec["initContainers"] for it in c.get("args", ()) if "--order" in it]
    assert orders == ["--order=0", "--order=1", "--order=2"]


def test_mounted_images_are_installed_by_one_container_in_that_order(
    write_file: WriteFile,
) -> None:
    second = {**ECHO, "id": "second"}
    spec = _spec(write_file(GUARD, ECHO, second, server=SERVER), VOLUMES)
    assert [container["name"] for container in spec["initContainers"]] == [
        "install-providers",
        "extract-distribution-config",
        "merge-config",
        "preflight",
    ]
    install = spec["initContainers"][0]
    (listed,) = (it["value"] for it in install["env"] if it["name"] == "LLS_PROVIDERS")
    entries = parse_providers(listed)
    assert [it["id"] for it in entries] == ["acme-echo", "second", "acme-guard"]
    mounted = {it["mountPath"] for it in install["volumeMounts"]}
    assert {str(Path(it["source"]).parent) for it in entries} < mounted


def test_a_supplied_configuration_is_not_extracted(write_file: WriteFile, tmp_path: Path) -> None:
    (tmp_path / "run.yaml").write_text("version: 2\n")
    for server in ({"configMap": {"name": "base"}}, {"config": "run.yaml"}):
        found = _rendered(write_file(ECHO, server={**SERVER, **server}), "pod")
        spec = _one(found, "Pod")["spec"]
        names = [container["name"] for container in spec["initContainers"]]
        assert "extract-distribution-config" not in names
        (volume,) = [it for it in spec["volumes"] if it["name"] == "base-config"]
        assert volume["configMap"]["items"] == [{"key": "run.yaml", "path": "run.yaml"}]
        if "config" in server:
            config_map = _one(found, "ConfigMap")
            assert config_map["metadata"]["name"] == volume["configMap"]["name"]
            assert config_map["data"] == {"run.yaml": "version: 2\n"}


def test_the_path_of_the_images_configuration_is_extracted(write_file: WriteFile) -> None:
    path = write_file(ECHO, server={**SERVER, "configPath": "/srv/run.yaml"})
    (extract,) = [it for it in _spec(path)["initContainers"] if it["name"].startswith("extract")]
    assert extract["command"][-2:] == ["extract", "--config-path=/srv/run.yaml"]
    resource = _rendered(path, "ogxserver")[-1]
    arguments = resource["spec"]["workload"]["overrides"]["args"]
    assert arguments[:2] == ["--base", "/srv/run.yaml"]


@pytest.mark.parametrize("options", [UNREAD, VOLUMES])
def test_names_are_unique_and_every_mount_has_its_volume(
    path: Path, options: dict[str, Any]
) -> None:
    spec = _spec(path, options)
    names = [container["name"] for container in _containers(spec)]
    assert len(names) == len(set(names))
    volumes = [volume["name"] for volume in spec["volumes"]]
    assert len(volumes) == len(set(volumes))
    mounted = {mount["name"] for it in _containers(spec) for mount in it["volumeMounts"]}
    assert mounted == set(volumes)
    for container in _containers(spec):
        paths = [mount["mountPath"] for mount in container["volumeMounts"]]
        assert len(paths) == len(set(paths))


@pytest.mark.parametrize("options", [UNREAD, VOLUMES])
def test_every_container_is_confined(path: Path, options: dict[str, Any]) -> None:
    spec = _spec(path, options)
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["automountServiceAccountToken"] is False
    for container in _containers(spec):
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
    for container in spec["initContainers"]:
        assert container["resources"]["limits"]["memory"]
        assert container["resources"]["requests"]["memory"]


@pytest.mark.parametrize(("number", "share"), [(1, 2457), (2, 2048), (10, 877)])
def test_each_container_is_told_its_share_of_messages(
    write_file: WriteFile, number: int, share: int
) -> None:
    entries = [{**ECHO, "id": f"echo-{it}"} for it in range(number)]
    spec = _spec(write_file(*entries, server=SERVER))
    assert share == 12 * 1024 // len(list(_containers(spec)))
    for container in spec["initContainers"]:
        variables = {it["name"]: it.get("value") for it in container["env"]}
        assert variables["LLS_TERMINATION_LOG_LIMIT"] == str(share)


def test_only_installing_and_preflight_write_where_packages_are(path: Path) -> None:
    for container in _containers(_spec(path)):
        (mount,) = [it for it in container["volumeMounts"] if it["name"] == "external-providers"]
        writes = container["name"].startswith("install-provider-")
        assert mount.get("readOnly", False) is not (writes or container["name"] == "preflight")


def test_a_secret_or_large_configuration_is_no_argument(write_file: WriteFile) -> None:
    path = write_file(*FULL, server=SERVER)
    found = _rendered(path, "pod")
    spec = _one(found, "Pod")["spec"]
    assert "abc" not in json.dumps(spec)
    assert "xxxx" not in json.dumps(spec)
    secret, config_map = _one(found, "Secret"), _one(found, "ConfigMap")
    assert yaml.safe_load(secret["stringData"]["config.yaml"]) == {"api_key": "abc"}
    assert yaml.safe_load(config_map["data"]["config.yaml"]) == {"text": "x" * 5000}
    arguments = {
        container["name"]: [it for it in container["args"] if it.startswith("--config")]
        for container in spec["initContainers"]
        if container["name"].startswith("install")
    }
    assert arguments == {
        "install-provider-acme-echo": ['--config={"url":"http://x"}'],
        "install-provider-acme-guard": ["--config-file=/etc/lls-provider/acme-guard/config.yaml"],
        "install-provider-big": ["--config-file=/etc/lls-provider/big/config.yaml"],
        "install-provider-own": ["--config-file=/etc/lls-provider/own/config.yaml"],
    }


@given(st.text(alphabet="$()aA{}.", max_size=12))
def test_kubernetes_reads_an_escaped_value_as_it_was(text: str) -> None:
    assert _expanded(provider_mounts.escaped_value(text)) == text


def _expanded(text: str) -> str:
    """What a kubelet makes of a value (third_party/forked/golang/expansion); no variable is set."""
    result, index = "", 0
    while index < len(text):
        if text[index] == "$" and text[index + 1 : index + 2] == "$":
            result, index = result + "$", index + 2
        else:
            assert text[index : index + 2] != "$("
            result, index = result + text[index], index + 1
    return result


def test_what_kubernetes_would_replace_in_an_argument_is_in_a_file(write_file: WriteFile) -> None:
    path = write_file({**ECHO, "config": {"a": "$(HOSTNAME)"}}, server=SERVER)
    found = _rendered(path, "pod")
    assert "HOSTNAME" not in json.dumps(_one(found, "Pod"))
    assert yaml.safe_load(_one(found, "ConfigMap")["data"]["config.yaml"]) == {"a": "$(HOSTNAME)"}


def test_equal_files_render_equal_text(path: Path) -> None:
    for target in ("pod", "deployment", "ogxserver", "llamastackdistribution"):
        assert render(path, target, **UNREAD).text == render(path, target, **UNREAD).text


def _hash(path: Path) -> str:
    found = _one(_rendered(path, "deployment"), "Deployment")
    annotations: dict[str, str] = found["spec"]["template"]["metadata"]["annotations"]
    return annotations["llamastack.io/providers-hash"]


def test_a_deployment_rolls_when_anything_changes(write_file: WriteFile, tmp_path: Path) -> None:
    base = tmp_path / "run.yaml"
    base.write_text("version: 2\n")
    server = {**SERVER, "config": "run.yaml"}
    hashes = [_hash(write_file(ECHO, GUARD, server=server))]
    hashes.append(_hash(write_file({**ECHO, "image": "acme/echo:2"}, GUARD, server=server)))
    hashes.append(_hash(write_file({**ECHO, "config": {"api_key": "a"}}, GUARD, server=server)))
    hashes.append(_hash(write_file({**ECHO, "config": {"api_key": "b"}}, GUARD, server=server)))
    base.write_text("version: 2\napis: []\n")
    hashes.append(_hash(write_file(ECHO, GUARD, server=server)))
    assert len(set(hashes)) == len(hashes)
    assert _hash(write_file(ECHO, GUARD, server={**server, "replicas": 5})) == hashes[-1]


def test_kustomize_has_a_file_for_each_manifest(path: Path) -> None:
    files = render(path, "kustomize", **UNREAD).files
    kustomization = yaml.safe_load(files["kustomization.yaml"])
    assert kustomization["resources"] == sorted(set(files) - {"kustomization.yaml"})
    assert "deployment-my-server.yaml" in files
    for name, text in files.items():
        if name != "kustomization.yaml":
            validate_native(yaml.safe_load(text), VERSIONS[-1])


def test_comments_say_what_may_be_changed(path: Path) -> None:
    text = render(path, "deployment", **UNREAD).text
    assert text.count("\n") > 100
    assert "  # how many Pods there are\n  replicas: " in text
    assert "__comment" not in text
    assert "sizeLimit: 2Gi\n" in text


def test_a_text_that_looks_like_a_comments_mark_is_data() -> None:
    manifest = {"a": {"__comment0__x": None}, manifest_text.comment("why"): None, "b": ["5Mi"]}
    text = manifest_text.manifest_text(manifest)
    assert yaml.safe_load(text) == {"a": {"__comment0__x": None}, "b": ["5Mi"]}
    assert "\n# why\nb:\n" in text


@pytest.mark.parametrize("text", ["a: b", "a # b", "a\nb", "ä"])
def test_a_comment_is_plain_words(text: str) -> None:
    with pytest.raises(ValueError, match="plainly"):
        manifest_text.comment(text)


def _plan(
    path: Path, *providers: ProviderImageFacts, server: ServerImageFacts | None = None
) -> DeploymentPlan:
    file = read_provider_file(path)
    images = unread_images(file)
    return plan_deployment(
        file, DeployedImages(server or images.server, providers or images.providers)
    )


def _image(
    entry: Mapping[str, Any], size: int | None = 50 * sizes.MIB, *, runnable: bool = True
) -> ProviderImageFacts:
    name = str(entry["id"])
    package = ProviderPackage(
        name, "1.0", "ACME", None, None, name.replace("-", "_"), f"remote::{name}", entry["api"], ""
    )
    return ProviderImageFacts(str(entry["image"]), entry["api"], package, size, runnable)


def test_the_volume_is_as_large_as_what_is_installed(write_file: WriteFile) -> None:
    path = write_file(ECHO, GUARD, server=SERVER)
    small = pod.pod_spec(_plan(path, _image(ECHO), _image(GUARD)))
    large = pod.pod_spec(_plan(path, _image(ECHO), _image(GUARD, 3000 * sizes.MIB)))
    limits = [
        next(it for it in spec["volumes"] if it["name"] == "external-providers")["emptyDir"][
            "sizeLimit"
        ]
        for spec in (small, large)
    ]
    assert limits == ["256Mi", "6912Mi"]
    requests = small["initContainers"][0]["resources"]["requests"]
    assert requests["ephemeral-storage"] == "256Mi"


@given(st.lists(st.none() | st.integers(0, 1 << 40), min_size=1, max_size=8))
def test_a_volume_holds_everything_and_one_update(installed: list[int | None]) -> None:
    size = sizes.volume_size(installed)
    known = [it for it in installed if it is not None]
    assert size >= sum(known) + max(known, default=0)
    assert None not in installed or size >= sizes.DEFAULT_VOLUME
    text = sizes.quantity(size)
    unit = {"Gi": 1 << 30, "Mi": 1 << 20}[text[-2:]]
    assert int(text[:-2]) * unit == size


def test_what_the_file_says_of_resources_wins(write_file: WriteFile) -> None:
    given_resources = {"requests": {"cpu": "2"}, "limits": {"memory": "1Gi"}}
    path = write_file({**ECHO, "resources": given_resources}, server=SERVER)
    container = _spec(path)["initContainers"][0]
    assert container["resources"]["limits"] == {"memory": "1Gi"}
    assert container["resources"]["requests"]["cpu"] == "2"
    assert container["resources"]["requests"]["memory"] == "256Mi"


def test_a_data_image_is_mounted_or_refused(write_file: WriteFile) -> None:
    found = _plan(write_file(ECHO, server=SERVER), _image(ECHO, runnable=False))
    with pytest.raises(SdkError) as caught:
        pod.pod_spec(found)
    assert caught.value.code is Code.IMAGE_INVALID
    assert "--from image-volume" in caught.value.resolution
    spec = pod.pod_spec(found, image_volumes=True)  # the advice
    install = spec["initContainers"][0]
    assert (install["name"], install["image"]) == ("install-providers", SERVER["image"])
    assert install["command"][-1] == "install-all"
    (listed,) = (it["value"] for it in install["env"] if it["name"] == "LLS_PROVIDERS")
    assert parse_providers(listed) == [
        {
            "id": "acme-echo",
            "api": "inference",
            "image": ECHO["image"],
            "source": "/var/lib/lls-provider/acme-echo/lls-provider",
            "container": "install-providers",
        }
    ]
    assert {
        "name": "image-acme-echo",
        "image": {"reference": ECHO["image"], "pullPolicy": ("IfNotPresent")},
    } in spec["volumes"]


@pytest.mark.parametrize(
    ("server", "image", "command", "arguments", "python"),
    [
        # the image's entry point, told by variables
        ({}, {"entrypoint": ("/usr/local/bin/ogx-entrypoint.sh",)}, None, None, "python3"),
        # the image's arguments, with the merged file in place of its own
        (
            {},
            {
                "entrypoint": ("/opt/venv/bin/llama",),
                "args": ("stack", "run", "/etc/llama-stack/run.yaml"),
            },
            None,
            ["stack", "run", pod.RUN_YAML],
            "/opt/venv/bin/python3",
        ),
        (
            {},
            {"entrypoint": ("/usr/bin/python3.12", "-m", "s", "--config=/opt/app-root/run.yaml")},
            ["/usr/bin/python3.12", "-m", "s", f"--config={pod.RUN_YAML}"],
            [],
            "/usr/bin/python3",
        ),
        # the file decides
        ({"command": ["/bin/x"]}, {"entrypoint": ("/bin/y",)}, ["/bin/x"], [], "python3"),
        ({"args": ["a"]}, {"entrypoint": ("/bin/y",)}, None, ["a"], "python3"),
        ({"python": "/p"}, {"entrypoint": ("/opt/venv/bin/llama",)}, None, None, "/p"),
        # nothing is known
        ({}, {"known": False}, None, None, "python3"),
    ],
)
def test_the_image_of_the_server_keeps_its_entry_point(
    write_file: WriteFile,
    server: dict[str, Any],
    image: dict[str, Any],
    command: list[str] | None,
    arguments: list[str] | None,
    python: str,
) -> None:
    path = write_file(ECHO, server={**SERVER, **server})
    spec = pod.pod_spec(_plan(path, server=ServerImageFacts(SERVER["image"], **image)))
    (container,) = spec["containers"]
    assert container.get("command") == command
    assert container.get("args") == arguments
    assert spec["initContainers"][-1]["command"][0] == python


def test_an_image_that_starts_nothing_needs_a_command(write_file: WriteFile) -> None:
    path = write_file(ECHO, server=SERVER)
    with pytest.raises(SdkError) as caught:
        pod.pod_spec(_plan(path, server=ServerImageFacts(SERVER["image"])))
    assert caught.value.code is Code.FIELD_MISSING
    assert "server.command" in caught.value.why
    path = write_file(ECHO, server={**SERVER, "command": ["llama", "stack", "run", pod.RUN_YAML]})
    assert pod.pod_spec(_plan(path, server=ServerImageFacts(SERVER["image"])))  # the advice


def test_variables_of_the_image_are_kept_and_those_of_the_file_win(write_file: WriteFile) -> None:
    server = {**SERVER, "env": [{"name": "HOME", "value": "/data"}]}
    image = ServerImageFacts(
        SERVER["image"],
        ("/start",),
        env={"PYTHONPATH": "/opt/lib", "MY_CONFIG": "/etc/ogx/config.yaml", "OTHER": "1"},
    )
    spec = pod.pod_spec(_plan(write_file(ECHO, server=server), server=image))
    variables = {it["name"]: it["value"] for it in spec["containers"][0]["env"]}
    assert variables["PYTHONPATH"] == f"{pod.PACKAGES}:/opt/lib"
    assert variables["MY_CONFIG"] == pod.RUN_YAML
    assert variables["RUN_CONFIG_PATH"] == pod.RUN_YAML
    assert variables["HOME"] == "/data"
    assert "OTHER" not in variables


@pytest.mark.parametrize("target", ["ogxserver", "llamastackdistribution"])
def test_providers_are_merged_ahead_into_a_base_of_the_file(
    write_file: WriteFile, tmp_path: Path, target: str
) -> None:
    (tmp_path / "run.yaml").write_text("version: 2\nproviders: {}\n")
    path = write_file({**ECHO, "config": {"a": 1}}, server={**SERVER, "config": "run.yaml"})
    rendered = getattr(operator, target)(_plan(path, _image(ECHO)))
    (config_map, resource) = manifest_text.plain(rendered)
    validate_custom(resource)
    (text,) = config_map["data"].values()
    assert yaml.safe_load(text)["providers"]["inference"] == [
        {
            "provider_id": "acme-echo",
            "provider_type": "remote::acme-echo",
            "module": "acme_echo",
            "config": {"a": 1},
        }
    ]
    assert config_map["metadata"]["labels"]["ogx.io/watch"] == "true"
    assert "--merged" in json.dumps(resource)


def test_a_secret_configuration_is_merged_at_the_start(
    write_file: WriteFile, tmp_path: Path
) -> None:
    (tmp_path / "run.yaml").write_text("version: 2\n")
    config = {"api_key": "abc"}
    path = write_file({**ECHO, "config": config}, server={**SERVER, "config": "run.yaml"})
    rendered = manifest_text.plain(operator.ogxserver(_plan(path, _image(ECHO))))
    resource = rendered[-1]
    validate_custom(resource)
    assert "abc" not in json.dumps([it for it in rendered if it["kind"] != "Secret"])
    base = _one(rendered, "ConfigMap")
    assert base["data"] == {"run.yaml": "version: 2\n"}
    assert base["metadata"]["labels"]["ogx.io/watch"] == "true"
    overrides = resource["spec"]["workload"]["overrides"]
    assert overrides["args"][:2] == ["--base", "/etc/ogx/config.yaml"]


def test_the_start_command_is_told_every_provider(write_file: WriteFile) -> None:
    resource = _rendered(write_file(*FULL, server=FULL_SERVER), "ogxserver")[-1]
    overrides = resource["spec"]["workload"]["overrides"]
    (text,) = [it["value"] for it in overrides["env"] if it["name"] == "LLS_PROVIDERS"]
    told = json.loads(text)
    assert [it["id"] for it in told] == ["acme-echo", "acme-guard", "big", "own"]
    mounts = {mount["mountPath"] for mount in overrides["volumeMounts"]}
    for entry in told:
        assert any(entry["source"].startswith(f"{mount}/") for mount in mounts)
        if "config_file" in entry:
            assert any(entry["config_file"].startswith(f"{mount}/") for mount in mounts)
    assert {it["name"] for it in overrides["volumeMounts"]} == {
        it["name"] for it in overrides["volumes"]
    }


@pytest.mark.parametrize(
    ("target", "server", "field"),
    [
        ("pod", {"distribution": "starter"}, "server.image"),
        ("deployment", None, "server.image"),
        ("ogxserver", None, "server.distribution"),
        ("cr", None, "server.distribution"),
    ],
)
def test_what_a_target_needs_of_the_server_is_told(
    write_file: WriteFile, target: str, server: dict[str, Any] | None, field: str
) -> None:
    path = write_file(ECHO, server=server)
    with pytest.raises(SdkError) as caught:
        render(path, target, **UNREAD)
    assert caught.value.code is Code.FIELD_MISSING
    assert field in caught.value.why
    key = field.partition(".")[2]
    path = write_file(ECHO, server={key: "starter" if key == "distribution" else "a/b:1"})
    assert render(path, target, **UNREAD).text  # the advice


def test_a_file_without_an_enabled_provider_is_told(write_file: WriteFile) -> None:
    with pytest.raises(SdkError) as caught:
        render(write_file({**ECHO, "enabled": False}, server=SERVER), "pod", **UNREAD)
    assert caught.value.code is Code.FIELD_MISSING


def test_an_api_that_no_one_names_is_told_with_the_line(write_file: WriteFile) -> None:
    path = write_file({"id": "a", "image": "acme/a:1"}, server=SERVER)
    with pytest.raises(SdkError) as caught:
        render(path, "pod", **UNREAD)
    assert caught.value.code is Code.FIELD_MISSING
    assert caught.value.where.line == 7


@pytest.mark.parametrize(
    ("target", "options"),
    [
        ("pod", {**UNREAD, "network_policy": True}),
        ("cr", {**UNREAD, "network_policy": True}),
        ("ogxserver", {**UNREAD, "network_policy": True}),
        ("cr", VOLUMES),
        ("pod", {**UNREAD, "pin": True}),
    ],
)
def test_an_option_that_a_target_does_not_have_is_bad_usage(
    path: Path, target: str, options: dict[str, Any]
) -> None:
    with pytest.raises(SdkError) as caught:
        render(path, target, **options)
    assert caught.value.code is Code.USAGE


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("version: [", Code.YAML_INVALID),
        ("- a", Code.FIELD_TYPE),
        ("a: " + "x" * (1 << 20), Code.FIELD_VALUE),
    ],
)
def test_a_base_that_cannot_be_used_is_told(
    write_file: WriteFile, tmp_path: Path, text: str, code: Code
) -> None:
    (tmp_path / "run.yaml").write_text(text)
    with pytest.raises(SdkError) as caught:
        render(write_file(ECHO, server={**SERVER, "config": "run.yaml"}), "pod", **UNREAD)
    assert caught.value.code is code
    assert "run.yaml" in caught.value.render()


def test_every_api_has_its_place_in_the_order(write_file: WriteFile) -> None:
    entries = [{"id": api.replace("_", "-"), "image": "a/b:1", "api": api} for api in APIS]
    found = _plan(write_file(*reversed(entries), server=SERVER))
    assert [provider.api for provider in found.providers] == list(APIS)
