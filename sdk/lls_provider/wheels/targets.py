"""Restricts uv's resolution to the targets of an image (contract decision 13).

A universal resolution must hold on every platform, so what is asked for on another system alone can
make it fail. uv knows the environments that count from a project's settings only: so it is started
with a project of ours, which has the user's settings as well.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lls_provider.wheels.cache import writing
from lls_provider.wheels.logins import settings_files

if TYPE_CHECKING:
    from lls_provider.wheels.interpreter import Interpreter


def target_marker(interpreter: Interpreter, machines: Collection[str] = ()) -> str:
    """The marker that holds on Linux with the interpreter's minor version, on those machines.

    Without ``machines`` it holds on each.
    """
    version = ".".join(map(str, interpreter.minor))
    marker = (
        "sys_platform == 'linux' and os_name == 'posix' and platform_system == 'Linux' "
        "and implementation_name == 'cpython' and platform_python_implementation == 'CPython' "
        f"and python_version == '{version}'"
    )
    if not machines:
        return marker
    named = " or ".join(f"platform_machine == '{it}'" for it in sorted(machines))
    return f"{marker} and ({named})"


def write_project(folder: Path, marker: str, base: Path | None) -> None:
    """Write a project whose resolutions have to hold under ``marker`` alone.

    uv's settings around ``base`` (default: here) stand in it too. Raises SdkError NO_SPACE or
    OUTPUT_UNWRITABLE.
    """
    import tomli_w

    settings = {**_settings((base or Path()).absolute()), "environments": [marker]}
    with writing(folder):
        (folder / "pyproject.toml").write_text(tomli_w.dumps({"tool": {"uv": settings}}))


_OF_PROJECTS = ("sources", "workspace", "package", "managed", "default-groups", "dev-dependencies")


def _settings(base: Path) -> dict[str, Any]:
    """The table that uv would find from ``base`` on, with absolute paths."""
    for path in settings_files(os.environ, base):
        try:
            table: Any = tomllib.loads(path.read_text("utf-8"))
        except (OSError, ValueError):
            continue  # uv itself says what is wrong with it
        if path.name == "pyproject.toml":
            tool = table.get("tool")
            table = tool.get("uv") if isinstance(tool, dict) else None
        if isinstance(table, dict):
            kept = {key: value for key, value in table.items() if key not in _OF_PROJECTS}
            found: dict[str, Any] = _rooted(kept, path.parent)
            return found
    return {}


_PATHS = ("find-links", "index-url", "extra-index-url", "default-index", "cache-dir", "url")


def _rooted(value: Any, folder: Path, key: str = "") -> Any:
    """A setting with the paths in it meant from ``folder``."""
    if isinstance(value, dict):
        return {name: _rooted(it, folder, name) for name, it in value.items()}
    if isinstance(value, list):
        return [_rooted(it, folder, key) for it in value]
    if isinstance(value, str) and key in _PATHS and "://" not in value:
        return str(folder / value)
    return value
