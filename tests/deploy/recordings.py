"""The recorded Pods, as `kubectl get pod NAME -o json` prints them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lls_provider.deploy.diagnose import diagnose_json

if TYPE_CHECKING:
    from lls_provider.deploy.pod_status import PodDiagnosis

PODS = Path(__file__).parent / "pods"


def recorded(name: str) -> bytes:
    return (PODS / f"{name}.json").read_bytes()


def document(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(recorded(name))
    return found


def diagnosed(pod: str | dict[str, Any]) -> PodDiagnosis:
    """The diagnosis of one recorded Pod, or of a changed one."""
    data = recorded(pod) if isinstance(pod, str) else json.dumps(pod).encode()
    (found,) = diagnose_json(data, source="test").pods
    return found
