"""The tables of the reference name what the code knows, all of it and nothing else."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from tools import write_reference

from lls_provider.contract import names as paths
from lls_provider.contract.names import APIS
from lls_provider.contract.schema import load_schema
from lls_provider.errors import Code, ExitStatus, SdkError
from lls_provider.image import bundle_image
from lls_provider.project.settings import read_settings
from lls_provider.runtime.volume.installed import ProviderRecord

ROOT = Path(__file__).parents[2]
REFERENCE = ROOT / "docs" / "reference"


@pytest.mark.parametrize("name", write_reference.PAGES)
def test_a_page_is_what_the_script_writes(name: str) -> None:
    text = (REFERENCE / name).read_text("utf-8")
    assert text == write_reference.PAGES[name](), "write it again: python tools/write_reference.py"


def rows(page: str, heading: str) -> list[list[str]]:
    """The cells of the table under a heading, without the table's own head."""
    text = (REFERENCE / page).read_text("utf-8")
    _, found, section = f"\n{text}".partition(f"\n{heading}\n")
    assert found, f"{page} has no heading {heading!r}"
    section = re.split(r"^#{1,6} ", section, maxsplit=1, flags=re.MULTILINE)[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines[2:]]


def names(page: str, heading: str) -> list[str]:
    """The code spans of the first column, in their order."""
    return [name for cells in rows(page, heading) for name in re.findall(r"`([^`]+)`", cells[0])]


def test_every_exit_status_is_explained() -> None:
    assert names("errors.md", "## Exit statuses") == [str(int(status)) for status in ExitStatus]


def test_every_code_is_explained_with_its_status() -> None:
    headings = ("## Documents", "## In the Pod", "## On the author's side")
    told = [
        (re.findall(r"`([^`]+)`", cells[0])[0], cells[1])
        for heading in headings
        for cells in rows("errors.md", heading)
    ]
    assert told == [(code.slug, str(int(code.status))) for code in Code]


def known_keys(project: Path) -> dict[str, set[str]]:
    """The keys of each table, as the complaint about one that no one knows lists them."""
    module = project / "acme_echo"
    module.mkdir()
    (module / "__init__.py").touch()
    (module / "provider.py").touch()
    (project / "pyproject.toml").write_text(
        '[project]\nname = "acme-echo"\nversion = "1.0"\n'
        '[tool.lls-provider]\napi = "inference"\nprovider-type = "remote::acme-echo"\n'
        'module = "acme_echo"\nvendor = "Acme"\n0000000000 = 1\n'
        "[tool.lls-provider.up]\n0000000000 = 1\n"
        '[tool.lls-provider.up.call]\npath = "/v1/models"\n0000000000 = 1\n'
    )
    with pytest.raises(SdkError) as caught:
        read_settings(project)
    found = {}
    for problem in caught.value.problems:
        table, _, _ = problem.path.rpartition(".")
        _, _, listed = problem.resolution.partition("the known keys are ")
        found[f"[{table}]"] = set(listed.rstrip(".").split(", "))
    return found


def test_every_setting_is_explained(tmp_path: Path) -> None:
    known = known_keys(tmp_path)
    assert len(known) == 3
    for table, keys in known.items():
        told = names("settings.md", f"## `{table}`")
        assert len(told) == len(set(told))
        assert set(told) == keys


def test_every_api_can_be_chosen() -> None:
    (about,) = [
        cells[-1]
        for cells in rows("settings.md", "## `[tool.lls-provider]`")
        if cells[0] == "`api`"
    ]
    assert set(re.findall(r"`([a-z_]+)`", about)) == set(APIS)


def test_every_variable_is_explained() -> None:
    read = {
        name
        for source in (ROOT / "sdk").rglob("*.py")
        for name in re.findall(r"\bLLS_[A-Z_]+[A-Z]\b", source.read_text("utf-8"))
    }
    told = names("settings.md", "## Variables")
    assert {name for name in told if name.startswith("LLS_")} == read


def test_every_name_of_the_bundle_and_the_volume_is_shown() -> None:
    text = (REFERENCE / "bundle.md").read_text("utf-8")
    bundle = paths.BundleTree(Path(paths.IMAGE_ROOT))
    volume = paths.VolumeTree(Path(paths.VOLUME_ROOT))
    for tree in (bundle, volume):
        places = [
            getattr(tree, name)
            for name, value in vars(type(tree)).items()
            if isinstance(value, property)
        ]
        for place in (tree.root, *places):
            assert place.name in text, place


def test_every_key_of_the_manifest_is_explained() -> None:
    assert set(names("bundle.md", "## manifest.json")) == set(load_schema("manifest")["properties"])


def test_every_key_of_a_record_is_explained() -> None:
    record = json.loads(ProviderRecord("acme-echo", "acme/echo:1", "install", 0).dump())
    assert names("bundle.md", "## installed.json") == list(record)


def test_every_label_is_explained() -> None:
    source = Path(bundle_image.__file__).read_text("utf-8")
    written = re.findall(r'f"\{PREFIX\}\.([a-z.-]+)"', source)
    assert written
    assert names("bundle.md", "## Labels") == [f"{bundle_image.PREFIX}.{name}" for name in written]
