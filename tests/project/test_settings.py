from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from lls_provider.contract.names import APIS
from lls_provider.errors import Code, SdkError
from lls_provider.project.sample_call import SampleCall
from lls_provider.project.settings import read_settings


def change(project: Path, old: str, new: str) -> None:
    file = project / "pyproject.toml"
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))


def refused(project: Path) -> SdkError:
    with pytest.raises(SdkError) as caught:
        read_settings(project)
    return caught.value


def test_everything_is_read(project: Path) -> None:
    settings = read_settings(project)

    assert settings.root == project
    assert (settings.name, settings.version) == ("acme-echo", "1.2.0")
    assert (settings.description, settings.maintainer) == ("Echoes.", "team@acme.example")
    assert (settings.vendor, settings.api) == ("Acme", "inference")
    assert settings.provider_type == "remote::acme-echo"
    assert settings.module == "acme_echo"
    assert settings.distributions == ("llama-stack==0.7.3",)
    assert settings.up.config == {"prefix": "> "}
    assert settings.up.env == {"LOG": "debug"}
    assert settings.up.calls == (SampleCall("GET", "/v1/models"),)
    assert settings.where("module").line == 14


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("server.txt", "{root}/server.txt"),
        ("./freeze", "{root}/./freeze"),
        ("frozen", "{root}/frozen"),
        ("../shared/server.in", "{root}/../shared/server.in"),
        ("python:.venv", "python:{root}/.venv"),
        ("python:../venv/bin/python", "python:{root}/../venv/bin/python"),
        ("oci:server:v1", "oci:{root}/server:v1"),
        ("oci-archive:server.tar", "oci-archive:{root}/server.tar"),
        (
            "docker-archive:server.tar:acme/server:1",
            "docker-archive:{root}/server.tar:acme/server:1",
        ),
        ("/srv/server.txt", "/srv/server.txt"),
        ("python:/opt/server", "python:/opt/server"),
        ("python:~/server", "python:~/server"),
        ("llama-stack==0.7.3", "llama-stack==0.7.3"),
        ("ogx", "ogx"),
        ("profile:ogx-1.5.0", "profile:ogx-1.5.0"),
        ("docker://registry.example/acme/server:1", "docker://registry.example/acme/server:1"),
        ("docker-daemon:acme/server", "docker-daemon:acme/server"),
        ("ogx @ https://files.example/ogx-1.5.0.whl", "ogx @ https://files.example/ogx-1.5.0.whl"),
    ],
)
def test_a_path_of_a_distribution_is_relative_to_the_project(
    project: Path, text: str, found: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (project / "frozen").touch()
    (tmp_path / "ogx").touch()  # a file in the working directory is none of the project
    monkeypatch.chdir(tmp_path)
    change(project, "llama-stack==0.7.3", text)
    for root in (project, Path(project.name)):
        assert read_settings(root).distributions == (found.format(root=root),)
    monkeypatch.chdir(project)
    assert read_settings(Path()).distributions == (found.format(root="."),)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("scratch", "scratch"),
        ("oci:base", "oci:{root}/base"),
        ("oci-archive:base.tar:v1", "oci-archive:{root}/base.tar:v1"),
        ("docker-archive:../base.tar", "docker-archive:{root}/../base.tar"),
        ("oci:/srv/base", "oci:/srv/base"),
        ("docker://registry.example/python:3.12", "docker://registry.example/python:3.12"),
        ("docker-daemon:python:3.12", "docker-daemon:python:3.12"),
    ],
)
def test_a_path_of_a_base_is_relative_to_the_project(project: Path, text: str, found: str) -> None:
    change(project, 'vendor = "Acme"', f'vendor = "Acme"\nbase = "{text}"')
    assert read_settings(project).base == found.format(root=project)


def test_one_distribution_needs_no_list(project: Path) -> None:
    change(project, '["llama-stack==0.7.3"]', '"ogx==1.5.0"')

    assert read_settings(project).distributions == ("ogx==1.5.0",)


def test_a_dynamic_version_is_left_to_the_wheel(project: Path) -> None:
    change(project, 'version = "1.2.0"', 'dynamic = ["version"]')

    assert read_settings(project).version is None


def test_maintainers_come_before_authors(project: Path) -> None:
    change(project, "authors =", 'maintainers = [{ email = "m@acme.example" }]\nauthors =')

    assert read_settings(project).maintainer == "m@acme.example"


def test_resources_are_lists_of_tables(project: Path) -> None:
    change(
        project,
        "[tool.lls-provider.up.call]",
        '[[tool.lls-provider.up.resources.models]]\nmodel_id = "m"\n\n[tool.lls-provider.up.call]',
    )

    assert read_settings(project).up.resources == {"models": [{"model_id": "m"}]}


def test_a_call_with_a_file_is_a_form(project: Path) -> None:
    (project / "sample.txt").write_text("text")
    change(
        project,
        'path = "/v1/models"',
        'path = "/v1/files"\nform = { purpose = "batch" }\nfiles = { file = "sample.txt" }',
    )

    assert read_settings(project).up.calls == (
        SampleCall(
            "POST",
            "/v1/files",
            form={"purpose": "batch"},
            files={"file": project / "sample.txt"},
        ),
    )


def test_a_call_with_a_body_is_posted(project: Path) -> None:
    change(project, 'path = "/v1/models"', 'path = "/x"\nbody = { a = [1] }\nexpect-status = 201')

    assert read_settings(project).up.calls == (SampleCall("POST", "/x", {"a": [1]}, 201),)


def test_what_the_tests_need_is_their_dependency_group(project: Path) -> None:
    change(
        project,
        "[tool.lls-provider]",
        '[dependency-groups]\nbase = ["pytest>=8"]\n'
        'test = [{ include-group = "base" }, "respx"]\n\n[tool.lls-provider]',
    )

    assert read_settings(project).test_requirements == ("pytest>=8", "respx")


def test_what_the_tests_need_can_be_an_extra(project: Path) -> None:
    change(
        project,
        "[tool.lls-provider]",
        '[project.optional-dependencies]\ntest = ["respx"]\n\n[tool.lls-provider]',
    )

    assert read_settings(project).test_requirements == ("respx",)


@pytest.mark.parametrize(
    ("old", "new", "line", "column", "what"),
    [
        ('"inference"', '"inferense"', 12, 7, "did you mean 'inference'?"),
        ('"inference"', '"vectorIo"', 12, 7, "did you mean 'vector_io'?"),
        ('"inference"', "3", 12, 7, "api in [tool.lls-provider] must be text, not the number 3"),
        ('api = "inference"\n', "", 11, 7, "api is missing in [tool.lls-provider]"),
        ('"remote::acme-echo"', '"acme-echo"', 13, 17, "expected remote::NAME or inline::NAME"),
        ("provider-type", "provider_type", 13, 1, "did you mean 'provider-type'?"),
        ('"acme_echo"', '"acme-echo"', 14, 10, "expected an importable Python module path"),
        ('"acme_echo"', '"acme.class"', 14, 10, "'class' is a reserved word"),
        ('vendor = "Acme"', 'vendor = ""', 15, 10, "expected the organisation"),
        ('vendor = "Acme"', 'vendro = "Acme"', 15, 1, "unknown key 'vendro'"),
        ('["llama-stack==0.7.3"]', '["llama-stack==0.7.3", 1]', 16, 39, "must be a list of texts"),
        ('["llama-stack==0.7.3"]', '["x"]\npython = "py3"', 17, 10, "a version such as 3.12"),
        ('version = "1.2.0"', 'version = "one"', 7, 11, "expected a PEP 440 version"),
        ('version = "1.2.0"\n', "", 5, 2, "version is missing in [project]"),
        ('name = "acme-echo"', 'name = "-echo"', 6, 8, "expected a package identifier"),
        ('config = { prefix = "> " }', "config = 1", 19, 10, "must be a table"),
        ('"> "', "1979-05-27", 19, 21, "the date or time 1979-05-27, which JSON cannot hold"),
        ('LOG = "debug"', "LOG = 1", 20, 15, "must be text, not the number 1"),
        ("env =", 'base = "base.yaml"\nenv =', 20, 8, "there is no file 'base.yaml'"),
        ("env =", 'base = "../base.yaml"\nenv =', 20, 8, "is outside the project"),
        ("env =", 'service = "tests/service.py"\nenv =', 20, 11, "there is no file"),
        ('"/v1/models"', '"/"\nexpect-text = 1', 24, 15, "must be text"),
        ("env =", "resources = { models = 1 }\nenv =", 20, 24, "must be a list of tables"),
        ('"/v1/models"', '"v1/models"', 23, 8, "a path that begins with /"),
        ('"/v1/models"', '"/"\nmethod = "post"', 24, 10, "did you mean 'POST'?"),
        ('"/v1/models"', '"/"\nexpect_status = 1', 24, 1, "did you mean 'expect-status'?"),
        ('"/v1/models"', '"/"\nexpect-status = true', 24, 17, "must be a whole number"),
        ('"/v1/models"', '"/"\nbody = 1\nform = { a = "b" }', 24, 1, "a body and a form"),
    ],
)
def test_each_mistake_is_told_with_its_place(
    project: Path, old: str, new: str, line: int, column: int, what: str
) -> None:
    change(project, old, new)

    error = refused(project)

    told = error.problems[0] if error.problems else error
    places = [told.where, *(problem.where for problem in error.problems)]
    assert error.code is Code.SETTINGS_INVALID
    assert (line, column) in [(place.line, place.column) for place in places]
    assert what in error.render()
    assert f"{project}/pyproject.toml" in error.render()
    assert "Resolution: " in error.render()


def test_a_wrong_api_is_answered_with_all_of_them(project: Path) -> None:
    change(project, '"inference"', '"telemetry"')

    assert all(api in refused(project).resolution for api in APIS)


def test_all_mistakes_are_told_at_once_in_their_order(project: Path) -> None:
    change(project, '"inference"', '"x"')
    change(project, '"1.2.0"', '"one"')
    change(project, '"remote::acme-echo"', '"x"')
    change(project, '"/v1/models"', '"x"')

    error = refused(project)

    assert [problem.where.line for problem in error.problems] == [7, 12, 13, 23]
    assert error.what == "pyproject.toml has 4 mistakes"


def test_a_module_that_does_not_exist_is_its_own_error(project: Path) -> None:
    change(project, 'module = "acme_echo"', 'module = "acme_eco"')

    error = refused(project)

    assert error.code is Code.MODULE_MISSING
    assert (error.where.line, error.where.column) == (14, 10)
    assert error.resolution == "Name a package that has one: acme_echo."


def test_a_module_without_provider_py_is_told(project: Path) -> None:
    (project / "src" / "acme_echo" / "provider.py").unlink()

    error = refused(project)

    assert error.code is Code.MODULE_MISSING
    assert error.what == "module 'acme_echo' has no provider.py, which the server imports"
    assert "Write acme_echo/provider.py" in error.resolution


@pytest.mark.parametrize("layout", ["acme_echo", "lib/python/acme_echo", "src/acme_echo"])
def test_any_layout_of_the_source_will_do(project: Path, layout: str) -> None:
    package = project / "src" / "acme_echo"
    target = project / layout
    if target != package:
        target.parent.mkdir(parents=True, exist_ok=True)
        package.rename(target)

    assert read_settings(project).module == "acme_echo"


def link(place: Path, target: Path | str) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    place.symlink_to(target)


def linked_source(project: Path) -> None:
    (project / "src").rename(project.parent / "code")
    link(project / "src", "../code")


def linked_root_of_another_name(project: Path) -> None:
    (project / "src").rename(project.parent / "code")
    link(project / "python", project.parent / "code")


def linked_package(project: Path) -> None:
    (project / "src" / "acme_echo").rename(project.parent / "echo")
    link(project / "src" / "acme_echo", "../../echo")


def linked_file(project: Path) -> None:
    (project / "src" / "acme_echo" / "provider.py").rename(project.parent / "echo.py")
    link(project / "src" / "acme_echo" / "provider.py", "../../../echo.py")


def linked_package_of_a_provider(project: Path) -> None:
    (project / "src" / "acme_echo" / "provider.py").unlink()
    (project.parent / "shared").mkdir()
    (project.parent / "shared" / "__init__.py").touch()
    link(project / "src" / "acme_echo" / "provider", "../../../shared")


def linked_twice(project: Path) -> None:
    linked_source(project)
    (project.parent / "code").rename(project.parent / "real")
    link(project.parent / "code", "real")


LINKED = [
    linked_source,
    linked_root_of_another_name,
    linked_package,
    linked_file,
    linked_package_of_a_provider,
    linked_twice,
]


@pytest.mark.parametrize("layout", LINKED)
def test_links_are_followed_to_the_module(project: Path, layout: Callable[[Path], None]) -> None:
    layout(project)
    assert read_settings(project).module == "acme_echo"

    change(project, 'module = "acme_echo"', 'module = "acme_ecco"')
    assert refused(project).resolution == "Name a package that has one: acme_echo."


@pytest.mark.parametrize(
    ("place", "target"),
    [
        ("src/acme_echo/again", "."),
        ("src/acme_echo/up", "../.."),
        ("src/acme_echo/outside", "../../.."),
        ("everything", "/"),
        ("one", "one"),
        ("one", "nowhere"),
        ("src/to", "../other"),
    ],
)
def test_links_without_an_end_are_not_followed(project: Path, place: str, target: str) -> None:
    link(project / place, target)
    link(project / "other" / "back", "../src")
    change(project, 'module = "acme_echo"', 'module = "acme_ecco"')
    assert refused(project).resolution == "Name a package that has one: acme_echo."


@pytest.mark.slow
def test_links_to_one_another_are_followed_once(project: Path) -> None:
    """Each of sixty leads to all the others: paths without number, were they distinguished."""
    for one in range(60):
        for other in range(60):
            link(project / f"d{one}" / f"to{other}", f"../d{other}")
    change(project, 'module = "acme_echo"', 'module = "acme_ecco"')
    assert refused(project).resolution == "Name a package that has one: acme_echo."


@pytest.mark.parametrize("key", ["base", "files"])
@pytest.mark.parametrize("target", ["real.yaml", "../outside.yaml"])
def test_a_link_to_a_file_is_followed_wherever_it_leads(
    project: Path, key: str, target: str
) -> None:
    (project / target).write_text("x: 1\n")
    link(project / "linked.yaml", target)
    if key == "base":
        change(project, "[tool.lls-provider.up]", '[tool.lls-provider.up]\nbase = "linked.yaml"')
        assert read_settings(project).up.base == project / "linked.yaml"
    else:
        change(project, 'path = "/v1/models"', 'path = "/v1/f"\nfiles = { f = "linked.yaml" }')
        (call,) = read_settings(project).up.calls
        assert call.files == {"f": project / "linked.yaml"}


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("../outside.yaml", "the file '../outside.yaml' is outside the project"),
        ("a/../../outside.yaml", "the file 'a/../../outside.yaml' is outside the project"),
        ("/etc/hostname", "the file '/etc/hostname' is outside the project"),
        ("loop", "there is no file 'loop' in the project"),
    ],
)
def test_a_file_is_named_inside_the_project(project: Path, name: str, what: str) -> None:
    (project.parent / "outside.yaml").touch()
    link(project / "loop", "loop")
    change(project, "[tool.lls-provider.up]", f'[tool.lls-provider.up]\nbase = "{name}"')
    assert refused(project).what == what


def test_a_namespace_package_is_found(project: Path) -> None:
    package = project / "src" / "acme_echo"
    (project / "src" / "my_org").mkdir()
    package.rename(project / "src" / "my_org" / "echo")
    change(project, 'module = "acme_echo"', 'module = "my_org.echoo"')
    assert refused(project).resolution == "Name a package that has one: my_org.echo."

    change(project, "my_org.echoo", "my_org.echo")
    assert read_settings(project).module == "my_org.echo"


def test_an_environment_in_the_project_is_no_source(project: Path) -> None:
    site = project / "env" / "lib" / "other"
    site.mkdir(parents=True)
    (project / "env" / "pyvenv.cfg").touch()
    (site / "provider.py").touch()
    change(project, 'module = "acme_echo"', 'module = "other"')

    assert refused(project).code is Code.MODULE_MISSING


def test_no_settings_are_answered_with_an_example(project: Path) -> None:
    (project / "pyproject.toml").write_text('[project]\nname = "acme"\n')

    error = refused(project)

    assert error.code is Code.SETTINGS_INVALID
    assert error.what == "pyproject.toml has no table [tool.lls-provider]"
    assert 'api = "inference"' in error.resolution


def test_a_misspelt_table_is_found(project: Path) -> None:
    change(project, "[tool.lls-provider]", "[tool.lls_provider]")
    change(project, "[tool.lls-provider.up]", "[tool.lls_provider.up]")
    change(project, "[tool.lls-provider.up.call]", "[tool.lls_provider.up.call]")

    error = refused(project)

    assert (error.where.line, error.where.column) == (11, 7)
    assert error.resolution == "Rename it to [tool.lls-provider]."


def test_a_missing_project_table_is_told(project: Path) -> None:
    change(project, "[project]", "[prject]")

    assert refused(project).what == "project is missing in the file"


@pytest.mark.parametrize(
    ("text", "line", "column"),
    [('a = 1\nb = "x\n', 2, 7), ("a = 1\nb\n", 2, 2), ("a = [1,", 1, 8), ("a = 1\na = 2\n", 2, 6)],
)
def test_invalid_toml_is_told_with_line_and_column(
    project: Path, text: str, line: int, column: int
) -> None:
    (project / "pyproject.toml").write_text(text)

    error = refused(project)

    assert error.code is Code.PROJECT_INVALID
    assert error.what == "pyproject.toml is not valid TOML"
    assert (error.where.line, error.where.column) == (line, column)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16-le", "utf-16-be"])
def test_a_byte_order_mark_is_told(project: Path, encoding: str) -> None:
    path = project / "pyproject.toml"
    text = path.read_text()
    mark = "" if encoding == "utf-8-sig" else "\ufeff"
    path.write_bytes(f"{mark}{text}".encode(encoding))

    error = refused(project)

    assert error.code is Code.PROJECT_INVALID
    assert error.what == "pyproject.toml begins with a byte order mark"
    assert (error.where.line, error.where.column) == (1, 1)
    assert error.resolution == "Save the file as UTF-8 without a byte order mark."
    path.write_text(text, encoding="utf-8")
    assert read_settings(project).name == "acme-echo"


def test_bytes_that_are_no_text_are_told_with_their_line(project: Path) -> None:
    (project / "pyproject.toml").write_bytes(b"a = 1\nb = '\xff'\n")

    assert (refused(project).code, refused(project).where.line) == (Code.PROJECT_INVALID, 2)


def test_a_folder_without_pyproject_is_no_project(tmp_path: Path) -> None:
    error = refused(tmp_path)

    assert error.code is Code.PROJECT_INVALID
    assert error.what == f"{tmp_path} is not a project: it has no pyproject.toml"
    assert "lls-provider new" in error.resolution


def test_a_folder_that_does_not_exist_is_told(tmp_path: Path) -> None:
    assert refused(tmp_path / "no").what == f"There is no project at {tmp_path / 'no'}"


def test_a_file_is_no_project(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    assert refused(tmp_path / "file").what == f"{tmp_path / 'file'} is not a project, it is a file"


def test_the_known_keys_are_named_once_each(project: Path) -> None:
    change(project, "[tool.lls-provider.up]", "[tool.lls-provider.up]\nsomething = 1")

    known = refused(project).resolution.rpartition("known keys are ")[2].rstrip(".").split(", ")
    assert known == ["base", "call", "config", "env", "resources", "service"]


def test_a_dependency_that_is_no_requirement_is_told_with_its_line(project: Path) -> None:
    change(project, "authors =", 'dependencies = ["httpx>=0.27", "pydantic=2"]\nauthors =')
    error = refused(project)
    assert error.code is Code.SETTINGS_INVALID
    assert error.what.startswith("'pydantic=2' in dependencies is not a requirement: Expected")
    text = (project / "pyproject.toml").read_text()
    before = text[: text.index('"pydantic=2"')]
    assert error.where.line == before.count("\n") + 1
    assert error.where.column == len(before) - before.rindex("\n")
