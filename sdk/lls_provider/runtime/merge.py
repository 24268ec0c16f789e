"""Phase 3: merges external providers into the distribution's configuration (contract section 4)."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lls_provider.contract.document import Document, dump, load_file
from lls_provider.contract.limits import CONFIGURATION, document_limits
from lls_provider.contract.models import (
    CrdConfig,
    ProviderPackage,
    external_providers_document,
    provider_entry,
    read_crd_config,
    read_provider_package,
)
from lls_provider.contract.names import CRD_CONFIG_FILE, SPEC_FILE, VolumeTree
from lls_provider.contract.schema import path_text
from lls_provider.errors import Code, SdkError, Step, Where
from lls_provider.progress import SILENT, Progress
from lls_provider.runtime import messages
from lls_provider.runtime.configuration import match_ids
from lls_provider.runtime.messages import volume_error
from lls_provider.system.files import staged_file
from lls_provider.untrusted import escaped, one_line

_TEMPORARY = ".merge-"
_REINSTALL = (
    "Install the provider again, which writes its directory; remove the directory if it is not a "
    "provider's."
)


@dataclass(frozen=True, slots=True)
class ExternalProvider:
    """One provider directory of the volume."""

    metadata: ProviderPackage
    crd: CrdConfig

    def entry(self) -> dict[str, Any]:
        """Its entry in a ``providers`` section."""
        return provider_entry(
            self.crd.provider_id,
            self.metadata.provider_type,
            self.metadata.package_name,
            self.crd.config,
        )


@dataclass(frozen=True, slots=True)
class Merged:
    """What the merge decided, before anything is written."""

    run: dict[str, Any]
    extra: dict[str, Any]
    log: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class MergeResult:
    """The file that the server gets, and the IDs merged into it, in their order."""

    path: Path
    providers: tuple[str, ...] = ()
    warnings: tuple[str, ...] = field(default=())


def merge(
    root: Path,
    *,
    base: Path | None = None,
    output_name: str = "run.yaml",
    progress: Progress = SILENT,
) -> MergeResult:
    """Write ``config/run.yaml``, ``extra-providers.yaml`` and ``merge-log.txt`` below ``root``.

    All three appear by rename, ``run.yaml`` last. Raises SdkError: FILE_MISSING or what
    reading raises for the base and the provider directories, API_MISMATCH,
    PROVIDER_DUPLICATE, FIELD_TYPE for a base of another shape, VOLUME_UNWRITABLE, NO_SPACE.
    """
    tree = VolumeTree(root)
    document = _read_base(base if base is not None else tree.base_config)
    providers = read_providers(tree)
    if not providers:
        progress.note(f"no provider is installed in {tree.external}: the base stays as it is")
    merged = merge_documents(document, providers)
    for warning in merged.warnings:
        progress.warn(warning)
    log = "".join(f"{escaped(line)}\n" for line in merged.log)
    path = tree.config / output_name
    try:
        _write_all(
            tree.config,
            {"merge-log.txt": log, "extra-providers.yaml": dump(merged.extra)},
            (output_name, dump(merged.run)),
        )
    except OSError as error:
        raise volume_error(error, "writing the merged configuration", tree.config) from error
    return MergeResult(path, tuple(p.crd.provider_id for p in providers), merged.warnings)


def read_providers(tree: VolumeTree) -> list[ExternalProvider]:
    """Every provider directory, in the order of the CR.

    Raises SdkError METADATA_MISSING or FILE_MISSING for an incomplete directory, API_MISMATCH
    and PROVIDER_DUPLICATE (contract section 4, decisions 2 and 9).
    """
    try:
        names = sorted(entry.name for entry in os.scandir(tree.metadata) if entry.is_dir())
    except FileNotFoundError:
        names = []
    except OSError as error:
        raise volume_error(error, "reading which providers are installed") from error
    providers = [_read_provider(tree.metadata / name) for name in names if name[0] != "."]
    providers.sort(key=lambda found: (found.crd.order, found.crd.init_container_name))
    seen: dict[str, ExternalProvider] = {}
    for provider in providers:
        other = seen.setdefault(provider.crd.provider_id, provider)
        if other is not provider:
            raise _duplicate(other, provider)
    return providers


def merge_documents(base: Document, providers: Sequence[ExternalProvider]) -> Merged:
    """The configuration with the providers in it, its log and its warnings.

    Raises SdkError FIELD_TYPE when ``providers``, one of its sections or entries, or ``apis`` is
    of another shape than the servers read, FIELD_VALUE for a base whose ``providers`` they drop.
    """
    run: dict[str, Any] = dict(_shaped(base, (), dict, "a mapping"))
    sections: dict[str, Any] = dict(_shaped(base, ("providers",), dict, "a mapping"))
    of_base = {api: _entries(base, api) for api in sections}
    log = [f"Base configuration: {base.source}"]
    warnings = [
        f"The key '{key}' is in several mappings of '<<' with different values "
        f"({place.position}); the first is taken, which PyYAML 6.0.4 would not do: write the key "
        "beside '<<'"
        for key, place in base.disputed
    ]
    extra: dict[str, list[dict[str, Any]]] = {}
    if providers:
        _refuse_routing_table(base)
    for provider in providers:
        api, provider_id = provider.metadata.api, provider.crd.provider_id
        overridden, more = _overrides(provider, of_base.get(api, []))
        warnings += more
        warnings += [
            f"Provider ID '{provider_id}' of API '{api}' is in API '{other}' of the base too; "
            "both are kept, as IDs count for each API alone"
            for other, entries in of_base.items()
            if other != api
            and any(match_ids(found.get("provider_id"), provider_id) for found in entries)
        ]
        kept = [found for found in sections.get(api) or [] if not _is_one_of(found, overridden)]
        sections[api] = [*kept, provider.entry()]
        extra.setdefault(api, []).append(provider.entry())
        log.append(
            f"Added provider '{provider_id}' ({provider.metadata.provider_type}) to API '{api}' "
            f"from image {provider.crd.image or '(unknown)'}"
        )
    if extra:
        run["providers"] = sections
    warnings += [line for api in extra for line in _shared_types(api, sections[api], extra[api])]
    log += _add_apis(base, run, list(extra))
    log += [f"WARNING: {warning}" for warning in warnings]
    return Merged(run, external_providers_document(extra), tuple(log), tuple(warnings))


def _overrides(
    provider: ExternalProvider, entries: Sequence[dict[str, Any]]
) -> tuple[list[dict[str, Any]], list[str]]:
    """The entries of the base that a provider replaces, and a warning for each.

    An entry that has the ID only under a condition, and another ID otherwise, is kept, with a
    warning: under the condition the server uses the last of the two, the external one.
    """
    overridden, warnings = [], []
    for found in entries:
        written = found.get("provider_id")
        same = match_ids(written, provider.crd.provider_id)
        if same is None:
            continue
        if same.alone:
            overridden.append(found)
        warning = messages.override(
            provider.crd.provider_id,
            provider.metadata.api,
            str(found.get("provider_type", "(none)")),
            provider.metadata.provider_type,
        )
        if same.condition and same.alone:
            warning += (
                f"\n  The base provider is there only {same.condition}: {one_line(str(written))}"
            )
        elif same.condition:
            warning += (
                f"\n  Only {same.condition}: {one_line(str(written))}"
                "\n  Both entries are kept; where they have the same ID, the server uses the "
                "external one, which is the last"
            )
        warnings.append(warning)
    return overridden, warnings


def _shared_types(
    api: str, entries: Sequence[dict[str, Any]], external: Sequence[dict[str, Any]]
) -> Iterator[str]:
    """A warning for each type of an external provider that entries with other modules have too.

    A server keeps one spec for each type, that of the last entry with a module; it serves them all.
    """
    for kind in dict.fromkeys(entry["provider_type"] for entry in external):
        same = [entry for entry in entries if entry.get("provider_type") == kind]
        last = next(entry for entry in reversed(same) if entry.get("module"))
        others = [entry for entry in same if entry.get("module") != last["module"]]
        if others:
            served = ", ".join(f"'{one_line(str(it.get('provider_id')))}'" for it in others)
            yield (
                f"Providers of API '{api}' have the same type '{kind}'; a server loads one module "
                f"for it, the last\n  Module: {one_line(str(last['module']))}, of "
                f"'{last['provider_id']}'\n  Served by it too: {served}"
            )


def _is_one_of(entry: object, entries: Sequence[object]) -> bool:
    return any(entry is other for other in entries)


def _add_apis(base: Document, run: dict[str, Any], apis: Sequence[str]) -> list[str]:
    """Complete ``apis`` (decision 4); returns lines for the log.

    An empty list or no list is kept: in llama-stack both mean every API. ogx from 1.5 on reads the
    empty list as no API of a provider, which is then what the base asks for.
    """
    present = list(_shaped(base, ("apis",), list, "a list"))
    if not present:
        if run.get("apis") is None or not apis:
            return []
        line = (
            "The list 'apis' is empty and stays so: llama-stack then serves every API, ogx from "
            "1.5 on none of a provider (remove the key to have all of them served)"
        )
        return [line]
    added = [api for api in apis if api not in present]
    if added:
        run["apis"] = present + added
    return [
        f"Added API '{api}' to the list 'apis': the server ignores its providers otherwise"
        for api in added
    ]


def _refuse_routing_table(base: Document) -> None:
    """Refuse the configuration format of the first servers: ``providers`` is rebuilt from it."""
    if "routing_table" in base.value:
        raise SdkError(
            Code.FIELD_VALUE,
            "The distribution's configuration has a routing_table",
            why="A server makes the section providers of it, and drops what is in providers: "
            "external providers would not be loaded.",
            where=base.where(("routing_table",), key=True),
            resolution="Write the providers of routing_table and provider_map into the section "
            "providers, and remove both keys.",
        )


def _read_base(path: Path) -> Document:
    try:
        return load_file(path, limits=document_limits(CONFIGURATION))
    except SdkError as error:
        if error.code is Code.FILE_MISSING:
            raise SdkError(
                Code.FILE_MISSING,
                "The distribution's configuration is missing",
                where=Where(file=str(path)),
                resolution="Run phase 2 (extract) before the merge, mount a ConfigMap with the "
                "configuration there, or name it with --base.",
            ) from error
        raise


def _read_provider(directory: Path) -> ExternalProvider:
    crd_path, spec_path = directory / CRD_CONFIG_FILE, directory / SPEC_FILE
    if not crd_path.exists():
        raise _incomplete(directory, CRD_CONFIG_FILE, "")
    crd = read_crd_config(crd_path)
    if not spec_path.exists():
        raise _incomplete(directory, SPEC_FILE, crd.image)
    try:
        metadata = read_provider_package(spec_path)
    except SdkError as error:
        raise error.located(provider=crd.provider_id, image=crd.image or None) from error
    if metadata.api != crd.api:
        layout = messages.api_mismatch(crd.provider_id, crd.image, metadata.api, crd.api)
        raise SdkError(
            Code.API_MISMATCH,
            "Provider API type mismatch",
            where=Where(file=str(spec_path), provider=crd.provider_id, image=crd.image),
            resolution=layout.rpartition("Resolution: ")[2],
            layout=layout,
        )
    return ExternalProvider(metadata, crd)


def _incomplete(directory: Path, name: str, image: str) -> SdkError:
    return SdkError(
        Code.METADATA_MISSING,
        f"The provider directory '{directory.name}' has no {name}",
        where=Where(file=str(directory / name), provider=directory.name, image=image or None),
        resolution=_REINSTALL,
    )


def _duplicate(first: ExternalProvider, second: ExternalProvider) -> SdkError:
    provider_id = first.crd.provider_id
    return SdkError(
        Code.PROVIDER_DUPLICATE,
        f"Two external providers have the ID '{provider_id}'",
        why="\n".join(
            f"{found.crd.image or '(unknown image)'} in API '{found.crd.api}' "
            f"(order {found.crd.order})"
            for found in (first, second)
        ),
        where=Where(provider=provider_id),
        resolution="Give each provider of the CR a providerId of its own.",
    )


def _entries(base: Document, api: str) -> list[dict[str, Any]]:
    """The entries of a section of the base."""
    entries = list(_shaped(base, ("providers", api), list, "a list"))
    for index, entry in enumerate(entries):
        if not isinstance(entry, dict):
            raise _wrong_shape(base, ("providers", api, index), "a mapping")
    return entries


def _shaped(base: Document, path: tuple[str, ...], kind: type, noun: str) -> Any:
    """The value at a place of the base; one that is missing or null counts as empty."""
    value = base.value
    for step in path:
        value = value.get(step) if isinstance(value, dict) else None
    if value is None and path:
        return kind()
    if isinstance(value, kind):
        return value
    raise _wrong_shape(base, path, noun)


def _wrong_shape(base: Document, path: tuple[Step, ...], noun: str) -> SdkError:
    name = path_text(path) or "The distribution's configuration"
    return SdkError(
        Code.FIELD_TYPE,
        f"{name} must be {noun}",
        where=base.where(path),
        resolution="Correct the distribution's configuration, or the ConfigMap it comes from.",
    )


def _write_all(directory: Path, texts: dict[str, str], last: tuple[str, str]) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    for rest in directory.glob(f"{_TEMPORARY}*"):  # left by a run that was killed
        rest.unlink(missing_ok=True)
    with contextlib.ExitStack() as stack:
        publishing = []
        for name, text in (*texts.items(), last):
            staged = staged_file(directory / name, mode=0o644, prefix=_TEMPORARY)
            stream, publish = stack.enter_context(staged)
            stream.write(text.encode())
            stream.flush()
            publishing.append(publish)
        for publish in publishing:
            publish()
