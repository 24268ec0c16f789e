"""What the runtime's processes print becomes warnings, notes and errors."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from lls_provider.contract.names import VolumeTree
from lls_provider.errors import Code, ExitStatus, SdkError, Where
from lls_provider.local.phases import RUN_CONFIG, Runtime, paragraphs, runtime_error
from lls_provider.local.plan import InitContainer, PlannedProvider
from lls_provider.local.workspace import Workspace
from lls_provider.progress import SILENT
from lls_provider.runtime.messages import write_error_file

if TYPE_CHECKING:
    from lls_provider.bundle.bundle import Bundle

GOLDEN = Path(__file__).parents[2] / "contract" / "golden"


@pytest.mark.parametrize("name", ["metadata-mismatch", "override"])
def test_a_warning_keeps_its_lines_together(name: str) -> None:
    warning = (GOLDEN / f"{name}.txt").read_text("utf-8").rstrip("\n")
    if not warning.startswith("WARNING"):
        warning = f"WARNING: {warning}"  # as the runtime's console shows it
    output = f"lls-provider: note: before\n{warning}\nMerged 1 external providers\n"
    assert paragraphs(output) == ["before", warning, "Merged 1 external providers"]


@pytest.mark.parametrize(
    "name", ["conflict", "api-mismatch", "validation-failed", "spec-invalid", "metadata-missing"]
)
def test_a_message_of_the_contract_stays_to_the_letter(name: str, tmp_path: Path) -> None:
    message = (GOLDEN / f"{name}.txt").read_text("utf-8").rstrip("\n")
    told = SdkError(Code.DEPENDENCY_CONFLICT, "x", resolution="y", layout=message)
    write_error_file(told, str(tmp_path / "error"))
    error = runtime_error("install", 1, message, tmp_path / "error", Where(provider="acme-echo"))
    assert error.render() == message
    assert error.status is ExitStatus.WRONG
    assert error.code is Code.DEPENDENCY_CONFLICT
    assert error.where.provider == "acme-echo"


@pytest.mark.parametrize("code", [Code.NO_SPACE, Code.VOLUME_UNWRITABLE])
def test_a_lack_of_the_machine_is_told_for_this_machine(code: Code, tmp_path: Path) -> None:
    where = Where(provider="acme-echo", image="x")
    told = SdkError(
        code, "No room", why="the reason", where=where, resolution="Raise the sizeLimit."
    )
    write_error_file(told, str(tmp_path / "error"))
    error = runtime_error("install", 3, told.render(), tmp_path / "error", where)
    assert error.code is code
    assert error.status is ExitStatus.ENVIRONMENT
    assert (error.what, error.why) == ("No room", "the reason")
    assert error.render().count("Provider: acme-echo") == 1
    assert "TMPDIR" in error.resolution
    assert "sizeLimit" not in error.render()


def test_another_lack_of_the_machine_keeps_its_resolution(tmp_path: Path) -> None:
    told = SdkError(Code.PYTHON_MISSING, "x", resolution="Name an interpreter.")
    write_error_file(told, str(tmp_path / "error"))
    error = runtime_error("preflight", 3, "", tmp_path / "error")
    assert error.render() == told.render()


def test_a_process_that_says_nothing_is_our_fault(tmp_path: Path) -> None:
    error = runtime_error("merge", -9, "", tmp_path / "error", Where())
    assert error.code is Code.INTERNAL
    assert "printed nothing" in error.why


@pytest.mark.parametrize("kind", ["nonsense", "another status", "pipe", "link", "folder", "long"])
def test_a_file_that_the_runtime_did_not_write_is_no_error_of_its(
    kind: str, tmp_path: Path
) -> None:
    """A provider ran in that process, and could write there."""
    place, forged = tmp_path / "error", tmp_path / "forged"
    write_error_file(SdkError(Code.USAGE, "forged", resolution="y"), str(forged))
    match kind:
        case "nonsense":
            place.write_text("{}")
        case "another status":
            forged.rename(place)
        case "pipe":
            os.mkfifo(place)
        case "link":
            place.symlink_to(forged)
        case "folder":
            place.mkdir()
        case "long":
            place.write_text(forged.read_text() + " " * (1 << 20))
    status = 1 if kind == "another status" else 2
    error = runtime_error("preflight", status, "ERROR: what it printed", place, Where())
    assert error.code is Code.INTERNAL
    assert error.why == "ERROR: what it printed"


SPEC = """\
class Spec:
    provider_type, api = "remote::acme-echo", "inference"
    module, config_class = "acme_echo", "acme_echo.config.Config"
    api_dependencies = [$needed]
def get_provider_spec():
    return Spec()
"""
FINE = SPEC.replace("$needed", "")
Try = Callable[..., SdkError]


@pytest.fixture
def tried(tmp_path: Path, make_provider: Callable[..., Bundle]) -> Iterator[Try]:
    """Runs the real phases on a provider and a base configuration; returns their error."""
    with Workspace() as workspace:

        def attempt(provider: str = FINE, base: str = "version: 2\n", **more: str) -> SdkError:
            files = {"provider.py": provider, "config.py": "class Config: ...\n"}
            files |= {"__init__.py": "async def get_adapter_impl(config, deps): ...\n", **more}
            root = make_provider(files=files).root
            volume = VolumeTree(tmp_path / "volume")
            volume.base_config.parent.mkdir(parents=True)
            volume.base_config.write_text(base)
            runtime = Runtime(workspace, volume, {"PATH": os.environ["PATH"]}, SILENT)
            python = Path(sys.executable)
            container = InitContainer(
                PlannedProvider("oci:x", root, "acme-echo", "inference", "acme_echo", None), 0, None
            )
            with pytest.raises(SdkError) as caught:
                runtime.install(container, python, "cp312")
                runtime.merge(python)
                assert (volume.config / RUN_CONFIG).is_file()
                runtime.preflight(python)
            return caught.value

        yield attempt


@pytest.mark.slow
@pytest.mark.parametrize(
    ("provider", "reason", "resolution"),
    [
        (
            f"import absent_dependency\n{FINE}",
            "No module named 'absent_dependency'",
            "Add 'absent_dependency' to the dependencies of the provider",
        ),
        (
            "",
            "module 'acme_echo.provider' has no function get_provider_spec()",
            "Define get_provider_spec() in ",
        ),
        (
            "def get_provider_spec(:\n",
            "SyntaxError: invalid syntax",
            "Correct the provider where the traceback points to",
        ),
        (
            "def get_provider_spec():\n    raise RuntimeError('no licence file')\n",
            "RuntimeError: no licence file",
            "Correct the provider where the traceback points to",
        ),
        (
            f"raise SystemExit('set ACME_TOKEN first')\n{FINE}",
            "the module ended the process: SystemExit(set ACME_TOKEN first)",
            "Correct the provider where the traceback points to",
        ),
    ],
)
def test_what_a_server_would_end_with_preflight_reports(
    tried: Try, provider: str, reason: str, resolution: str
) -> None:
    error = tried(provider)
    assert error.code is Code.VALIDATION_FAILED
    assert f"\nReason: {reason}" in (error.layout or "")
    assert error.resolution.startswith(resolution)
    assert error.where == Where(provider="acme-echo", image="oci:x")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("base", "code"),
    [("providers: 7\n", Code.FIELD_TYPE), ("a: b: c\n", Code.YAML_INVALID)],
)
def test_a_base_that_no_server_reads_is_reported_by_merge(
    tried: Try, base: str, code: Code
) -> None:
    error = tried(base=base)
    assert error.code is code
    assert error.where.line == 1
    assert (error.where.file or "").endswith("base-config/run.yaml")


@pytest.mark.slow
def test_the_apis_that_a_provider_needs_arrive_as_data(tried: Try) -> None:
    error = tried(SPEC.replace("$needed", "'files', 'batches'"))
    assert error.detail == {"missing_apis": ["files", "batches"]}


@pytest.mark.slow
def test_a_provider_that_ends_the_process_is_reported(tried: Try) -> None:
    error = tried(f"import os\nos._exit(7)\n{FINE}")
    assert error.code is Code.VALIDATION_FAILED
    assert "exit status 7" in error.render()
