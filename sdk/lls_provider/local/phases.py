"""Phases 1, 3 and 4 on this machine: the runtime that lies in the bundle, run as a Pod runs it.

The zipapp runs as a process of its own, under ``python -I -S``, so that what is tried here is
the very code, in the very isolation, that the init containers have
(docs/architecture.md, "The runtime's wall").
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lls_provider.bundle.publish import writing
from lls_provider.bundle.zipapp import zipapp_path
from lls_provider.contract.paths import BundleTree, VolumeTree
from lls_provider.errors import Code, ExitStatus, SdkError, Where
from lls_provider.runtime.probechild import VARIABLE
from lls_provider.runtime.probing import time_limit

if TYPE_CHECKING:
    from lls_provider.local.plan import InitContainer
    from lls_provider.local.workspace import Workspace
    from lls_provider.progress import Progress

_ERROR = re.compile(r"^ERROR: ", re.MULTILINE)
# the lines of the layouts of contract sections 4 and 6 that follow a warning's first
_WARNING_LINES = (" ", "Provider: ", "Field: ", "Note: ")
_NOWHERE = Where()
_NO_VARIABLES: Mapping[str, str] = {}
_ISOLATED = ("-I", "-S")
RUN_CONFIG = "run.yaml"


@dataclass(frozen=True, slots=True)
class Runtime:
    """Runs the runtime's commands on one volume."""

    workspace: Workspace
    volume: VolumeTree
    environment: Mapping[str, str]
    progress: Progress

    def install(self, container: InitContainer, python: Path, python_tag: str) -> None:
        """Phase 1 for one provider. Raises the SdkError that the installer told."""
        provider = container.provider
        arguments = [
            "install",
            "--provider-id",
            provider.provider_id,
            "--api",
            provider.api,
            "--image",
            provider.target,
            "--container",
            container.name,
            "--order",
            str(container.order),
            "--source",
            str(provider.bundle),
            "--root",
            str(self.volume.root),
            "--python-tag",
            python_tag,
            "--termination-log",
            str(self.workspace.root / "termination-log"),
        ]
        if container.config is not None:
            path = self.workspace.root / f"config-{container.order}.json"
            with writing(path, "a provider's config"):
                path.write_text(json.dumps(container.config), "utf-8")
            arguments += ["--config-file", str(path)]
        carried = BundleTree(provider.bundle).zipapp
        # a bundle made by hand need not carry the runtime; ours then stands in for it
        zipapp = carried if carried.is_file() else zipapp_path()
        where = Where(provider=provider.provider_id, image=provider.target)
        self._run(container.name, python, zipapp, arguments, where)

    def merge(self, python: Path) -> None:
        """Phase 3. Raises the SdkError that merge told."""
        self._run("merge", python, self.volume.zipapp, ["merge", "--root", str(self.volume.root)])

    def preflight(self, python: Path) -> None:
        """Phase 4. Raises the SdkError that preflight told."""
        arguments = [
            "preflight",
            "--run-yaml",
            str(self.volume.config / RUN_CONFIG),
            "--root",
            str(self.volume.root),
        ]
        # the server's environment has none of our variables; an older zipapp has no such flag
        limit = {VARIABLE: f"{time_limit():f}"}
        self._run("preflight", python, self.volume.zipapp, arguments, variables=limit)

    def _run(
        self,
        name: str,
        python: Path,
        zipapp: Path,
        arguments: list[str],
        where: Where = _NOWHERE,
        variables: Mapping[str, str] = _NO_VARIABLES,
    ) -> None:
        status, output = self.workspace.run(
            [str(python), *_ISOLATED, str(zipapp), *arguments],
            environment={**self.environment, **variables},
            directory=self.workspace.root,
            name=name,
        )
        if status:
            raise runtime_error(arguments[0], status, output, where)
        for paragraph in paragraphs(output):
            if paragraph.startswith("WARNING"):
                self.progress.warn(paragraph)
            else:
                self.progress.note(paragraph)


def paragraphs(output: str) -> list[str]:
    """The messages of a phase: a warning with all its lines, any other line by itself."""
    found: list[str] = []
    in_warning = False
    for line in output.splitlines():
        if line.startswith("WARNING"):
            found.append(line)
            in_warning = True
        elif in_warning and (not line or line.startswith(_WARNING_LINES)):
            found[-1] += f"\n{line}"
        else:
            in_warning = False
            if line.strip():
                found.append(line.removeprefix("lls-provider: ").removeprefix("note: "))
    return [paragraph.rstrip() for paragraph in found]


def runtime_error(command: str, status: int, output: str, where: Where) -> SdkError:
    """The error of a runtime command that ended with ``status``.

    Its own message stands as it is (contract section 6 fixes the layouts).
    """
    found = _ERROR.search(output)
    if found is None:
        return SdkError(
            Code.INTERNAL,
            f"The {command} phase ended with exit status {status} and no message",
            why=output.strip() or "It printed nothing.",
            where=where,
            resolution="Report this as a fault of lls-provider, with the text above.",
        )
    message = output[found.start() :].rstrip()
    code = _code(status, message)
    if code.status is ExitStatus.ENVIRONMENT:
        return _lacking(code, message, where)
    return SdkError(
        code,
        f"The {command} phase failed",
        why=message,
        where=where,
        resolution="Follow the resolution that the message names.",
        layout=message,
    )


def _lacking(code: Code, message: str, where: Where) -> SdkError:
    """What the machine lacks, told for this machine: the installer speaks of a Pod's volume."""
    what, _, rest = message.removeprefix("ERROR: ").partition("\n")
    why = rest.rpartition("\n\nResolution: ")[0].strip()
    return SdkError(
        code,
        what,
        why=why if where.provider is None else why.rpartition("\n\n")[2],
        where=where,
        resolution="Free space in the temporary folder, or set TMPDIR to a folder on another file "
        "system, one that this user can write to.",
    )


def _code(status: int, message: str) -> Code:
    if status == ExitStatus.ENVIRONMENT:
        full = "space" in message.lower()
        return Code.NO_SPACE if full else Code.VOLUME_UNWRITABLE
    if "dependency conflict" in message:
        return Code.DEPENDENCY_CONFLICT
    return Code.VALIDATION_FAILED
