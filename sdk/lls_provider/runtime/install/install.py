"""Phase 1: plan, apply, record (contract section 2, decisions 1 to 3 and 9).

Wheels are unpacked into a staging directory of the same volume, which then takes the place of what
was there. The records (zipapp, list of packages, the provider's directory last) are staged first
too, so that a full or failing volume is noticed before anything that is installed is touched.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lls_provider.contract.document import dump, load
from lls_provider.contract.models import CrdConfig, provider_id_problem
from lls_provider.contract.names import APIS, CRD_CONFIG_FILE, SPEC_FILE, BundleTree
from lls_provider.errors import Code, SdkError, Where
from lls_provider.progress import SILENT, Progress, counted, shown_size
from lls_provider.runtime.install.plan import Plan, make_plan
from lls_provider.runtime.install.provider_image import ProviderImage, read_provider_image
from lls_provider.runtime.install.up_to_date import bundle_fingerprint
from lls_provider.runtime.messages import image_error, volume_error
from lls_provider.runtime.process.signals import check_stopped, signals_deferred
from lls_provider.runtime.process.workers import Prefetched, nothing_prefetched, worker_count
from lls_provider.runtime.target_python import parse_python_tag
from lls_provider.runtime.volume.installed import (
    RECORD_FILE,
    InstalledPackage,
    ProviderRecord,
    SlotDecision,
    decide_slot,
    installed_packages_text,
)
from lls_provider.runtime.volume.reconcile import (
    DesiredState,
    desired_state,
    move_tree,
    reconcile,
    recover_interrupted,
    remove_record,
    set_aside,
)
from lls_provider.runtime.volume.volume import (
    Volume,
    make_directory,
    prepare_zipapp,
    publish_zipapp,
    running_zipapp,
    write_file,
)
from lls_provider.runtime.wheelfile.unpack import set_directory_times, set_times, unpack

_BLOCK = 4096


def stage(plan: Plan, volume: Volume, *, workers: int) -> None:
    """Write and verify every file of the plan, without touching what is installed.

    Raises what `unpack` raises.
    """
    staged = volume.staging / "packages"
    make_directory(staged)
    if plan.unpackings:
        unpack(plan.unpackings, staged, workers=workers)
        set_times(f"{staged}/{directory}" for directory in plan.directories)


def swap(plan: Plan, volume: Volume, provider_id: str) -> None:
    """Move what was staged into place; this does not make the provider visible yet.

    If a run ends half-way, `recover_interrupted` undoes it. Raises OSError.
    """
    packages = volume.tree.python_packages
    make_directory(packages)
    set_aside(volume, provider_id, plan.replaced)
    move_tree(volume.staging / "packages", packages)
    set_directory_times(packages, below=bool(plan.replaced))


def check_space(plan: Plan, volume: Volume, *, to_be_freed: int = 0) -> None:
    """Raise SdkError NO_SPACE, with the numbers, when the plan's files do not fit.

    ``to_be_freed`` are bytes that are not free yet but will be.
    """
    state = os.statvfs(volume.tree.external)
    files = plan.file_count + len(plan.directories)
    needed = sum(_blocks(plan)) + _BLOCK * (files - plan.file_count)
    free = state.f_bavail * state.f_frsize
    # a file system that reports no inodes has no limit on them
    room = state.f_favail if state.f_files else None
    if needed <= free + to_be_freed and (room is None or to_be_freed or files <= room):
        return
    available = f"{free:,} bytes are free"
    if room is not None:
        available += f", and room for {counted(room, 'file')}"
    raise SdkError(
        Code.NO_SPACE,
        "Not enough space on the volume",
        why=f"{counted(files, 'file')} of {needed:,} bytes in all are to be written; {available}",
        where=Where(file=str(volume.tree.external)),
        resolution="Raise the sizeLimit of the volume, or free space on the node.",
    )


def _blocks(plan: Plan) -> Iterator[int]:
    for unpacking in plan.unpackings:
        for file in unpacking.files:
            yield -(-file.size // _BLOCK) * _BLOCK


_METADATA = "metadata"
_FILES = (SPEC_FILE, CRD_CONFIG_FILE, RECORD_FILE)  # the record last: a rerun is decided by it


def crd_config_bytes(crd: CrdConfig) -> bytes:
    """The file ``crd-config.yaml``, checked to be readable.

    Raises SdkError YAML_LIMIT if the configuration is larger than the merge would read.
    """
    data = dump(crd.to_document()).encode()
    load(data, CRD_CONFIG_FILE)
    return data


def prepare_record(
    volume: Volume,
    record: ProviderRecord,
    others: Sequence[ProviderRecord],
    *,
    spec: bytes,
    crd_config: bytes,
) -> None:
    """Stage everything that `publish_record` moves into place. Raises OSError."""
    directory = volume.staging / _METADATA / record.provider_id
    make_directory(directory)
    for name, data in zip(_FILES, (spec, crd_config, record.dump()), strict=True):
        write_file(directory / name, data)
    set_directory_times(directory, below=False)
    installed = volume.tree.installed_packages.name
    write_file(volume.staging / installed, installed_packages_text([*others, record]).encode())


def publish_record(volume: Volume, record: ProviderRecord, *, again: bool) -> None:
    """Move what `prepare_record` wrote into place; the last rename makes the provider visible.

    ``again`` means that the provider is visible already and keeps its packages: then its files
    change one by one, the record last, and it is complete at each moment. Raises OSError.
    """
    tree = volume.tree
    publish_zipapp(volume, record.provider_id)
    (volume.staging / tree.installed_packages.name).replace(tree.installed_packages)
    directory = volume.staging / _METADATA / record.provider_id
    shown = volume.providers / record.provider_id
    if again:
        for name in _FILES:
            (directory / name).replace(shown / name)
        set_directory_times(shown, below=False)
    else:
        make_directory(shown.parent)
        volume.discard(shown)  # not a provider's: it has no record
        directory.rename(shown)
    set_directory_times(shown.parent, below=False)
    volume.resume()
    volume.clean_staging()


@dataclass(frozen=True, slots=True)
class InstallRequest:
    """The arguments of the init container; ``arguments`` is their fingerprint, for a rerun."""

    provider_id: str
    api: str
    image: str
    container: str
    source: Path
    root: Path
    order: int | None = None
    config: dict[str, Any] | None = None
    python_tag: str | None = None
    arguments: str = ""


@dataclass(frozen=True, slots=True)
class InstallResult:
    """What was done: the plan, and the record."""

    record: ProviderRecord
    plan: Plan
    updated: bool


def install(
    request: InstallRequest,
    progress: Progress = SILENT,
    *,
    workers: int | None = None,
    ahead: Prefetched = nothing_prefetched,
) -> InstallResult:
    """Install the provider of ``request.source`` into the volume of ``request.root``.

    ``ahead`` returns the wheels that were read ahead (`prefetching`). The umask limits the modes of
    what is written; with 0o002 or less they depend on the wheels alone.

    Raises SdkError USAGE for invalid arguments, else what `read_provider_image`,
    `decide_slot`, `make_plan` and `stage` raise; VOLUME_UNWRITABLE and NO_SPACE for
    what the volume refuses. The provider is visible to merge once this returns, not before.
    """
    check_request(request)
    try:
        return _install(request, progress, workers or worker_count(), ahead)
    except SdkError as error:
        raise error.located(provider=request.provider_id, image=request.image) from error
    except OSError as error:
        raise volume_error(error, "installing the provider").located(
            provider=request.provider_id, image=request.image
        ) from error


def check_request(request: InstallRequest) -> None:
    """Raise SdkError USAGE for invalid arguments (contract section 1)."""
    problem = provider_id_problem(request.provider_id)
    if problem is not None:
        raise _usage(problem, "Give the provider an ID such as acme-echo.")
    if request.api not in APIS:
        raise _usage(f"'{request.api}' is not a server API", f"Use one of: {', '.join(APIS)}.")
    if request.order is not None and request.order < 0:
        raise _usage(
            f"The order {request.order} is negative", "Count the providers of the CR from 0."
        )
    if request.python_tag is not None and parse_python_tag(request.python_tag) is None:
        raise _usage(
            f"'{request.python_tag}' is not a CPython tag",
            "Use a tag such as cp312 for Python 3.12.",
        )
    for name, value in (("image", request.image), ("container", request.container)):
        if not value or any(character.isspace() or ord(character) < 32 for character in value):
            raise _usage(
                f"The {name} {value!r} is empty or contains spaces", f"Give --{name} one word."
            )


def _install(
    request: InstallRequest, progress: Progress, workers: int, ahead: Prefetched
) -> InstallResult:
    progress.step(f"reading the provider image of '{request.provider_id}'")
    tree = BundleTree(request.source)
    try:
        incoming = read_provider_image(
            tree,
            provider_id=request.provider_id,
            api=request.api,
            image=request.image,
            container=request.container,
            python_tag=request.python_tag,
            ahead=ahead,
        )
        bundle = bundle_fingerprint(str(request.source), request.python_tag)
        spec = tree.spec.read_bytes()
    except OSError as error:
        raise image_error(error) from error
    volume = Volume(request.root)
    with volume.locked(progress):
        records = volume.records()
        slot = decide_slot(
            records,
            provider_id=request.provider_id,
            image=request.image,
            container=request.container,
            order=request.order,
            bundle=bundle,
        )
        crd_config = crd_config_bytes(_crd_config(request, slot.order))
        try:
            for dist_info in recover_interrupted(volume, records):
                progress.note(
                    f"removed {dist_info.removesuffix('.dist-info')}: no provider owns it"
                )
            staying = [record for record in records if record not in slot.forget]
            desired = desired_state(volume, staying)
            plan = _plan(request, incoming, slot, desired, progress)
            record = _record(request, incoming, slot, plan, bundle)
            make_directory(volume.staging)
            if slot.same is None:
                zipapp = running_zipapp() or (tree.zipapp if tree.zipapp.is_file() else None)
                record = replace(record, zipapp=prepare_zipapp(volume, staying, zipapp))
            prepare_record(
                volume,
                record,
                [other for other in staying if other is not slot.same],
                spec=spec,
                crd_config=crd_config,
            )
            if _must_drop_first(volume, plan, desired):
                progress.note("no space for the old and the new at once: the old goes first")
                desired = _drop(volume, slot, desired, progress)
                volume.resume()
                check_space(plan, volume)
            stage(plan, volume, workers=workers)
            with signals_deferred():  # signals wait from here on: the rest is quick
                check_stopped()
                _drop(volume, slot, desired, progress)
                if slot.same is None:
                    swap(plan, volume, request.provider_id)
                progress.step("recording the provider")
                publish_record(volume, record, again=slot.same is not None)
        except BaseException:
            # best effort, as the first error matters: the next run recovers in any case
            with contextlib.suppress(OSError, SdkError):
                recover_interrupted(volume, volume.records())
            raise
    return InstallResult(record, plan, bool(slot.forget))


def _plan(
    request: InstallRequest,
    incoming: ProviderImage,
    slot: SlotDecision,
    desired: DesiredState,
    progress: Progress,
) -> Plan:
    if slot.same is not None:
        what = "only the arguments differ"
        if slot.same.arguments == request.arguments:
            what = "so is the provider, with the same arguments"
        progress.note(f"the packages are installed already; {what}")
        return Plan(packages=slot.same.packages, replaced=slot.same.replaced)
    plan = make_plan(incoming, desired.distributions(), desired, request.container)
    for note in plan.notes:
        progress.note(note)
    for warning in plan.warnings:
        progress.warn(warning)
    progress.step(
        f"installing {len(plan.unpackings)} of {counted(len(incoming.wheels), 'package')}: "
        f"{counted(plan.file_count, 'file')}, {shown_size(plan.size)}"
    )
    return plan


def _must_drop_first(volume: Volume, plan: Plan, desired: DesiredState) -> bool:
    """Whether the new files fit only without the old. Raises SdkError NO_SPACE if not even then."""
    try:
        check_space(plan, volume)
    except SdkError:
        to_be_freed = desired.freed()
        if not to_be_freed:
            raise
        check_space(plan, volume, to_be_freed=to_be_freed)
        return True
    return False


def _drop(
    volume: Volume, slot: SlotDecision, desired: DesiredState, progress: Progress
) -> DesiredState:
    """Remove what is in the slot with other content, and what later slots installed."""
    for record in slot.forget:
        if (volume.providers / record.provider_id).exists():
            progress.note(
                f"dropped provider '{record.provider_id}' (order {record.order}): "
                f"slot {slot.order} has other content now"
            )
    remove_record(volume, slot.forget)
    reconcile(volume, desired)
    return desired_state(volume, desired.records)


def _crd_config(request: InstallRequest, order: int) -> CrdConfig:
    return CrdConfig(
        provider_id=request.provider_id,
        api=request.api,
        config=request.config,
        image=request.image,
        init_container_name=request.container,
        order=order,
    )


def _record(
    request: InstallRequest, incoming: ProviderImage, slot: SlotDecision, plan: Plan, bundle: str
) -> ProviderRecord:
    manifest = incoming.manifest
    packages: tuple[InstalledPackage, ...] = plan.packages
    return ProviderRecord(
        provider_id=request.provider_id,
        image=request.image,
        container=request.container,
        order=slot.order,
        bundle=bundle,
        arguments=request.arguments,
        own=incoming.own.name,
        packages=packages,
        replaced=plan.replaced,
        provided=dict(manifest.provided) if manifest is not None else None,
        distributions=manifest.distributions if manifest is not None else (),
        overrides=manifest.overrides if manifest is not None else (),
        zipapp=slot.same.zipapp if slot.same is not None else None,
    )


def _usage(what: str, resolution: str) -> SdkError:
    return SdkError(Code.USAGE, what, resolution=resolution)
