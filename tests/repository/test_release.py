"""One version, from one place; and what a release is checked for."""

from __future__ import annotations

import email
import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from tools import check_release, record_template

from lls_provider import __version__
from lls_provider.bundle.zipapp import zipapp_path
from lls_provider.project.template import TemplateVersions
from lls_provider.wheels.uv import run_uv

ROOT = Path(__file__).parents[2]
RECORDED = ROOT / "templates" / "recorded"
Cli = Callable[..., "subprocess.CompletedProcess[str]"]

CHANGELOG = """\
# Changelog

## [Unreleased]

## [{version}] - 2026-11-27

The first release.
"""


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """What a release is checked in: the code, a changelog and both built files."""
    package = tmp_path / "sdk" / "lls_provider"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text('"""Text."""\n\n__version__ = "1.2.3"\n')
    (tmp_path / "CHANGELOG.md").write_text(CHANGELOG.format(version="1.2.3"))
    (tmp_path / "dist").mkdir()
    for name in ("lls_provider_sdk-1.2.3-py3-none-any.whl", "lls_provider_sdk-1.2.3.tar.gz"):
        (tmp_path / "dist" / name).touch()
    template = tmp_path / "templates" / "provider"
    template.mkdir(parents=True)
    (template / "cookiecutter.json").write_text('{"_version": 3}')
    record_template.record(versions(tmp_path))
    return tmp_path


def versions(root: Path) -> TemplateVersions:
    return TemplateVersions(root / "templates" / "provider", root / "templates" / "recorded")


def faults(root: Path, tag: str = "v1.2.3") -> list[str]:
    return list(check_release.faults(tag, root / "dist", root))


def test_pyproject_has_no_version_of_its_own() -> None:
    document = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    assert "version" not in document["project"]
    assert document["project"]["dynamic"] == ["version"]
    assert check_release.code_version() == __version__


def test_command_zipapp_and_changelog_name_the_same_version(cli: Cli, tmp_path: Path) -> None:
    shown = f"lls-provider {__version__}\n"
    assert cli("--version").stdout == shown
    done = subprocess.run(
        [sys.executable, "-I", "-S", zipapp_path(), "--version"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == shown
    first, latest = re.findall(r"^## \[(.+?)\]", (ROOT / "CHANGELOG.md").read_text("utf-8"), re.M)[
        :2
    ]
    assert (first, latest) == ("Unreleased", __version__)


@pytest.mark.network
def test_the_built_files_have_that_version_and_hold_one_package(tmp_path: Path) -> None:
    run_uv(["build", "--quiet", "--out-dir", str(tmp_path), str(ROOT)], doing="building")
    (wheel,) = tmp_path.glob("*.whl")
    (sdist,) = tmp_path.glob("*.tar.gz")
    assert [it for it in faults_of_files(tmp_path) if str(tmp_path) in it] == []
    recorded = {f"lls_provider/_data/templates/recorded/{it.name}" for it in RECORDED.glob("*.zip")}
    with zipfile.ZipFile(wheel) as archive:
        text = archive.read(f"lls_provider_sdk-{__version__}.dist-info/METADATA").decode()
        assert "lls_provider/_data/lls-provider.pyz" in archive.namelist()
        assert recorded
        assert recorded <= set(archive.namelist())
    metadata = email.message_from_string(text)
    assert metadata["Version"] == __version__
    with tarfile.open(sdist) as archive:
        packed = archive.extractfile(f"lls_provider_sdk-{__version__}/PKG-INFO")
        assert packed is not None
        assert email.message_from_bytes(packed.read())["Version"] == __version__


def faults_of_files(dist: Path) -> list[str]:
    for path in dist.glob(".gitignore"):  # uv's
        path.unlink()
    return list(check_release.faults(f"v{__version__}", dist))


def test_a_release_that_agrees_passes(repository: Path) -> None:
    assert faults(repository) == []


@pytest.mark.parametrize("tag", ["1.2.3", "v1.2.4", "v1.2.3rc1"])
def test_a_tag_that_is_not_the_version_is_refused(repository: Path, tag: str) -> None:
    assert faults(repository, tag) == [
        f"the tag is {tag}, the version of the code 1.2.3: the tag has to be v1.2.3"
    ]


@pytest.mark.parametrize(
    ("changelog", "fault"),
    [
        ("# Changelog\n", "does not begin with the section [Unreleased]"),
        (CHANGELOG.format(version="1.2.2"), "the latest release of CHANGELOG.md is 1.2.2"),
        ("## [Unreleased]\n\n- a change\n", "the latest release of CHANGELOG.md is none"),
        ("## [Unreleased]\n\n## [1.2.3]\n", "CHANGELOG.md has no date for 1.2.3"),
        (
            "## [Unreleased]\n\n- a change\n\n## [1.2.3] - 2026-11-27\n",
            "CHANGELOG.md has changes under [Unreleased]: move them to [1.2.3]",
        ),
    ],
)
def test_a_changelog_without_the_release_is_refused(
    repository: Path, changelog: str, fault: str
) -> None:
    (repository / "CHANGELOG.md").write_text(changelog)
    (found,) = faults(repository)
    assert fault in found


def test_a_template_that_is_not_recorded_is_refused(repository: Path) -> None:
    context = repository / "templates" / "provider" / "cookiecutter.json"
    context.write_text('{"_version": 4}')
    assert faults(repository) == [
        "version 4 of the template is not recorded: run tools/record_template.py"
    ]
    assert record_template.record(versions(repository)) is not None
    assert faults(repository) == []
    context.write_text('{"_version": 4, "name": "acme"}')
    assert faults(repository) == [
        "the template has changed since version 4 was recorded: raise its _version"
    ]
    assert record_template.record(versions(repository)) is None


def test_other_files_than_the_two_are_refused(repository: Path) -> None:
    (repository / "dist" / "lls_provider_sdk-1.2.2.tar.gz").touch()
    (found,) = faults(repository)
    assert "lls_provider_sdk-1.2.2.tar.gz" in found


def test_the_command_says_each_fault_and_fails(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert check_release.main(["v0.0", str(tmp_path / "none")]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("ERROR: the tag is v0.0")
    assert "holds [], not [" in said.err
