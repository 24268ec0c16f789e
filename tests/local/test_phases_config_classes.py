"""Configs against the schema of the config class: where each mistake is, and who made it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from lls_provider.bundle.bundle import Bundle
from lls_provider.bundle.config_schema import dump_schema
from lls_provider.errors import Code, SdkError
from lls_provider.local.phases import require_valid_configs
from lls_provider.local.plan import InitContainer, PlannedProvider
from lls_provider.project.settings import Settings, read_settings

if TYPE_CHECKING:
    from tests.recorder import Recorder

MakeProvider = Callable[..., Bundle]

SCHEMA = {
    "type": "object",
    "additionalProperties": False,
    "properties": {"prefix": {"type": "string"}, "times": {"type": "integer"}},
}

PROJECT = """\
[project]
name = "acme-echo"
version = "1.0.0"

[tool.lls-provider]
api = "inference"
provider-type = "remote::acme-echo"
module = "acme_echo"
vendor = "Acme"

[tool.lls-provider.up.config]
prefx = "> "
times = [
    1,
]
"""


@pytest.fixture
def provider(make_provider: MakeProvider) -> Callable[..., PlannedProvider]:
    def make(
        schema: dict[str, Any] | bytes | None, settings: Settings | None = None
    ) -> PlannedProvider:
        tree = make_provider().tree
        if schema is not None:
            data = schema if isinstance(schema, bytes) else dump_schema(schema)
            tree.config_schema.write_bytes(data)
        return PlannedProvider("oci:x", tree.root, "acme-echo", "inference", "acme_echo", settings)

    return make


CLASS = """\
class Config:
    def __init__(self, **config):
        print("said by the class")
        {does}
class Spec:
    provider_type, api, module, config_class = "remote::acme-echo", "inference", "acme_echo", {name}
def get_provider_spec():
    return [Spec()]
"""
REFUSES = CLASS.format(does="raise ValueError", name="Config")
TAKES = CLASS.format(does="pass", name="'acme_echo.provider.Config'")

Judge = Callable[..., None]


@pytest.fixture
def judge(tmp_path: Path, recorder: Recorder) -> Judge:
    """Judges a config beside an environment where the class is of this source."""

    def make(
        provider: PlannedProvider,
        config: dict[str, Any] | None,
        given: tuple[str, ...] = (),
        source: str = REFUSES,
    ) -> None:
        package = tmp_path / "installed" / "acme_echo"
        package.mkdir(parents=True, exist_ok=True)
        (package / "__init__.py").write_text("async def get_adapter_impl(config, deps): ...\n")
        (package / "provider.py").write_text(source)
        container = InitContainer(provider, 0, config)
        variables = {"PYTHONPATH": str(package.parent)}
        python = Path(sys.executable)
        require_valid_configs(
            container,
            given,
            python=python,
            variables=variables,
            progress=recorder,
        )

    return make


def test_what_the_class_takes_although_its_schema_forbids_it_is_a_warning(
    provider: Callable[..., PlannedProvider], judge: Judge, recorder: Recorder
) -> None:
    judge(provider(SCHEMA), {"times": ["3"]}, source=TAKES)
    (warning,) = recorder.warnings
    assert warning == (
        "the config class of 'acme-echo' takes a config that its JSON Schema forbids: "
        "$.times must be of type integer, not array"
    )


def test_where_the_class_cannot_be_asked_the_preflight_has_the_word(
    provider: Callable[..., PlannedProvider], judge: Judge, recorder: Recorder
) -> None:
    judge(provider(SCHEMA), {"times": ["3"]}, source="raise SystemExit(0)")
    assert recorder.warnings == []


def test_every_key_of_an_option_is_told(
    provider: Callable[..., PlannedProvider], judge: Judge
) -> None:
    with pytest.raises(SdkError) as caught:
        judge(provider(SCHEMA), {"prefx": "s3cret", "times": ["s3cret"]}, ("acme-echo",))
    assert caught.value.code is Code.USAGE
    assert caught.value.render() == (
        "ERROR: The config of 'acme-echo' does not fit its config class\n\n"
        "Provider: acme-echo\nImage: oci:x\n\n"
        "It comes from --config. The class forbids:\n\n"
        "- $.prefx is not a key that it has: did you mean 'prefix'?\n"
        "- $.times must be of type integer, not array\n\n"
        "Resolution: Correct the keys in --config, or the provider's config class."
    )


def test_the_lines_of_a_project_are_told(
    provider: Callable[..., PlannedProvider], judge: Judge, tmp_path: Path
) -> None:
    project = tmp_path / "project"
    (project / "src" / "acme_echo").mkdir(parents=True)
    (project / "src" / "acme_echo" / "__init__.py").touch()
    (project / "src" / "acme_echo" / "provider.py").write_text("def get_provider_spec(): ...\n")
    (project / "pyproject.toml").write_text(PROJECT)
    settings = read_settings(project)
    own = provider(SCHEMA, settings)
    with pytest.raises(SdkError) as caught:
        judge(own, settings.up.config)
    assert caught.value.code is Code.SETTINGS_INVALID
    assert [(it.where.line, it.where.column, it.path) for it in caught.value.problems] == [
        (12, 1, "$.prefx"),
        (13, 9, "$.times"),
    ]
    assert caught.value.where.line == 12
    assert "[tool.lls-provider.up] config" in caught.value.resolution
    with pytest.raises(SdkError) as caught:
        judge(own, {"times": "three"}, ("acme-echo",))
    assert caught.value.code is Code.USAGE
    assert caught.value.where.file is None


def test_a_config_that_is_needed_and_not_given_is_told(
    provider: Callable[..., PlannedProvider], judge: Judge
) -> None:
    with pytest.raises(SdkError) as caught:
        judge(provider({**SCHEMA, "required": ["times"]}), None)
    assert [it.what for it in caught.value.problems] == ["$.times is missing, and required"]
    assert caught.value.why == "It is empty. The class needs more:"
    assert caught.value.resolution == "Give the keys with --config 'acme-echo=JSON'."


@pytest.mark.parametrize("schema", [None, b"no schema", {"type": "objekt"}, SCHEMA])
@pytest.mark.parametrize("config", [None, {}])
def test_without_a_config_nothing_is_said(
    provider: Callable[..., PlannedProvider],
    judge: Judge,
    schema: dict[str, Any] | bytes | None,
    config: Any,
) -> None:
    judge(provider(schema), config)


@pytest.mark.parametrize("schema", [None, b"no schema", {"type": "objekt"}])
def test_without_a_schema_the_server_has_the_word(
    provider: Callable[..., PlannedProvider], judge: Judge, schema: dict[str, Any] | bytes | None
) -> None:
    judge(provider(schema), {"prefx": 1})


def test_what_fits_is_passed(provider: Callable[..., PlannedProvider], judge: Judge) -> None:
    judge(provider(SCHEMA), {"prefix": "${env.PREFIX}", "times": 3})
