"""Phase 1: plan, apply, record (contract section 2, decisions 1 to 3 and 9)."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lls_provider.contract.apis import APIS
from lls_provider.contract.models import CrdConfig, provider_id_problem
from lls_provider.contract.paths import BundleTree
from lls_provider.errors import Code, SdkError
from lls_provider.progress import SILENT, Progress, counted, shown_size
from lls_provider.runtime.apply import check_space, stage, swap
from lls_provider.runtime.carry import prepare_zipapp, running_zipapp
from lls_provider.runtime.errnos import image_error, volume_error
from lls_provider.runtime.incoming import Incoming, read_incoming
from lls_provider.runtime.outlook import Outlook, look_ahead
from lls_provider.runtime.plan import Plan, make_plan
from lls_provider.runtime.publish import crd_config_bytes, prepare, publish
from lls_provider.runtime.readahead import Ahead, nothing_ahead
from lls_provider.runtime.record import InstalledPackage, ProviderRecord
from lls_provider.runtime.rerun import bundle_fingerprint
from lls_provider.runtime.settle import forget, recover, settle
from lls_provider.runtime.signals import check_stopped, held_back
from lls_provider.runtime.slots import SlotDecision, decide_slot
from lls_provider.runtime.target import parse_python_tag
from lls_provider.runtime.volume import Volume, make_folder
from lls_provider.runtime.workers import worker_count


@dataclass(frozen=True, slots=True)
class InstallRequest:
    """What the init container was told. ``arguments`` is their fingerprint, for the rerun."""

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
    """What was done: the packages written, those kept from before, and the record."""

    record: ProviderRecord
    plan: Plan
    updated: bool


def install(
    request: InstallRequest,
    progress: Progress = SILENT,
    *,
    workers: int | None = None,
    ahead: Ahead = nothing_ahead,
) -> InstallResult:
    """Install the provider of ``request.source`` into the volume of ``request.root``.

    ``ahead`` gives what `readahead` has read of its wheels.

    Raises SdkError USAGE for arguments that cannot be, else what `read_incoming`,
    `decide_slot`, `make_plan` and `stage` raise; VOLUME_UNWRITABLE and NO_SPACE for
    what the volume refuses. The provider is visible to merge when this returned, not before.
    """
    check_request(request)
    try:
        with _fixed_umask():
            return _install(request, progress, workers or worker_count(), ahead)
    except SdkError as error:
        raise error.located(provider=request.provider_id, image=request.image) from error
    except OSError as error:
        raise volume_error(error, "installing the provider").located(
            provider=request.provider_id, image=request.image
        ) from error


def check_request(request: InstallRequest) -> None:
    """Raise SdkError USAGE for arguments that cannot be (contract section 1)."""
    problem = provider_id_problem(request.provider_id)
    if problem is not None:
        raise _usage(problem, "Give the provider an ID such as acme-echo.")
    if request.api not in APIS:
        raise _usage(f"'{request.api}' is no server API", f"Use one of: {', '.join(APIS)}.")
    if request.order is not None and request.order < 0:
        raise _usage(
            f"The order {request.order} is negative", "Count the providers of the CR from 0."
        )
    if request.python_tag is not None and parse_python_tag(request.python_tag) is None:
        raise _usage(
            f"'{request.python_tag}' is no CPython tag", "Use a tag such as cp312 for Python 3.12."
        )
    for name, value in (("image", request.image), ("container", request.container)):
        if not value or any(character.isspace() or ord(character) < 32 for character in value):
            raise _usage(
                f"The {name} {value!r} is empty or holds blanks", f"Give --{name} one word."
            )


def _install(
    request: InstallRequest, progress: Progress, workers: int, ahead: Ahead
) -> InstallResult:
    progress.step(f"reading the provider image of '{request.provider_id}'")
    tree = BundleTree(request.source)
    try:
        incoming = read_incoming(
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
            for dist_info in recover(volume, records):
                progress.note(f"removed {dist_info.removesuffix('.dist-info')}: nobody claims it")
            staying = [record for record in records if record not in slot.forget]
            outlook = look_ahead(volume, staying)
            plan = _plan(request, incoming, slot, outlook, progress)
            record = _record(request, incoming, slot, plan, bundle)
            make_folder(volume.staging)
            if slot.same is None:
                zipapp = running_zipapp() or (tree.zipapp if tree.zipapp.is_file() else None)
                record = replace(record, zipapp=prepare_zipapp(volume, staying, zipapp))
            prepare(
                volume,
                record,
                [other for other in staying if other is not slot.same],
                spec=spec,
                crd_config=crd_config,
            )
            if _must_drop_first(volume, plan, outlook):
                progress.note("no space for the old and the new at once: the old goes first")
                outlook = _drop(volume, slot, outlook, progress)
                volume.resume()
                check_space(plan, volume)
            stage(plan, volume, workers=workers)
            with held_back():  # from here on a signal waits: it is done in a moment
                check_stopped()
                _drop(volume, slot, outlook, progress)
                if slot.same is None:
                    swap(plan, volume, request.provider_id)
                progress.step("recording the provider")
                publish(volume, record, again=slot.same is not None)
        except BaseException:
            # best effort, the error that led here counts: the next run does it for sure
            with contextlib.suppress(OSError, SdkError):
                recover(volume, volume.records())
            raise
    return InstallResult(record, plan, bool(slot.forget))


def _plan(
    request: InstallRequest,
    incoming: Incoming,
    slot: SlotDecision,
    outlook: Outlook,
    progress: Progress,
) -> Plan:
    if slot.same is not None:
        what = "only the arguments differ"
        if slot.same.arguments == request.arguments:
            what = "so is the provider, with the same arguments"
        progress.note(f"the packages are installed already; {what}")
        return Plan(packages=slot.same.packages, replaced=slot.same.replaced)
    plan = make_plan(incoming, outlook.distributions(), outlook, request.container)
    for note in plan.notes:
        progress.note(note)
    for warning in plan.warnings:
        progress.warn(warning)
    progress.step(
        f"installing {len(plan.unpackings)} of {counted(len(incoming.wheels), 'package')}: "
        f"{counted(plan.file_count, 'file')}, {shown_size(plan.size)}"
    )
    return plan


def _must_drop_first(volume: Volume, plan: Plan, outlook: Outlook) -> bool:
    """Whether the new fits only where the old was. Raises SdkError NO_SPACE when not even then."""
    try:
        check_space(plan, volume)
    except SdkError:
        to_be_freed = outlook.freed()
        if not to_be_freed:
            raise
        check_space(plan, volume, to_be_freed=to_be_freed)
        return True
    return False


def _drop(volume: Volume, slot: SlotDecision, outlook: Outlook, progress: Progress) -> Outlook:
    """Take off the volume what stands in the slot with other content, and what later slots put."""
    for record in slot.forget:
        if (volume.providers / record.provider_id).exists():
            progress.note(
                f"dropped provider '{record.provider_id}' (order {record.order}): "
                f"slot {slot.order} has other content now"
            )
    forget(volume, slot.forget)
    settle(volume, outlook)
    return look_ahead(volume, outlook.records)


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
    request: InstallRequest, incoming: Incoming, slot: SlotDecision, plan: Plan, bundle: str
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


@contextlib.contextmanager
def _fixed_umask() -> Iterator[None]:
    """Modes do not depend on who runs the container: folders stay writable for its group."""
    before = os.umask(0o002)
    try:
        yield
    finally:
        os.umask(before)


def _usage(what: str, resolution: str) -> SdkError:
    return SdkError(Code.USAGE, what, resolution=resolution)
