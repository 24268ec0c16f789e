"""Distributions that are images: what the server's Python in them sees, and nothing else."""

from __future__ import annotations

import itertools
import json
import re
import tarfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tests.image.transports.registry.fake import FakeRegistry
from tests.recorder import Recorder

from lls_provider.errors import Code, SdkError
from lls_provider.image.inspect.distribution import image_distribution, load_distributions
from lls_provider.image.inspect.file_system import read_filesystem
from lls_provider.image.layer_reader import LayerLimits
from lls_provider.image.transports.layout import read_layout
from lls_provider.image.transports.transport import parse_output
from lls_provider.progress import Silent
from lls_provider.wheels.interpreter import find_interpreter
from lls_provider.wheels.loading import load_distribution
from lls_provider.wheels.uv import run_uv

if TYPE_CHECKING:
    from lls_provider.wheels.distribution import Distribution

MakeLayout = Callable[..., Path]
Members = list[tuple[Any, bytes]]

ROOT = "opt/app-root/lib/python3.12/site-packages"
SYSTEM = "usr/lib/python3/dist-packages"


def package(folder: str, name: str, version: str, text: str = "") -> Members:
    info = f"{folder}/{name.replace('-', '_')}-{version}.dist-info"
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{text}\n"
    return [(f"{info}/METADATA", metadata.encode()), (f"{info}/RECORD", b"")]


def linked(name: str, target: str, kind: bytes = tarfile.SYMTYPE) -> Members:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return [(info, b"")]


@pytest.fixture(scope="session")
def python() -> str:
    return str(find_interpreter(exactly=(3, 12)).path)


@pytest.fixture
def read(make_layout: MakeLayout, python: str) -> Callable[..., Distribution]:
    """The distribution that an image of these layers is."""

    names = (f"layout-{number}" for number in itertools.count())

    def make(
        *layers: Members,
        env: Sequence[str] = (),
        progress: Any = None,
        on: str = python,
    ) -> Distribution:
        layout = make_layout(*layers, config={"Env": list(env)}, compress="gzip", name=next(names))
        return image_distribution(
            read_layout(layout), "oci:x", progress=progress or Silent(), python=on
        )

    return make


def test_the_folder_that_holds_a_server_counts_and_is_named(read: Any) -> None:
    recorder = Recorder()
    found = read(
        [
            *package(SYSTEM, "pydantic", "1.10"),
            *linked("usr/bin/python3", "python3.12"),
            *package(ROOT, "llama-stack", "0.7.3"),
            *package(ROOT, "Pydantic", "2.12.0"),
        ],
        progress=recorder,
    )
    assert found.pins == {"llama-stack": "0.7.3", "pydantic": "2.12.0"}
    assert found.line is not None
    assert found.line.name == "llama-stack"
    assert found.interpreter.minor == (3, 12)
    assert f"2 packages of Python 3.12 in /{ROOT}" in recorder.notes[0]
    assert "1 other environment" in recorder.notes[0]


def test_the_modules_of_its_packages_are_those_of_their_records(read: Any) -> None:
    record = b"corp/__init__.py,,\ncorp/a.py,,\nns/one.py,,\ncorp_sdk-1.4.dist-info/RECORD,,\n"
    found = read(
        [
            *package(ROOT, "ogx", "1.5.0"),
            *package(ROOT, "pyyaml", "6.0"),  # whose RECORD is empty: a profile reports it
            *package(ROOT, "corp-sdk", "1.4")[:1],
            (f"{ROOT}/corp_sdk-1.4.dist-info/RECORD", record),
        ]
    )
    assert found.modules["corp-sdk"] == {"corp", "ns.one"}
    assert found.modules["pyyaml"] == {"yaml", "_yaml"}
    assert found.modules["ogx"] == {"ogx"}


def test_a_record_that_is_a_hard_link_to_nothing_is_an_empty_one(read: Any) -> None:
    found = read(
        [
            *package(ROOT, "ogx", "1.5.0")[:1],
            *linked(f"{ROOT}/ogx-1.5.0.dist-info/RECORD", "etc/shadow", tarfile.LNKTYPE),
        ]
    )
    assert found.modules["ogx"] == {"ogx"}


def test_whiteouts_and_replaced_files_between_layers_count(read: Any) -> None:
    found = read(
        [
            *package(ROOT, "ogx", "1.4.0"),
            *package(ROOT, "gone", "1"),
            *package(ROOT, "kept", "1"),
            *package("opt/app-root/lib/python3.12/old", "x", "1"),
        ],
        [
            (f"{ROOT}/.wh.gone-1.dist-info", b""),
            (f"{ROOT}/ogx-1.4.0.dist-info/.wh..wh..opq", b""),
            *package(ROOT, "ogx", "1.5.0"),
            # in one layer a whiteout speaks of the layers below, whatever the order
            *package(ROOT, "again", "2"),
            (f"{ROOT}/.wh.again-2.dist-info", b""),
        ],
    )
    assert found.pins == {"again": "2", "kept": "1", "ogx": "1.5.0"}


def test_a_folder_that_became_a_file_or_a_link_is_gone(read: Any) -> None:
    found = read(
        [
            *package(ROOT, "ogx", "1.5.0"),
            *package(ROOT, "one", "1"),
            *package("opt/other/lib/python3.12/site-packages", "two", "2"),
        ],
        [(f"{ROOT}/one-1.dist-info", b"now a file"), *linked("opt/other", "app-root")],
    )
    assert found.pins == {"ogx": "1.5.0"}


def test_entries_below_a_link_of_an_earlier_layer_lie_where_it_leads(read: Any) -> None:
    found = read(
        [*linked("opt/app-root/lib64", "lib"), *package(ROOT, "ogx", "1.5.0")],
        [*package("opt/app-root/lib64/python3.12/site-packages", "late", "3")],
    )
    assert found.pins == {"late": "3", "ogx": "1.5.0"}


def test_the_other_name_of_a_file_in_a_cache_is_read(read: Any) -> None:
    cache = "root/.cache/uv/archive-v0/abc"
    info = "ogx-1.5.0.dist-info/METADATA"
    found = read(
        [
            *package(cache, "ogx", "1.5.0"),
            *linked(f"{ROOT}/{info}", f"{cache}/{info}", tarfile.LNKTYPE),
            *package(cache, "dep", "1"),
            *linked(f"{ROOT}/dep-1.dist-info/METADATA", f"/{cache}/dep-1.dist-info/METADATA"),
        ],
        [("root/.wh..wh..opq", b"")],
    )
    assert found.pins["ogx"] == "1.5.0"
    assert "dep" not in found.pins  # its link leads nowhere now


def test_without_a_server_the_first_python_on_path_decides(read: Any) -> None:
    layers = [
        *package("usr/local/lib/python3.12/site-packages", "a", "1"),
        ("usr/local/bin/python3.12", b"\x7fELF"),
        *linked("usr/local/bin/python3", "python3.12"),
        *package(SYSTEM, "b", "2"),
        ("usr/bin/python3.11", b"\x7fELF"),
        *linked("usr/bin/python3", "python3.11"),
        *package("opt/venv/lib/python3.12/site-packages", "c", "3"),
        *linked("opt/venv/bin/python", "/usr/local/bin/python3"),
    ]
    assert read(layers, env=["PATH=/opt/venv/bin:/usr/local/bin:/usr/bin"]).pins == {"c": "3"}
    # without a PATH, the one of every container
    assert read(layers).pins == {"a": "1"}


def test_of_two_servers_the_one_whose_python_path_finds_counts(read: Any) -> None:
    found = read(
        [
            *package("opt/a/lib/python3.12/site-packages", "ogx", "1.4.0"),
            *linked("opt/a/bin/python3", "/usr/bin/python3.12"),
            *package("opt/b/lib/python3.12/site-packages", "ogx", "1.5.0"),
            *linked("opt/b/bin/python3", "/usr/bin/python3.12"),
        ],
        env=["PATH=/opt/b/bin:/opt/a/bin"],
    )
    assert found.pins == {"ogx": "1.5.0"}


def test_what_nothing_decides_is_told_with_every_choice(read: Any) -> None:
    with pytest.raises(SdkError) as caught:
        read(
            [
                *package("opt/a/lib/python3.12/site-packages", "ogx", "1.4.0"),
                *package("opt/b/lib/python3.13/site-packages", "ogx", "1.5.0"),
            ]
        )
    assert caught.value.code is Code.DISTRIBUTION_INVALID
    assert "1 package of Python 3.12 in /opt/a/lib/python3.12/site-packages" in caught.value.why
    assert "1 package of Python 3.13 in /opt/b/lib/python3.13/site-packages" in caught.value.why
    assert "pip freeze" in caught.value.resolution


def test_an_image_without_python_is_told(read: Any) -> None:
    with pytest.raises(SdkError, match="Cannot say which packages") as caught:
        read([("etc/os-release", b"ID=none")])
    assert "No layer has a Python" in caught.value.why


def test_a_virtual_environment_sees_the_system_only_when_it_says_so(read: Any) -> None:
    def layers(told: bytes) -> Members:
        return [
            *package("opt/venv/lib/python3.12/site-packages", "ogx", "1.5.0"),
            ("opt/venv/pyvenv.cfg", b"home = /usr/bin\ninclude-system-site-packages = " + told),
            *package("usr/lib/python3.12/site-packages", "system", "1"),
            *package("usr/local/lib/python3.12/site-packages", "system", "2"),
        ]

    assert read(layers(b"true\n")).pins == {"ogx": "1.5.0", "system": "2"}


def test_a_virtual_environment_is_by_itself(read: Any) -> None:
    found = read(
        [
            *package("opt/venv/lib/python3.12/site-packages", "ogx", "1.5.0"),
            ("opt/venv/pyvenv.cfg", b"home = /usr/bin\ninclude-system-site-packages = false\n"),
            *package("usr/lib/python3.12/site-packages", "system", "1"),
        ]
    )
    assert found.pins == {"ogx": "1.5.0"}


def test_pythonpath_stands_in_front(read: Any) -> None:
    found = read(
        [
            *package(ROOT, "ogx", "1.5.0"),
            *package(ROOT, "dep", "1"),
            *package("srv/extra", "dep", "2"),
        ],
        env=["PYTHONPATH=/srv/extra:/srv/none"],
    )
    assert found.pins == {"dep": "2", "ogx": "1.5.0"}


@pytest.mark.parametrize(
    ("metadata", "name"),
    [
        (b"Name: dep\nVersion: not a version\n", "bad version"),
        (b"Name: dep\n--index-url=http://evil\nVersion: 1\n", "a line that is not a field"),
        (b"Version: 1\n", "no name"),
        (b"Name: dep; import os\nVersion: 1\n", "no package's name"),
        (b"\xff\xfe" * 100, "no text"),
        (b"", "empty"),
    ],
    ids=lambda it: it if isinstance(it, str) else "",
)
def test_what_tells_no_name_and_version_is_passed_over_with_a_warning(
    read: Any, metadata: bytes, name: str
) -> None:
    recorder = Recorder()
    found = read(
        [*package(ROOT, "ogx", "1.5.0"), (f"{ROOT}/dep-1.dist-info/METADATA", metadata)],
        progress=recorder,
    )
    assert set(found.pins) <= {"ogx", "dep"}
    assert all(re.fullmatch(r"[0-9.]+", it) for it in found.pins.values())
    if "dep" not in found.pins:
        assert f"/{ROOT}/dep-1.dist-info/METADATA" in recorder.warnings[0]


def test_of_a_huge_metadata_the_beginning_is_read(read: Any) -> None:
    found = read([*package(ROOT, "ogx", "1.5.0", "\n" + "x" * (5 << 20))])
    assert found.pins == {"ogx": "1.5.0"}


def test_two_versions_in_one_folder_are_told(read: Any) -> None:
    recorder = Recorder()
    found = read(
        [*package(ROOT, "ogx", "1.5.0"), *package(ROOT, "d", "9"), *package(ROOT, "d", "10")],
        progress=recorder,
    )
    assert found.pins["d"] == "10"
    assert "is beside it" in recorder.warnings[0]


def test_paths_that_lead_outside_and_endless_links_name_nothing(read: Any) -> None:
    found = read(
        [
            *package("../../evil/lib/python3.12/site-packages", "ogx", "9"),
            *linked("loop", "loop"),
            *linked("a", "../../../../b"),
            *linked("b", "/a"),
            *package("loop/lib/python3.12/site-packages", "x", "1"),
            *package("/".join(["deep"] * 200), "x", "1"),
            *package(ROOT, "ogx", "1.5.0"),
        ]
    )
    assert found.pins == {"ogx": "1.5.0"}


def test_a_hard_link_to_nothing_is_refused(read: Any) -> None:
    with pytest.raises(SdkError) as caught:
        read([*linked(f"{ROOT}/x-1.dist-info/METADATA", "etc/shadow", tarfile.LNKTYPE)])
    assert caught.value.code is Code.IMAGE_INVALID
    assert "hard link" in caught.value.why


def test_too_many_entries_are_refused(make_layout: MakeLayout) -> None:
    layout = make_layout([(f"f{number}", b"") for number in range(20)])
    with pytest.raises(SdkError, match="cannot be read") as caught:
        read_filesystem(read_layout(layout), limits=LayerLimits(entries=10))
    assert "more than 10 entries" in caught.value.why


def test_another_python_than_the_images_is_refused(read: Any) -> None:
    with pytest.raises(SdkError) as caught:
        read([*package(ROOT, "ogx", "1.5.0")], on="3.11")
    assert caught.value.code is Code.USAGE
    assert "runs on Python 3.12" in caught.value.what


def environment_layer(venv: Path, at: str) -> Members:
    """The files of a real virtual environment as a layer has them."""
    members: Members = []
    for path in sorted(venv.rglob("*")):
        name = f"{at}/{path.relative_to(venv).as_posix()}"
        if path.is_symlink():
            members += linked(name, str(path.readlink()))
        elif path.is_file():
            members.append((name, path.read_bytes()))
    return members


@pytest.fixture(scope="module")
def venv(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A real environment with a few packages that were installed into it."""
    folder = tmp_path_factory.mktemp("real") / "venv"
    python = str(find_interpreter().path)
    run_uv(["venv", "--quiet", "--python", python, str(folder)], doing="making an environment")
    run_uv(
        [
            *("pip", "install", "--quiet", "--python", str(folder / "bin" / "python")),
            *("idna==3.10", "packaging==26.1", "PyYAML==6.0.3"),
        ],
        doing="installing",
    )
    return folder


@pytest.mark.network
def test_it_equals_what_the_environment_itself_says(venv: Path, make_layout: MakeLayout) -> None:
    layout = make_layout(
        environment_layer(venv, "opt/venv"),
        [*package(SYSTEM, "idna", "1"), *linked("usr/bin/python3", "python3.11")],
        config={"Env": ["PATH=/opt/venv/bin:/usr/bin"]},
        compress="gzip",
    )
    (found,) = load_distributions([f"oci:{layout}"])
    told = load_distribution(f"python:{venv}")
    assert found.pins == told.pins
    assert found.modules == told.modules
    assert found.interpreter.minor == told.interpreter.minor


@pytest.mark.parametrize("kind", ["oci", "oci-archive", "docker-archive"])
def test_each_kind_of_file_is_read(kind: str, tmp_path: Path, make_layout: MakeLayout) -> None:
    layout = make_layout([*package(ROOT, "ogx", "1.5.0")])
    named = f"{kind}:{tmp_path / 'copy'}" + (":ogx:1" if kind == "docker-archive" else "")
    parse_output(named).write(read_layout(layout))
    (found,) = load_distributions([named])
    assert found.pins == {"ogx": "1.5.0"}
    assert found.label == named
    assert found.recorded == "ogx==1.5.0"  # an image has no path of the machine it was built on


@pytest.mark.engine
def test_a_registry_is_read(registry: str, make_layout: MakeLayout) -> None:
    named = f"docker://{registry}/distribution:1"
    parse_output(named).write(read_layout(make_layout([*package(ROOT, "ogx", "1.5.0")])))
    (found,) = load_distributions([named])
    assert found.pins == {"ogx": "1.5.0"}


@pytest.mark.engine
def test_a_daemon_is_read(
    docker: Any, monkeypatch: pytest.MonkeyPatch, make_layout: MakeLayout
) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{docker.socket}")
    named = "docker-daemon:example.com/distribution:1"
    parse_output(named).write(read_layout(make_layout([*package(ROOT, "ogx", "1.5.0")])))
    (found,) = load_distributions([named])
    assert found.pins == {"ogx": "1.5.0"}


def test_of_a_remote_image_that_was_read_before_the_manifest_is_all_that_is_asked_for(
    tmp_path: Path, make_layout: MakeLayout, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LLS_PROVIDER_CACHE", str(tmp_path / "cache"))
    content = package(ROOT, "ogx", "1.5.0", "Requires-Dist: pydantic>=2; extra == 'x'")
    with FakeRegistry() as fake:
        named = f"docker://{fake.host}/acme/server:1"
        parse_output(named).write(read_layout(make_layout(content, compress="gzip")))
        (first,) = load_distributions([named])
        for blob in (tmp_path / "cache/blobs/sha256").iterdir():
            if blob.stat().st_size and blob.read_bytes()[:1] != b"{":
                blob.unlink()  # so that the layers would have to be pulled
        fake.seen.clear()
        (second,) = load_distributions([named])
        asked = [it.path for it in fake.seen if it.path != "/v2/"]  # which asks about TLS
        assert asked == ["/v2/acme/server/manifests/1"]
        assert second == first
        assert second.requires == first.requires == {"ogx": ("pydantic>=2; extra == 'x'",)}


@pytest.mark.parametrize("damage", ["", "null", "[]", '{"seen": {}}', "cut", "another version"])
def test_what_was_remembered_and_cannot_be_used_is_looked_for_again(
    tmp_path: Path, make_layout: MakeLayout, monkeypatch: pytest.MonkeyPatch, damage: str
) -> None:
    monkeypatch.setenv("LLS_PROVIDER_CACHE", str(tmp_path / "cache"))
    named = f"oci:{make_layout(package(ROOT, 'ogx', '1.5.0'))}"
    (first,) = load_distributions([named])
    (kept,) = (tmp_path / "cache" / "distributions").iterdir()
    text = kept.read_text()
    made_by = json.loads(text)["made by"]
    kept.write_text(
        {"cut": text[:-9], "another version": text.replace(made_by, "0")}.get(damage, damage)
    )
    assert load_distributions([named]) == (first,)
    assert kept.read_text() == text
