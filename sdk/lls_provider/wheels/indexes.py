"""Which indexes packages come from: a value that holds for one call, beside uv's own settings.

Whatever runs uv or downloads reads `settings`. The value travels in a context variable: it is
set by the operation that a user calls, and no environment variable of the process is.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path

from lls_provider.errors import Code, SdkError

_NAMED = re.compile(r"[\w.-]+=")  # of [NAME=]URL


@dataclass(frozen=True, slots=True)
class Indexes:
    """Where packages come from; what is not given is as uv's variables and settings have it.

    ``default_index`` is asked in place of PyPI, each of ``index`` before that, both as
    ``[NAME=]URL``. ``find_links`` are directories or pages with wheels. With ``offline``
    no network is used.
    """

    default_index: str | None = None
    index: tuple[str, ...] = ()
    find_links: tuple[str | os.PathLike[str], ...] = ()
    offline: bool = False

    def require_folders(self) -> None:
        """Raise SdkError USAGE for a folder that does not exist: uv would ignore an index there."""
        default = [self.default_index] if self.default_index is not None else []
        for text in self.find_links:
            _require_folder("--find-links", os.fspath(text), os.fspath(text))
        for option, texts in (("--index", self.index), ("--default-index", default)):
            for text in texts:
                _require_folder(option, text, _NAMED.sub("", text))

    def variables(self) -> dict[str, str]:
        """The same as variables of uv, which win over those of the environment."""
        found = {}
        if self.default_index is not None:
            found["UV_DEFAULT_INDEX"] = self.default_index
        if self.index:
            found["UV_INDEX"] = " ".join(self.index)
        if self.find_links:  # uv starts in other folders too
            found["UV_FIND_LINKS"] = ",".join(_absolute(os.fspath(it)) for it in self.find_links)
        if self.offline:
            found["UV_OFFLINE"] = "1"
        return found


_current: ContextVar[Indexes] = ContextVar("indexes", default=Indexes())  # noqa: B039 - frozen


@contextmanager
def using(indexes: Indexes) -> Iterator[None]:
    """Let ``indexes`` hold inside, in this thread and in those started with a copy of its context.

    Raises SdkError USAGE for a folder that does not exist.
    """
    indexes.require_folders()
    token = _current.set(indexes)
    try:
        yield
    finally:
        _current.reset(token)


def settings() -> dict[str, str]:
    """The environment with the variables of uv that the current `Indexes` set."""
    return {**os.environ, **_current.get().variables()}


def _absolute(place: str) -> str:
    return place if "://" in place else str(Path(place).absolute())


def _require_folder(option: str, text: str, place: str) -> None:
    if "://" in place or Path(place).is_dir():
        return
    raise SdkError(
        Code.USAGE,
        f"{option} {text!r:.200}: there is no such directory",
        resolution="Name a directory of this machine, or a URL with its scheme, such as https://….",
    )
