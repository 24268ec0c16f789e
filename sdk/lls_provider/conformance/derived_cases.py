"""Cases made of the vectors of documents and of conflicts, which know nothing of a command line."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from packaging.utils import canonicalize_name

from lls_provider.conformance.cases import (
    ANY_FAILURE,
    CaseRun,
    ConformanceCase,
    Expectation,
    ExpectedMessage,
    SourceImage,
    completed,
    read_cases,
)
from lls_provider.conformance.vectors import (
    ROLES,
    ConflictImage,
    ConflictVector,
    DocumentVector,
    conflict_vectors,
    document_vectors,
)
from lls_provider.conformance.volume_state import BASE_CONFIG, METADATA, PACKAGES, RUN_YAML
from lls_provider.contract.models import init_container
from lls_provider.contract.names import CRD_CONFIG_FILE, SPEC_FILE

_UNKNOWN = "field-unknown"  # what a reader in a Pod passes over (contract/README.md)


def all_cases(roles: Sequence[str] = ROLES) -> list[ConformanceCase]:
    """The cases of the roles, in the order of the roles."""
    makers = {
        "installer": (_conflict_cases, _metadata_cases),
        "merger": (_crd_config_cases, _base_cases),
        "operator": (_operator_cases,),
        "checker": (_checker_cases,),
    }
    found: list[ConformanceCase] = []
    for role in roles:
        found += read_cases(role)
        for make in makers.get(role, ()):
            found += make()
    return found


def _conflict_cases() -> Iterator[ConformanceCase]:
    for vector in conflict_vectors():
        before: dict[str, str | bytes] = {}
        for text, requires in vector.strangers.items():
            name, version = text.split("==")
            lines = [f"Name: {name}", f"Version: {version}"]
            lines += [f"Requires-Dist: {it}" for it in requires]
            place = f"{PACKAGES}/{name}-{version}.dist-info/METADATA"
            before[place] = "\n".join(lines) + "\n"
        runs = [_conflict_run(vector, it, index) for index, it in enumerate(vector.images)]
        runs[-1] = replace(runs[-1], expect=_conflict_expectation(vector))
        assumes = any(it.provided is not None or it.overrides for it in vector.images)
        requirement = "installer-assumptions" if assumes else "installer-conflicts"
        yield ConformanceCase("installer", vector.file, vector.name, requirement, before, runs)


def _conflict_run(vector: ConflictVector, image: ConflictImage, order: int) -> CaseRun:
    source = SourceImage(
        image.packages,
        provided=image.provided,
        overrides=image.overrides,
        python=vector.python,
        machine=vector.machine,
    )
    return completed(
        CaseRun(provider=image.provider, order=order, python=vector.python, source=source)
    )


def _conflict_expectation(vector: ConflictVector) -> Expectation:
    conflicts = vector.expect.get("conflicts")
    if conflicts is None:
        return Expectation(packages=_versions_after(vector))
    details: list[str] = []
    for conflict in conflicts:
        details.append(conflict["package"])
        details += [conflict[key] for key in ("installed", "new", "provided") if key in conflict]
        for demand in conflict["demands"]:
            details += [demand["wanted"], demand.get("provider", ""), demand.get("requirer", "")]
    message = ExpectedMessage(
        "conflict",
        {
            "providerId": vector.new.provider,
            "image": vector.new.image,
            "initContainerName": init_container(vector.new.provider),
        },
        sorted(set(details) - {""}),
    )
    return Expectation(status=ANY_FAILURE, messages=[message], unchanged=True)


def _versions_after(vector: ConflictVector) -> dict[str, str]:
    """The distributions on the volume, by what the vector says of the last image alone.

    Of the earlier images a vector says no more than that they can be installed: what they bring is
    there unless the volume had it, in a version that satisfies.
    """
    versions: dict[str, str] = {}
    for text in vector.strangers:
        name, version = text.split("==")
        versions[canonicalize_name(name)] = version
    for index, image in enumerate(vector.images):
        last = index == len(vector.images) - 1
        switched = vector.expect.get("replace", []) if last else _switched(vector, index)
        for text in image.packages:
            name, version = text.split("==")
            key = canonicalize_name(name)
            if key not in versions or key in switched:
                versions[key] = version
    return versions


def _switched(vector: ConflictVector, index: int) -> Sequence[str]:
    """What an earlier image replaces: the vectors with several say it by what they keep."""
    keep: Mapping[str, str] = vector.expect.get("keep", {})
    own = [text.split("==") for text in vector.images[index].packages]
    return [canonicalize_name(name) for name, version in own if keep.get(name) == version]


def _metadata_cases() -> Iterator[ConformanceCase]:
    """Metadata that is wrong must be refused, but for keys that are unknown."""
    for vector in document_vectors():
        if vector.schema != "provider-package" or not vector.errors:
            continue
        refused = _refused(vector)
        expect = Expectation(status=ANY_FAILURE, unchanged=True) if refused else Expectation()
        source = SourceImage({"acme-echo==1.2.0": []}, metadata=vector.data)
        run = completed(CaseRun(source=source, python="cp312", expect=expect))
        yield _of_document("installer", vector, "installer-metadata", {}, run)


def _refused(vector: DocumentVector) -> bool:
    return any(error["code"] != _UNKNOWN for error in vector.errors)


_METADATA = b"""\
apiVersion: llamastack.io/v1alpha1
kind: ProviderPackage
metadata: {name: acme-echo, version: 1.2.0, vendor: ACME}
spec:
  packageName: acme_echo
  providerType: remote::acme-echo
  api: inference
  wheelPath: /lls-provider/packages/acme_echo-1.2.0-py3-none-any.whl
"""
_PLACE = f"{METADATA}/acme-echo"


def _crd_config_cases() -> Iterator[ConformanceCase]:
    for vector in document_vectors():
        if vector.schema != "crd-config" or not _refused(vector):
            continue
        before: dict[str, str | bytes] = {
            BASE_CONFIG: "providers: {}\n",
            f"{_PLACE}/{SPEC_FILE}": _METADATA,
            f"{_PLACE}/{CRD_CONFIG_FILE}": vector.data,
        }
        expect = Expectation(status=1, files={RUN_YAML: None})
        yield _of_document("merger", vector, "merger-yaml", before, CaseRun(expect=expect))


def _base_cases() -> Iterator[ConformanceCase]:
    """Each document as the base of a merge without providers: its meaning stays, or it is refused.

    The limits of documents are ours; of those that are too large none is a base here.
    """
    for vector in document_vectors():
        if vector.schema is not None or any(it["code"] == "yaml-limit" for it in vector.errors):
            continue
        before: dict[str, str | bytes] = {BASE_CONFIG: vector.data}
        if vector.errors:
            expect = Expectation(status=1, files={RUN_YAML: None})
        elif isinstance(vector.value, dict):
            expect = Expectation(documents={RUN_YAML: vector.value})
        else:
            continue
        yield _of_document("merger", vector, "merger-yaml", before, CaseRun(expect=expect))


def _operator_cases() -> Iterator[ConformanceCase]:
    places = {"externalproviders-cr": "cr", "provider-file": "provider_file"}
    for vector in document_vectors():
        if vector.schema in places and vector.errors:
            run = CaseRun(
                documents={places[vector.schema]: vector.data},
                expect=Expectation(status=ANY_FAILURE),
            )
            yield _of_document("operator", vector, "operator-refusals", {}, run)


def _checker_cases() -> Iterator[ConformanceCase]:
    for vector in document_vectors():
        if vector.schema == "provider-package" and vector.errors:
            source = SourceImage({"acme-echo==1.2.0": []}, metadata=vector.data)
            run = CaseRun(source=source, expect=Expectation(status=ANY_FAILURE))
            yield _of_document("checker", vector, "image-metadata", {}, run)


def _of_document(
    role: str,
    vector: DocumentVector,
    requirement: str,
    before: Mapping[str, str | bytes],
    run: CaseRun,
) -> ConformanceCase:
    return ConformanceCase(role, vector.file, vector.name, requirement, before, [run])
