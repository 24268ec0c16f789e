"""A lock: one resolution for every platform, as a pylock.toml (PEP 751)."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from packaging.pylock import Pylock, PylockValidationError

from lls_provider.errors import Code, SdkError


@dataclass(frozen=True, slots=True)
class Lock:
    """The text of a lock, and the folder that the relative paths in it start from."""

    text: str
    folder: Path

    def parsed(self) -> Pylock:
        """What the text says. Raises SdkError TOOL_FAILED for a text that uv should not write."""
        try:
            return _parsed(self.text)
        except (tomllib.TOMLDecodeError, PylockValidationError) as error:
            raise SdkError(
                Code.TOOL_FAILED,
                "The lock that uv wrote cannot be read",
                why=str(error),
                resolution="Report this with the version of uv ('uv --version').",
            ) from error


@lru_cache(maxsize=4)  # a build asks several times, for several machines
def _parsed(text: str) -> Pylock:
    return Pylock.from_dict(tomllib.loads(text))
