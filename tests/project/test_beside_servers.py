"""Generated projects beside the real packages of both servers: their tests, check and bundle."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from lls_provider.bundle.assemble import on_this_machine
from lls_provider.bundle.bundle import BundleOptions
from lls_provider.errors import Code, SdkError, Where
from lls_provider.project.bundle import bundle_project
from lls_provider.project.check import check_project
from lls_provider.project.scaffold import scaffold as new
from lls_provider.project.settings import Settings, read_settings
from lls_provider.project.tests import run_tests

if TYPE_CHECKING:
    from lls_provider.bundle.bundle import Bundle

pytestmark = pytest.mark.network

LLAMA_STACK = "llama-stack==0.7.3"
OGX = "ogx==1.5.0"


def make(tmp_path: Path, api: str = "inference") -> Path:
    return new(tmp_path / "acme", {"name": "acme-thing", "api": api, "kind": "inline"}).path


def bundled(settings: Settings, out: Path) -> Bundle:
    (bundle,) = bundle_project(settings, on_this_machine(out), BundleOptions([LLAMA_STACK]))
    return bundle


def change(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))


@pytest.mark.parametrize("server", [LLAMA_STACK, OGX])
@pytest.mark.parametrize("api", ["inference", "safety", "file_processors"])
def test_a_new_project_passes_its_own_tests(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], api: str, server: str
) -> None:
    settings = read_settings(make(tmp_path, api))

    assert run_tests(settings, distribution=server) == 0

    assert " passed" in capfd.readouterr().out


def test_a_failing_test_is_an_error_and_arguments_reach_pytest(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    project = make(tmp_path)
    (project / "tests" / "test_more.py").write_text("def test_wrong():\n    assert 1 == 2\n")

    with pytest.raises(SdkError) as caught:
        run_tests(read_settings(project), arguments=["-k", "wrong"])

    assert caught.value.code is Code.TESTS_FAILED
    assert "1 failed, " in capfd.readouterr().out


def test_a_project_without_tests_is_told(tmp_path: Path) -> None:
    project = make(tmp_path)
    for test in (project / "tests").glob("test_*.py"):
        test.unlink()

    with pytest.raises(SdkError) as caught:
        run_tests(read_settings(project))

    assert caught.value.what == "acme-thing has no tests"


def test_the_surrounding_python_does_not_reach_the_tests(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "acme_thing").mkdir()
    (tmp_path / "acme_thing" / "__init__.py").write_text("raise RuntimeError('a stranger')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("PYTEST_ADDOPTS", "--no-such-option")

    assert run_tests(read_settings(make(tmp_path))) == 0


@pytest.mark.parametrize("server", [LLAMA_STACK, OGX])
def test_the_spec_of_a_new_project_agrees_with_its_settings(tmp_path: Path, server: str) -> None:
    report = check_project(make(tmp_path), distributions=[server])

    assert [finding.level for finding in report.findings] == ["ok"] * 6
    assert server in report.findings[-1].what


def test_a_spec_that_says_something_else_is_an_error(tmp_path: Path) -> None:
    project = make(tmp_path)
    change(project / "src/acme_thing/provider.py", '"inline::acme-thing"', '"inline::other"')

    (error,) = check_project(project).errors

    assert error.rule == "spec"
    assert "'inline::acme-thing' in the settings, but 'inline::other'" in error.what
    assert error.problem is not None
    assert error.problem.where == read_settings(project).where("provider-type")


def test_a_missing_dependency_is_named_as_the_true_cause(tmp_path: Path) -> None:
    project = make(tmp_path)
    change(project / "src/acme_thing/inference.py", "import time\n", "import time\nimport absent\n")

    (error,) = check_project(project).errors

    source = project / "src/acme_thing/inference.py"
    line = source.read_text().splitlines().index("import absent") + 1
    assert "No module named 'absent'" in error.what.splitlines()[0]
    assert error.problem is not None
    assert "'absent'" in error.problem.resolution
    assert error.problem.where == Where(file=str(source), line=line)
    with pytest.raises(SdkError) as caught:
        run_tests(read_settings(project))
    assert caught.value.code is Code.TESTS_FAILED
    assert caught.value.where == error.problem.where
    assert caught.value.resolution == error.problem.resolution


def test_a_dependency_that_no_index_has_is_told_at_its_line(tmp_path: Path) -> None:
    project = make(tmp_path)
    change(project / "pyproject.toml", '["pydantic>=2"]', '["pydantic>=2", "acme-lost-name"]')
    settings = read_settings(project)

    (error,) = check_project(project).errors

    assert error.problem is not None
    assert error.problem.resolution.startswith("Check the spelling of 'acme-lost-name'.")
    assert error.problem.where == settings.pyproject.where(("project", "dependencies", 1))


def test_a_config_that_its_class_refuses_is_told_at_its_key(tmp_path: Path) -> None:
    project = make(tmp_path)
    change(project / "pyproject.toml", "prefix = ", "prefx = ")

    (error,) = check_project(project).errors

    assert error.what.endswith("$.prefx is not a key that it has: did you mean 'prefix'?")
    assert error.problem is not None
    line = error.problem.where.line or 0
    assert (project / "pyproject.toml").read_text().splitlines()[line - 1].startswith("prefx = ")
    change(project / "pyproject.toml", "prefx = ", "prefix = ")
    assert check_project(project).ok


def test_a_safety_provider_beside_ogx_says_why_not(tmp_path: Path) -> None:
    (error,) = check_project(make(tmp_path, "safety"), distributions=[OGX]).errors

    assert "needs the safety API, which this server (ogx_api) does not have" in error.what


def test_a_bundle_carries_what_the_distribution_does_not_provide(tmp_path: Path) -> None:
    project = make(tmp_path)
    change(project / "pyproject.toml", '["pydantic>=2"]', '["pydantic>=2", "iniconfig"]')

    bundle = bundled(read_settings(project), tmp_path / "bundle")

    names = [wheel.name.partition("-")[0] for wheel in bundle.wheels]
    assert names == ["acme_thing", "iniconfig"]
    assert bundle.manifest is not None
    assert "pydantic" in bundle.manifest.provided
    assert bundle.manifest.distributions == (LLAMA_STACK,)
    assert bundle.metadata.version == "0.1.0"


def test_a_dynamic_version_is_the_wheels(tmp_path: Path) -> None:
    project = make(tmp_path)
    change(project / "pyproject.toml", 'version = "0.1.0"', 'dynamic = ["version"]')
    change(
        project / "pyproject.toml",
        "[tool.lls-provider]\n",
        '[tool.hatch.version]\npath = "src/acme_thing/__init__.py"\n\n[tool.lls-provider]\n',
    )
    (project / "src/acme_thing/__init__.py").write_text('__version__ = "3.2.1"\n')

    bundle = bundled(read_settings(project), tmp_path / "bundle")

    assert bundle.metadata.version == "3.2.1"


def test_the_same_project_makes_the_same_bundle(tmp_path: Path) -> None:
    settings = read_settings(make(tmp_path))

    made = [bundled(settings, tmp_path / name) for name in "ab"]

    assert made[0].manifest == made[1].manifest


def test_a_wheel_without_the_module_is_refused(tmp_path: Path) -> None:
    project = make(tmp_path)
    (project / "src" / "other").mkdir()
    (project / "src" / "other" / "__init__.py").touch()
    change(project / "pyproject.toml", '["src/acme_thing"]', '["src/other"]')

    with pytest.raises(SdkError) as caught:
        bundled(read_settings(project), tmp_path / "bundle")

    assert caught.value.code is Code.MODULE_MISSING
    assert caught.value.where == read_settings(project).where("module")
    assert "  other" in caught.value.why
    assert not (tmp_path / "bundle").exists()


def test_an_unsatisfiable_dependency_is_explained(tmp_path: Path) -> None:
    project = make(tmp_path)
    change(project / "pyproject.toml", '["pydantic>=2"]', '["pydantic<2"]')

    with pytest.raises(SdkError) as caught:
        bundled(read_settings(project), tmp_path / "bundle")

    assert caught.value.code is Code.RESOLUTION_FAILED
    assert "pydantic" in caught.value.why
    assert not (tmp_path / "bundle").exists()


def test_the_wheel_holds_the_package_and_nothing_else(tmp_path: Path) -> None:
    bundle = bundled(read_settings(make(tmp_path)), tmp_path / "bundle")

    with zipfile.ZipFile(bundle.wheels[0]) as wheel:
        tops = {name.partition("/")[0] for name in wheel.namelist()}
    assert tops == {"acme_thing", "acme_thing-0.1.0.dist-info"}
