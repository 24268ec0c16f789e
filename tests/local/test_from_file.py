"""What a provider file means on this machine, without a cluster."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.factories.provider_files import ECHO, GUARD, SERVER
from tests.recorder import Recorder

from lls_provider.deploy.render.render import render
from lls_provider.errors import Code, SdkError
from lls_provider.local import plan
from lls_provider.local.from_file import expanded, with_provider_file
from lls_provider.local.plan import PlannedProvider, UpOptions
from lls_provider.operations.phase_commands import install_arguments
from lls_provider.operations.targets import resolve_targets

WriteFile = Callable[..., Path]
SECRET = {"configFrom": {"secret": {"name": "s"}}}


def _options(path: Path, **options: Any) -> UpOptions:
    return with_provider_file(resolve_targets([str(path)]), UpOptions(**options))


def _error(path: Path, **options: Any) -> SdkError:
    with pytest.raises(SdkError) as caught:
        _options(path, **options)
    return caught.value


def test_targets_without_a_file_keep_their_options(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text("")
    options = UpOptions(server="ogx==1.5.0")
    assert with_provider_file(resolve_targets([str(tmp_path)]), options) is options


def test_the_file_says_what_the_command_line_does_not(write_file: WriteFile) -> None:
    (write_file(ECHO).parent / "base.yaml").write_text("version: 2\n")
    env = [{"name": "A", "value": "1"}, {"name": "B", "value": "$(A)2"}]
    server = {**SERVER, "config": "base.yaml", "env": env}
    path = write_file({**ECHO, "config": {"a": 1}}, {**GUARD, "config": {}}, server=server)
    found = _options(path, environment={"A": "9"}, configs=(("acme-guard", {"b": 2}),))
    assert found.server == f"docker://{SERVER['image']}"
    assert found.image_server is not None
    assert found.base_config == path.parent / "base.yaml"
    assert found.environment == {"A": "9", "B": "92"}
    # a later one wins
    assert found.configs == (("acme-echo", {"a": 1}), ("acme-guard", {}), ("acme-guard", {"b": 2}))


def test_a_server_of_the_command_line_replaces_the_image_and_its_configuration(
    write_file: WriteFile,
) -> None:
    found = _options(write_file(ECHO, server=SERVER), server="ogx==1.5.0")
    assert (found.server, found.image_server) == ("ogx==1.5.0", None)


def test_a_distribution_that_only_an_operator_knows_is_noted(write_file: WriteFile) -> None:
    recorder = Recorder()
    targets = resolve_targets([str(write_file(ECHO, server={"distribution": "starter"}))])
    assert with_provider_file(targets, UpOptions(), recorder).server is None
    assert "only an operator knows the distribution 'starter'" in recorder.notes[0]


def test_every_configuration_that_a_cluster_has_is_told_at_once(write_file: WriteFile) -> None:
    path = write_file({**ECHO, **SECRET}, {**GUARD, "configFrom": {"configMap": {"name": "c"}}})
    error = _error(path)
    assert error.code is Code.DOCUMENT_INVALID
    assert [(it.where.file, it.where.line) for it in error.problems] == [
        (str(path), 4),
        (str(path), 10),
    ]
    assert [it.resolution for it in error.problems] == [
        "Give it with --config 'acme-echo=JSON'.",
        "Give it with --config 'acme-guard=JSON'.",
    ]
    given = tuple((name, {"a": 1}) for name in ("acme-echo", "acme-guard"))
    assert _options(path, configs=given).configs == given  # the advice


def test_a_config_without_an_id_is_for_the_only_provider(write_file: WriteFile) -> None:
    path = write_file({**ECHO, **SECRET})
    assert _error(path).code is Code.FIELD_VALUE
    assert _options(path, configs=((None, {"a": 1}),)).configs == ((None, {"a": 1}),)


def test_a_configmap_and_a_variables_source_name_the_option(
    write_file: WriteFile, tmp_path: Path
) -> None:
    env = [{"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "t", "key": "k"}}}]
    path = write_file(ECHO, server={**SERVER, "configMap": {"name": "base"}, "env": env})
    error = _error(path)
    assert (error.code, error.where.file, error.where.line) == (Code.FIELD_VALUE, str(path), 4)
    assert "'run.yaml'" in error.resolution
    assert "--base-config FILE" in error.resolution
    error = _error(path, base_config=tmp_path / "run.yaml")
    assert (error.code, error.where.line) == (Code.FIELD_VALUE, 4)
    assert "--env TOKEN=VALUE" in error.resolution
    found = _options(path, base_config=tmp_path / "run.yaml", environment={"TOKEN": "x"})
    assert found.environment == {"TOKEN": "x"}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("$(A)-$(B)", "1-2"),
        ("$(C)", "$(C)"),
        ("$$(A)", "$(A)"),
        ("$$$(A)", "$1"),
        ("$A", "$A"),
        ("$", "$"),
    ],
)
def test_a_value_is_what_a_kubelet_makes_of_it(text: str, value: str) -> None:
    # https://kubernetes.io/docs/tasks/inject-data-application/define-interdependent-environment-variables/
    assert expanded(text, {"A": "1", "B": "2"}) == value


def test_the_installer_is_told_what_render_writes(write_file: WriteFile) -> None:
    path = write_file(
        {**GUARD, "config": {"api_key": "abc"}},
        {**ECHO, "config": {"url": "http://x"}},
        {"id": "plain", "image": "acme/plain:1", "api": "eval"},
        server=SERVER,
    )
    targets, options = resolve_targets([str(path)]), _options(path)
    providers = [
        PlannedProvider(
            it.label, Path("x"), it.entry.provider_id, it.entry.api or "", "m", None, it.entry
        )
        for it in targets.sources
        if it.entry is not None
    ]
    configs = plan.assign_configs(options.configs, [it.provider_id for it in providers])
    told = {}
    for container in plan.init_containers(providers, configs):
        name = container.provider.provider_id
        in_file = container.config is not None and not container.has_inline_config
        file = Path(f"/etc/lls-provider/{name}/config.yaml") if in_file else None
        told[f"install-provider-{name}"] = install_arguments(container.installation(file))
    rendered = render(path, "pod", read=False).text
    (pod,) = [it for it in yaml.safe_load_all(rendered) if it["kind"] == "Pod"]
    written = {
        it["name"]: it["args"]
        for it in pod["spec"]["initContainers"]
        if it["name"].startswith("install-provider-")
    }
    assert told == written
    assert list(told) == list(written)
