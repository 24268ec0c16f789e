"""The cases of each role: what is there, what is run, what must be found afterwards.

They are read from ``contract/vectors/<role>``; `derived_cases` makes more of other vectors.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from lls_provider.conformance.vectors import image_of, vector_files
from lls_provider.conformance.volume_state import BASE_CONFIG, METADATA, PACKAGES, RUN_YAML
from lls_provider.contract.document import dump
from lls_provider.contract.models import init_container
from lls_provider.contract.names import API_VERSION, CRD_CONFIG_FILE, IMAGE_ROOT, SPEC_FILE

ANY_FAILURE = "failure"
"""An exit status that is not 0, where the contract fixes no number."""


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
    run_yaml: str = RUN_YAML
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


def read_cases(role: str) -> Iterator[ConformanceCase]:
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
    for key, path in (("base", BASE_CONFIG), ("run_yaml", RUN_YAML)):
        if key in vector:
            files[path] = vector[key]
    for path, text in vector.get("modules", {}).items():
        files[f"{PACKAGES}/{path}"] = text
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
    place = f"{METADATA}/{directory or providerId}"
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
        image=run.image or image_of(run.provider),
        container=run.container or init_container(run.provider),
    )
