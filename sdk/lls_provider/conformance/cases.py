"""The cases of each role: what is there, what is run, what must be found afterwards.

Most are read from ``contract/vectors/<role>``; others are made of the vectors of documents and of
conflicts, which say nothing of an implementation's command line themselves.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from lls_provider.conformance.vectors import (
    ROLES,
    ConflictImage,
    ConflictVector,
    DocumentVector,
    conflict_vectors,
    document_vectors,
    vector_files,
)
from lls_provider.contract.document import dump
from lls_provider.contract.names import API_VERSION, CRD_CONFIG_FILE, IMAGE_ROOT, SPEC_FILE

ANY_FAILURE = "failure"
"""An exit status that is not 0, where the contract fixes no number."""

UNKNOWN = "field-unknown"  # what a reader in a Pod passes over (contract/README.md)


@dataclass(frozen=True, slots=True)
class ExpectedMessage:
    """A message that must be found in ``stream``: stderr, stdout, log, or termination_log."""

    layout: str
    values: Mapping[str, str] = field(default_factory=dict)
    contains: Sequence[str] = ()
    stream: str = "stderr"


@dataclass(frozen=True, slots=True)
class Expectation:
    """What must hold after a run. Paths are relative to the volume; None and empty say nothing.

    ``packages`` are the distributions in python-packages, all of them. ``documents`` are YAML files
    and their values, ``includes`` some of the keys of such a file, ``lacks`` keys that it must not
    have. ``copies`` are files equal to a file of the image. ``files`` are texts of files, None for
    one that must not exist. ``lines`` are the lines of a file. ``output`` are texts that stdout or
    stderr must have, ``numbers`` numbers that stand in them. ``unchanged`` compares with the time
    before the run, ``as_clean`` with a new volume on which only the named runs were done.
    """

    status: int | str = 0
    packages: Mapping[str, str] | None = None
    documents: Mapping[str, Any] = field(default_factory=dict)
    includes: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    lacks: Mapping[str, Sequence[str]] = field(default_factory=dict)
    copies: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, str | None] = field(default_factory=dict)
    lines: Mapping[str, Sequence[str]] = field(default_factory=dict)
    output: Sequence[str] = ()
    numbers: Sequence[int] = ()
    messages: Sequence[ExpectedMessage] = ()
    no_messages: Sequence[str] = ()  # layouts
    unchanged: bool = False
    as_clean: Sequence[int] = ()
    pod: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class SourceImage:
    """A provider image to be written: wheels, metadata, manifest."""

    packages: Mapping[str, Sequence[str]]
    files: Mapping[str, Mapping[str, str]] = field(default_factory=dict)  # of a package
    tags: Mapping[str, str] = field(default_factory=dict)  # of a package's wheel
    metadata: Mapping[str, Any] | bytes | None = field(default_factory=dict)
    provided: Mapping[str, str] | None = None
    overrides: Sequence[str] = ()
    python: str = "cp312"
    machine: str = "x86_64"
    replaced: Mapping[str, str | None] = field(default_factory=dict)  # files of the image


@dataclass(frozen=True, slots=True)
class CaseRun:
    """One run of the implementation."""

    provider: str = "acme-echo"
    api: str = "inference"
    image: str = ""
    container: str = ""
    order: int = 0
    config: Mapping[str, Any] | None = None
    python: str = ""
    source: SourceImage | None = None
    providers: Mapping[str, Any] | None = None  # of the CR, for an operator
    documents: Mapping[str, bytes] = field(default_factory=dict)  # by placeholder, in place of both
    run_yaml: str = "config/run.yaml"
    expect: Expectation = field(default_factory=Expectation)


@dataclass(frozen=True, slots=True)
class ConformanceCase:
    """One vector for one role. ``before`` are files of the volume."""

    role: str
    file: str
    name: str
    requirement: str
    before: Mapping[str, str | bytes]
    runs: Sequence[CaseRun]

    @property
    def id(self) -> str:
        """The name by which it is selected and reported."""
        return f"{self.role}: {self.file}: {self.name}"

    @property
    def needs(self) -> frozenset[str]:
        """The placeholders without which a command cannot show what is expected."""
        messages = [message.stream for run in self.runs for message in run.expect.messages]
        documents = [name for run in self.runs for name in run.documents]
        return frozenset({*documents, *messages} & {"termination_log", "cr", "provider_file"})


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
        found += _read_cases(role)
        for make in makers.get(role, ()):
            found += make()
    return found


def _read_cases(role: str) -> Iterator[ConformanceCase]:
    """The cases in ``vectors/<role>``; a key that nobody knows raises TypeError."""
    for label, content in vector_files(role):
        for vector in content["vectors"]:
            yield ConformanceCase(
                role,
                label,
                vector["name"],
                vector.get("requirement", content.get("requirement")),
                _before(vector),
                [_run(run, index) for index, run in enumerate(vector["runs"])],
            )


_VECTOR_KEYS = {
    "name", "requirement", "before", "base", "installed", "modules", "run_yaml", "runs",
}  # fmt: skip


def _before(vector: Mapping[str, Any]) -> dict[str, str | bytes]:
    """The files on the volume: those that are named, and those that the short forms stand for."""
    if unknown := set(vector) - _VECTOR_KEYS:
        raise TypeError(f"{vector['name']}: {unknown}")
    files: dict[str, str | bytes] = {}
    for key, path in (("base", "base-config/run.yaml"), ("run_yaml", "config/run.yaml")):
        if key in vector:
            files[path] = vector[key]
    for path, text in vector.get("modules", {}).items():
        files[f"external-providers/python-packages/{path}"] = text
    for entry in vector.get("installed", ()):
        files |= _installed(**entry)
    files.update(vector.get("before", {}))
    return files


def _installed(
    providerId: str,  # noqa: N803 - the contract's names
    api: str = "inference",
    declared: str = "",
    providerType: str = "",  # noqa: N803
    packageName: str = "",  # noqa: N803
    directory: str = "",
    **crd_config: Any,
) -> dict[str, str | bytes]:
    """The directory of a provider that an installer has installed."""
    module = packageName or providerId.replace("-", "_")
    metadata = {
        "apiVersion": API_VERSION,
        "kind": "ProviderPackage",
        "metadata": {"name": providerId, "version": "1.0.0", "vendor": "ACME"},
        "spec": {
            "packageName": module,
            "providerType": providerType or f"remote::{providerId}",
            "api": declared or api,
            "wheelPath": f"{IMAGE_ROOT}/packages/{module}-1.0.0-py3-none-any.whl",
        },
    }
    place = f"external-providers/metadata/{directory or providerId}"
    return {
        f"{place}/{SPEC_FILE}": dump(metadata),
        f"{place}/{CRD_CONFIG_FILE}": dump({"providerId": providerId, "api": api, **crd_config}),
    }


def _run(entry: Mapping[str, Any], order: int) -> CaseRun:
    entry = dict(entry)
    expect = dict(entry.pop("expect", {}))
    expect["messages"] = [ExpectedMessage(**it) for it in expect.get("messages", ())]
    source = entry.pop("source", None)
    run = CaseRun(
        **{"order": order, **entry},
        source=SourceImage(**source) if source is not None else None,
        expect=Expectation(**expect),
    )
    return completed(run)


def completed(run: CaseRun) -> CaseRun:
    """The run with the image and the container that follow from its provider."""
    return replace(
        run,
        image=run.image or f"registry.example.com/{run.provider}:1.0",
        container=run.container or f"install-provider-{run.provider}",
    )


def _conflict_cases() -> Iterator[ConformanceCase]:
    for vector in conflict_vectors():
        before: dict[str, str | bytes] = {}
        for text, requires in vector.strangers.items():
            name, version = text.split("==")
            lines = [f"Name: {name}", f"Version: {version}"]
            lines += [f"Requires-Dist: {it}" for it in requires]
            place = f"external-providers/python-packages/{name}-{version}.dist-info/METADATA"
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
            "initContainerName": f"install-provider-{vector.new.provider}",
        },
        sorted(set(details) - {""}),
    )
    return Expectation(status=ANY_FAILURE, messages=[message], unchanged=True)


def _versions_after(vector: ConflictVector) -> dict[str, str]:
    """The distributions on the volume, by what the vector says of the last image alone.

    Of the earlier images a vector says no more than that they can be installed: what they bring is
    there unless the volume had it, in a version that satisfies.
    """
    from packaging.utils import canonicalize_name

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
    from packaging.utils import canonicalize_name

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
    return any(error["code"] != UNKNOWN for error in vector.errors)


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
_PLACE = "external-providers/metadata/acme-echo"


def _crd_config_cases() -> Iterator[ConformanceCase]:
    for vector in document_vectors():
        if vector.schema != "crd-config" or not _refused(vector):
            continue
        before: dict[str, str | bytes] = {
            "base-config/run.yaml": "providers: {}\n",
            f"{_PLACE}/lls-provider-spec.yaml": _METADATA,
            f"{_PLACE}/crd-config.yaml": vector.data,
        }
        expect = Expectation(status=1, files={"config/run.yaml": None})
        yield _of_document("merger", vector, "merger-yaml", before, CaseRun(expect=expect))


def _base_cases() -> Iterator[ConformanceCase]:
    """Each document as the base of a merge without providers: its meaning stays, or it is refused.

    The limits of documents are ours; of those that are too large none is a base here.
    """
    for vector in document_vectors():
        if vector.schema is not None or any(it["code"] == "yaml-limit" for it in vector.errors):
            continue
        before: dict[str, str | bytes] = {"base-config/run.yaml": vector.data}
        if vector.errors:
            expect = Expectation(status=1, files={"config/run.yaml": None})
        elif isinstance(vector.value, dict):
            expect = Expectation(documents={"config/run.yaml": vector.value})
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
