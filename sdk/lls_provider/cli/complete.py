"""What a shell may complete: images in a layout, APIs, servers, answers, sections, commands.

Each function has the signature of click's ``shell_complete`` and returns candidates that begin with
what is there already. They read directories and small files, and never the network. A name that a
shell could not insert as it is, because it is not printable, is left out.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from lls_provider.bundle.image_names import DOCKER_ARCHIVE, OCI, OCI_ARCHIVE, TRANSPORTS

if TYPE_CHECKING:
    import click

_PROVIDER_FILES = (".yaml", ".yml")
_INDEX_LIMIT = 4 << 20  # bytes of an index.json


def targets(_ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
    """Directories, provider files, and images by their transports."""
    return _fitting([*_images(incomplete), *_paths(incomplete, _PROVIDER_FILES)], incomplete)


def images(_ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
    """Images by their transports; of a layout also its tags."""
    return _fitting(_images(incomplete), incomplete)


def distributions(_ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
    """Profiles that ship with the SDK, images, and files with requirements."""
    from lls_provider.wheels.distribution import ENVIRONMENT_PREFIX
    from lls_provider.wheels.servers import PROFILE_PREFIX, read_profiles

    profiles = [f"{PROFILE_PREFIX}{profile.name}" for profile in read_profiles()]
    found = [*profiles, ENVIRONMENT_PREFIX, *_images(incomplete), *_paths(incomplete, (".txt",))]
    return _fitting(found, incomplete)


def apis(_ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
    """The APIs of the contract."""
    from lls_provider.contract.names import APIS

    return _fitting(APIS, incomplete)


def answers(_ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
    """The answers of ``new``: their keys, and the values of those that have choices."""
    from lls_provider.project.answers import ANSWERS, choices

    found = [f"{key}={value}" for key in ANSWERS for value in choices(key)]
    if "=" not in incomplete:
        found = [f"{key}=" for key in ANSWERS]
    return _fitting(found, incomplete)


def sections(_ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
    """The sections of the cache."""
    from lls_provider.system.cache_sections import SECTIONS

    return _fitting(SECTIONS, incomplete)


def needing_commands(_ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
    """The commands that ``doctor`` knows."""
    from lls_provider.operations.doctor import NEEDS

    return _fitting(NEEDS, incomplete)


def _images(incomplete: str) -> Iterator[str]:
    yield from TRANSPORTS
    if incomplete.startswith(OCI):
        place = incomplete.removeprefix(OCI)
        for path in _paths(place):
            yield f"{OCI}{path}"
        # a layout is complete as it is, and with each of its tags
        for path in {place.rstrip("/"), *(it.rstrip("/") for it in _paths(place))}:
            yield from _tagged(path)
        directory, colon, _tag = place.rpartition(":")
        if colon:
            yield from _tagged(directory)
    for prefix in (OCI_ARCHIVE, DOCKER_ARCHIVE):
        if incomplete.startswith(prefix):
            for path in _paths(incomplete.removeprefix(prefix), (".tar", ".tar.gz", "")):
                yield f"{prefix}{path}"


def _tagged(path: str) -> Iterator[str]:
    """A layout by its directory, and each of its images by tag; nothing for other directories."""
    from lls_provider.image.image import REF_NAME

    try:
        with (Path(path) / "index.json").open("rb") as stream:
            entries = json.loads(stream.read(_INDEX_LIMIT)).get("manifests", [])
        names = [(entry.get("annotations") or {}).get(REF_NAME) for entry in entries]
    except (OSError, ValueError, AttributeError, TypeError, RecursionError):
        return
    yield f"{OCI}{path}"
    for name in names:
        if isinstance(name, str):
            yield f"{OCI}{path}:{name}"


def _paths(incomplete: str, endings: tuple[str, ...] = ()) -> Iterator[str]:
    """The directories that a path may go on with, and the files with one of ``endings``."""
    directory, slash, begun = incomplete.rpartition("/")
    try:
        entries = sorted(os.scandir(directory + slash or "."), key=lambda it: it.name)
    except (OSError, ValueError):
        return
    for entry in entries:
        if entry.name.startswith(".") and not begun.startswith("."):
            continue
        if entry.is_dir():
            yield f"{directory}{slash}{entry.name}/"
        elif endings and entry.name.endswith(endings):
            yield f"{directory}{slash}{entry.name}"


def _fitting(candidates: Iterable[str], incomplete: str) -> list[str]:
    fitting = (it for it in candidates if it.startswith(incomplete) and it.isprintable())
    return list(dict.fromkeys(fitting))
