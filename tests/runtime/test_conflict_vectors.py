"""The vectors of contract decision 1, through the rule, a real installation and `compat`."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from lls_provider.bundle.compat import compatibility
from lls_provider.conformance.derived_cases import all_cases
from lls_provider.conformance.vectors import ConflictImage, ConflictVector, conflict_vectors
from lls_provider.errors import Code, SdkError
from lls_provider.runtime.install.conflict import (
    Candidate,
    Conflict,
    Decision,
    Source,
    decide,
    parse_overrides,
    parse_provided,
)
from lls_provider.runtime.target_python import TargetPython, parse_python_tag

if TYPE_CHECKING:
    from lls_provider.conformance.cases import ConformanceCase

MakeBundle = Callable[..., Path]
MakeWheel = Callable[..., Path]
each_vector = pytest.mark.parametrize("vector", conflict_vectors(), ids=str)


def _target(vector: ConflictVector) -> TargetPython:
    minor = parse_python_tag(vector.python)
    assert minor is not None
    return TargetPython(minor, vector.machine)


def _packages(packages: Mapping[str, Sequence[str]], source: Source | None) -> list[Candidate]:
    found = []
    for text, requires in packages.items():
        name, version = text.split("==")
        requirements = tuple(Requirement(requirement) for requirement in requires)
        found.append(Candidate(canonicalize_name(name), Version(version), requirements, source))
    return found


def _source(image: ConflictImage) -> Source:
    return Source(
        image.provider,
        image.image,
        canonicalize_name(image.own.split("==")[0]),
        None if image.provided is None else parse_provided(image.provided),
        parse_overrides(image.overrides),
    )


def _decided(vector: ConflictVector) -> tuple[Decision, dict[str, str]]:
    """The decision on the last image, and the versions that are in the tree after it."""
    environments = _target(vector).environments()
    tree = {item.name: item for item in _packages(vector.strangers, None)}
    decision = Decision()
    for image in vector.images:
        assert not decision.conflicts, "what is installed has been installed"
        new = _packages(image.packages, _source(image))
        decision = decide(list(tree.values()), new, environments)
        chosen = {*decision.install, *decision.replace}
        tree.update({item.name: item for item in new if item.name in chosen})
    return decision, {name: str(item.version) for name, item in tree.items()}


def _document(conflict: Conflict) -> dict[str, Any]:
    """A conflict as the vectors write it: what is None or the provider itself is left out."""
    found: dict[str, Any] = {"package": conflict.name}
    for key in ("installed", "new", "provided"):
        if getattr(conflict, key) is not None:
            found[key] = str(getattr(conflict, key))
    found["demands"] = []
    for demand in conflict.demands:
        entry = {"wanted": demand.wanted}
        if demand.requirer.source is not None:
            entry["provider"] = demand.requirer.source.provider
        if not demand.requirer.is_own:
            entry["requirer"] = demand.requirer.name
        found["demands"].append(entry)
    return found


def test_there_are_enough_vectors_and_each_has_a_name_of_its_own() -> None:
    vectors = conflict_vectors()
    assert len(vectors) >= 40
    assert len({str(vector) for vector in vectors}) == len(vectors)
    outcomes = {key for vector in vectors for key in vector.expect}
    assert outcomes == {"install", "replace", "keep", "conflicts"}


@each_vector
def test_the_rule_decides_as_the_vector_says(vector: ConflictVector) -> None:
    decision, _ = _decided(vector)
    expected = vector.expect
    assert [_document(conflict) for conflict in decision.conflicts] == expected.get("conflicts", [])
    assert list(decision.install) == expected.get("install", [])
    assert list(decision.replace) == expected.get("replace", [])
    assert {name: str(it) for name, it in decision.keep.items()} == expected.get("keep", {})


@functools.cache
def _cases() -> dict[str, ConformanceCase]:
    return {case.id: case for case in all_cases(["installer"])}


@pytest.mark.slow
@each_vector
def test_the_runner_expects_what_the_rule_leaves(vector: ConflictVector) -> None:
    decision, tree = _decided(vector)
    expect = _cases()[f"installer: {vector}"].runs[-1].expect
    assert expect.unchanged == bool(decision.conflicts)
    assert expect.packages == (None if decision.conflicts else tree)


@pytest.fixture
def bundle_of(
    make_bundle: MakeBundle, make_wheel: MakeWheel
) -> Callable[[ConflictVector, ConflictImage], Path]:
    """Makes an image of a vector real: its bundle, with a wheel for each package."""

    def make(vector: ConflictVector, image: ConflictImage) -> Path:
        (own, requires), *rest = image.packages.items()
        name, version = own.split("==")
        target = _target(vector)
        return make_bundle(
            name,
            version=version,
            requires=requires,
            dependencies=[make_wheel(*text.split("=="), requires=needs) for text, needs in rest],
            manifest=image.provided is not None,
            provided=image.provided,
            overrides=image.overrides,
            python_tag=target.tag,
            machine=target.machine,
        )

    return make


def _put_strangers(vector: ConflictVector, packages: Path) -> None:
    for text, requires in vector.strangers.items():
        name, version = text.split("==")
        folder = packages / f"{name}-{version}.dist-info"
        folder.mkdir(parents=True)
        lines = [f"Name: {name}", f"Version: {version}", *(f"Requires-Dist: {r}" for r in requires)]
        (folder / "METADATA").write_text("\n".join(lines) + "\n")


@each_vector
def test_the_installer_does_as_the_vector_says(
    vector: ConflictVector, pod: Any, bundle_of: Callable[[ConflictVector, ConflictImage], Path]
) -> None:
    decision, tree = _decided(vector)
    _put_strangers(vector, pod.packages)
    tag = _target(vector).tag
    for image in vector.installed:
        pod.install(bundle_of(vector, image), image.provider, python_tag=tag)
    before = pod.snapshot() if pod.external.exists() else {}
    new = vector.new
    if decision.conflicts:
        with pytest.raises(SdkError) as caught:
            pod.install(bundle_of(vector, new), new.provider, python_tag=tag)
        assert caught.value.code is Code.DEPENDENCY_CONFLICT
        assert caught.value.why == "\n".join(it.render() for it in decision.conflicts)
        assert pod.snapshot() == before
        return
    pod.install(bundle_of(vector, new), new.provider, python_tag=tag)
    found = {}
    for folder in pod.packages.glob("*.dist-info"):
        name, version = folder.name.removesuffix(".dist-info").split("-")
        found[str(canonicalize_name(name))] = version
    assert found == tree


@pytest.mark.parametrize(
    "vector", [vector for vector in conflict_vectors() if not vector.strangers], ids=str
)
def test_compat_says_what_the_installer_would(
    vector: ConflictVector, bundle_of: Callable[[ConflictVector, ConflictImage], Path]
) -> None:
    decision, _ = _decided(vector)
    bundles = []
    for image in vector.images:
        root = bundle_of(vector, image)
        own = image.own.split("==")[0]
        if own != image.provider:  # a second provider of one package
            spec = root / "lls-provider-spec.yaml"
            spec.write_text(spec.read_text().replace(f"name: {own}", f"name: {image.provider}"))
        bundles.append((image.image, root))
    target = _target(vector)
    *before, last = compatibility(bundles, python_tag=target.tag).verdicts
    assert all(verdict.error is None for verdict in before)
    assert [_document(it) for it in last.conflicts] == [_document(it) for it in decision.conflicts]
    if decision.conflicts:
        assert last.error is not None
        assert last.error.why == "\n".join(it.render() for it in decision.conflicts)
        return
    actions = {
        action: [row.name for row in last.rows if row.action == action]
        for action in ("install", "replace", "keep")
    }
    assert actions == {
        "install": list(decision.install),
        "replace": list(decision.replace),
        "keep": sorted(decision.keep),
    }
