"""The versions of the project template: the current one, and those that releases recorded.

A project records the version that it was made from and its answers. To update it, that version is
rendered again with those answers, so the SDK ships every version that a release had, each as one
archive. The current template may change until a release records it.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lls_provider import resources
from lls_provider.system.cache import scratch

TEMPLATE = "templates/provider"
RECORDED = "templates/recorded"
CONTEXT = "cookiecutter.json"

IDENTIFIERS = ("name", "api", "kind", "license", "ci")
"""The answers that the template derives other values from, names of files among them."""


@dataclass(frozen=True, slots=True)
class Template:
    """One version of the template, in a directory that cookiecutter renders."""

    directory: Path
    context: Mapping[str, Any]

    @property
    def version(self) -> int:
        """Its number."""
        return int(self.context["_version"])


@dataclass(frozen=True, slots=True)
class TemplateVersions:
    """The directory of the current template, and that of the recorded ones, ``NUMBER.zip``."""

    current_directory: Path
    recorded_directory: Path

    @classmethod
    def shipped(cls) -> TemplateVersions:
        """Return those that ship with the SDK."""
        return cls(resources.data_path(TEMPLATE), resources.data_path(RECORDED))

    @property
    def current(self) -> Template:
        """The current template."""
        return _read(self.current_directory)

    @property
    def recorded(self) -> tuple[int, ...]:
        """The numbers of the recorded versions, sorted."""
        return tuple(sorted(int(it.stem) for it in self.recorded_directory.glob("*.zip")))

    @contextlib.contextmanager
    def opened(self, version: int) -> Iterator[Template | None]:
        """Yield a version, a recorded one in a temporary directory; None if it is not known."""
        if version in self.recorded:
            with scratch("template") as directory:
                with zipfile.ZipFile(self.recorded_directory / f"{version}.zip") as archive:
                    for member in archive.infolist():
                        path = Path(archive.extract(member, directory))
                        path.chmod(member.external_attr >> 16 & 0o777)
                yield _read(directory)
        elif version == self.current.version:
            yield self.current
        else:
            yield None


def _read(directory: Path) -> Template:
    return Template(directory, json.loads((directory / CONTEXT).read_bytes()))


def render(template: Template, answers: Mapping[str, str], directory: Path) -> Path:
    """Render a project with cookiecutter into a new directory below ``directory``.

    The user's configuration is not read and no hook is run. Derived values, whose keys begin with
    an underscore, come from answers that hold no special characters, and from nothing else: they
    are names of files. The other answers are added afterwards: braces in an answer are never a
    template.
    """
    from cookiecutter.generate import generate_files
    from cookiecutter.prompt import prompt_for_config

    given = {key: text for key, text in answers.items() if not key.startswith("_")}
    plain = {key: given[key] for key in IDENTIFIERS if key in given}
    derived = prompt_for_config({"cookiecutter": {**template.context, **plain}}, no_input=True)
    rendered = generate_files(
        repo_dir=str(template.directory),
        context={"cookiecutter": {**derived, **given}},
        output_dir=str(directory),
        accept_hooks=False,
    )
    _remove_what_is_no_file_of_a_project(Path(rendered))
    return Path(rendered)


def _remove_what_is_no_file_of_a_project(root: Path) -> None:
    """Remove bytecode, which pip makes of the installed template, and empty directories.

    These are the directories of files that the answers leave out.
    """
    for directory in sorted((it for it in root.rglob("*") if it.is_dir()), reverse=True):
        if directory.name == "__pycache__":
            shutil.rmtree(directory)
        elif not any(directory.iterdir()):
            directory.rmdir()
