"""A provider's settings: ``[project]`` and ``[tool.lls-provider]`` of its ``pyproject.toml``."""

from __future__ import annotations

import keyword
import os
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from packaging.requirements import InvalidRequirement

from lls_provider.bundle.image_names import DAEMON, FILES
from lls_provider.contract.schema import shown
from lls_provider.errors import Code, SdkError, Where, nearest_word
from lls_provider.project.call_settings import read_calls
from lls_provider.project.modules import find_module, provider_file, provider_modules
from lls_provider.project.named_files import named_file
from lls_provider.project.pyproject import (
    FILE,
    KeyRule,
    PyProject,
    TableReader,
    load_pyproject,
    metadata_rule,
)
from lls_provider.project.toml_values import table_at, value_at
from lls_provider.runtime.wheelfile.wheel import parse_requirement
from lls_provider.wheels.distribution import ENVIRONMENT_PREFIX, looks_like_path

if TYPE_CHECKING:
    from lls_provider.project.sample_call import SampleCall

TABLE = ("tool", "lls-provider")
EXAMPLE_DISTRIBUTION = 'distribution = ["llama-stack==0.7.3"]'
_EXAMPLE = f"""\
[tool.lls-provider]
api = "inference"
provider-type = "remote::acme-echo"
module = "acme_echo"
vendor = "Acme"
{EXAMPLE_DISTRIBUTION}"""


@dataclass(frozen=True, slots=True)
class UpSettings:
    """``[tool.lls-provider.up]``: how `up` starts a server on this machine."""

    config: dict[str, Any] | None = None
    resources: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    base: Path | None = None
    service: Path | None = None
    env: dict[str, str] = field(default_factory=dict)
    calls: tuple[SampleCall, ...] = ()


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings of a project.

    ``version`` is None if it is dynamic: the built wheel has it. Paths in ``distributions`` and
    ``base`` are relative to the working directory, as in commands.
    """

    root: Path
    name: str
    version: str | None
    description: str | None
    maintainer: str | None
    vendor: str
    api: str
    provider_type: str
    module: str
    pyproject: PyProject = field(repr=False)
    distributions: tuple[str, ...] = ()
    python: str | None = None
    platforms: tuple[str, ...] = ()
    base: str | None = None
    test_requirements: tuple[str, ...] = ()
    other_requirements: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    up: UpSettings = UpSettings()

    @property
    def lowest_python(self) -> tuple[int, int]:
        """The lowest Python that the project allows."""
        return self.pyproject.lowest_python

    def where(self, key: str) -> Where:
        """Return the position of a key of ``[tool.lls-provider]``."""
        return self.pyproject.where((*TABLE, key))


def read_settings(project: Path) -> Settings:
    """Read and check the settings of the project in a directory.

    Raises SdkError: PROJECT_INVALID without a readable ``pyproject.toml``; MODULE_MISSING if the
    module is the only problem; else SETTINGS_INVALID with every problem, each with line and column.
    """
    return settings_of(project, load_pyproject(project))


def settings_of(project: Path, pyproject: PyProject) -> Settings:
    """Check settings that were read already; see `read_settings`."""
    if (error := missing_table(project, pyproject)) is not None:
        raise error
    top = TableReader(pyproject, (), dict(pyproject.data), [])
    own = TableReader(pyproject, TABLE, value_at(pyproject.data, *TABLE), top.problems)
    settings = _settings(project, top, own)
    if top.problems:
        raise _refusal(top)
    return settings


@dataclass(frozen=True, slots=True)
class TableMissing:
    """The detail of an SdkError: ``lls-provider init`` can write the table of this project."""

    project: Path


def missing_table(project: Path, pyproject: PyProject) -> SdkError | None:
    """Return the error of a project without ``[tool.lls-provider]``; None if it has the table."""
    if isinstance(value_at(pyproject.data, *TABLE), dict):
        return None
    parent, name = TABLE
    meant = nearest_word(name, [it for it in table_at(pyproject.data, parent) if it != name])
    return SdkError(
        Code.SETTINGS_INVALID,
        "pyproject.toml has no table [tool.lls-provider]",
        why="It reports the API, the type and the module of the provider."
        + (f"\nThere is [tool.{meant}]: did you mean that?" if meant else ""),
        where=pyproject.where((parent, meant)) if meant else Where(file=pyproject.source),
        resolution=f"Rename it to [{'.'.join(TABLE)}]."
        if meant
        else f"Let `{shlex.join(['lls-provider', 'init', str(project)])}` find these and write the "
        f"table, or add it, for example:\n\n{_EXAMPLE}",
        detail=None if meant else TableMissing(project),
    )


def _settings(root: Path, top: TableReader, own: TableReader) -> Settings:
    """Return the settings; an invalid value is added to the problems and replaced by a default."""
    project = _metadata(top)
    name = project.text("name", metadata_rule("metadata", "name"), required='name = "acme-echo"')
    _dependencies(project)
    api = own.text("api", metadata_rule("spec", "api"), required='api = "inference"')
    base = own.text("base")
    settings = Settings(
        root=root,
        name=name or "",
        version=_version(project),
        description=project.text("description"),
        maintainer=_maintainer(project),
        vendor=own.text("vendor", metadata_rule("metadata", "vendor"), required='vendor = "Acme"')
        or "",
        api=api or "",
        provider_type=own.text(
            "provider-type",
            metadata_rule("spec", "providerType"),
            required='provider-type = "remote::acme-echo"',
        )
        or "",
        module=_module(root, own) or "",
        pyproject=top.project,
        distributions=tuple(rooted_distribution(root, it) for it in own.texts("distribution")),
        python=own.text("python", KeyRule("a version such as 3.12", pattern=r"^3\.[0-9]+$")),
        platforms=own.texts("platforms"),
        base=rooted_base(root, base) if base is not None else None,
        test_requirements=_test_requirements(top, project),
        other_requirements=_other_requirements(top, project),
        up=_up(root, own),
    )
    own.requested.append("template")  # written by `lls-provider new`
    own.closed()
    return settings


def _metadata(top: TableReader) -> TableReader:
    """Return ``[project]``, or ``[tool.poetry]`` of a project that has only that (Poetry 1)."""
    poetry = value_at(top.table, "tool", "poetry")
    if "project" not in top.table and isinstance(poetry, dict):
        # its dependencies have another form, which its build backend reads
        table = {key: value for key, value in poetry.items() if key != "dependencies"}
        return TableReader(top.project, ("tool", "poetry"), table, top.problems)
    known = top.section("project", required='[project] with name = "acme-echo"')
    return known or TableReader(top.project, (), {}, [])


def _version(project: TableReader) -> str | None:
    from packaging.version import InvalidVersion, Version

    if "version" in project.texts("dynamic"):
        return None
    version = project.text("version", required='version = "0.1.0"')
    if version is not None:
        try:
            Version(version)
        except InvalidVersion:
            project.report(
                Code.FIELD_VALUE,
                f"version in [project] is {shown(version)}, expected a PEP 440 version",
                "Write a version such as 1.2.0, 1.2.0rc1 or 1.2.0.post1.",
                "version",
            )
    return version


def _dependencies(project: TableReader) -> None:
    """Report dependencies that a build backend would refuse with a traceback."""
    for index, text in enumerate(project.texts("dependencies")):
        try:
            parse_requirement(text)
        except InvalidRequirement as error:
            project.report(
                Code.FIELD_VALUE,
                f"{shown(text)} in dependencies is not a requirement: "
                f"{str(error).partition(chr(10))[0]}",
                'Write a name and its bounds, such as "httpx>=0.27,<1".',
                "dependencies",
                index,
            )


def _maintainer(project: TableReader) -> str | None:
    """Return the first e-mail address of the maintainers, else of the authors."""
    for key in ("maintainers", "authors"):
        entries = project.table.get(key)
        for person in entries if isinstance(entries, list) else ():
            email = person.get("email") if isinstance(person, dict) else None
            if isinstance(person, str):  # Poetry's form: "Name <address>"
                email = person.rpartition("<")[2].rstrip("> ")
            if isinstance(email, str) and metadata_rule("metadata", "maintainer").allows(email):
                return email
    return None


def _module(root: Path, own: TableReader) -> str | None:
    module = own.text(
        "module", metadata_rule("spec", "packageName"), required='module = "acme_echo"'
    )
    if module is None:
        return None
    reserved = [part for part in module.split(".") if keyword.iskeyword(part)]
    package = find_module(root, module)
    if reserved:
        own.report(
            Code.FIELD_VALUE,
            f"module '{module}' cannot be imported: '{reserved[0]}' is a reserved word of Python",
            "Rename the package.",
            "module",
        )
    elif package is None or provider_file(package) is None:
        found = provider_modules(root)
        own.report(
            Code.MODULE_MISSING,
            f"module '{module}' does not exist in this project"
            if package is None
            else f"module '{module}' has no provider.py, which the server imports",
            f"Name a package that has one: {', '.join(found)}."
            if found
            else f"Write {module.replace('.', '/')}/provider.py with get_provider_spec(), or "
            "correct the name.",
            "module",
        )
    return module


def _test_requirements(top: TableReader, project: TableReader) -> tuple[str, ...]:
    """Return the requirements of the project's dependency group or extra ``test``."""
    from packaging.dependency_groups import resolve_dependency_groups
    from packaging.requirements import InvalidRequirement

    groups = table_at(top.table, "dependency-groups")
    if "test" in groups:
        try:
            return tuple(str(it) for it in resolve_dependency_groups(groups, "test"))
        except (ValueError, TypeError, LookupError, InvalidRequirement) as error:
            top.report(
                Code.FIELD_VALUE,
                f"the group test in [dependency-groups] cannot be read: {error}",
                'Write a list of requirements, such as test = ["pytest>=8"].',
                "dependency-groups",
                "test",
            )
        return ()
    found = value_at(project.table, "optional-dependencies", "test")
    return tuple(it for it in found if isinstance(it, str)) if isinstance(found, list) else ()


def _other_requirements(top: TableReader, project: TableReader) -> dict[str, tuple[str, ...]]:
    """Return the requirements of other groups and extras, by ``group NAME`` or ``extra NAME``."""
    found: dict[str, tuple[str, ...]] = {}
    for kind, table in (
        ("group", table_at(top.table, "dependency-groups")),
        ("extra", table_at(project.table, "optional-dependencies")),
    ):
        for name, items in table.items():
            if name != "test" and isinstance(items, list):
                found[f"{kind} {name}"] = tuple(it for it in items if isinstance(it, str))
    return found


def _up(root: Path, own: TableReader) -> UpSettings:
    up = own.section("up")
    if up is None:
        return UpSettings()
    config = up.section("config")
    base, service = up.text("base"), up.text("service")
    settings = UpSettings(
        config=up.plain("config") if config is not None else None,
        resources=_resources(up),
        base=named_file(root, up, base, "base") if base is not None else None,
        service=named_file(root, up, service, "service") if service is not None else None,
        env=up.mapping("env"),
        calls=read_calls(root, up),
    )
    up.closed()
    return settings


def _resources(up: TableReader) -> dict[str, list[dict[str, Any]]]:
    resources = up.section("resources")
    if resources is None:
        return {}
    found = {}
    for kind in resources.table:
        items = resources.plain(kind)
        if isinstance(items, list) and all(isinstance(item, dict) for item in items):
            found[kind] = items
        else:
            resources.report(
                Code.FIELD_TYPE,
                f"{kind} in {resources.title} must be a list of tables, not {shown(items)}",
                f"Write [[{resources.title[1:-1]}.{kind}]] for each.",
                kind,
            )
    return found


def _refusal(top: TableReader) -> SdkError:
    problems = sorted(top.problems, key=lambda it: (it.where.line or 0, it.where.column or 0))
    if len(problems) > 1:
        return SdkError(
            Code.SETTINGS_INVALID,
            f"{FILE} has {len(problems)} mistakes",
            where=Where(file=top.project.source),
            problems=problems,
            resolution="Correct them; each line above says where and how.",
        )
    only = problems[0]
    missing = only.code is Code.MODULE_MISSING
    return SdkError(
        Code.MODULE_MISSING if missing else Code.SETTINGS_INVALID,
        only.what,
        where=only.where,
        problems=(),
        resolution=only.resolution,
    )


def rooted_base(root: Path, text: str) -> str:
    """Return a base image with its path relative to the working directory."""
    return _rooted(root, text, FILES) or text


def rooted_distribution(root: Path, text: str) -> str:
    """Return a distribution with its path relative to the working directory.

    A file's path then contains ``/``, so it cannot be taken for a requirement.
    """
    found = _rooted(root, text, (ENVIRONMENT_PREFIX, *FILES))
    if found is not None:
        return found
    if text.startswith(DAEMON):
        return text
    if looks_like_path(text) or (root / text).is_file():
        return _joined(root, text)
    return text


def _rooted(root: Path, text: str, kinds: tuple[str, ...]) -> str | None:
    kind = next((it for it in kinds if text.startswith(it)), None)
    return kind and kind + _joined(root, text.removeprefix(kind))


def _joined(root: Path, place: str) -> str:
    # no Path, which drops the ./ in front of a name; ~ is the user's home directory
    return place if not place or place.startswith("~") else os.path.join(root, place)  # noqa: PTH118
