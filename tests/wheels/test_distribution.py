from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tests.factories.environments import make_environment, packages_of, put_package

from lls_provider.errors import Code, SdkError
from lls_provider.wheels.loading import load_distribution

if TYPE_CHECKING:
    from tests.recorder import Recorder

    from lls_provider.wheels.interpreter import Interpreter

pytestmark = pytest.mark.slow

Write = Callable[..., str]


@pytest.fixture(autouse=True)
def one_python(interpreter: Interpreter, monkeypatch: pytest.MonkeyPatch) -> None:
    """Spare each test the search through the Pythons of this machine."""
    monkeypatch.setenv("LLS_PROVIDER_PYTHON", str(interpreter.path))


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def make(text: str, name: str = "frozen.txt") -> str:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        return str(path)

    return make


@pytest.fixture
def servers(offer: Any, make_wheel: Any) -> None:
    """An index with small stand-ins for a server line."""
    offer(
        make_wheel("llama_stack", "0.7.3", requires=["mcp", "helper"]),
        make_wheel("llama_stack", "0.6.1", requires=["mcp", "llama-stack-api>=0.6"]),
        make_wheel("llama_stack_api", "0.6.1"),
        make_wheel("llama_stack_api", "0.7.3"),
        make_wheel("llama_stack_client", "0.6.1"),
        make_wheel("mcp", "1.9"),
        make_wheel("mcp", "2.0"),
        make_wheel("helper", "1.0"),
        make_wheel("helper", "2.0"),
    )


def refused(spec: str) -> SdkError:
    with pytest.raises(SdkError) as caught:
        load_distribution(spec)
    return caught.value


@pytest.mark.usefixtures("servers")
def test_a_requirement_becomes_pins_with_what_its_line_needs() -> None:
    found = load_distribution("llama-stack==0.7.3")
    assert found.pins == {"helper": "2.0", "llama-stack": "0.7.3", "mcp": "1.9"}
    assert found.requirements() == ["helper==2.0", "llama-stack==0.7.3", "mcp==1.9"]
    assert found.label == found.recorded == "llama-stack==0.7.3"
    assert found.line is not None
    assert found.line.name == "llama-stack"
    assert found.interpreter.minor >= found.line.python
    assert found.environment is None


@pytest.mark.usefixtures("servers")
@pytest.mark.parametrize("spec", ["llama_stack == 0.6.1", "llama-stack==0.6.*", "llama-stack<0.7"])
def test_an_old_line_gets_its_own_helper_package(spec: str) -> None:
    assert load_distribution(spec).pins["llama-stack-api"] == "0.6.1"


@pytest.mark.usefixtures("servers")
def test_an_old_line_in_a_requirements_file_gets_it_too(tmp_path: Path) -> None:
    (tmp_path / "server.txt").write_text("llama-stack<0.7\n")
    assert load_distribution(str(tmp_path / "server.txt")).pins["llama-stack-api"] == "0.6.1"


@pytest.mark.usefixtures("servers")
def test_a_package_that_is_no_server_can_be_one_too() -> None:
    found = load_distribution("helper<2")
    assert found.pins == {"helper": "1.0"}
    assert found.line is None


@pytest.mark.usefixtures("servers")
def test_a_version_that_is_not_there_is_told() -> None:
    error = refused("llama-stack==9.9")
    assert error.code is Code.RESOLUTION_FAILED
    assert "llama-stack==9.9" in error.why
    assert error.resolution.startswith("Correct 'llama-stack==9.9'; the newest for Python 3.")
    assert error.resolution.endswith(" is llama-stack==0.7.3.")
    assert "--" not in error.resolution  # `up` and `check` name a server with different options
    load_distribution("llama-stack==0.7.3")


def test_a_server_for_another_python_says_which_and_nothing_else(
    offer: Any, make_wheel: Any
) -> None:
    offer(make_wheel("ogx", "1.5.0", fields=["Requires-Python: >=3.99"]), make_wheel("ogx", "0.2"))
    error = refused("ogx==1.5.0")
    assert (
        error.resolution == "Name a Python that ogx==1.5.0 supports (Python >=3.99): --python 3.99."
    )


@pytest.mark.usefixtures("servers")
def test_a_misspelt_server_is_recognised() -> None:
    assert refused("lama-stack==0.7.3").resolution == (
        "Write llama-stack==0.7.3 in place of 'lama-stack==0.7.3'."
    )


@pytest.mark.usefixtures("servers")
@pytest.mark.parametrize("joint", ["=", " = ", " ", "@", ":", "-", ""])
def test_a_version_without_the_right_operator_is_recognised(joint: str) -> None:
    error = refused(f"llama-stack{joint}0.7.3")
    assert error.code is Code.DISTRIBUTION_INVALID
    assert error.what.endswith("did you mean 'llama-stack==0.7.3'?")
    assert error.resolution == "Write 'llama-stack==0.7.3'."
    assert load_distribution("llama-stack==0.7.3").pins["llama-stack"] == "0.7.3"


@pytest.mark.parametrize("spec", ["", "not a requirement", "--help", "-r x"])
def test_what_is_no_requirement_is_refused(spec: str) -> None:
    error = refused(spec)
    assert error.code is Code.DISTRIBUTION_INVALID
    assert repr(spec) in error.what
    assert "python:PATH" in error.resolution


def test_a_freeze_file_is_taken_as_it_is(write: Write, index: Any) -> None:
    spec = write(
        "# made by pip freeze\n"
        "ogx==1.5.0\n"
        "\n"
        "Helper_Package==01.0  # normalised\n"
        "hashed==2.0 \\\n"
        "    --hash=sha256:00 \\\n"
        "    --hash=sha256:11\n"
        "inline==3.0 --hash=sha256:22\n"
        "twice==1.0\n"
        "twice==1.0\n"
    )
    found = load_distribution(spec)
    assert found.pins == {
        "ogx": "1.5.0",
        "helper-package": "1.0",
        "hashed": "2.0",
        "inline": "3.0",
        "twice": "1.0",
    }
    assert found.line is not None
    assert found.line.name == "ogx"
    assert found.label == spec
    assert found.recorded == "ogx==1.5.0"  # no path of this machine
    assert index.requests == []


def test_a_file_without_a_server_is_recorded_by_its_name(write: Write) -> None:
    spec = write("helper==1.0\n")
    assert load_distribution(spec).recorded == Path(spec).name


def test_a_file_needs_no_suffix(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write("helper==1.0\n", "frozen")
    monkeypatch.chdir(tmp_path)
    assert load_distribution("./frozen").pins == {"helper": "1.0"}


def test_a_name_that_no_package_has_is_a_file(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write("helper==1.0\n", "my freeze")
    monkeypatch.chdir(tmp_path)
    assert load_distribution("my freeze").pins == {"helper": "1.0"}


@pytest.mark.usefixtures("servers")
@pytest.mark.parametrize("name", ["helper", "helper==2.0", "helper.lock"])
def test_a_file_named_as_a_package_is_never_taken_silently(
    name: str, write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write("helper==1.0\n", name)
    monkeypatch.chdir(tmp_path)
    error = refused(name)
    assert error.code is Code.USAGE
    assert error.what == f"The distribution '{name}' is the name of a package and of a file here"
    assert f"'./{name}' for the file" in error.resolution
    assert load_distribution(f"./{name}").pins == {"helper": "1.0"}
    (tmp_path / name).unlink()
    if name != "helper.lock":
        assert load_distribution(name).pins == {"helper": "2.0"}


@pytest.mark.parametrize(
    ("line", "pins"),
    [
        ("helper", {"helper": "2.0"}),
        ("helper<2", {"helper": "1.0"}),
        ("helper==1.*", {"helper": "1.0"}),
        ("helper===1.0", {"helper": "1.0"}),
        ("helper==1.0; python_version > '3'", {"helper": "1.0"}),
        ("helper==2.0; python_version < '3'", {}),
    ],
)
@pytest.mark.usefixtures("servers")
def test_a_requirements_file_is_resolved(write: Write, line: str, pins: dict[str, str]) -> None:
    assert load_distribution(write(f"{line}\n")).pins == pins


@pytest.mark.parametrize(
    "text",
    [
        "llama-stack\n",
        "llama-stack>=0.7  # the server\n",
        "llama_stack>=0.7\n",
        "Llama-Stack==0.7.*\n",
        "llama-stack==0.7.3 ; python_version > '3'\n",
        "--prefer-binary\nllama-stack==0.7.3\n",
        "llama-stack-client==0.6.1\nllama-stack>=0.7\n",
    ],
)
@pytest.mark.usefixtures("servers")
def test_the_server_in_a_requirements_file_gets_what_its_line_needs(
    write: Write, text: str
) -> None:
    found = load_distribution(write(text))
    assert found.pins["mcp"] == "1.9"
    assert found.pins["llama-stack"] == "0.7.3"
    assert found.pins.get("llama-stack-api") is None
    assert found.line is not None


@pytest.mark.parametrize(
    "name", ["with space/wanted.txt", "with #hash/a #b.txt", "with ${X}/a.txt"]
)
@pytest.mark.usefixtures("servers")
def test_a_requirements_file_may_lie_anywhere(write: Write, name: str) -> None:
    assert load_distribution(write("helper<2\n", name)).pins == {"helper": "1.0"}


@pytest.mark.usefixtures("servers")
def test_a_requirements_file_may_name_another(write: Write) -> None:
    write("helper<2\n", "other.txt")
    assert load_distribution(write("-r other.txt\n")).pins == {"helper": "1.0"}


@pytest.mark.parametrize(
    ("text", "indexed"),
    [
        ("helper<2\n", True),
        ("-r other.txt\n", True),
        ("--find-links {house}\ncorp\n", False),
        ("--extra-index-url {house}\nhelper<2\n", False),
        ("-r places.txt\n", False),
        ("-r sub/more.txt\n", False),
        ("-c places.txt\nhelper<2\n", False),
        ("corp @ {wheel}\nhelper<2\n", False),
        ("{wheel}\nhelper<2\n", False),
    ],
)
@pytest.mark.usefixtures("servers")
def test_what_a_requirements_file_takes_from_its_own_places_is_on_no_index(
    write: Write, make_wheel: Any, tmp_path: Path, text: str, indexed: bool
) -> None:
    house = tmp_path / "house"
    house.mkdir()
    wheel = Path(shutil.copy(make_wheel("corp", "1.4+vendor.1"), house))
    places = f"--find-links {house}\ncorp\n"
    write("helper<2\n", "other.txt")
    write(places, "places.txt")
    write("-r ../places.txt\n-r more.txt\n", "sub/more.txt")
    found = load_distribution(write(text.format(house=house.as_uri(), wheel=wheel.as_uri())))
    assert found.indexed is indexed
    assert found.pins.get("corp", "1.4+vendor.1") == "1.4+vendor.1"


def test_a_package_without_a_version_cannot_be_provided(
    write: Write, make_wheel: Any, offer: Any, tmp_path: Path
) -> None:
    offer(make_wheel("helper"))
    project = tmp_path / "demo"
    project.mkdir()
    (project / "pyproject.toml").write_text('[project]\nname = "demo"\nversion = "1.0"\n')
    error = refused(write(f"demo @ {project.as_uri()}\nhelper>=1\n"))
    assert error.code is Code.DISTRIBUTION_INVALID
    assert error.why == f"demo @ {project.as_uri()} has no version"


def test_every_bad_line_of_a_freeze_file_is_told(write: Write) -> None:
    spec = write("helper==1.0\nbad line\n# fine\nhelper==2.0\n=1.0\n")
    error = refused(spec)
    assert error.code is Code.DISTRIBUTION_INVALID
    assert [(it.where.file, it.where.line) for it in error.problems] == [
        (spec, 2),
        (spec, 4),
        (spec, 5),
    ]
    assert error.where == error.problems[0].where
    assert "bad line" in error.problems[0].what
    assert error.problems[1].what == "helper is pinned to 1.0 and to 2.0"
    assert f"{spec}:2" in error.render()


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    error = refused(str(tmp_path / "gone.txt"))
    assert error.code is Code.FILE_MISSING
    assert error.where.file == str(tmp_path / "gone.txt")


@pytest.mark.parametrize("kind", ["folder", "bytes"])
def test_a_file_that_cannot_be_read(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "frozen.txt"
    if kind == "folder":
        path.mkdir()
    else:
        path.write_bytes(b"caf\xe9==1.0\n")
    error = refused(str(path))
    assert error.code is Code.FILE_UNREADABLE
    assert error.why


@pytest.fixture
def environment(tmp_path: Path, interpreter: Interpreter) -> Path:
    """A virtual environment with two packages that were put there by hand."""
    folder = tmp_path / "environment"
    site = make_environment(interpreter.path, folder)
    put_package(site, "Llama_Stack", "0.7.3")
    put_package(site, "helper", "01.0")
    return folder


@pytest.mark.parametrize("inside", ["", "bin/python"])
def test_an_environment_tells_its_packages(environment: Path, inside: str) -> None:
    spec = f"python:{environment / inside}"
    found = load_distribution(spec)
    assert found.pins == {"llama-stack": "0.7.3", "helper": "1.0"}
    assert found.label == spec
    assert found.recorded == "llama-stack==0.7.3"
    assert found.environment == environment / "bin" / "python"
    assert found.interpreter.path == found.environment
    assert found.line is not None


def test_the_current_folder_is_not_part_of_an_environment(
    environment: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "json.py").write_text("raise SystemExit('a project of the user was run')")
    put_package(tmp_path, "stray", "1.0")
    monkeypatch.chdir(tmp_path)
    found = load_distribution(f"python:{environment}")
    assert sorted(found.pins) == ["helper", "llama-stack"]


def test_leftovers_of_a_package_do_no_harm(environment: Path) -> None:
    site = packages_of(environment)
    (site / "gone-1.0.dist-info").mkdir()
    found = load_distribution(f"python:{environment}")
    assert sorted(found.pins) == ["helper", "llama-stack"]


def test_the_package_that_python_finds_first_counts(
    environment: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_package(tmp_path / "first", "helper", "7.0")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "first"))
    assert load_distribution(f"python:{environment}").pins["helper"] == "7.0"


@pytest.mark.parametrize(
    ("line", "version"),
    [
        ("Version: banana", "'banana'"),
        ("Version: 1.0-internal-x", "'1.0-internal-x'"),
        ("", "None"),
    ],
)
def test_a_package_with_an_impossible_version_is_told_and_passed_over(
    environment: Path, recorder: Recorder, line: str, version: str
) -> None:
    """As in an image: the other packages are provided."""
    site = packages_of(environment)
    (site / "odd-1.dist-info").mkdir()
    (site / "odd-1.dist-info" / "METADATA").write_text(f"Name: odd\n{line}\n")
    spec = f"python:{environment}"
    found = load_distribution(spec, progress=recorder)
    assert sorted(found.pins) == ["helper", "llama-stack"]
    assert recorder.warnings == [f"passed over in {spec}: odd: its version is {version}"]


def test_an_environment_that_cannot_be_asked_is_told(environment: Path) -> None:
    site = packages_of(environment)
    (site / "broken.pth").write_text("import sys; sys.flags.isolated or sys.exit('broken')\n")
    error = refused(f"python:{environment}")
    assert error.code is Code.DISTRIBUTION_INVALID
    assert "cannot be listed" in error.why


@pytest.mark.parametrize("path", ["/nowhere/bin/python", "~no-such-user/env", ""])
def test_an_environment_that_is_none_is_refused(path: str) -> None:
    error = refused(f"python:{path}")
    assert error.code in (Code.PYTHON_MISSING, Code.DISTRIBUTION_INVALID)
