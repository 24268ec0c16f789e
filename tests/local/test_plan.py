"""What a run does is decided from the command line and the projects' settings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lls_provider.errors import Code, SdkError
from lls_provider.local import plan
from lls_provider.local.plan import InspectedSource, PlannedProvider
from lls_provider.operations.targets import ProviderSource, SourceKind
from lls_provider.project.pyproject import PyProject
from lls_provider.project.sample_call import SampleCall
from lls_provider.project.settings import Settings, UpSettings


def settings(name: str = "acme-echo", **up: Any) -> Settings:
    return Settings(
        root=Path(name),
        name=name,
        version="1.0.0",
        description=None,
        maintainer=None,
        vendor="Acme",
        api="inference",
        provider_type=f"remote::{name}",
        module=name.replace("-", "_"),
        pyproject=PyProject("pyproject.toml", {}, {}),
        distributions=("ogx==1.5.0",),
        up=UpSettings(**up),
    )


def candidate(
    *distributions: str, tag: str | None = None, own: Settings | None = None
) -> InspectedSource:
    return InspectedSource(
        ProviderSource("x", SourceKind.BUNDLE, Path("x")), own, distributions, tag
    )


def provider(name: str, api: str, own: Settings | None = None) -> PlannedProvider:
    return PlannedProvider(f"oci:{name}", Path(name), name, api, name, own)


def test_the_server_asked_for_wins() -> None:
    assert plan.choose_server("ogx==1.5.0", [candidate("llama-stack==0.7.3")]) == "ogx==1.5.0"


def test_else_the_first_target_that_names_one_decides() -> None:
    candidates = [candidate(), candidate("ogx==1.5.0", "llama-stack==0.7.3"), candidate("other")]
    assert plan.choose_server(None, candidates) == "ogx==1.5.0"


@pytest.mark.parametrize("named", ["server.txt", "./freeze", "/srv/freeze", "reqs.in", "python"])
def test_a_file_of_the_machine_that_built_a_bundle_is_not_looked_for_here(
    named: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / Path(named).name).write_text("ogx==1.5.0\n")
    with pytest.raises(SdkError) as caught:
        plan.choose_server(None, [candidate(named)])
    assert caught.value.why == f"x was made for '{named}' of another machine."
    assert "--server" in caught.value.resolution
    assert plan.choose_server(None, [candidate(named), candidate("ogx==1.5.0")]) == "ogx==1.5.0"
    own = candidate(named, own=settings())
    assert plan.choose_server(None, [own]) == named


def test_without_any_the_option_is_named() -> None:
    with pytest.raises(SdkError) as caught:
        plan.choose_server(None, [candidate()])
    assert caught.value.code is Code.USAGE
    assert "--server" in caught.value.resolution


@pytest.mark.parametrize(
    ("tag", "version"),
    [("cp312", "3.12"), ("cp39", "3.9"), ("cp3", None), ("py3", None), ("", None)],
)
def test_a_python_tag_names_a_version(tag: str, version: str | None) -> None:
    assert plan.version_of_tag(tag) == version


def test_the_server_runs_on_the_python_a_bundle_was_built_for() -> None:
    assert plan.choose_python(None, [candidate(), candidate(tag="cp313")]) == "3.13"
    assert plan.choose_python("3.12", [candidate(tag="cp313")]) == "3.12"
    assert plan.choose_python(None, [candidate()]) is None


def test_init_containers_come_in_the_crs_order() -> None:
    given = [provider("c", "files"), provider("b", "safety"), provider("a", "safety")]
    given.append(provider("d", "inference"))
    containers = plan.init_containers(given, {})
    assert [(item.provider.provider_id, item.order) for item in containers] == [
        ("d", 0),
        ("b", 1),
        ("a", 2),
        ("c", 3),
    ]
    assert containers[0].installation(None).container_name == "install-provider-d"


def test_a_config_of_the_command_line_wins_over_the_settings() -> None:
    own = settings(config={"from": "settings"})
    given = [provider("a", "safety", own), provider("b", "safety", own), provider("c", "safety")]
    containers = plan.init_containers(given, {"b": {"from": "option"}})
    assert [item.config for item in containers] == [
        {"from": "settings"},
        {"from": "option"},
        None,
    ]


def test_the_base_is_the_options_or_the_projects() -> None:
    with_base = settings(base=Path("a.yaml"))
    assert plan.choose_base(None, [settings(), with_base]) == Path("a.yaml")
    assert plan.choose_base(Path("b.yaml"), [with_base]) == Path("b.yaml")
    assert plan.choose_base(None, [settings()]) is None


def test_two_projects_with_different_bases_must_be_told_apart() -> None:
    both = [settings("one", base=Path("a.yaml")), settings("two", base=Path("b.yaml"))]
    with pytest.raises(SdkError) as caught:
        plan.choose_base(None, both)
    assert caught.value.code is Code.USAGE
    assert "one: a.yaml" in caught.value.why
    assert plan.choose_base(Path("c.yaml"), both) == Path("c.yaml")


def test_variables_of_the_command_line_win() -> None:
    own = [settings(env={"A": "1", "B": "1"}), settings(env={"B": "2", "C": "2"})]
    assert plan.environment_of({"C": "3"}, own) == {"A": "1", "B": "2", "C": "3"}


def test_the_first_projects_sample_calls_are_made() -> None:
    first = SampleCall("GET", "/a"), SampleCall("GET", "/b")
    own = [settings(), settings(calls=first), settings(calls=(SampleCall("GET", "/c"),))]
    assert plan.choose_calls(None, own) == first
    assert plan.choose_calls(None, []) == ()


def test_the_command_lines_call_replaces_all() -> None:
    own = [settings(calls=(SampleCall("GET", "/a"), SampleCall("GET", "/b")))]
    given = SampleCall("GET", "/c")
    assert plan.choose_calls(given, own) == (given,)


def test_variables_are_name_and_value() -> None:
    assert plan.parse_environment(["A=1", "B=", "C=x=y"]) == {"A": "1", "B": "", "C": "x=y"}


@pytest.mark.parametrize("text", ["A", "=1", ""])
def test_a_wrong_variable_shows_how_to_write_it(text: str) -> None:
    with pytest.raises(SdkError) as caught:
        plan.parse_environment([text])
    assert caught.value.code is Code.USAGE
