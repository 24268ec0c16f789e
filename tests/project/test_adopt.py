"""`init` on the layouts that authors use: it finds the provider, and adds one table."""

from __future__ import annotations

import stat
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from packaging.specifiers import SpecifierSet
from packaging.version import Version
from tests.factories.environments import make_environment
from tests.factories.layouts import LAYOUTS, package, write_layout
from tests.factories.wheels import WheelFactory

from lls_provider.bundle.published import SpecFlags
from lls_provider.errors import Code, SdkError
from lls_provider.progress import SILENT
from lls_provider.project.adopt import AdoptedProject, adopt_project
from lls_provider.project.discovery import DiscoveryOptions, _Findings, _profile, _Run
from lls_provider.project.pyproject import load_pyproject
from lls_provider.project.settings import TableMissing, read_settings
from lls_provider.runtime.wheelfile.wheel import read_wheel
from lls_provider.wheels.interpreter import find_interpreter

if TYPE_CHECKING:
    from lls_provider.bundle.static_spec import StaticSpec

Cli = Callable[..., Any]
CHOSEN = SpecFlags(provider_type="inline::acme-guard")
EXPECTED: dict[str, dict[str, str]] = {
    name: {"api": "inference", "provider-type": "remote::acme-echo", "module": "acme_echo"}
    for name in LAYOUTS
} | {
    "hatch_namespace": {
        "api": "inference",
        "provider-type": "remote::acme-echo",
        "module": "acme.echo",
    },
    "hatch_several": {
        "api": "safety",
        "provider-type": "inline::acme-guard",
        "module": "acme.both",
    },
}


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A real environment, without any package: what these providers need."""
    folder = tmp_path_factory.mktemp("server") / "venv"
    make_environment(find_interpreter().path, folder)
    return f"python:{folder}"


def options(*servers: str, **values: Any) -> DiscoveryOptions:
    return DiscoveryOptions(distributions=servers, **values)


def static(**values: Any) -> DiscoveryOptions:
    return options(static=True, **values)


def table(project: Path) -> dict[str, Any]:
    found: dict[str, Any] = tomllib.loads((project / "pyproject.toml").read_text("utf-8"))["tool"]
    return dict(found["lls-provider"])


def require_only_added(before: bytes, project: Path) -> None:
    """The author's bytes are there as they were, and the rest is the table."""
    after = (project / "pyproject.toml").read_bytes()
    assert after.startswith(before)
    added = after[len(before) :].decode().strip()
    assert added.splitlines()[0] == "[tool.lls-provider]"
    assert list(tomllib.loads(added)) == ["tool"]
    assert (b"\r\n" in before) == (b"\r\n" in after[len(before) :])


def adopted(
    project: Path, found: DiscoveryOptions, *, vendor: str | None = None, dry: bool = False
) -> AdoptedProject:
    return adopt_project(project, found, vendor=vendor, dry=dry)


def refused(project: Path, found: DiscoveryOptions | None = None) -> SdkError:
    file = project / "pyproject.toml"
    before = file.read_bytes() if file.exists() else None
    with pytest.raises(SdkError) as caught:
        adopted(project, found or static())
    assert (file.read_bytes() if file.exists() else None) == before
    return caught.value


@pytest.mark.network
@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_provider_is_found_by_running_it(tmp_path: Path, server: str, layout: str) -> None:
    project = write_layout(tmp_path / "project", layout)
    before = (project / "pyproject.toml").read_bytes()
    flags = CHOSEN if layout == "hatch_several" else SpecFlags()
    result = adopted(project, options(server, flags=flags))
    assert {key: table(project)[key] for key in EXPECTED[layout]} == EXPECTED[layout]
    require_only_added(before, project)
    settings = read_settings(project)
    assert settings.vendor == "Acme GmbH" or layout == "uv_workspace"
    assert settings.name == "acme-echo"
    assert settings.maintainer == "team@acme.example"
    (distribution,) = table(project)["distribution"]
    assert not Path(distribution.removeprefix("python:")).is_absolute() or "venv" in distribution
    how = {it.key: it.how for it in result.settings}
    assert how["api"] == f"get_provider_spec() beside {server}"
    assert {path.name for path in project.iterdir()} == {
        Path(name).parts[len(project.relative_to(tmp_path / "project").parts)]
        for name in LAYOUTS[layout]()
        if (tmp_path / "project" / name).is_relative_to(project)
    }


@pytest.mark.network
@pytest.mark.parametrize("layout", ["poetry_1", "uv_workspace"])
def test_what_is_written_checks_and_builds(
    cli: Cli, tmp_path: Path, server: str, layout: str
) -> None:
    project = write_layout(tmp_path / "project", layout)
    for words in (
        ("init", project, "--distribution", server),
        ("check", project),
        ("build", project, "--output", f"oci:{tmp_path / 'image'}"),
    ):
        done = cli(*words)
        assert done.returncode == 0, f"{words}\n{done.stdout}{done.stderr}"
    assert "inference remote::acme-echo" in done.stdout


# read without running


@pytest.mark.parametrize("layout", ["setuptools_src", "hatch_several"])
def test_what_cannot_be_read_is_told_with_the_way(tmp_path: Path, layout: str) -> None:
    """These specs are made of variables, which only running shows."""
    error = refused(write_layout(tmp_path, layout))
    assert error.code is Code.MODULE_MISSING
    assert "does not say what it provides" in error.what
    assert "--module, --api and --provider-type" in error.resolution
    flags = SpecFlags(*EXPECTED[layout].values())  # as it advises, in another order
    flags = SpecFlags(
        EXPECTED[layout]["module"], EXPECTED[layout]["api"], EXPECTED[layout]["provider-type"]
    )
    adopted(tmp_path, static(flags=flags))
    assert {key: table(tmp_path)[key] for key in EXPECTED[layout]} == EXPECTED[layout]


PLAIN = """\
from llama_stack_api import Api, {kind}ProviderSpec


def get_provider_spec():
    return {kind}ProviderSpec(api=Api.{api}, provider_type="{type}", module="acme_echo")
"""


@pytest.fixture
def plain(tmp_path: Path) -> Path:
    """A project whose spec can be read."""
    project = write_layout(tmp_path / "plain", "setuptools_src")
    source = PLAIN.format(kind="Remote", api="inference", type="remote::acme-echo")
    (project / "src" / "acme_echo" / "provider.py").write_text(source)
    return project


def test_a_plain_spec_is_read(plain: Path) -> None:
    result = adopted(plain, static())
    assert {key: table(plain)[key] for key in EXPECTED["flit"]} == EXPECTED["flit"]
    assert result.settings[0].how == "read in src/acme_echo/provider.py"
    assert result.notes[0] == "Nothing was run (--static)."
    assert any("No server is known" in note for note in result.notes)
    assert any("[tool.lls-provider.up.call]" in note for note in result.notes)


def test_a_machine_that_cannot_build_reads(plain: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLS_PROVIDER_PYTHON", "/nonexistent/python")
    result = adopted(plain, options())
    assert result.notes[0].startswith("Its wheel could not be built here: LLS_PROVIDER_PYTHON=")
    assert "`lls-provider doctor`" in result.notes[0]
    assert table(plain)["api"] == "inference"
    # the advice, followed
    monkeypatch.delenv("LLS_PROVIDER_PYTHON")
    file = plain / "pyproject.toml"
    file.write_text(file.read_text().replace(result.table, ""))
    assert not any("could not be built" in it for it in adopted(plain, options()).notes)


def test_a_list_of_causes_is_not_begun(plain: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLS_PROVIDER_PYTHON", "3.99")
    (note, *_) = adopted(plain, options()).notes
    assert "on this machine. `lls-provider doctor`" in note


def test_a_dry_run_writes_nothing(plain: Path) -> None:
    before = (plain / "pyproject.toml").read_bytes()
    result = adopted(plain, static(), dry=True)
    assert (plain / "pyproject.toml").read_bytes() == before
    adopted(plain, static())
    assert (plain / "pyproject.toml").read_text().endswith(f"\n{result.table}")


def test_a_given_vendor_is_taken(plain: Path) -> None:
    adopted(plain, static(), vendor='Acme "Söhne" \\ 1')
    assert table(plain)["vendor"] == 'Acme "Söhne" \\ 1'


def test_the_owner_of_the_repository_is_the_vendor(plain: Path) -> None:
    file = plain / "pyproject.toml"
    file.write_text(
        f'{file.read_text()}\n[project.urls]\nHomepage = "https://acme.example"\n'
        'Source = "https://github.com/acme-corp/echo"\n'
    )
    result = adopted(plain, static())
    assert table(plain)["vendor"] == "acme-corp"
    assert any("the owner of its repository" in note for note in result.notes)


def test_without_an_author_the_vendor_is_told_to_be_unknown(plain: Path) -> None:
    file = plain / "pyproject.toml"
    lines = [line for line in file.read_text().splitlines() if not line.startswith("authors")]
    file.write_text("\n".join(lines))
    result = adopted(plain, static())
    assert any("nothing names an organisation" in note for note in result.notes)
    assert read_settings(plain).vendor


def test_the_file_keeps_its_mode_and_its_link(plain: Path, tmp_path: Path) -> None:
    real = tmp_path / "real.toml"
    (plain / "pyproject.toml").rename(real)
    real.chmod(0o640)
    (plain / "pyproject.toml").symlink_to(real)
    adopted(plain, static())
    assert (plain / "pyproject.toml").is_symlink()
    assert stat.S_IMODE(real.stat().st_mode) == 0o640
    assert table(plain)["api"] == "inference"


def test_several_are_asked_about(tmp_path: Path) -> None:
    project = write_layout(tmp_path, "setuptools_flat")
    source = PLAIN.format(kind="Inline", api="safety", type="inline::acme-guard")
    (project / "acme_echo" / "provider.py").write_text(
        source + source.replace("safety", "files").replace("guard", "files")
    )
    error = refused(project)
    assert error.code is Code.USAGE
    assert "--provider-type inline::acme-guard" in error.why
    asked: list[StaticSpec] = []

    def choose(specs: Any) -> StaticSpec:
        asked.extend(specs)
        return asked[1]

    adopted(project, static(choose=choose))
    assert len(asked) == 2
    assert table(project)["provider-type"] == asked[1].provider_type


def test_the_advice_about_several_can_be_followed(tmp_path: Path) -> None:
    project = write_layout(tmp_path, "setuptools_flat")
    source = PLAIN.format(kind="Inline", api="safety", type="inline::acme-guard")
    (project / "acme_echo" / "provider.py").write_text(source + source.replace("guard", "other"))
    assert "Choose one with --provider-type" in refused(project).resolution
    adopted(project, static(flags=SpecFlags(provider_type="inline::acme-other")))
    assert table(project)["provider-type"] == "inline::acme-other"


# refused


def test_a_table_that_is_there_is_not_touched(plain: Path) -> None:
    adopted(plain, static())
    error = refused(plain)
    assert error.code is Code.TARGET_EXISTS
    assert error.where.line == 12
    file = plain / "pyproject.toml"  # as it advises
    file.write_text(file.read_text().partition("[tool.lls-provider]")[0])
    adopted(plain, static())


@pytest.mark.parametrize(
    ("text", "code", "what", "mended"),
    [
        ("[tool.lls_provider]\n", Code.SETTINGS_INVALID, "no table [tool.lls-provider]", ""),
        ("[tool]\nlls-provider = 3\n", Code.SETTINGS_INVALID, "cannot hold", ""),
        (
            "tool = { other = 1 }\n",
            Code.SETTINGS_INVALID,
            "cannot hold [tool.lls-provider]",
            "[tool.other]\n",
        ),
        ("[tool.other\n", Code.PROJECT_INVALID, "not valid TOML", ""),
    ],
)
def test_a_file_that_cannot_be_extended_is_told(
    plain: Path, text: str, code: Code, what: str, mended: str
) -> None:
    file = plain / "pyproject.toml"
    before = file.read_text()
    file.write_text(text + before if text.startswith("tool =") else f"{before}\n{text}")
    error = refused(plain)
    assert error.code is code
    assert what in error.what
    file.write_text(f"{before}\n{mended}")
    adopted(plain, static())


def test_a_mistake_elsewhere_is_told_before_anything_is_written(plain: Path) -> None:
    file = plain / "pyproject.toml"
    file.write_text(file.read_text().replace('version = "1.0"', 'version = "one"'))
    error = refused(plain)
    assert error.code is Code.SETTINGS_INVALID
    assert "expected a PEP 440 version" in error.what
    file.write_text(file.read_text().replace('version = "one"', 'version = "1.0"'))
    adopted(plain, static())


def test_without_metadata_there_is_no_provider(plain: Path) -> None:
    (plain / "pyproject.toml").write_text('[build-system]\nrequires = ["setuptools"]\n')
    error = refused(plain)
    assert error.code is Code.SETTINGS_INVALID
    assert "project is missing" in error.what


@pytest.mark.parametrize(
    "text",
    [
        "project = 1\n",
        "tool = 1\n",
        "[[tool]]\n",
        '[project]\nname = 3\nurls = { a = "http://[b" }\nauthors = 1\n',
        '[tool.uv.workspace]\nmembers = ["a**"]\n',
    ],
)
def test_a_table_of_another_type_is_an_error_of_the_file(plain: Path, text: str) -> None:
    (plain / "pyproject.toml").write_text(text)
    assert refused(plain).code is Code.SETTINGS_INVALID


def test_a_directory_without_a_project_is_refused(tmp_path: Path) -> None:
    assert refused(tmp_path).code is Code.PROJECT_INVALID


def test_a_project_without_a_provider_is_refused(plain: Path) -> None:
    file = plain / "src" / "acme_echo" / "provider.py"
    source = file.read_text()
    file.unlink()
    error = refused(plain)
    assert error.code is Code.MODULE_MISSING
    assert "Write a module provider.py" in error.resolution
    file.write_text(source)
    adopted(plain, static())


def test_a_module_that_is_not_there_is_refused(plain: Path) -> None:
    error = refused(plain, static(flags=SpecFlags(module="acme")))
    assert (error.code, error.why) == (Code.MODULE_MISSING, "It has: acme_echo.provider")


def test_a_type_that_no_image_can_have_is_refused(plain: Path) -> None:
    file = plain / "src" / "acme_echo" / "provider.py"
    source = file.read_text()
    file.write_text(source.replace("remote::acme-echo", "remote::Acme Echo"))
    error = refused(plain)
    assert error.code is Code.SETTINGS_INVALID
    assert "provider-type is 'remote::Acme Echo'" in error.what
    file.write_text(source)
    adopted(plain, static())


def test_the_root_of_a_workspace_names_its_members(tmp_path: Path) -> None:
    member = write_layout(tmp_path, "uv_workspace")
    error = refused(tmp_path)
    assert error.code is Code.PROJECT_INVALID
    assert error.why.endswith("\n  packages/echo")
    assert f"`lls-provider init {member}`" in error.resolution


def test_settings_without_the_table_name_init(plain: Path) -> None:
    with pytest.raises(SdkError) as caught:
        read_settings(plain)
    assert f"`lls-provider init {plain}`" in caught.value.resolution
    assert caught.value.detail == TableMissing(plain)


# what is run


@pytest.mark.network
def test_what_does_not_load_is_read_and_told(plain: Path, server: str) -> None:
    result = adopted(plain, options(server))
    assert table(plain)["provider-type"] == "remote::acme-echo"
    assert any("does not load beside" in note for note in result.notes)
    assert any("is not known yet" in note for note in result.notes)
    assert {it.key: it.how for it in result.settings}["distribution"] == "not tried"


@pytest.mark.network
def test_a_server_that_cannot_be_had_is_told(plain: Path, tmp_path: Path) -> None:
    result = adopted(plain, options(str(tmp_path / "no-such-freeze.txt")))
    assert any("It was not tried beside" in note for note in result.notes)


@pytest.mark.network
def test_a_provider_answers_without_what_it_requires(tmp_path: Path, server: str) -> None:
    project = write_layout(tmp_path, "setuptools_flat")
    file = project / "pyproject.toml"
    text = file.read_text()
    file.write_text(text.replace("authors", 'dependencies = ["packaging==0.0.1"]\nauthors'))
    result = adopted(project, options(server))
    assert result.settings[0].how.endswith(", without what it requires")
    assert any(note.startswith("Its requirements do not fit") for note in result.notes)
    assert table(project)["provider-type"] == "remote::acme-echo"
    assert {it.key: it.how for it in result.settings}["distribution"] == "not tried"


@pytest.mark.network
def test_bounds_that_no_server_satisfies_are_told(plain: Path) -> None:
    file = plain / "pyproject.toml"
    file.write_text(file.read_text().replace("authors", 'dependencies = ["ogx>=99"]\nauthors'))
    (plain / "src" / "acme_echo" / "provider.py").write_text(
        PLAIN.format(kind="Remote", api="inference", type="remote::acme-echo").replace(
            "llama_stack_api", "ogx_api"
        )
    )
    result = adopted(plain, options())
    assert "It requires ogx>=99, of which no version was found." in result.notes
    assert "distribution" not in table(plain)


@pytest.mark.network
def test_a_provider_for_an_older_server_is_tried_beside_that(plain: Path, tmp_path: Path) -> None:
    make = WheelFactory(tmp_path / "wheels", "1.0")
    wheel = make("acme-echo", files={"acme/__init__.py": "import ogx_api"}, requires=["ogx<1.5"])
    found = _Findings()
    run = _Run(
        plain,
        load_pyproject(plain),
        read_wheel(wheel),
        find_interpreter(),
        (3, 12),
        DiscoveryOptions(),
        SILENT,
    )
    (named,) = run._candidates(found)
    assert Version("1.4") <= Version(named.removeprefix("ogx==")) < Version("1.5")
    assert found.notes[0].startswith(f"It requires ogx<1.5, so it is for {named}; ")


@pytest.mark.network
def test_an_error_says_why_nothing_was_run(tmp_path: Path, server: str) -> None:
    project = write_layout(tmp_path, "setuptools_flat")
    file = project / "acme_echo" / "provider.py"
    source = file.read_text()
    file.write_text(f"import nothing_of_that_name\n{source}")
    missing = str(tmp_path / "missing.txt")
    error = refused(project, options(server, missing))
    assert "No module named 'nothing_of_that_name'" in error.why
    assert f"It was not tried beside {missing}: " in error.why
    file.write_text(source)  # as it advises: a server that loads it
    adopted(project, options(server))


@pytest.mark.parametrize(
    ("name", "bounds", "expected"),
    [
        ("llama-stack", "", "llama-stack==0.7.3"),
        ("ogx", ">=1.4,<2", "ogx==1.5.0"),
        ("llama-stack", "<0.7", None),
        ("nothing", "", None),
    ],
)
def test_the_supported_version_that_satisfies_bounds(
    name: str, bounds: str, expected: str | None
) -> None:
    assert _profile(name, SpecifierSet(bounds)) == expected


@pytest.mark.network
def test_a_wheel_that_leaves_the_provider_out_is_told(tmp_path: Path, server: str) -> None:
    project = write_layout(tmp_path, "hatch_namespace")
    file = project / "pyproject.toml"
    text = file.read_text()
    (project / "src" / "other").mkdir()
    (project / "src" / "other" / "__init__.py").touch()
    file.write_text(text.replace('"src/acme"', '"src/other"'))
    error = refused(project, options(server))
    assert error.code is Code.MODULE_MISSING
    assert "have the build backend include it" in error.resolution
    file.write_text(text)
    adopted(project, options(server))


@pytest.mark.network
def test_the_keys_that_a_configuration_needs_are_told(tmp_path: Path, server: str) -> None:
    project = write_layout(tmp_path, "hatch_several")
    files: Mapping[str, str] = package("acme.both")
    source = files["acme/both/provider.py"].replace(
        '    """No settings."""\n',
        "    @staticmethod\n    def model_json_schema():\n"
        '        return {"type": "object", "required": ["url"]}\n',
    )
    (project / "acme" / "both" / "provider.py").write_text(source)
    result = adopted(project, options(server, flags=SpecFlags(module="acme.both")))
    assert any("Its configuration requires url" in note for note in result.notes)
