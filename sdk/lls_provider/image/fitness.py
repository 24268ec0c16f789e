"""Whether a bundle fits what it is for: its native code against the target and against its base."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lls_provider.bundle.native import check_native, refuse
from lls_provider.bundle.report import Findings
from lls_provider.errors import Where
from lls_provider.image.base import base_facts, check_base
from lls_provider.progress import SILENT, Progress
from lls_provider.runtime.target import target_python
from lls_provider.runtime.wheel import read_wheel

if TYPE_CHECKING:
    from lls_provider.bundle.read import Bundle
    from lls_provider.image.model import Image


def require_fit(
    bundle: Bundle, base: Image | None, *, base_name: str = "", progress: Progress = SILENT
) -> None:
    """Verify native code from file headers, and that ``base`` can run the installer.

    Warnings go to ``progress``. Raises SdkError with every complaint: WHEEL_INCOMPATIBLE,
    IMAGE_INVALID for a base without a suitable Python, and what reading the base raises.
    """
    manifest = bundle.manifest
    if manifest is None:
        return
    findings = Findings()
    target = target_python(manifest.target.python_tag, manifest_machine=manifest.target.machine)
    wheels = bundle.contents or [read_wheel(path) for path in bundle.wheels]
    native = check_native(wheels, target, manifest.target.platforms, findings, manifest=manifest)
    if base is not None:
        progress.step("looking into the base")
        facts = base_facts(base)
        check_base(facts, native, target.machine, findings, where=Where(image=base_name or None))
    for finding in findings.found:
        if finding.level == "warning":
            progress.warn(finding.what)
    refuse(findings, f"The image of {bundle.metadata.name} would not work")
