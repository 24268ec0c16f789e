"""A volume in mind: what would stand on it after installations that nobody has made.

It answers the installer's planning as a real volume does. A file is written, to a scratch
folder, only when the plan wants to look at it.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lls_provider.runtime.conflict import Candidate, Source
from lls_provider.runtime.outlook import InstalledDistribution
from lls_provider.runtime.unpack import Unpacking, unpack

if TYPE_CHECKING:
    from lls_provider.runtime.contents import WheelFile
    from lls_provider.runtime.incoming import Incoming
    from lls_provider.runtime.plan import Plan
    from lls_provider.runtime.wheel import Wheel


class ImaginedVolume:
    """What planned installations leave; `runtime.layout.Standing` in mind."""

    def __init__(self, scratch: Path) -> None:
        """``scratch`` is an empty folder, which the caller removes."""
        self._scratch = scratch
        self._sources: list[Source] = []
        self._installed: dict[str, InstalledDistribution] = {}
        self._recorded: dict[str, list[str]] = {}
        self._written: dict[str, tuple[Wheel, WheelFile]] = {}
        self._folders: set[str] = set()
        self._places: dict[Path, int] = {}  # of a wheel's files in the scratch folder

    def install(self, incoming: Incoming, plan: Plan) -> None:
        """Take a plan as carried out."""
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
        self._folders = {folder for path in self._written for folder in _folders(path)}

    def sources(self) -> Sequence[Source]:
        """The installed providers, by slot."""
        return self._sources

    def distributions(self) -> list[InstalledDistribution]:
        """The distributions in python-packages, by name."""
        return sorted(self._installed.values(), key=lambda item: item.candidate.name)

    def top_levels(self) -> set[str]:
        """The names that stand directly in python-packages."""
        return {path.partition("/")[0] for path in self._written}

    def files(self, dist_info: str) -> list[str]:
        """What a distribution's RECORD lists."""
        return self._recorded[dist_info]

    def find(self, path: str) -> Path | None:
        """The file or folder at a path relative to python-packages, made when it is asked for."""
        if path in self._folders:
            folder = self._scratch / "folders" / path
            folder.mkdir(parents=True, exist_ok=True)
            return folder
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


def _folders(path: str) -> list[str]:
    parts = path.split("/")[:-1]
    return ["/".join(parts[:end]) for end in range(1, len(parts) + 1)]
