"""`build` as a user runs it: what is refused before the long work, and what is shown after it."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from lls_provider.cli import build
from lls_provider.image.image import Image, Platform
from lls_provider.image.transports.layout import write_layout
from lls_provider.operations import build as operation
from lls_provider.operations.build import BuildRequest, BuildResult, BuiltProvider

Cli = Callable[..., "subprocess.CompletedProcess[str]"]

SAMPLE = Path(__file__).parents[2] / "samples" / "echo-inference"


AMD_AND_ARM = ("--platform", "linux/amd64", "--platform", "linux/arm64")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return Path(shutil.copytree(SAMPLE, tmp_path / "project"))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "what"),
    [
        ([], "Missing option '--output'"),
        (["--output", "docker:acme/echo"], "--output 'docker:acme/echo' is not a place"),
        (["--output", "oci:"], "--output 'oci:' is not a place"),
        (["--output", "oci:x", "--base", "registry:x"], "--base 'registry:x' is not a place"),
        (["--output", "oci:x", "--api", "inference"], "'--api' goes with --package"),
        (["--output", "oci:x", "--package", "a==1"], "Give a PATH or --package, not both"),
        (["--output", "oci:x", "--platform", "linux/vax"], "'linux/vax' is not a platform"),
        (["--output", "oci:x", "--override", "a b"], "--override 'a b' cannot be read"),
        (["--output", "oci:x", "--bundle", "a b"], "--bundle 'a b' cannot be read"),
        (["--output", "oci:x", "--find-links", "no/where"], "--find-links 'no/where': there is no"),
        (["--output", "oci:x", "--index", "a=no"], "--index 'a=no': there is no such directory"),
        (
            [*("--output", "docker-archive:x"), *AMD_AND_ARM],
            "docker-archive:x holds an image for one platform",
        ),
    ],
)
def test_what_cannot_be_done_is_refused_at_once(
    cli: Cli, project: Path, words: Sequence[str], what: str
) -> None:
    done = cli("build", project, *words, cwd=project.parent)
    assert done.returncode == 2
    assert done.stderr.startswith(f"ERROR: {what}")
    assert "Resolution: " in done.stderr
    assert sorted(project.parent.iterdir()) == [project]


def test_a_package_needs_one_version(cli: Cli, tmp_path: Path) -> None:
    done = cli("build", "--package", "acme>=1", "--output", "oci:x", cwd=tmp_path)
    assert done.returncode == 2
    assert "--package needs NAME==VERSION" in done.stderr


def test_the_former_name_of_allow_failure_is_accepted_with_a_warning(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked: list[BuildRequest] = []

    def built(request: BuildRequest, **_: object) -> BuildResult:
        asked.append(request)
        return BuildResult(BuiltProvider("acme", "acme", "1", "files", "t", "acme"), (), (), ())

    monkeypatch.setattr(operation, "build_request", built)
    words = ["--package", "acme==1", "--output", "oci:x"]
    runner = CliRunner()
    new = runner.invoke(build.command, [*words, "--allow-failure", "a test"])
    former = runner.invoke(build.command, [*words, "--nevertheless", "a test"])
    assert (new.exit_code, new.stderr) == (0, "")
    assert (former.exit_code, former.stdout) == (0, new.stdout)
    assert former.stderr.startswith("WARNING: --nevertheless is now --allow-failure")
    assert asked[0].allow_failure == "a test"
    assert replace(asked[0], command=()) == replace(asked[1], command=())

    both = cli("build", *words, "--allow-failure", "a", "--nevertheless", "b", cwd=tmp_path)
    assert both.returncode == 2
    assert "Give --allow-failure only" in both.stderr
    assert "nevertheless" not in cli("build", "--help").stdout


def test_a_folder_that_is_something_else_is_kept(cli: Cli, project: Path, tmp_path: Path) -> None:
    there = tmp_path / "precious"
    there.mkdir()
    (there / "letter.txt").write_text("dear")
    done = cli("build", project, "--base", "scratch", "--output", f"oci:{there}")
    assert done.returncode == 1
    assert str(there) in done.stderr
    assert (there / "letter.txt").read_text() == "dear"


def test_the_base_of_the_settings_is_meant_relative_to_the_project(
    cli: Cli, project: Path, tmp_path: Path
) -> None:
    path = project / "pyproject.toml"
    path.write_text(re.sub(r"(?m)^base = .*$", 'base = "oci:base"', path.read_text()))
    done = cli("build", project, "--output", "oci:x", cwd=tmp_path)
    assert done.returncode == 1
    assert str(project / "base") in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    "words",
    [("build", "--base", "scratch", "--output", "oci:x"), ("check",), ("test",), ("up", "--check")],
    ids=str,
)
@pytest.mark.parametrize("named", ["server.txt", "servers/freeze", "reqs.in"])
def test_a_distribution_of_the_settings_is_never_a_file_of_the_working_directory(
    cli: Cli, project: Path, tmp_path: Path, words: Sequence[str], named: str
) -> None:
    path = project / "pyproject.toml"
    text = re.sub(r"(?m)^distribution = .*$", f'distribution = ["{named}"]', path.read_text())
    path.write_text(text)
    for folder in (project, tmp_path):
        (folder / named).parent.mkdir(exist_ok=True)
    (tmp_path / named).write_text("packaging==24.2\n")
    (tmp_path / Path(named).name).write_text("packaging==24.2\n")
    missing = cli(words[0], project.name, *words[1:], cwd=tmp_path)
    assert missing.returncode == 1, missing.stderr
    assert f"ERROR: Cannot read the distribution {project.name}/{named}\n" in missing.stderr
    assert (
        f"The {Path(named).name} in the working directory is another file: a path in "
        "pyproject.toml is relative to the project."
    ) in missing.stderr
    (project / named).write_text("packaging==24.2\nthe project's, which no tool reads\n")
    done = cli(words[0], project.name, *words[1:], cwd=tmp_path)
    assert done.returncode == 1
    assert f"{project.name}/{named}:2" in done.stderr


@pytest.mark.network
def test_the_result_for_people_and_for_programs(cli: Cli, project: Path, tmp_path: Path) -> None:
    one, two = f"oci:{tmp_path / 'one'}", f"oci:{tmp_path / 'two'}:v1"
    words = ("build", project, "--base", "scratch", "--output", one, "--output", two)
    dry = cli(*words, "--dry-run")
    assert dry.returncode == 0, dry.stderr
    assert list(tmp_path.glob("one*")) == list(tmp_path.glob("two*")) == []
    shown = cli(*words)
    assert shown.returncode == 0, shown.stderr
    assert dry.stdout.replace("would write ", "") == shown.stdout
    assert dry.stdout.count("would write ") == 2
    done = cli(*words, "--format", "json")
    result = json.loads(done.stdout)
    assert result["provider"]["provider_id"] == "echo-inference"
    assert [it["output"] for it in result["outputs"]] == [one, two]
    assert len({it["digest"] for it in result["outputs"]}) == 1
    (image,) = result["images"]
    assert image["provided"]["pydantic"]
    assert image["digest"] == result["outputs"][0]["digest"]
    assert result["distributions"] == ["llama-stack==0.7.3"]
    assert [it["file"] for it in image["wheels"]] == ["echo_inference-0.1.0-py3-none-any.whl"]
    lines = shown.stdout.splitlines()
    assert lines[0] == "echo-inference 0.1.0: inference remote::echo-inference"
    assert lines[-2:] == [f"  {it['output']} {it['digest']}" for it in result["outputs"]]
    assert any(line.startswith("  wheels:   1, ") for line in lines)


def test_a_lock_is_no_dry_run(cli: Cli, project: Path) -> None:
    done = cli("build", project, "--lock", "--dry-run", "--output", "oci:x")
    assert done.returncode == 2
    assert "Give --lock or --dry-run, not both" in done.stderr


def test_a_platform_that_the_settings_have_wrong_is_told_with_its_place(
    cli: Cli, project: Path
) -> None:
    path = project / "pyproject.toml"
    text = path.read_text().replace('vendor = "Acme"\n', 'vendor = "Acme"\nplatforms = ["amd64"]\n')
    path.write_text(text)
    done = cli("build", project, "--output", "oci:x", cwd=project.parent)
    assert done.returncode == 2
    line = text[: text.index("platforms =")].count("\n") + 1
    assert f"{path}:{line}:" in done.stderr
    assert "linux/arm64" in done.stderr


def test_a_base_that_lacks_the_platform_tells_which_it_has(
    cli: Cli, project: Path, tmp_path: Path
) -> None:
    base = tmp_path / "base"
    amd = Platform("amd64")
    write_layout(Image({"architecture": "amd64", "os": "linux"}, (), {}, amd), base)
    words = ("--base", f"oci:{base}", "--output", "oci:x", *AMD_AND_ARM)
    done = cli("build", project, *words, cwd=project.parent)
    assert done.returncode == 1
    assert "There is no image for linux/arm64" in done.stderr
    assert "has: linux/amd64" in done.stderr
    assert not (project.parent / "x").exists()
