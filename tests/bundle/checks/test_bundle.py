"""Every rule of contract section 1, kept and broken."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from lls_provider.bundle.bundle import Bundle
from lls_provider.bundle.checks.bundle import check_bundle
from lls_provider.errors import Code, ExitStatus

if TYPE_CHECKING:
    from lls_provider.bundle.checks.report import Finding, Report

MakeWheel = Callable[..., Path]
MakeBundle = Callable[..., Bundle]


def check(bundle: Bundle) -> Report:
    return check_bundle(bundle.root, label="the-label")


def one(report: Report, level: str) -> Finding:
    found = [finding for finding in report.findings if finding.level == level]
    assert len(found) == 1, found
    return found[0]


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def by_hand(bundle: Bundle) -> Bundle:
    bundle.tree.manifest.unlink()
    bundle.tree.sbom.unlink()
    return bundle


def retold(bundle: Bundle, **fields: object) -> Bundle:
    """The bundle with another manifest, as some other builder might have written it."""
    path = bundle.tree.manifest
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))
    return bundle


def test_what_we_assemble_keeps_every_rule(make_bundle: MakeBundle) -> None:
    report = check(make_bundle())
    assert [(finding.rule, finding.level) for finding in report.findings] == [
        ("manifest", "ok"),
        ("metadata", "ok"),
        ("fragment", "ok"),
        ("wheel-path", "ok"),
        ("wheels", "ok"),
        ("identity", "ok"),
        ("module", "ok"),
        ("closure", "ok"),
        ("target", "ok"),
        ("shadowing", "ok"),
        ("sbom", "ok"),
    ]
    assert report.status is ExitStatus.OK
    assert json.loads(json.dumps(report.to_document()))["ok"] is True


def test_a_bundle_by_hand_is_fine_with_warnings(make_bundle: MakeBundle) -> None:
    bundle = by_hand(make_bundle())
    bundle.tree.fragment.unlink()
    bundle.tree.zipapp.unlink()
    report = check(bundle)
    assert report.status is ExitStatus.OK
    assert [finding.rule for finding in report.warnings] == ["manifest", "fragment", "closure"]
    assert "llama-stack-api" in report.warnings[2].what


def test_every_mistake_in_the_metadata_is_told_with_its_place(make_bundle: MakeBundle) -> None:
    bundle = by_hand(make_bundle())
    edit(bundle.tree.spec, "api: inference", "api: inferense")
    edit(bundle.tree.spec, "  vendor: Acme\n", "")
    report = check(bundle)
    assert len(report.errors) == 2
    places = set()
    for finding in report.errors:
        assert finding.rule == "metadata"
        assert finding.problem is not None
        places.add(finding.problem.where.position.rpartition(":")[0])
    assert all(place.startswith("the-label/lls-provider-spec.yaml:") for place in places)
    assert report.status is ExitStatus.WRONG


def test_missing_metadata_has_the_contracts_words(make_bundle: MakeBundle) -> None:
    bundle = by_hand(make_bundle())
    bundle.tree.spec.unlink()
    finding = one(check(bundle), "error")
    assert finding.what == "Missing /lls-provider/lls-provider-spec.yaml"


@pytest.mark.parametrize(
    ("version", "overrides", "told"),
    [("2.3.0", (), True), ("1.30.0", (), False), ("2.3.0", ("mcp==2.3.0",), False)],
)
def test_a_package_that_its_server_does_not_run_with_is_named(
    make_bundle: MakeBundle,
    make_wheel: Callable[..., Path],
    version: str,
    overrides: tuple[str, ...],
    told: bool,
) -> None:
    """No released llama-stack says in its metadata that it needs mcp 1."""
    dependencies = [make_wheel("dep"), make_wheel("mcp", version)]
    report = check(make_bundle(dependencies=dependencies, overrides=overrides))
    expected = f"mcp {version} would shadow that of llama-stack==0.7.3, which needs mcp<2"
    assert (expected in json.dumps(report.to_document())) is told
    assert (report.status is ExitStatus.WRONG) is told


def test_advice_is_a_warning(make_bundle: MakeBundle) -> None:
    bundle = by_hand(make_bundle())
    bundle.tree.fragment.unlink()
    edit(bundle.tree.spec, "remote::acme-echo", "remote::acme_echo")
    report = check(bundle)
    assert not report.errors
    assert any("underscore" in finding.what for finding in report.warnings)


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/opt/x.whl", "under /lls-provider"),
        ("/lls-provider/../x.whl", "under /lls-provider"),
        ("/lls-provider/packages/other.whl", "no wheel of the bundle"),
        ("/lls-provider/lls-provider.pyz", "ends in .whl"),
    ],
)
def test_wheel_path_must_name_a_wheel_of_the_bundle(
    make_bundle: MakeBundle, path: str, words: str
) -> None:
    bundle = by_hand(make_bundle())
    edit(
        bundle.tree.spec,
        "wheelPath: /lls-provider/packages/acme_echo-1.0.0-py3-none-any.whl",
        f"wheelPath: {path}",
    )
    finding = one(check(bundle), "error")
    assert words in finding.what
    assert finding.problem is not None
    assert finding.problem.where.line == 12


def test_a_wheel_path_beside_packages_is_never_installed(make_bundle: MakeBundle) -> None:
    bundle = by_hand(make_bundle())
    bundle.own_wheel.rename(bundle.root / bundle.own_wheel.name)
    edit(bundle.tree.spec, "/packages/acme_echo", "/acme_echo")
    assert "outside /lls-provider/packages" in one(check(bundle), "error").what


def test_a_listed_dependency_that_is_not_there_is_a_warning(make_bundle: MakeBundle) -> None:
    bundle = by_hand(make_bundle())
    edit(bundle.tree.spec, "packages/dep-1.0.0", "packages/dep-1.0.1")
    report = check(bundle)
    assert not report.errors
    assert "dependency-wheels" in [finding.rule for finding in report.warnings]


def test_a_fragment_that_disagrees_is_an_error(make_bundle: MakeBundle) -> None:
    bundle = by_hand(make_bundle())
    edit(bundle.tree.fragment, "module: acme_echo", "module: acme_other")
    assert one(check(bundle), "error").rule == "fragment"
    edit(bundle.tree.fragment, "kind: ExternalProviders", "kind: [")
    finding = one(check(bundle), "error")
    assert finding.problem is not None
    assert finding.problem.code is Code.YAML_INVALID


@pytest.mark.parametrize("what", ["changed", "missing", "unlisted"])
def test_files_must_be_what_the_manifest_says(make_bundle: MakeBundle, what: str) -> None:
    bundle = make_bundle()
    if what == "changed":
        bundle.tree.zipapp.write_bytes(b"#!/bin/sh")
    elif what == "missing":
        bundle.tree.zipapp.unlink()
    else:
        (bundle.root / "more.txt").write_text("")
    assert one(check(bundle), "error").rule == "manifest"


def test_a_manifest_that_is_none_is_an_error(make_bundle: MakeBundle) -> None:
    bundle = make_bundle()
    bundle.tree.manifest.write_text('{"format": 2}')
    assert {finding.rule for finding in check(bundle).errors} == {"manifest"}


def test_no_wheel_at_all_is_an_error(make_bundle: MakeBundle) -> None:
    bundle = by_hand(make_bundle())
    for wheel in bundle.wheels:
        wheel.unlink()
    assert [finding.rule for finding in check(bundle).errors] == ["wheel-path", "wheels"]


def test_an_unreadable_wheel_is_told_by_its_name(make_bundle: MakeBundle) -> None:
    bundle = by_hand(make_bundle())
    bundle.dependencies[0].unlink()
    bundle.dependencies[0].write_bytes(b"PK\x05\x06")
    finding = one(check(bundle), "error")
    assert finding.rule == "wheels"
    assert finding.problem is not None
    assert finding.problem.where.file == "the-label/packages/dep-1.0.0-py3-none-any.whl"


def test_two_wheels_of_one_distribution_are_an_error(
    make_bundle: MakeBundle, make_wheel: MakeWheel
) -> None:
    bundle = make_bundle(dependencies=[make_wheel("dep"), make_wheel("dep", "2.0.0")])
    assert "2 wheels of dep" in one(check(bundle), "error").what


def test_another_name_or_version_than_the_wheels_is_a_warning(make_bundle: MakeBundle) -> None:
    bundle = by_hand(make_bundle())
    edit(bundle.tree.spec, "version: '1.0.0'", "version: 1.0.1")
    edit(bundle.tree.spec, "  name: acme-echo", "  name: acme-says")
    bundle.tree.fragment.unlink()
    warnings = [finding for finding in check(bundle).warnings if finding.rule == "identity"]
    assert len(warnings) == 2


def test_an_equal_version_written_otherwise_is_fine(make_bundle: MakeBundle) -> None:
    bundle = by_hand(make_bundle())
    edit(bundle.tree.spec, "'1.0.0'", "'1.0'")
    assert not [finding for finding in check(bundle).warnings if finding.rule == "identity"]


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({"acme_echo/__init__.py": ""}, "has no acme_echo/provider.py"),
        ({"acme_echo/provider.py": "spec = 1\n"}, "no get_provider_spec"),
    ],
)
def test_the_server_must_find_the_spec(
    make_bundle: MakeBundle, make_wheel: MakeWheel, files: dict[str, str], words: str
) -> None:
    own = make_wheel("acme-echo", files=files)
    finding = one(check(make_bundle(own=own)), "error")
    assert finding.rule == "module"
    assert words in finding.what


@pytest.mark.parametrize(
    "source",
    [
        "from .specs import get_provider_spec\n",
        "from .specs import *\n",
        "from .specs import spec as get_provider_spec\n",
        "get_provider_spec = lambda: []\n",
        "try:\n    import x\nexcept ImportError:\n    def get_provider_spec(): ...\n",
        "def __getattr__(name): ...\n",
        "newer syntax than ours may be fine\n",
        pytest.param("x = " + "not " * 20_000 + "1\n", id="nested without end"),
    ],
)
def test_a_spec_function_may_come_about_in_many_ways(
    make_bundle: MakeBundle, make_wheel: MakeWheel, source: str
) -> None:
    own = make_wheel("acme-echo", files={"acme_echo/provider.py": source})
    assert not check(make_bundle(own=own)).errors


def test_a_module_in_another_wheel_is_a_warning(
    make_bundle: MakeBundle, make_wheel: MakeWheel
) -> None:
    own = make_wheel("acme-echo", files={"acme_meta.py": ""}, requires=["acme-code"])
    code = make_wheel("acme-code", files={"acme_echo/provider.py": "get_provider_spec = 1\n"})
    report = check(make_bundle(own=own, dependencies=[code]))
    assert not report.errors
    assert one(report, "warning").rule == "module"


def test_a_requirement_nobody_satisfies_is_told_with_its_requirer(
    make_bundle: MakeBundle, make_wheel: MakeWheel
) -> None:
    needy = make_wheel("dep", requires=["absent>=2", "nested[x]; python_version>='3.12'"])
    nested = make_wheel(
        "nested", requires=["behind-extra; extra == 'x'", "windows-only; sys_platform == 'win32'"]
    )
    never = ["absent; python_version < '3'", "behind-extra; python_version < '3'"]
    bundle = make_bundle(dependencies=[needy, nested], overrides=never)
    assert not check(bundle).errors
    report = check(retold(bundle, overrides=[]))
    whats = [finding.what for finding in report.errors]
    assert len(whats) == 2
    assert "absent" in whats[0]
    assert "dep 1.0.0 needs absent>=2" in whats[0]
    assert "behind-extra" in whats[1]


def test_a_version_that_does_not_fit_is_an_error_unless_overridden(
    make_bundle: MakeBundle, make_wheel: MakeWheel
) -> None:
    own = make_wheel(
        "acme-echo",
        files={"acme_echo/provider.py": "get_provider_spec = 1\n"},
        requires=["dep>=2"],
    )
    bundle = make_bundle(own=own, overrides=["dep>=1"])
    assert not check(bundle).errors
    (closure,) = [it for it in check(bundle).findings if it.rule == "closure"]
    assert closure.what.endswith("; bounds are replaced by dep>=1")
    finding = one(check(retold(bundle, overrides=[])), "error")
    assert finding.rule == "closure"
    assert "the bundle has 1.0.0" in finding.what


def test_a_provided_version_that_does_not_fit_is_an_error(
    make_bundle: MakeBundle, make_wheel: MakeWheel
) -> None:
    needy = make_wheel("dep", requires=["llama-stack-api>=0.8"])
    bundle = make_bundle(dependencies=[needy], provided={"llama-stack-api": "0.8"})
    assert not check(bundle).errors
    finding = one(check(retold(bundle, provided={"llama-stack-api": "0.7.3"})), "error")
    assert "assumed to provide 0.7.3" in finding.what


@pytest.mark.parametrize(
    "tag", ["cp311-cp311-manylinux_2_28_x86_64", "cp312-cp312-manylinux_2_28_aarch64"]
)
def test_a_wheel_for_another_target_is_an_error(
    make_bundle: MakeBundle, make_wheel: MakeWheel, tag: str
) -> None:
    finding = one(check(make_bundle(dependencies=[make_wheel("dep", tag=tag)])), "error")
    assert finding.rule == "target"
    assert tag in finding.what


def test_a_wheel_for_another_python_is_an_error(
    make_bundle: MakeBundle, make_wheel: MakeWheel
) -> None:
    old = make_wheel("dep", fields=["Requires-Python: <3.12"])
    assert (
        "found Requires-Python: <3.12" in one(check(make_bundle(dependencies=[old])), "error").what
    )
    patch = make_wheel("dep", fields=["Requires-Python: >=3.12.4"])
    assert not check(make_bundle(dependencies=[patch])).errors


@pytest.mark.parametrize(
    ("name", "module", "whose"),
    [
        ("dep", "json/__init__.py", "the standard library's"),
        ("uuid", "uuid.py", "the standard library's"),
        ("dep", "yaml.py", "that of the server's pyyaml 6.0.3"),
        ("dep", "yaml/__init__.py", "that of the server's pyyaml 6.0.3"),
        ("fork", "google/protobuf/__init__.py", "that of the server's protobuf 6.1"),
        ("dep", "google/__init__.py", "that of the server's googleapis-common-protos "),
    ],
)
def test_a_module_that_hides_the_servers_is_an_error(
    make_bundle: MakeBundle, make_wheel: MakeWheel, name: str, module: str, whose: str
) -> None:
    wheel = make_wheel(name, files={module: "x = 1"})
    provided = {"llama-stack-api": "0.7.3", "pyyaml": "6.0.3", "protobuf": "6.1"}
    needed = [] if name == "dep" else [make_wheel("dep")]
    bundle = make_bundle(dependencies=[wheel, *needed], provided=provided)
    finding = next(it for it in check(bundle).errors if it.rule == "shadowing")
    dotted = module.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
    assert finding.what.startswith(f"{name} 1.0.0 puts '{dotted}' in front of {whose}")
    assert finding.problem is not None
    assert finding.problem.code is Code.MODULE_HIDDEN
    assert finding.problem.resolution.startswith("Rename the module, or leave the package out")
    assert not [it for it in check(bundle).warnings if it.rule == "shadowing"]


def test_all_modules_of_a_known_server_are_known(
    make_bundle: MakeBundle, make_wheel: MakeWheel
) -> None:
    """An image records of its server's packages only those that it relies on."""
    wheel = make_wheel("dep", files={"fastapi/__init__.py": "x = 1"})
    finding = one(check(make_bundle(dependencies=[wheel])), "error")
    assert finding.what.startswith("dep 1.0.0 puts 'fastapi' in front of that of the server's fast")


def test_a_top_level_test_package_is_a_warning(
    make_bundle: MakeBundle, make_wheel: MakeWheel
) -> None:
    wheel = make_wheel("dep", files={"dep/__init__.py": "", "test/__init__.py": ""})
    assert one(check(make_bundle(dependencies=[wheel])), "warning").rule == "shadowing"


def test_shadowing_the_server_is_an_error(make_bundle: MakeBundle, make_wheel: MakeWheel) -> None:
    wheel = make_wheel("dep", files={"dep/__init__.py": "", "llama_stack_api/__init__.py": ""})
    finding = one(check(make_bundle(dependencies=[wheel])), "error")
    assert finding.rule == "shadowing"
    assert "in front of that of the server's llama-stack-api 0.7.3" in finding.what


def elf(machine: int) -> bytes:
    return (
        b"\x7fELF\x02\x01\x01" + bytes(9) + b"\x03\x00" + machine.to_bytes(2, "little") + bytes(44)
    )


X86, ARM = elf(62), elf(183)


@pytest.mark.parametrize(
    ("files", "fits"),
    [
        ({"dep/_x.abi3.so": X86}, True),
        ({"dep/_x.abi3.so": ARM}, False),
        ({"dep/_x.cpython-312-x86_64-linux-gnu.so": ARM, "dep/other.so": X86}, False),
        ({"dep/lib/arm/libx.so.1": ARM, "dep/lib/x86/libx.so.1": X86}, True),
        ({"dep/lib/arm/libx.so.1": ARM}, True),  # for any machine: need not be loaded
        ({"dep/text.so": b"INPUT(libx.so.1)"}, True),
    ],
)
def test_native_code_is_for_the_target(
    make_bundle: MakeBundle, make_wheel: MakeWheel, files: dict[str, bytes], fits: bool
) -> None:
    errors = check(make_bundle(dependencies=[make_wheel("dep", files=files)])).errors
    assert [finding.rule for finding in errors] == ([] if fits else ["target"])
    assert fits or "linux/arm64" in errors[0].what


def test_a_spec_that_names_an_absent_module_is_a_warning(
    make_bundle: MakeBundle, make_wheel: MakeWheel
) -> None:
    own = make_wheel(
        "acme-echo",
        files={
            "acme_echo/provider.py": "def get_provider_spec():\n"
            "    return RemoteProviderSpec(api='x', adapter_type='y', module='echo_adapter')\n"
        },
    )
    finding = one(check(make_bundle(own=own)), "warning")
    assert finding.rule == "spec-module"
    assert "echo_adapter" in finding.what
