"""Which cases run, with which environment, and what is refused."""

from __future__ import annotations

import errno
import shutil
import tempfile
from pathlib import Path

import pytest

from lls_provider.conformance import harness
from lls_provider.conformance.cases import CaseRun, SourceImage, completed
from lls_provider.conformance.derived_cases import all_cases
from lls_provider.conformance.harness import environment_of
from lls_provider.conformance.runner import run_conformance, selected
from lls_provider.conformance.template import parse_template
from lls_provider.errors import Code, SdkError
from lls_provider.progress import Silent


class Notes(Silent):
    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str, /) -> None:
        self.notes.append(text)


def test_a_pattern_is_a_part_a_glob_or_a_requirement() -> None:
    cases = all_cases(["merger"])
    assert selected(cases, []) == cases
    by_part = selected(cases, ["merge: a provider joins"])
    assert [case.name for case in by_part] == ["a provider joins a section"]
    assert selected(cases, ["merger: merger/merge: a provider j*"]) == by_part
    by_requirement = selected(cases, ["merger-apis"])
    assert {case.requirement for case in by_requirement} == {"merger-apis"}
    with pytest.raises(SdkError, match="No vector matches") as caught:
        selected(cases, ["installer: *", "nothing like it"])
    assert caught.value.code is Code.USAGE
    assert caught.value.why == "installer: *, nothing like it"


def test_what_a_command_cannot_show_is_not_run_and_counted() -> None:
    notes = Notes()
    template = parse_template("operator", "false {provider_file}")
    report = run_conformance([template], select=["operator-refusals"], progress=notes)
    files = {result.case.file for result in report.results}
    assert files == {"operator/pod", "provider-file"}
    assert "16 vectors not run: the operator has no {cr}" in notes.notes


def test_an_installer_gets_the_contracts_variables_and_no_other_of_ours() -> None:
    run = completed(
        CaseRun(provider="acme", order=3, config={"a": [1, None]}, source=SourceImage({"a==1": []}))
    )
    inherited = {"PATH": "/bin", "LLS_PROVIDER_CACHE": "/x", "LLS_TARGET_PYTHON": "cp311"}
    assert environment_of(run, inherited) == {
        "PATH": "/bin",
        "LLS_PROVIDER_ID": "acme",
        "LLS_PROVIDER_API": "inference",
        "LLS_PROVIDER_IMAGE": "registry.example.com/acme:1.0",
        "LLS_INIT_CONTAINER": "install-provider-acme",
        "LLS_PROVIDER_ORDER": "3",
        "LLS_PROVIDER_CONFIG": '{"a": [1, null]}',
    }
    assert environment_of(CaseRun(), inherited) == {"PATH": "/bin"}


def test_temporary_files_that_cannot_be_written_are_an_error_of_this_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    missing = tmp_path / "missing"
    monkeypatch.setattr(tempfile, "tempdir", str(missing))
    template = parse_template("merger", "true {root}")
    with pytest.raises(SdkError, match="Cannot write the files of a vector") as caught:
        run_conformance([template], select=["merger-apis"])
    assert caught.value.code is Code.OUTPUT_UNWRITABLE
    missing.mkdir()  # make the place one that can be written
    assert run_conformance([template], select=["merger-apis"]).failed
    assert list(missing.iterdir()) == []


def test_a_full_disk_is_not_the_commands_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_arguments: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(harness, "write_image", full)
    template = parse_template("checker", "true {source}")
    with pytest.raises(SdkError) as caught:
        run_conformance([template], select=["image-closure"])
    assert caught.value.code is Code.NO_SPACE


def test_a_vector_with_an_unknown_key_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lls_provider import resources

    shutil.copytree(resources.data_path("contract"), tmp_path / "contract")
    monkeypatch.setattr(resources, "data_path", lambda name: tmp_path / name)
    file = tmp_path / "contract/vectors/merger/merge.yaml"
    file.write_text(file.read_text().replace("  base: |", "  bose: |", 1))
    with pytest.raises(TypeError, match="bose"):
        all_cases(["merger"])
