"""The place in a project that an explanation or a traceback is about."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from lls_provider.bundle.trial import CORRECT_PROVIDER, LoadFailure
from lls_provider.errors import Code, SdkError, Where
from lls_provider.project.load_failure import load_problem, located_in_source
from lls_provider.project.places import dependency_named_in, in_source
from lls_provider.project.settings import read_settings
from lls_provider.runtime.preflight.probe_client import ProbeFailure
from lls_provider.wheels.distribution import Distribution
from lls_provider.wheels.interpreter import Interpreter
from lls_provider.wheels.servers import line_named

SERVER = Distribution("a server", {}, Interpreter(Path("/usr/bin/python3"), (3, 12, 1)), None)
INSTALLED = "/tmp/lls-provider-env-x/env/lib/python3.12/site-packages"

LISTS = """
dependencies = [
    "pydantic>=2",
    "Lost.Name[fast]>=1",
]
optional-dependencies.test = ["respx"]

[dependency-groups]
test = ["pytest", "missing_plugin"]
"""


@pytest.mark.parametrize(
    ("explanation", "line"),
    [
        ("Because acme depends on pydantic<2 and", 11),
        (
            "Because lost-name was not found in the package registry and acme depends on pydantic",
            12,
        ),
        ("Because missing-plugin was not found in the package registry and you require", 17),
        ("Because acme depends on respx>9", 14),
        ("Because other depends on another>1", 10),
    ],
)
def test_a_dependency_is_found_by_the_explanation(
    project: Path, explanation: str, line: int
) -> None:
    file = project / "pyproject.toml"
    head = 'authors = [{ name = "Acme" }, { email = "team@acme.example" }]'
    file.write_text(file.read_text().replace(head, head + LISTS))
    assert dependency_named_in(read_settings(project), explanation).line == line


@pytest.mark.parametrize("layout", ["src", ".", "python/src"])
def test_an_installed_file_is_that_of_the_source_tree(project: Path, layout: str) -> None:
    package = project / "src" / "acme_echo"
    base = project / layout
    if layout != "src":
        base.mkdir(parents=True, exist_ok=True)
        package.rename(base / "acme_echo")
    (base / "acme_more.py").touch()
    text = (
        f'  File "{INSTALLED}/pydantic/main.py", line 9, in __init__\n'
        f'  File "{INSTALLED}/acme_more.py", line 7, in load\n'
        f'  File "{INSTALLED}/acme_echo/provider.py", line 3, in <module>\n'
    )
    shown, place = in_source(read_settings(project), text)
    assert place == Where(file=str(base / "acme_more.py"), line=7)
    assert shown == text.replace(f"{INSTALLED}/acme", f"{base}/acme")


def test_a_trial_that_fails_is_moved_to_the_source_tree(project: Path) -> None:
    settings = read_settings(project)
    source = project / "src" / "acme_echo" / "provider.py"
    why = 'bad\n  File "acme_echo/provider.py", line 3, in f\n  File "/usr/lib/json.py", line 4'
    detail: object = LoadFailure(ProbeFailure("import", "bad"), ())
    for known, place in ((detail, Where(file=str(source), line=3)), (None, Where(file="x"))):
        with pytest.raises(SdkError) as caught, located_in_source(settings):
            raise SdkError(
                Code.VALIDATION_FAILED,
                "it does not load",
                why=why,
                where=Where(file="x"),
                resolution="Correct it.",
                detail=known,
            )
        assert caught.value.where == place
        assert (str(source) in caught.value.why) is (known is detail)


def test_what_does_not_load_is_at_its_line_and_else_at_the_module(project: Path) -> None:
    settings = read_settings(project)
    own = f'SyntaxError: bad\n  File "{INSTALLED}/acme_echo/provider.py", line 3\n    def (\n'
    problem = load_problem(settings, SERVER, ProbeFailure("import", "SyntaxError: bad", own))
    source = project / "src" / "acme_echo" / "provider.py"
    assert problem.where == Where(file=str(source), line=3)
    assert INSTALLED not in problem.what
    assert problem.resolution == CORRECT_PROVIDER
    other = f'ModuleNotFoundError\n  File "{INSTALLED}/dep.py", line 3, in <module>\n'
    failure = ProbeFailure("import", "No module named 'cowsay'", other, missing_module="cowsay")
    problem = load_problem(settings, SERVER, failure)
    assert problem.where == settings.where("module")
    assert problem.resolution.startswith("Add what provides 'cowsay' to the dependencies")


def test_a_module_of_another_server_is_known_as_that_in_check_and_test_too(project: Path) -> None:
    settings = read_settings(project)
    ogx = replace(SERVER, label="ogx==1.5.0", pins={"ogx": "1.5.0"}, line=line_named("ogx"))
    failure = ProbeFailure("import", "gone", missing_module="llama_stack.apis.inference")
    told = load_problem(settings, ogx, failure).resolution
    assert told.startswith("The provider imports llama_stack, and ogx==1.5.0 is not a llama-stack.")
    assert "Name a llama-stack that has it with --distribution" in told
    missing = ProbeFailure("import", "gone", missing_module="ogx.core.gone")
    told = load_problem(settings, ogx, missing).resolution
    assert told.startswith("ogx==1.5.0 has ogx without that module: the provider is for another ")
