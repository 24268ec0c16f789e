"""Checks before deployment whether the installer would install providers together.

The installer's own code (`provider_image`, `installed`, `plan`) reads, plans and refuses the
images, on a virtual volume that behaves like a real one. A file is written, to a scratch directory,
only if the plan reads it.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from lls_provider.bundle.bundle import read_bundle
from lls_provider.bundle.server_constraints import (
    environment_at_hand,
    hiding_error,
    modules_of,
    rejection,
    rejections,
)
from lls_provider.contract.models import init_container
from lls_provider.contract.names import BundleTree
from lls_provider.errors import ExitStatus, SdkError, Where
from lls_provider.runtime.install.conflict import (
    Candidate,
    Conflict,
    Decision,
    Source,
    parse_provided,
    provided_difference,
    shown_versions,
)
from lls_provider.runtime.install.plan import decision_on, make_plan
from lls_provider.runtime.install.provider_image import ProviderImage, read_provider_image
from lls_provider.runtime.install.shadowing import hidden_modules, shadowing_modules
from lls_provider.runtime.volume.installed import ProviderRecord, decide_slot
from lls_provider.runtime.volume.reconcile import InstalledDistribution
from lls_provider.runtime.wheelfile.unpack import Unpacking, unpack
from lls_provider.system.cache import scratch
from lls_provider.wheels.loading import join_closures, shared_versions

if TYPE_CHECKING:
    from packaging.utils import NormalizedName

    from lls_provider.runtime.install.plan import Plan
    from lls_provider.runtime.install.provider_image import ProviderImage
    from lls_provider.runtime.install.shadowing import ServerModules
    from lls_provider.runtime.wheelfile.contents import WheelFile
    from lls_provider.runtime.wheelfile.wheel import Wheel
    from lls_provider.wheels.distribution import Distribution


class VirtualVolume:
    """The files after the planned installations, as `plan.InstalledFiles` requires."""

    def __init__(self, scratch: Path) -> None:
        """``scratch`` is an empty directory, which the caller removes."""
        self._scratch = scratch
        self._sources: list[Source] = []
        self._installed: dict[str, InstalledDistribution] = {}
        self._recorded: dict[str, list[str]] = {}
        self._written: dict[str, tuple[Wheel, WheelFile]] = {}
        self._directories: set[str] = set()
        self._places: dict[Path, int] = {}  # of a wheel's files in the scratch directory

    def install(self, incoming: ProviderImage, plan: Plan) -> None:
        """Treat a plan as carried out."""
        source = incoming.source
        self._sources.append(source)
        for dist_info in plan.replaced:
            self._remove(dist_info)
        for unpacking in plan.unpackings:
            wheel = unpacking.wheel
            candidate = Candidate(wheel.name, wheel.version, wheel.requires, source)
            self._installed[wheel.dist_info] = InstalledDistribution(
                wheel.dist_info, candidate, ours=True
            )
            self._recorded[wheel.dist_info] = _recorded(unpacking)
            self._written.update({file.path: (wheel, file) for file in unpacking.files})
        self._directories = {
            directory for path in self._written for directory in _directories(path)
        }

    def sources(self) -> Sequence[Source]:
        """The installed providers, by slot."""
        return self._sources

    def distributions(self) -> list[InstalledDistribution]:
        """The distributions in python-packages, by name."""
        return sorted(self._installed.values(), key=lambda item: item.candidate.name)

    def top_levels(self) -> set[str]:
        """The names that are directly in python-packages."""
        return {path.partition("/")[0] for path in self._written}

    def files(self, dist_info: str) -> list[str]:
        """What a distribution's RECORD lists."""
        return self._recorded[dist_info]

    def find(self, path: str) -> Path | None:
        """The file or directory at a path relative to python-packages, made on request."""
        if path in self._directories:
            directory = self._scratch / "directorys" / path
            directory.mkdir(parents=True, exist_ok=True)
            return directory
        if path not in self._written:
            return None
        wheel, file = self._written[path]
        place = self._scratch / str(self._places.setdefault(wheel.path, len(self._places)))
        if not (place / path).exists():
            place.mkdir(exist_ok=True)
            unpack([Unpacking(wheel, (file,))], place, workers=1)
        return place / path

    def _remove(self, dist_info: str) -> None:
        del self._installed[dist_info]
        gone = self._recorded.pop(dist_info)
        shared = {path for paths in self._recorded.values() for path in paths}
        for path in gone:
            if path not in shared:
                self._written.pop(path, None)


def _recorded(unpacking: Unpacking) -> list[str]:
    record = unpacking.files[-1]  # a plan writes RECORD last
    return [row[0] for row in csv.reader(io.StringIO(record.content.decode()))]


def _directories(path: str) -> list[str]:
    parts = path.split("/")[:-1]
    return ["/".join(parts[:end]) for end in range(1, len(parts) + 1)]


_SERVER = "the server"


@dataclass(frozen=True, slots=True)
class CompatServer:
    """The server of the providers; of several distributions, what all of them have."""

    label: str
    python_tag: str
    packages: Mapping[str, str]  # versions by name, as a manifest writes them
    modules: tuple[ServerModules, ...] = ()  # of each distribution
    distributions: tuple[Distribution, ...] = ()


class CompatBundle(NamedTuple):
    """A bundle to install; its metadata says ``provider_id`` and ``api`` where they are None."""

    label: str
    root: Path
    provider_id: str | None = None
    api: str | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the installer would do with one target, or why it would refuse it.

    ``rows`` are the packages of the image, each with what the installer would do with it.
    """

    target: str
    provider_id: str
    rows: tuple[ProviderRow, ...] = ()
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    conflicts: tuple[Conflict, ...] = ()
    error: SdkError | None = None

    def to_document(self) -> dict[str, object]:
        """The verdict as plain data, for ``--format json``."""
        return {
            "target": self.target,
            "provider_id": self.provider_id,
            "ok": self.error is None,
            "packages": [row.to_document() for row in self.rows],
            "notes": list(self.notes),
            "warnings": list(self.warnings),
            "conflicts": [_conflict_document(conflict) for conflict in self.conflicts],
            "error": None
            if self.error is None
            else {**self.error.to_document(), "message": self.error.render()},
        }


@dataclass(frozen=True, slots=True)
class ProviderRow:
    """A package of an image: installed, kept (``installed`` stays), or replacing that."""

    name: str
    version: str
    action: str  # ``install``, ``keep`` or ``replace``
    installed: str | None = None

    def to_document(self) -> dict[str, object]:
        """The row as plain data."""
        return {
            "package": self.name,
            "version": self.version,
            "action": self.action,
            "installed": self.installed,
        }


@dataclass(frozen=True, slots=True)
class Compatibility:
    """The verdicts, in the order in which the targets would be installed."""

    verdicts: tuple[Verdict, ...]
    server: str | None = None

    @property
    def status(self) -> ExitStatus:
        """1 if the installer would refuse a target."""
        refused = any(verdict.error is not None for verdict in self.verdicts)
        return ExitStatus.WRONG if refused else ExitStatus.OK

    def to_document(self) -> dict[str, object]:
        """Everything as plain data, for ``--format json``."""
        return {
            "ok": self.status is ExitStatus.OK,
            "distribution": self.server,
            "targets": [verdict.to_document() for verdict in self.verdicts],
        }


def compat_server(distributions: Sequence[Distribution]) -> CompatServer | None:
    """What all of the distributions have; they run on one Python."""
    if not distributions:
        return None
    return CompatServer(
        ", ".join(it.label for it in distributions),
        distributions[0].interpreter.tag,
        join_closures(shared_versions(distributions)),
        tuple(modules_of(it) for it in distributions),
        tuple(environment_at_hand(it) for it in distributions),
    )


def compatibility(
    bundles: Sequence[tuple[str, Path] | CompatBundle],
    server: CompatServer | None = None,
    *,
    python_tag: str | None = None,
) -> Compatibility:
    """Plan the installation of bundles, each with its label and its root, one after the other.

    A refused one is left out when the next ones are planned. With a ``server``, its packages
    replace what images assume. ``python_tag`` is the installer's, by default the server's. Raises
    what `read_bundle` raises for a directory that is not a bundle.
    """
    if python_tag is None and server is not None:
        python_tag = server.python_tag
    with scratch("compat") as directory:
        judge = _Judge(VirtualVolume(directory), server, python_tag)
        verdicts = tuple(judge.verdict(CompatBundle(*it)) for it in bundles)
    return Compatibility(verdicts, server.label if server is not None else None)


class _Judge:
    def __init__(
        self, volume: VirtualVolume, server: CompatServer | None, python_tag: str | None
    ) -> None:
        self._volume = volume
        self._server = server
        self._python_tag = python_tag
        self._records: list[ProviderRecord] = []
        self._count = 0
        self._pythons: dict[str, str] = {}  # tag to the first target that was built for it

    def verdict(self, given: CompatBundle) -> Verdict:
        """The installer's answer for the next image."""
        label, root = given.label, given.root
        bundle = read_bundle(root)
        provider_id = given.provider_id or bundle.provider_id
        verdict = Verdict(label, provider_id)
        container = init_container(provider_id)
        order, self._count = self._count, self._count + 1
        try:
            incoming = read_provider_image(
                BundleTree(root),
                provider_id=provider_id,
                api=given.api or bundle.metadata.api,
                image=label,
                container=container,
                python_tag=self._python_tag,
            )
            decide_slot(
                self._records,
                provider_id=provider_id,
                image=label,
                container=container,
                order=order,
                bundle=str(root),
            )
        except SdkError as error:
            return replace(verdict, error=error)
        incoming, warnings = self._beside_server(incoming)
        refused = self._hiding(incoming) or self._refusal(incoming)
        if refused is not None:
            return replace(verdict, error=refused)
        installed = self._volume.distributions()
        decision = decision_on(incoming, installed)
        try:
            plan = make_plan(incoming, installed, self._volume, container)
        except SdkError as error:
            return replace(verdict, conflicts=decision.conflicts, error=error)
        self._volume.install(incoming, plan)
        self._records.append(ProviderRecord(provider_id, label, container, order))
        old = {item.candidate.name: item.candidate for item in installed}
        return replace(
            verdict,
            rows=tuple(_rows(incoming, decision, old)),
            notes=plan.notes,
            warnings=(*warnings, *self._other_python(label, incoming), *plan.warnings),
        )

    def _hiding(self, incoming: ProviderImage) -> SdkError | None:
        """The error if a module hides one of the server's (contract decision 14)."""
        fronts = [shadowing_modules(wheel) for wheel in incoming.wheels]
        servers = self._server.modules if self._server is not None else ()
        found = [
            it
            for modules in servers
            for it in hidden_modules(fronts, modules, incoming.target.minor)
        ]
        if not found:
            return None
        assert self._server is not None  # noqa: S101 - else nothing was found
        where = Where(provider=incoming.provider_id, image=incoming.image)
        return hiding_error(self._server.label, found, where)

    def _refusal(self, incoming: ProviderImage) -> SdkError | None:
        """The error if a package shadows a server's, which does not accept its version."""
        bundled = {str(wheel.name): str(wheel.version) for wheel in incoming.wheels}
        overrides = [str(it) for found in incoming.source.overrides.values() for it in found]
        for server in self._server.distributions if self._server is not None else ():
            refused = rejections(server, bundled, incoming.target, overrides)
            if refused:
                where = Where(provider=incoming.provider_id, image=incoming.image)
                return rejection(server, bundled, refused, where)
        return None

    def _other_python(self, label: str, incoming: ProviderImage) -> Iterator[str]:
        """Warnings about images for different Pythons, of which a server has only one."""
        if self._python_tag is not None or incoming.manifest is None:
            return
        tag = incoming.target.tag
        for other, first in self._pythons.items():
            if other != tag:
                yield f"it was built for {tag}, {first} for {other}; a server has one Python"
        self._pythons.setdefault(tag, label)

    def _beside_server(self, incoming: ProviderImage) -> tuple[ProviderImage, list[str]]:
        """The image with the server's packages, and the differences from what it assumes."""
        if self._server is None:
            return incoming, []
        packages = parse_provided(self._server.packages)
        found = provided_difference(
            incoming.source, Source(_SERVER, self._server.label, provided=packages)
        )
        lines = []
        if found is not None:
            lines = [
                (
                    f"{incoming.source} was built for a server with other versions than "
                    f"{self._server.label}"
                )
            ]
            lines += [
                f"  {name}: {shown_versions(one)}, it has {shown_versions(two)}"
                for name, one, two in found.packages
            ]
        return replace(incoming, server=packages), ["\n".join(lines)] if lines else []


def _rows(
    incoming: ProviderImage, decision: Decision, old: Mapping[NormalizedName, Candidate]
) -> list[ProviderRow]:
    rows = []
    for wheel in sorted(incoming.wheels, key=lambda wheel: wheel.name):
        action = "install"
        if wheel.name in decision.keep:
            action = "keep"
        elif wheel.name in decision.replace:
            action = "replace"
        before = old.get(wheel.name)
        standing = str(before.version) if before is not None else None
        rows.append(ProviderRow(wheel.name, str(wheel.version), action, standing))
    return rows


def _conflict_document(conflict: Conflict) -> dict[str, object]:
    def shown(version: object) -> str | None:
        return None if version is None else str(version)

    return {
        "package": conflict.name,
        "installed": shown(conflict.installed),
        "new": shown(conflict.new),
        "provided": shown(conflict.provided),
        "demands": [
            {
                "wanted": demand.wanted,
                "requirer": demand.requirer.name,
                "version": str(demand.requirer.version),
                "provider": demand.requirer.source.provider if demand.requirer.source else None,
                "image": demand.requirer.source.image if demand.requirer.source else None,
            }
            for demand in conflict.demands
        ],
    }
