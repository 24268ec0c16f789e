"""What `up` found out, as a value: for people and for programs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from lls_provider.foreign import bounded


@dataclass(frozen=True, slots=True)
class Phase:
    """A phase that ended, well or not."""

    name: str
    seconds: float
    ok: bool


@dataclass(frozen=True, slots=True)
class ServedProvider:
    """One entry of the server's ``/v1/providers``."""

    provider_id: str
    api: str
    provider_type: str

    @classmethod
    def from_entry(cls, entry: Mapping[str, Any]) -> ServedProvider:
        """The provider of an entry; KeyError when a field is missing."""
        return cls(str(entry["provider_id"]), str(entry["api"]), str(entry["provider_type"]))


@dataclass(frozen=True, slots=True)
class Reply:
    """What the server replied: the status and the body, parsed where it is JSON."""

    status: int
    body: Any


@dataclass(slots=True)
class UpResult:
    """What happened so far; filled phase by phase, so it tells of a failure too."""

    server: str = ""
    phases: list[Phase] = field(default_factory=list)
    providers: tuple[ServedProvider, ...] = ()
    call: Reply | None = None

    def to_document(self) -> dict[str, Any]:
        """The result as plain data, for ``--format json``."""
        return {
            "server": self.server,
            "phases": [
                {"name": phase.name, "seconds": round(phase.seconds, 3), "ok": phase.ok}
                for phase in self.phases
            ],
            "providers": [
                {
                    "provider_id": provider.provider_id,
                    "api": provider.api,
                    "provider_type": provider.provider_type,
                }
                for provider in self.providers
            ],
            "call": None
            if self.call is None
            else {"status": self.call.status, "body": self.call.body},
        }

    def text(self, call: str = "") -> str:
        """The result for a reader; ``call`` names the sample call."""
        rows = [(item.api, item.provider_id, item.provider_type) for item in self.providers]
        widths = [max((len(row[column]) for row in rows), default=0) for column in range(2)]
        lines = [f"{self.server} serves:"]
        lines += [f"  {api:{widths[0]}}  {name:{widths[1]}}  {kind}" for api, name, kind in rows]
        if self.call is not None:
            lines.append(f"{call} -> {self.call.status}".strip())
            lines.append(f"  {shown(self.call.body)}")
        return "\n".join(lines)


def shown(body: object) -> str:
    """A reply's body on one line where it is JSON, else as it is."""
    return bounded(body if isinstance(body, str) else json.dumps(body, ensure_ascii=False))
