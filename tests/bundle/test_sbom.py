"""The SBOM of a bundle: valid for the schema, read alike by the library, the same bytes always."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from cyclonedx.model.bom import Bom
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packageurl import PackageURL

from lls_provider import __version__
from lls_provider.bundle.bundle import Bundle
from lls_provider.bundle.checks.bundle import check_bundle
from lls_provider.bundle.sbom import licences, package_url
from lls_provider.contract.names import SBOM_FILE
from lls_provider.runtime.wheelfile.contents import Headers

if TYPE_CHECKING:
    from lls_provider.bundle.checks.report import Finding

MakeWheel = Callable[..., Path]
MakeBundle = Callable[..., Bundle]


def sbom(bundle: Bundle) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(bundle.tree.sbom.read_text())
    return found


@pytest.fixture
def rich(make_bundle: MakeBundle, make_wheel: MakeWheel) -> Bundle:
    """A provider whose dependencies lead to each other by markers and extras."""
    return make_bundle(
        own=make_wheel(
            "acme-echo",
            files={"acme_echo/__init__.py": ""},
            requires=["dep[fast]>=1", "llama-stack-api", "never; python_version < '3'"],
            fields=["License-Expression: Apache-2.0 OR MIT"],
        ),
        dependencies=[
            make_wheel(
                "dep",
                "1.0+local.1",
                requires=["Quick_One; extra == 'fast'", "slow; extra == 'safe'"],
                fields=["License: BSD-3-Clause"],
            ),
            make_wheel(
                "quick_one",
                "2!3",
                fields=["Classifier: License :: OSI Approved :: MIT License", "License: UNKNOWN"],
            ),
        ],
    )


def test_it_is_valid_for_the_schema(rich: Bundle) -> None:
    text = rich.tree.sbom.read_text()
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None


def test_the_library_reads_what_the_wheels_say(rich: Bundle) -> None:
    bom = Bom.from_json(sbom(rich))  # type: ignore[attr-defined]
    hashes = {
        wheel.name: hashlib.sha256(wheel.read_bytes()).hexdigest()
        for wheel in (*rich.wheels, rich.tree.zipapp)
    }
    found = {
        component.name: (
            component.version,
            str(component.purl),
            [it.content for it in component.hashes],
            sorted(it.value if hasattr(it, "value") else it.name for it in component.licenses),
        )
        for component in bom.components
    }
    assert found == {
        "acme-echo": (
            "1.0.0",
            "pkg:pypi/acme-echo@1.0.0",
            [],
            ["Apache-2.0 OR MIT"],
        ),
        "dep": (
            "1.0+local.1",
            "pkg:pypi/dep@1.0%2Blocal.1",
            [hashes["dep-1.0+local.1-py3-none-any.whl"]],
            ["BSD-3-Clause"],
        ),
        "quick-one": (
            "2!3",
            "pkg:pypi/quick-one@2%213",
            [hashes["quick_one-2!3-py3-none-any.whl"]],
            ["MIT License"],
        ),
        "lls-provider-sdk": (
            __version__,
            f"pkg:pypi/lls-provider-sdk@{__version__}",
            [hashes["lls-provider.pyz"]],
            [],
        ),
    }


def test_dependencies_follow_markers_and_extras(rich: Bundle) -> None:
    document = sbom(rich)
    graph = {it["ref"]: it.get("dependsOn", []) for it in document["dependencies"]}
    assert graph == {
        "acme-echo@1.0.0": ["lls-provider.pyz", "packages/acme-echo"],
        "packages/acme-echo": ["packages/dep"],
        "packages/dep": ["packages/quick-one"],
        "packages/quick-one": [],
        "lls-provider.pyz": [],
    }


def test_what_the_server_provides_is_told_but_is_no_component(rich: Bundle) -> None:
    document = sbom(rich)
    assert "llama-stack-api" not in {it["name"] for it in document["components"]}
    assert document["metadata"]["properties"] == [
        {"name": "io.llamastack.provider.provided", "value": "llama-stack-api==0.7.3"}
    ]
    assert document["compositions"] == [
        {"aggregate": "incomplete", "dependencies": ["packages/acme-echo"]}
    ]


def test_the_libraries_in_the_zipapp_are_listed(rich: Bundle) -> None:
    import packaging
    import yaml

    runtime = sbom(rich)["components"][-1]
    assert {it["purl"] for it in runtime["components"]} == {
        f"pkg:pypi/packaging@{packaging.__version__}",
        f"pkg:pypi/pyyaml@{yaml.__version__}",
    }


def test_equal_bundles_have_equal_sboms_and_others_another_serial_number(
    make_bundle: MakeBundle, make_wheel: MakeWheel
) -> None:
    first, second = make_bundle("a"), make_bundle("b")
    assert first.tree.sbom.read_bytes() == second.tree.sbom.read_bytes()
    other = make_bundle("c", dependencies=[make_wheel("dep", "1.1")])
    assert sbom(first)["serialNumber"] != sbom(other)["serialNumber"]


def test_neither_code_nor_time_of_the_provider_changes_it(
    make_bundle: MakeBundle, make_wheel: MakeWheel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A change of code sends it to no registry again; the manifest has the hash of the code."""
    monkeypatch.delenv("SOURCE_DATE_EPOCH", raising=False)
    before = make_bundle("a")
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    files = {"acme_echo/__init__.py": "", "acme_echo/provider.py": "ANSWER = 43\n"}
    requires = ["dep>=1", "llama-stack-api"]
    after = make_bundle("b", own=make_wheel("acme-echo", files=files, requires=requires))
    assert before.own_wheel.read_bytes() != after.own_wheel.read_bytes()
    assert before.tree.sbom.read_bytes() == after.tree.sbom.read_bytes()
    assert before.manifest is not None
    assert after.manifest is not None
    assert {
        name for name, it in after.manifest.files.items() if before.manifest.files[name] != it
    } == {"packages/acme_echo-1.0.0-py3-none-any.whl"}


@pytest.mark.parametrize("version", ["1.0", "1.0+cu121.x", "1!2.0", "2.0rc1", "1.0.post1"])
def test_package_urls_are_those_of_their_specification(version: str) -> None:
    assert package_url("a-b.c", version) == PackageURL("pypi", None, "a-b.c", version).to_string()


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ("License-Expression: MIT\nLicense: other", [{"expression": "MIT"}]),
        ("License: Apache 2", [{"license": {"name": "Apache 2"}}]),
        # a licence's text where its name should be
        ("License: first line\n  second line", []),
        (f"License: {'x' * 101}\nClassifier: License :: Public Domain", ["Public Domain"]),
        (
            "Classifier: License :: OSI :: B\nClassifier: Topic :: X\nClassifier: License :: A",
            ["A", "B"],
        ),
        ("Name: x", []),
    ],
)
def test_a_licence_is_taken_from_where_it_is_declared_best(
    fields: str, expected: list[Any]
) -> None:
    wanted = [{"license": {"name": it}} if isinstance(it, str) else it for it in expected]
    found = licences(Headers(fields.encode()))
    for it in found:
        told = it if "expression" in it else it["license"]
        assert told.pop("acknowledgement") == "declared"
    assert found == wanted


# --- the rule of check ---


def rule(bundle: Bundle) -> list[Finding]:
    report = check_bundle(bundle.root, label="the-label")
    return [finding for finding in report.findings if finding.rule == "sbom"]


def retold(bundle: Bundle, change: Callable[[dict[str, Any]], object]) -> Bundle:
    """The bundle with an SBOM that says something else, and a manifest that covers it."""
    document = sbom(bundle)
    change(document)
    return rewritten(bundle, json.dumps(document).encode())


def rewritten(bundle: Bundle, data: bytes) -> Bundle:
    bundle.tree.sbom.write_bytes(data)
    manifest = json.loads(bundle.tree.manifest.read_text())
    told = {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data)}
    manifest["files"][SBOM_FILE] = told
    bundle.tree.manifest.write_text(json.dumps(manifest))
    return bundle


def component(document: Mapping[str, Any], name: str) -> dict[str, Any]:
    (found,) = (it for it in document["components"] if it["name"] == name)
    return dict(found)


def test_an_sbom_of_ours_agrees(rich: Bundle) -> None:
    (finding,) = rule(rich)
    assert (finding.level, finding.what) == ("ok", "sbom.cdx.json lists the 3 wheels")


def test_a_bundle_without_one_is_fine(make_bundle: MakeBundle) -> None:
    bundle = make_bundle()
    bundle.tree.sbom.unlink()
    bundle.tree.manifest.unlink()
    assert rule(bundle) == []


def replace_component(name: str, **fields: Any) -> Callable[[dict[str, Any]], object]:
    def change(document: dict[str, Any]) -> None:
        document["components"] = [
            {**it, **fields} if it["name"] == name else it for it in document["components"]
        ]

    return change


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda it: it.pop("components"), "does not list acme_echo-1.0.0-py3-none-any.whl"),
        (replace_component("dep", purl="pkg:pypi/dep@9"), "lists dep 9, the bundle has dep-1.0.0"),
        (
            replace_component("dep", hashes=[{"alg": "SHA-256", "content": "0" * 64}]),
            "lists dep with another SHA-256",
        ),
        (
            lambda it: it["components"].append({"type": "library", "purl": "pkg:pypi/more@1"}),
            "lists more 1, which is not in the bundle",
        ),
        (lambda it: it.update(bomFormat="SPDX"), "not a CycloneDX document: bomFormat"),
        (lambda it: it.update(components={}), "not a CycloneDX document: components"),
    ],
)
def test_one_that_does_not_agree_is_found(
    make_bundle: MakeBundle, change: Callable[[dict[str, Any]], object], said: str
) -> None:
    findings = rule(retold(make_bundle(), change))
    assert findings
    assert said in findings[0].what
    problem = findings[0].problem
    assert problem is not None
    assert problem.where.file == "the-label/sbom.cdx.json"
    assert problem.resolution


@pytest.mark.parametrize("data", [b"", b"[]", b"{", b"\xff", b"[" * 100_000, b'{"a":1,"a":2}'])
def test_one_that_is_none_is_found(make_bundle: MakeBundle, data: bytes) -> None:
    (finding,) = rule(rewritten(make_bundle(), data))
    assert finding.level == "error"


def test_one_of_another_tool_is_judged_by_its_package_urls(make_bundle: MakeBundle) -> None:
    """No hashes, other spellings, qualifiers, and a package that it says is not in it."""
    bundle = make_bundle()
    components = [
        {"type": "library", "name": "x", "purl": "pkg:pypi/Acme_Echo@1.0?file_name=x.whl"},
        {"type": "library", "name": "y", "purl": "pkg:pypi/dep@1.0.0"},
        {"type": "library", "name": "z", "purl": "pkg:pypi/srv@1", "scope": "excluded"},
        {"type": "file", "name": "lls-provider.pyz"},
        {"type": "library", "name": "w", "purl": "pkg:deb/debian/libc6@2.36"},
    ]
    document = {"bomFormat": "CycloneDX", "specVersion": "1.5", "components": components}
    (finding,) = rule(rewritten(bundle, json.dumps(document).encode()))
    assert finding.level == "ok", finding.what
