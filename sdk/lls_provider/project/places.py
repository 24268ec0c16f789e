"""Finds the places in a project that a failure is about.

What fails names something else: a resolver a package, a traceback a file of a temporary
environment, a config class a key of the config.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from packaging.utils import canonicalize_name

from lls_provider.errors import Code, Problem, Step, Where
from lls_provider.project.modules import find_module
from lls_provider.project.toml_values import value_at
from lls_provider.wheels.uv_messages import names_dependency, not_found_names

if TYPE_CHECKING:
    from lls_provider.bundle.config_schema import Violation
    from lls_provider.project.settings import Settings

_CONFIG_TABLE = ("tool", "lls-provider", "up", "config")
CONFIG_SOURCE = "[tool.lls-provider.up] config"
CORRECT_CONFIG = f"Correct the keys in {CONFIG_SOURCE}, or the provider's config class."
# the lists of what `lls-provider` installs of a project
_DEPENDENCIES: tuple[tuple[str, ...], ...] = (
    ("project", "dependencies"),
    ("dependency-groups", "test"),
    ("project", "optional-dependencies", "test"),
)
# a trial leaves its directory out, so that its paths begin as those of a wheel
_FRAME = re.compile(
    r'File "(?P<file>(?:[^"\n]*/site-packages/)?(?P<path>[^/"\n][^"\n]*))", line (?P<line>\d+)'
)


def dependency_named_in(settings: Settings, explanation: str) -> Where:
    """The position of the first dependency that a resolver's explanation names.

    One that no index has is the cause, so it comes before the others.
    """
    missing = {canonicalize_name(it) for it in not_found_names(explanation)}
    found = [*_dependencies(settings)]
    for name, path in found:
        if name in missing:
            return settings.pyproject.where(path)
    for name, path in found:
        if names_dependency(explanation, name):
            return settings.pyproject.where(path)
    return settings.pyproject.where(_DEPENDENCIES[0])


def _dependencies(settings: Settings) -> Iterator[tuple[str, tuple[Step, ...]]]:
    for path in _DEPENDENCIES:
        listed = value_at(settings.pyproject.data, *path)
        for index, text in enumerate(listed if isinstance(listed, list) else ()):
            if name := re.match(r"[A-Za-z0-9._-]+", str(text)):
                yield canonicalize_name(name[0]), (*path, index)


def in_source(settings: Settings, text: str) -> tuple[str, Where | None]:
    """A traceback with the project's own files in place of their installed copies.

    Also the first of these places: the innermost one, where the probe wrote the traceback.
    """
    places: list[Where] = []

    def replaced(frame: re.Match[str]) -> str:
        source = _source(settings, frame["path"])
        if source is None:
            return frame[0]
        places.append(Where(file=str(source), line=int(frame["line"])))
        return frame[0].replace(frame["file"], str(source))

    text = _FRAME.sub(replaced, text)
    return text, places[0] if places else None


def _source(settings: Settings, path: str) -> Path | None:
    """The file of the source tree that is installed as ``path``."""
    package = find_module(settings.root, settings.module)
    if package is None:
        return None
    # the directory that holds the outermost package: the root, src or a deeper one
    base = package.parents[settings.module.count(".")]
    source = base / path
    return source if source.is_file() else None


def config_problems(settings: Settings | None, found: Iterable[Violation]) -> list[Problem]:
    """What a config class refuses of a config, key by key.

    With ``settings`` the config is that of ``[tool.lls-provider.up]``, where each key has a place.
    """
    return [
        Problem(
            Code.FIELD_VALUE,
            f"{violation.json_path} {violation.reason}",
            settings.pyproject.where((*_CONFIG_TABLE, *violation.path), key=violation.is_key)
            if settings is not None
            else Where(),
            path=violation.json_path,
        )
        for violation in found
    ]
