"""Lock files: ``pylock.toml`` (PEP 751) with the resolution's inputs in ``[tool.lls-provider]``.

The inputs show a later build whether the lock is still valid. The file has only what the image is
made of: nothing that a distribution provides, no file for another system or Python, no absolute
path, no login of an index.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit, urlunsplit

from packaging.markers import InvalidMarker, Marker
from packaging.pylock import Pylock, PylockValidationError, is_valid_pylock_path
from packaging.requirements import Requirement
from packaging.utils import InvalidWheelFilename, parse_wheel_filename

from lls_provider.errors import Code, SdkError, Where
from lls_provider.runtime.target_python import TargetPython, machine_of, parse_python_tag
from lls_provider.wheels.resolve import Lock, file_name
from lls_provider.wheels.uv_settings import local_path

if TYPE_CHECKING:
    from lls_provider.wheels.resolve import Closure


_SHOWN = 5  # changed versions that are listed; the others are counted


@dataclass(frozen=True, slots=True)
class LockInputs:
    """The inputs of a resolution.

    ``requires`` are the project's own dependencies, or the published package; ``build`` are the
    requirements of its build backend. ``sources`` is a digest of the project's
    ``[tool.uv.sources]``. ``distributions`` are the pins by label.
    """

    python: str  # 3.12
    requires: tuple[str, ...]
    build: tuple[str, ...] = ()
    sources: str | None = None
    overrides: tuple[str, ...] = ()
    bundle: tuple[str, ...] = ()
    distributions: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    def to_document(self) -> dict[str, Any]:
        """The content of the table ``[tool.lls-provider]`` of a lock."""
        document: dict[str, Any] = {"python": self.python, "requires": list(self.requires)}
        document["build"] = list(self.build)
        if self.sources is not None:
            document["sources"] = self.sources
        document["overrides"] = list(self.overrides)
        document["bundle"] = list(self.bundle)
        document["distributions"] = [
            {"name": label, "pins": [f"{name}=={it}" for name, it in sorted(pins.items())]}
            for label, pins in sorted(self.distributions.items())
        ]
        return document


def parse_lock_inputs(document: Mapping[str, Any]) -> LockInputs:
    """The reverse of `LockInputs.to_document`. Raises ValueError for an invalid table."""
    if not isinstance(document, dict):
        _wrong("requires")
    sources = document.get("sources")
    return LockInputs(
        python=_text(document.get("python"), "python"),
        requires=_texts(document.get("requires"), "requires"),
        build=_texts(document.get("build"), "build"),
        sources=None if sources is None else _text(sources, "sources"),
        overrides=_texts(document.get("overrides"), "overrides"),
        bundle=_texts(document.get("bundle"), "bundle"),
        distributions=dict(_distributions(document.get("distributions"))),
    )


def input_differences(locked: LockInputs, now: LockInputs) -> list[str]:
    """The differences between ``locked`` and ``now``, one line each; empty if there are none."""
    lines = [
        *_changed("needs {}", locked.requires, now.requires),
        *_changed("is built by {}", locked.build, now.build),
        *_changed("is built with --override {}", locked.overrides, now.overrides),
        *_changed("is built with --bundle {}", locked.bundle, now.bundle),
        *_changed("is built beside {}", locked.distributions, now.distributions),
    ]
    if locked.python != now.python:
        lines.append(f"the lock is for Python {locked.python}, this build for {now.python}")
    if locked.sources != now.sources:
        lines.append("[tool.uv.sources] of the project changed")
    for label in sorted(locked.distributions.keys() & now.distributions.keys()):
        lines += _changed_pins(label, locked.distributions[label], now.distributions[label])
    return lines


def _changed(what: str, before: Collection[str], after: Collection[str]) -> Iterator[str]:
    for text in sorted(set(after) - set(before)):
        yield f"new: the provider {what.format(text)}"
    for text in sorted(set(before) - set(after)):
        yield f"no longer: the provider {what.format(text)}"


def _changed_pins(label: str, before: Mapping[str, str], after: Mapping[str, str]) -> Iterator[str]:
    changed = sorted(
        name for name in before.keys() | after.keys() if before.get(name) != after.get(name)
    )
    for name in changed[:_SHOWN]:
        yield (
            f"{label} has {_version(name, after)}, and the lock was made beside "
            f"{_version(name, before)}"
        )
    if len(changed) > _SHOWN:
        yield f"{label} has {len(changed) - _SHOWN} more packages in other versions"


def _version(name: str, pins: Mapping[str, str]) -> str:
    return f"{name} {pins[name]}" if name in pins else f"no {name}"


def _distributions(value: Any) -> Iterator[tuple[str, dict[str, str]]]:
    for item in value if isinstance(value, list) else _wrong("distributions"):
        if not isinstance(item, dict):
            _wrong("distributions")
        pins = {}
        for text in _texts(item.get("pins"), "pins"):
            name, separator, version = text.partition("==")
            if not separator:
                _wrong("pins")
            pins[name] = version
        yield _text(item.get("name"), "name"), pins


def _text(value: Any, key: str) -> str:
    return value if isinstance(value, str) else _wrong(key)


def _texts(value: Any, key: str) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(it, str) for it in value):
        _wrong(key)
    return tuple(value)


def _wrong(key: str) -> Any:
    raise ValueError(f"tool.lls-provider: '{key}' is missing or of another type")


LOCK_NAME = "pylock.toml"

_TABLE = "lls-provider"
_ENVIRONMENT = "sys_platform == 'linux'"
_MACHINES = ("x86_64", "aarch64", "ppc64le", "s390x", "riscv64")
_REPOSITORIES = (".git", ".hg", ".jj", ".svn")
_FILE_KEYS = ("name", "url", "path", "size", "hashes", "subdirectory")


@dataclass(frozen=True, slots=True)
class ProvidedPackages:
    """A package that the distributions provide, if its marker holds."""

    name: str
    version: str  # several, when the distributions have different ones: "1.1, 1.2"
    marker: str | None = None


@dataclass(frozen=True, slots=True)
class LockFile:
    """A lock that `lock_text` wrote, read back.

    ``backend`` are the versions with which the provider's wheel is built.
    """

    path: Path
    lock: Lock
    inputs: LockInputs
    provided: tuple[ProvidedPackages, ...]
    backend: tuple[str, ...]

    def provided_for(self, environment: dict[str, str]) -> dict[str, str]:
        """The provided packages whose markers hold, sorted by name."""
        return {
            it.name: it.version
            for it in sorted(self.provided, key=lambda it: it.name)
            if it.marker is None or Marker(it.marker).evaluate(environment)
        }


def lock_text(
    closure: Closure,
    inputs: LockInputs,
    *,
    directory: Path,
    versions: Mapping[str, str],
    backend: Sequence[str] = (),
) -> str:
    """The text of a closure's lock file, to be written to ``directory``; deterministic.

    ``versions`` are those of the provided packages, in the form of a manifest. Raises SdkError
    LOCK_UNPORTABLE for a source directory that is outside the lock's repository.
    """
    import tomli_w

    document = tomllib.loads(closure.lock.text)
    target = TargetPython(int(inputs.python.partition(".")[2]), "")
    packages, provided = [], []
    for package in document["packages"]:
        name, version = package["name"], package.get("version")
        marker = package.get("marker")
        if name in closure.left_out or not _holds_on_linux(marker, target):
            continue
        if version is not None and closure.pins.get(name) == version:
            provided.append({"name": name, "version": versions.get(name, version)})
            if marker is not None:
                provided[-1]["marker"] = marker
        else:
            packages.append(_package(package, target, closure.lock.directory, directory))
    return tomli_w.dumps(
        {
            "lock-version": "1.0",
            "environments": [_ENVIRONMENT],
            "requires-python": f"=={inputs.python}.*",
            "created-by": "lls-provider",
            "packages": packages,
            "tool": {
                _TABLE: {
                    **inputs.to_document(),
                    "backend": list(backend),
                    "provided": provided,
                }
            },
        }
    )


def writable_lock(path: Path) -> None:
    """Refuse a path to which a lock may not be written. Raises SdkError USAGE or TARGET_EXISTS."""
    if not is_valid_pylock_path(path):
        raise SdkError(
            Code.USAGE,
            f"A lock cannot be named {path.name}",
            why="Its name is pylock.toml, or pylock.NAME.toml with a NAME without dots (PEP 751).",
            resolution=f"Name it {LOCK_NAME}.",
        )
    if not path.exists():
        return
    try:
        read_lock_file(path)
    except SdkError as error:
        raise SdkError(
            Code.TARGET_EXISTS,
            f"{path} exists and is not a lock that this command wrote",
            why=error.why,
            where=Where(file=str(path)),
            resolution="Name another file with --lock-file, such as pylock.provider.toml, or "
            "remove this one.",
        ) from error


def read_lock_file(path: Path) -> LockFile:
    """Read a lock file. Raises SdkError FILE_MISSING, FILE_UNREADABLE or LOCK_INVALID."""
    try:
        text = path.read_text("utf-8")
    except FileNotFoundError as error:
        raise SdkError(
            Code.FILE_MISSING,
            f"There is no lock {path}",
            where=Where(file=str(path)),
            resolution="Write it with --lock, or name it with --lock-file.",
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise SdkError(
            Code.FILE_UNREADABLE,
            f"Cannot read {path}",
            why=getattr(error, "strerror", None) or str(error),
            where=Where(file=str(path)),
            resolution="Correct its permissions, or write it again with --lock.",
        ) from error
    try:
        document = tomllib.loads(text)
        Pylock.from_dict(document)
        if _TABLE not in document.get("tool", {}):
            raise ValueError(f"It has no table [tool.{_TABLE}] with the inputs of its resolution.")
        tool = document["tool"][_TABLE]
        inputs = parse_lock_inputs(tool)
        if parse_python_tag(f"cp{inputs.python.replace('.', '')}") is None:
            raise ValueError(f"tool.{_TABLE}: '{inputs.python}' is not a version of Python")
        provided = tuple(_provided(tool.get("provided")))
        backend = tuple(str(Requirement(it)) for it in tool.get("backend", ()))
    except (ValueError, TypeError, PylockValidationError) as error:
        raise SdkError(
            Code.LOCK_INVALID,
            f"{path.name} is not a lock of this command",
            why=str(error),
            where=Where(file=str(path)),
            resolution="Write it again with --lock.",
        ) from error
    return LockFile(path, Lock(text, path.parent.absolute()), inputs, provided, backend)


def _provided(value: Any) -> Iterator[ProvidedPackages]:
    items: list[Any] = value if isinstance(value, list) else [None]
    for item in items:
        try:
            marker = item.get("marker")
            if marker is not None:
                Marker(marker)
            yield ProvidedPackages(str(item["name"]), str(item["version"]), marker)
        except (AttributeError, KeyError, TypeError, InvalidMarker) as error:
            raise ValueError(f"tool.{_TABLE}: {item!r:.80} is not a provided package") from error


def _holds_on_linux(marker: str | None, target: TargetPython) -> bool:
    """Whether a marker holds on some Linux machine."""
    return marker is None or any(
        _holds(marker, TargetPython(target.minor, machine)) for machine in _MACHINES
    )


def _holds(marker: str, target: TargetPython) -> bool:
    parsed = Marker(marker)
    return any(parsed.evaluate(it) for it in target.environments())


def _package(
    package: Mapping[str, Any], target: TargetPython, start: Path, directory: Path
) -> dict[str, Any]:
    """A package of a lock, with only the files that the target can use."""
    kept: dict[str, Any] = {
        key: package[key]
        for key in ("name", "version", "marker", "requires-python")
        if key in package
    }
    if index := package.get("index"):
        kept["index"] = _public(index)
    if source := package.get("directory"):
        path = _absolute(start, source["path"])
        _require_portable(package["name"], path, directory.absolute())
        kept["directory"] = {"path": os.path.relpath(path, directory)}
    if archive := package.get("archive"):
        kept["archive"] = _file(archive, start, directory)
    wheels = [(it, _fits(file_name(it), target)) for it in package.get("wheels", ())]
    # if nothing fits, all files stay, so that selecting from the lock can say why
    fitting = [it for it, fits in wheels if fits] or [it for it, _ in wheels]
    if (sdist := package.get("sdist")) and not any(
        fits and file_name(it).endswith("-any.whl") for it, fits in wheels
    ):
        kept["sdist"] = _file(sdist, start, directory)
    if fitting:
        kept["wheels"] = sorted(
            (_file(it, start, directory) for it in fitting), key=lambda it: str(it["name"])
        )
    if vcs := package.get("vcs"):
        kept["vcs"] = {**vcs, **({"url": _public(vcs["url"])} if "url" in vcs else {})}
    return kept


def _fits(filename: str, target: TargetPython) -> bool:
    """Whether the target could use a wheel on some Linux machine."""
    try:
        tags = parse_wheel_filename(filename)[3]
    except InvalidWheelFilename:
        return True  # selecting from the lock reports it
    return any(
        target.accepts_python(tag)
        and machine_of(tag.platform) != tag.platform
        and not tag.platform.startswith("musllinux")
        for tag in tags
    )


def _file(found: Mapping[str, Any], start: Path, directory: Path) -> dict[str, Any]:
    kept = {key: found[key] for key in _FILE_KEYS if key in found}
    kept.setdefault("name", file_name(found))
    path = local_path(kept["url"]) if "url" in kept else _absolute(start, kept["path"])
    if path is None:
        kept["url"] = _public(kept["url"])
    else:
        kept.pop("url", None)
        kept["path"] = _relative(path, directory)
    return {key: kept[key] for key in _FILE_KEYS if key in kept}


def _absolute(start: Path, path: str) -> Path:
    # not resolve(): uv made the path from the names only, and its directory is gone
    return Path(os.path.normpath(start / path))


def _relative(path: Path, directory: Path) -> str:
    """The path relative to the lock; if they have only the root in common, the file's name.

    Such a file is searched for in the wheelhouses (`--find-links`).
    """
    directory = directory.absolute()
    if os.path.commonpath([path, directory]) == directory.anchor:
        return path.name
    return os.path.relpath(path, directory)


def _require_portable(name: str, path: Path, directory: Path) -> None:
    """Refuse a source directory that other machines do not have at the same relative path.

    They have one that is in the lock's directory, next to it, or in the same repository.
    """
    common = Path(os.path.commonpath([path, directory]))
    beside = common in (directory, directory.parent) and common != Path(common.anchor)
    if beside or any(
        (place / kind).exists() for place in (common, *common.parents) for kind in _REPOSITORIES
    ):
        return
    raise SdkError(
        Code.LOCK_UNPORTABLE,
        f"{name} comes from a directory that only this machine has",
        why=f"{path}\nis not in the same repository as the lock, and not next to its directory "
        f"{directory}: other machines do not have its path.",
        where=Where(file=str(path)),
        resolution=f"Move {name} into the provider's repository, or publish it to an index and "
        "take it out of [tool.uv.sources]. Without --lock it is built from where it is.",
    )


def _public(url: str) -> str:
    """A URL without login and without query, which may have signatures and tokens."""
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))
