"""Adopts a provider's project that `new` did not make: writes ``[tool.lls-provider]`` for it.

`discovery` finds out what the provider is. Of the author's files only ``pyproject.toml`` changes,
and of that only its end (`table_writer`).
"""

from __future__ import annotations

import os
import re
import shlex
import stat
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from lls_provider.bundle.image_names import FILES
from lls_provider.contract.schema import shown
from lls_provider.errors import Code, SdkError, Where
from lls_provider.progress import SILENT, Progress
from lls_provider.project.discovery import GIVEN, Discovery, DiscoveryOptions, discover
from lls_provider.project.modules import provider_modules
from lls_provider.project.pyproject import (
    FILE,
    PyProject,
    load_pyproject,
    metadata_rule,
    parse_pyproject,
)
from lls_provider.project.settings import EXAMPLE_DISTRIBUTION, TABLE, missing_table, settings_of
from lls_provider.project.table_writer import table_text, with_table
from lls_provider.project.toml_values import table_at, value_at
from lls_provider.wheels.distribution import ENVIRONMENT_PREFIX, looks_like_path

_FORGES = ("github.com", "gitlab.com", "codeberg.org", "bitbucket.org")
_PATHS = (ENVIRONMENT_PREFIX, *FILES)


@dataclass(frozen=True, slots=True)
class AdoptedSetting:
    """One key of the table: its value, and where the value comes from."""

    key: str
    value: str | tuple[str, ...]
    how: str


@dataclass(frozen=True, slots=True)
class AdoptedProject:
    """The table that was written, or, of a dry run, that would be; ``notes`` is what is unknown."""

    path: Path
    settings: tuple[AdoptedSetting, ...]
    table: str
    notes: tuple[str, ...]
    dry: bool = False

    def to_document(self) -> dict[str, Any]:
        """Return the result as plain data, for ``--format json``."""
        return {
            "dry_run": self.dry,
            "path": str(self.path),
            "settings": [
                {
                    "key": it.key,
                    "value": it.value if isinstance(it.value, str) else list(it.value),
                    "how": it.how,
                }
                for it in self.settings
            ],
            "notes": list(self.notes),
        }


def adopt_project(
    path: Path,
    options: DiscoveryOptions = DiscoveryOptions(),  # noqa: B008 - frozen
    *,
    vendor: str | None = None,
    dry: bool = False,
    progress: Progress = SILENT,
) -> AdoptedProject:
    """Find the provider of the project at ``path`` and write its ``[tool.lls-provider]``.

    With ``dry`` nothing is written. Raises SdkError TARGET_EXISTS if the table is there,
    PROJECT_INVALID or SETTINGS_INVALID for a file that a table would not make valid,
    OUTPUT_UNWRITABLE, and what `discover` raises; the file is then as it was.
    """
    pyproject = load_pyproject(path)
    file = path / FILE
    _require_adoptable(path, pyproject)
    found = discover(path, pyproject, options, progress)
    settings = tuple(_settings(path, pyproject, found, vendor))
    table = table_text(TABLE, {setting.key: setting.value for setting in settings})
    before = file.read_bytes()
    after = with_table(pyproject, before, table)
    # what is wrong with the rest of the file is an error now, not at the next command
    settings_of(path, parse_pyproject(file, after))
    if not dry:
        _write(file, after)
    return AdoptedProject(path, settings, table, tuple(_notes(found, settings)), dry)


def _require_adoptable(path: Path, pyproject: PyProject) -> None:
    missing = missing_table(path, pyproject)
    if missing is None:
        raise SdkError(
            Code.TARGET_EXISTS,
            f"{pyproject.source} has [{'.'.join(TABLE)}] already",
            where=pyproject.where(TABLE, key=True),
            resolution=f"See what is missing in it with `{_command('check', path)}`. Remove the "
            "table to have it written again.",
        )
    if missing.detail is None:
        raise missing  # a misspelt table
    members = _members(path, pyproject)
    if members:
        raise SdkError(
            Code.PROJECT_INVALID,
            f"{path} is the root of a uv workspace, not a provider",
            why="Members with a provider.py:\n" + "\n".join(f"  {it}" for it in members),
            where=pyproject.where(("tool", "uv", "workspace"), key=True),
            resolution="Name the member: "
            + ", or ".join(f"`{_command('init', path / it)}`" for it in members[:3])
            + ".",
        )


def _members(path: Path, pyproject: PyProject) -> list[str]:
    """Return the members of a workspace without a project at its root that have a provider."""
    if "project" in pyproject.data:
        return []
    data = value_at(pyproject.data, "tool", "uv", "workspace", "members")
    patterns = [it for it in data if isinstance(it, str)] if isinstance(data, list) else []
    found = {
        place.relative_to(path).as_posix()
        for pattern in patterns
        for place in _matches(path, pattern)
        if (place / FILE).is_file() and provider_modules(place)
    }
    return sorted(found)


def _matches(path: Path, pattern: str) -> list[Path]:
    """Return what a pattern finds below ``path``; nothing for one that leads out of it."""
    if Path(pattern).is_absolute() or ".." in Path(pattern).parts:
        return []
    try:
        return list(path.glob(pattern))
    except (ValueError, IndexError):  # no pattern of Python's, as an empty one; uv reports it
        return []


def _settings(
    path: Path, pyproject: PyProject, found: Discovery, vendor: str | None
) -> Iterator[AdoptedSetting]:
    spec = found.spec
    for key, field, value in (
        ("api", "api", spec.api),
        ("provider-type", "providerType", spec.provider_type),
        ("module", "packageName", spec.module),
    ):
        rule = metadata_rule("spec", field)
        if not rule.allows(value):
            raise SdkError(
                Code.SETTINGS_INVALID,
                f"{key} is {shown(value)}, {found.how}: expected {rule.about}",
                where=Where(file=str(path)),
                resolution="Correct it in get_provider_spec(): no image can be made of it as it "
                "is (contract section 1).",
            )
        yield AdoptedSetting(key, value, found.how)
    yield AdoptedSetting("vendor", *_vendor(path, pyproject, found, vendor))
    if found.distributions:
        how = "it loads beside it" if found.loaded else "not tried"
        servers = tuple(_relative(path, named) for named in found.distributions)
        yield AdoptedSetting("distribution", servers, how)


def _vendor(
    path: Path, pyproject: PyProject, found: Discovery, given: str | None
) -> tuple[str, str]:
    """Return the organisation and where it was found."""
    if given:
        return given, GIVEN
    project = table_at(pyproject.data, "project")
    for url in table_at(project, "urls").values():
        if owner := _repository_owner(str(url)):
            return owner, "the owner of its repository"
    if found.vendor:
        return found.vendor, "its author or maintainer"
    authors = project.get("authors")
    for person in authors if isinstance(authors, list) else ():
        if isinstance(person, dict) and isinstance(person.get("name"), str):
            return person["name"], "its author"
    name = project.get("name") or value_at(pyproject.data, "tool", "poetry", "name")
    return str(name or path.absolute().name), "nothing names an organisation: the project's name"


def _repository_owner(url: str) -> str:
    """Return the owner in the address of a repository on a forge; empty for any other address."""
    try:
        parts = urlsplit(url)
        on_forge = parts.hostname in _FORGES
    except ValueError:
        return ""
    return parts.path.strip("/").partition("/")[0] if on_forge else ""


def _notes(found: Discovery, settings: Sequence[AdoptedSetting]) -> Iterator[str]:
    """Yield what could not be known, each with what to do about it."""
    yield from found.notes
    values = {it.key: it for it in settings}
    vendor = values["vendor"]
    if vendor.how != GIVEN:
        yield f"vendor is {shown(vendor.value)} ({vendor.how}): correct it if that is wrong."
    if "distribution" not in values:
        yield (
            f"No server is known: add one, such as {EXAMPLE_DISTRIBUTION}, or the "
            "image will bundle everything that the provider requires."
        )
    elif not found.loaded:
        yield f"Whether it loads beside {', '.join(found.distributions)} is not known yet."
    if required := _required(found.schema):
        yield (
            f"Its configuration requires {', '.join(required)}: for `up`, write values into "
            "[tool.lls-provider.up.config]."
        )
    yield (
        "Which call shows that it works: write one into [tool.lls-provider.up.call], or `up` only "
        "shows that the server lists it."
    )


def _required(schema: Mapping[str, Any] | None) -> list[str]:
    """Return the keys that a configuration has to have."""
    required = schema.get("required") if schema is not None else None
    return [it for it in required if isinstance(it, str)] if isinstance(required, list) else []


def _relative(path: Path, named: str) -> str:
    """Return a distribution with its path relative to the project, as settings have it."""
    prefix = next((it for it in _PATHS if named.startswith(it)), "")
    place = named.removeprefix(prefix)
    if not prefix and not looks_like_path(named):
        return named
    if Path(place).is_absolute() or place.startswith("~"):
        return named
    found = os.path.relpath(place, path)
    return prefix + (found if prefix or re.search("/", found) else f"./{found}")


def _write(file: Path, data: bytes) -> None:
    """Replace the file, where a link leads, with its permissions."""
    from lls_provider.system.files import wrapping_write_errors, write_atomically

    with wrapping_write_errors(file, "the settings"):
        place = Path(os.path.realpath(file))
        write_atomically(place, data, mode=stat.S_IMODE(place.stat().st_mode))


def _command(name: str, path: Path) -> str:
    return shlex.join(["lls-provider", name, str(path)])
