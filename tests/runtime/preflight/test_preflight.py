from __future__ import annotations

import importlib.metadata
import os
import struct
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from lls_provider.errors import Code, SdkError
from lls_provider.progress import Silent
from lls_provider.runtime.merge import merge
from lls_provider.runtime.preflight.preflight import failure_layout, preflight
from lls_provider.runtime.preflight.probe_client import ProbeFailure

if TYPE_CHECKING:
    MakeBundle = Callable[..., Path]
    MakeWheel = Callable[..., Path]
    Pod = Any

pytestmark = pytest.mark.slow


class Heard(Silent):
    """A progress that remembers."""

    def __init__(self) -> None:
        self.warnings: list[str] = []
        self.notes: list[str] = []

    def warn(self, text: str, /) -> None:
        self.warnings.append(text)

    def note(self, text: str, /) -> None:
        self.notes.append(text)


def _merge(pod: Pod, base: str = "version: 2\n") -> Path:
    path = Path(pod.root) / "base-config" / "run.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(base)
    return merge(pod.root).path


def _refused(pod: Pod, run_yaml: Path) -> str:
    with pytest.raises(SdkError) as caught:
        preflight(run_yaml, root=pod.root, timeout=20)
    assert caught.value.status == 1
    return caught.value.render()


def test_good_providers_pass_in_one_process(pod: Pod, make_bundle: MakeBundle) -> None:
    pod.install(make_bundle())
    pod.install(make_bundle("acme-guard", api="safety"), "acme-guard", api="safety")
    heard = Heard()
    found = preflight(_merge(pod), root=pod.root, progress=heard)
    assert [provider.provider_id for provider in found] == ["acme-echo", "acme-guard"]
    assert heard.warnings == []


def test_entries_without_a_module_are_the_servers_own(pod: Pod) -> None:
    base = "providers:\n  inference:\n  - provider_id: x\n    provider_type: remote::x\n  safety:\n"
    assert preflight(_merge(pod, base), root=pod.root) == []


def test_a_module_of_the_base_is_checked_without_metadata(pod: Pod) -> None:
    base = (
        "providers:\n  safety:\n  - {provider_id: b, provider_type: 'remote::b', module: gone_b}\n"
    )
    text = _refused(pod, _merge(pod, base))
    assert text.startswith(
        "ERROR: Provider validation failed\n\nProvider: b\nModule: gone_b\n"
        "Reason: No module named 'gone_b'\n\nModuleNotFoundError: "
    )


def test_an_import_failure_shows_image_true_cause_and_the_way_out(
    pod: Pod, make_bundle: MakeBundle
) -> None:
    pod.install(make_bundle(files={"acme_echo/provider.py": "import tqdm_missing\n"}))
    text = _refused(pod, _merge(pod))
    assert text.startswith(
        "ERROR: Provider validation failed\n\nProvider: acme-echo\nModule: acme_echo\n"
        "Reason: No module named 'tqdm_missing'\n\n"
        "Image: registry.example.com/acme-echo:1.0\n"
        "ModuleNotFoundError: No module named 'tqdm_missing'\n"
    )
    assert text.endswith(
        "Resolution: Add 'tqdm_missing' to the dependencies of the provider and build its image "
        "again."
    )


def test_a_spec_without_a_field_has_its_own_layout(pod: Pod, make_bundle: MakeBundle) -> None:
    source = (
        "class S:\n    api = 'inference'\n    provider_type = 'remote::x'\n"
        "def get_provider_spec(): return S()\n"
    )
    pod.install(make_bundle(files={"acme_echo/provider.py": source}))
    text = _refused(pod, _merge(pod))
    assert text.startswith("ERROR: Provider spec validation failed\n\nProvider: acme-echo\n")
    assert "Missing required field: config_class" in text


def test_metadata_that_differs_warns_and_passes(pod: Pod, make_bundle: MakeBundle) -> None:
    source = make_bundle(manifest=False)
    spec = source / "lls-provider-spec.yaml"
    spec.write_text(spec.read_text().replace("remote::acme-echo", "remote::renamed"))
    pod.install(source)
    heard = Heard()
    preflight(_merge(pod), root=pod.root, progress=heard)
    assert len(heard.warnings) == 1
    assert heard.warnings[0].startswith("WARNING: Provider metadata mismatch (non-blocking)\n")
    assert "Using: remote::acme-echo (runtime value)" in heard.warnings[0]
    assert "Match ✓" in heard.warnings[0]


def _elf(machine: int) -> bytes:
    return b"\x7fELF\x02\x01" + bytes(10) + struct.pack("<HH", 3, machine) + bytes(100)


OURS, OTHER = (62, 183) if os.uname().machine == "x86_64" else (183, 62)


def test_native_code_of_another_machine_is_found_before_any_import(
    pod: Pod, make_bundle: MakeBundle, make_wheel: MakeWheel, tmp_path: Path
) -> None:
    witness = tmp_path / "imported"
    source = f"open({str(witness)!r}, 'w')\n"
    wheel = make_wheel("num-by", files={"num_by/_core.so": _elf(OTHER) + b"PyInit__core\0"})
    pod.install(make_bundle(files={"acme_echo/provider.py": source}, dependencies=[wheel]))
    text = _refused(pod, _merge(pod))
    assert "Reason: Native extension architecture mismatch" in text
    assert "Image: registry.example.com/acme-echo:1.0\nPackage: num-by\nExpected" in text
    assert not witness.exists()


def test_libraries_for_several_machines_are_fine_when_ours_is_among_them(
    pod: Pod, make_bundle: MakeBundle, make_wheel: MakeWheel
) -> None:
    files = {"d/attach_a.so": _elf(OURS), "d/attach_b.so": _elf(OTHER), "d/x.so.1": b"text"}
    pod.install(make_bundle(dependencies=[make_wheel("d", files=files)]))
    preflight(_merge(pod), root=pod.root)


def test_a_wheel_for_another_python_is_found(
    pod: Pod, make_bundle: MakeBundle, make_wheel: MakeWheel
) -> None:
    minor = sys.version_info.minor + 1
    machine = os.uname().machine
    wheel = make_wheel("numby", tag=f"cp3{minor}-cp3{minor}-manylinux_2_17_{machine}")
    pod.install(make_bundle(dependencies=[wheel], manifest=False))
    text = _refused(pod, _merge(pod))
    assert "Reason: Python ABI mismatch" in text
    assert "Package: numby" in text


def test_a_wheel_tag_of_another_machine_is_found(
    pod: Pod, make_bundle: MakeBundle, make_wheel: MakeWheel
) -> None:
    wheel = make_wheel("numby", tag="py3-none-manylinux_2_17_s390x")
    pod.install(make_bundle(dependencies=[wheel], manifest=False))
    assert "Found architecture: linux/s390x" in _refused(pod, _merge(pod))


def test_the_servers_python_counts_when_it_is_another(
    pod: Pod, make_bundle: MakeBundle, tmp_path: Path
) -> None:
    pod.install(make_bundle())
    python = tmp_path / "python"
    python.symlink_to(sys.executable)
    assert len(preflight(_merge(pod), root=pod.root, python=python)) == 1
    with pytest.raises(SdkError) as caught:
        preflight(_merge(pod), root=pod.root, python=tmp_path / "none")
    assert caught.value.code is Code.PYTHON_MISSING


def test_nothing_is_written(pod: Pod, make_bundle: MakeBundle) -> None:
    pod.install(make_bundle())
    run_yaml = _merge(pod)
    before = pod.snapshot()
    preflight(run_yaml, root=pod.root)
    assert pod.snapshot() == before


def test_a_configuration_that_is_not_there_is_bad_usage(pod: Pod) -> None:
    with pytest.raises(SdkError) as caught:
        preflight(Path(pod.root) / "none.yaml", root=pod.root)
    assert caught.value.code is Code.USAGE


@pytest.mark.parametrize(
    "text",
    [
        "providers: []\n",
        "providers: {a: text}\n",
        "providers: {a: [{module: m, provider_id: x}]}\n",
        "providers: {a: [ollama]}\n",
        "providers: {a: [{provider_id: x, provider_type: y}, ~]}\n",
        "providers: {a: [[provider_id, x]]}\n",
        "providers: {a: [{module: [m], provider_id: x, provider_type: y}]}\n",
    ],
)
def test_a_configuration_of_another_shape_is_told_with_its_place(
    pod: Pod, tmp_path: Path, text: str
) -> None:
    path = tmp_path / "run.yaml"
    path.write_text(text)
    with pytest.raises(SdkError) as caught:
        preflight(path, root=pod.root)
    assert caught.value.code is Code.FIELD_TYPE
    assert caught.value.where.line == 1


@pytest.mark.parametrize(
    ("failure", "step"),
    [
        (ProbeFailure("import", "r", missing_module="acme.provider"), "spec.packageName"),
        (ProbeFailure("import", "r", missing_module="acme"), "spec.packageName"),
        (ProbeFailure("import", "r", missing_module="ogx_api.x"), "distribution that provides"),
        (ProbeFailure("import", "r", missing_module="a.b"), "Add 'a' to the dependencies"),
        (ProbeFailure("import", "r"), "traceback"),
        (ProbeFailure("no-get-provider-spec", "r"), "Define get_provider_spec()"),
        (ProbeFailure("invalid", "r"), "Correct what get_provider_spec() returns"),
    ],
)
def test_each_failure_has_a_step_to_take(failure: ProbeFailure, step: str) -> None:
    text = failure_layout(failure, "p", "acme", None)
    assert step in text.rpartition("Resolution: ")[2]


def test_what_the_real_server_does_not_have_is_a_warning(
    pod: Pod, make_bundle: MakeBundle, make_wheel: MakeWheel
) -> None:
    """The server is this Python, which has pytest; what the images assumed of it is wrong."""
    image = {"image": "a/b:1"}
    assumed = {"pytest": "0.9", "packaging": "99", "absent": "1"}
    needs = [
        "pytest<1",
        "packaging>=20",
        "absent>=1; python_version >= '3'",
        "dep",
        "no; os_name == 'x'",
    ]
    dep = make_wheel("dep", requires=["packaging>=98", "pluggy"])
    echo = make_bundle(requires=needs, dependencies=[dep], provided={**assumed, "pluggy": "1"})
    pod.install(echo, **image)
    guard = make_bundle(
        "acme-guard", requires=["pytest<1"], overrides=["pytest>=2"], provided={"pytest": "7"}
    )
    pod.install(guard, "acme-guard", **image)
    heard = Heard()
    preflight(_merge(pod), root=pod.root, progress=heard)
    echo_is = "provider 'acme-echo' (image: a/b:1)"
    there = {name: importlib.metadata.version(name) for name in ("pytest", "packaging")}
    assert sorted(it for it in heard.warnings if " needs " in it) == [
        f"{echo_is} needs absent>=1, this distribution has none",
        f"{echo_is} needs packaging>=98 (by dep 1.0), this distribution has {there['packaging']}",
        f"{echo_is} needs pytest<1, this distribution has {there['pytest']}",
    ]


def test_a_python_that_says_more_than_it_is_asked_is_understood(
    pod: Pod, make_bundle: MakeBundle, make_wheel: MakeWheel
) -> None:
    loud = make_wheel("loud", files={"sitecustomize.py": "print('lls-provider packages: [1]')"})
    pod.install(make_bundle(requires=["absent"], provided={"absent": "1"}, dependencies=[loud]))
    heard = Heard()
    preflight(_merge(pod), root=pod.root, progress=heard)
    assert [warning.rpartition("needs ")[2] for warning in heard.warnings] == [
        "absent, this distribution has none"
    ]


HIDDEN = """\
providers:
  inference:
  - {provider_id: "${env.ACME_ID:=acme-echo}", provider_type: "remote::base"}
  - {provider_id: "${env.OTHER}", provider_type: "remote::other"}
"""


@pytest.mark.parametrize(
    ("variables", "hidden"),
    [
        ({}, ["remote::base (provider_id: ${env.ACME_ID:=acme-echo})"]),
        ({"ACME_ID": "mine"}, []),
        ({"ACME_ID": "mine", "OTHER": "acme-echo"}, ["remote::other (provider_id: ${env.OTHER})"]),
    ],
)
def test_of_two_entries_with_one_id_the_one_that_is_not_used_is_told(
    pod: Pod, make_bundle: MakeBundle, variables: dict[str, str], hidden: list[str]
) -> None:
    """Only beside the server is it known what the variables hold."""
    pod.install(make_bundle())
    heard = Heard()
    merged = _merge(pod, HIDDEN)
    preflight(merged, root=pod.root, env={**os.environ, **variables}, progress=heard)
    assert [it.partition("Not used: ")[2] for it in heard.warnings] == hidden
    used = "  Used: remote::acme-echo (provider_id: acme-echo), module acme_echo\n"
    assert all("API 'inference' have the ID 'acme-echo'" in it for it in heard.warnings)
    assert all(used in it for it in heard.warnings)


def test_an_api_that_no_server_loads_is_warned_of(pod: Pod, make_bundle: MakeBundle) -> None:
    pod.install(make_bundle(api="container_runtime"), api="container_runtime")
    pod.install(make_bundle("acme-skill", api="skills"), "acme-skill", api="skills")
    heard = Heard()
    preflight(_merge(pod), root=pod.root, progress=heard)
    assert heard.warnings == [
        (
            "Provider 'acme-echo': ogx 1.5.0 names the API 'container_runtime', but no supported "
            "server can load a provider of it"
        )
    ]


@pytest.mark.parametrize(
    ("written", "variables", "loaded"),
    [
        ("__disabled__", {}, False),
        ("${env.GONE_ID:=__disabled__}", {}, False),
        ("${env.GONE_ID:=__disabled__}", {"GONE_ID": "x"}, True),
        ("${env.GONE_ID:+__disabled__}", {"GONE_ID": "x"}, False),
        ("${env.GONE_ID:+x}", {}, True),  # left out later, when its module is loaded already
        ("gone", {}, True),
    ],
)
def test_an_entry_that_the_server_drops_is_not_loaded(
    pod: Pod, written: str, variables: dict[str, str], loaded: bool
) -> None:
    entry = f'{{provider_id: "{written}", provider_type: "remote::x", module: no_such_module}}'
    path = _merge(pod, f"providers: {{inference: [{entry}]}}\n")
    env = {**os.environ, **variables}
    if not loaded:
        assert preflight(path, root=pod.root, env=env) == []
        return
    with pytest.raises(SdkError) as caught:
        preflight(path, root=pod.root, env=env)
    assert "No module named 'no_such_module'" in caught.value.render()


def test_two_of_the_servers_own_with_one_id_are_its_own_business(pod: Pod) -> None:
    heard = Heard()
    base = HIDDEN.replace("${env.OTHER}", "acme-echo")
    preflight(_merge(pod, base), root=pod.root, progress=heard)
    assert heard.warnings == []


@pytest.mark.parametrize(
    ("server", "apis", "told"),
    [
        ("ogx-1.5.0", "[]", True),
        ("ogx-1.5.1", "[]", True),
        ("ogx-1.4.1", "[]", False),
        ("llama_stack-0.7.3", "[]", False),
        ("ogx-1.5.0", "", False),
        ("ogx-1.5.0", "[inference]", False),
    ],
)
def test_a_server_that_serves_nothing_of_an_empty_list_is_told(
    pod: Pod, make_bundle: MakeBundle, tmp_path: Path, server: str, apis: str, told: bool
) -> None:
    name, _, version = server.partition("-")
    info = tmp_path / "site" / f"{server}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    pod.install(make_bundle())
    heard = Heard()
    merged = _merge(pod, f"apis: {apis}\n")
    env = {**os.environ, "PYTHONPATH": str(tmp_path / "site")}
    preflight(merged, root=pod.root, env=env, progress=heard)
    line = f"The list 'apis' is empty: ogx {version} loads the providers and serves none"
    assert any(it.startswith(line) for it in heard.warnings) == told


def test_images_built_for_different_servers_are_a_warning(
    pod: Pod, make_bundle: MakeBundle
) -> None:
    pod.install(make_bundle(provided={"pydantic": "2.9"}, overrides=["dep<3"]))
    pod.install(make_bundle("acme-guard", provided={"pydantic": "2.10"}), "acme-guard")
    heard = Heard()
    preflight(_merge(pod), root=pod.root, progress=heard)
    assert heard.warnings == [
        (
            "provider 'acme-echo' (image: registry.example.com/acme-echo:1.0) and provider "
            "'acme-guard' (image: registry.example.com/acme-guard:1.0) were built for different "
            "servers\n  pydantic: 2.9 and 2.10"
        )
    ]
    assert "override in use: dep<3 (of provider 'acme-echo')" in heard.notes


def test_a_configuration_that_cannot_be_read_is_told_as_it_is(pod: Pod, tmp_path: Path) -> None:
    with pytest.raises(SdkError) as caught:
        preflight(tmp_path, root=pod.root)
    assert caught.value.code is Code.FILE_UNREADABLE


def test_a_configuration_without_providers_is_fine(pod: Pod, tmp_path: Path) -> None:
    path = tmp_path / "run.yaml"
    for text in ("version: 2\n", "providers:\n", "[]\n"):
        path.write_text(text)
        assert preflight(path, root=pod.root) == []


def test_a_wheel_for_another_c_library_is_found(
    pod: Pod, make_bundle: MakeBundle, make_wheel: MakeWheel
) -> None:
    wheel = make_wheel("numby", tag=f"py3-none-manylinux_2_999_{os.uname().machine}")
    pod.install(make_bundle(dependencies=[wheel], manifest=False))
    text = _refused(pod, _merge(pod))
    assert "Reason: C library mismatch" in text
    assert "Build the provider image for the C library of this distribution (" in text


@pytest.mark.parametrize("answer", ["exit 1", "exit 0"])
def test_a_python_that_does_not_list_its_packages_may_still_load_the_providers(
    pod: Pod, make_bundle: MakeBundle, tmp_path: Path, answer: str
) -> None:
    """What it lacks is not known then, and no warning."""
    pod.install(make_bundle(requires=["absent"], provided={"absent": "1"}))
    python = tmp_path / "python"
    python.write_text(
        "#!/bin/sh\n"
        f'case "$*" in *importlib.metadata.distributions*) {answer};; esac\n'
        f'exec {sys.executable} "$@"\n'
    )
    python.chmod(0o755)
    heard = Heard()
    found = preflight(_merge(pod), root=pod.root, python=python, progress=heard)
    assert [provider.provider_id for provider in found] == ["acme-echo"]
    assert heard.warnings == []


def test_a_package_of_the_server_whose_version_is_none_is_passed_over(
    pod: Pod, make_bundle: MakeBundle, tmp_path: Path
) -> None:
    pod.install(make_bundle(requires=["odd"], provided={"odd": "1"}))
    info = tmp_path / "server" / "odd-1.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: odd\nVersion: as you like\n")
    heard = Heard()
    env = {**os.environ, "PYTHONPATH": str(info.parent)}
    preflight(_merge(pod), root=pod.root, env=env, progress=heard)
    assert [it.rpartition("needs ")[2] for it in heard.warnings] == [
        "odd, this distribution has none"
    ]


def test_what_two_distributions_of_a_provider_need_is_told_once(
    pod: Pod, make_bundle: MakeBundle
) -> None:
    pod.install(make_bundle(requires=["absent", "absent"], provided={"absent": "1"}))
    heard = Heard()
    preflight(_merge(pod), root=pod.root, progress=heard)
    assert len([it for it in heard.warnings if "needs absent" in it]) == 1


def test_the_servers_own_provider_of_an_api_that_nothing_else_loads_is_its_business(
    pod: Pod,
) -> None:
    heard = Heard()
    own = "providers: {container_runtime: [{provider_id: x, provider_type: 'inline::x'}]}\n"
    preflight(_merge(pod, own), root=pod.root, progress=heard)
    assert heard.warnings == []


def test_a_module_that_the_server_has_needs_no_metadata(
    pod: Pod, make_bundle: MakeBundle, tmp_path: Path
) -> None:
    other = make_bundle("acme-own")
    base = (
        "providers:\n  inference:\n"
        "  - {provider_id: own, provider_type: 'remote::acme-own', module: acme_own}\n"
    )
    with zipfile.ZipFile(next((other / "packages").iterdir())) as wheel:
        wheel.extractall(tmp_path / "server")
    env = {**os.environ, "PYTHONPATH": str(tmp_path / "server")}
    heard = Heard()
    (found,) = preflight(_merge(pod, base), root=pod.root, env=env, progress=heard)
    assert found.provider_id == "own"
    assert heard.warnings == []
