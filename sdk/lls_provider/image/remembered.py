"""What was seen in the layers of an image, kept in the cache under the image's digest.

A digest stands for every byte of the layers: they are read once, and a second build needs the
manifest alone.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from lls_provider import __version__
from lls_provider.wheels.cache import cache_root, keep

if TYPE_CHECKING:
    from pathlib import Path

    from lls_provider.image.model import Image, JsonObject

# another version may look at the same layers in another way
_MADE_BY = f"{__version__} (3)"
_Seen = TypeVar("_Seen")


def remembered(
    image: Image,
    kind: str,
    look: Callable[[], _Seen],
    *,
    dump: Callable[[_Seen], JsonObject],
    load: Callable[[JsonObject], _Seen],
) -> _Seen:
    """What ``look`` sees in ``image``, or saw the last time; ``kind`` names the folder.

    ``load`` raises ValueError, KeyError or TypeError for what ``dump`` did not write. Raises what
    ``look`` raises, and SdkError NO_SPACE or CACHE_UNWRITABLE.
    """
    if image.raw_manifest is None:  # composed just now: its digest takes reading it
        return look()
    place = cache_root() / kind / f"{image.digest.removeprefix('sha256:')}.json"
    known = _known(place, load)
    if known is None:
        known = look()
        keep(place, json.dumps({"made by": _MADE_BY, "seen": dump(known)}).encode())
    return known


def _known(place: Path, load: Callable[[JsonObject], _Seen]) -> _Seen | None:
    try:
        found = json.loads(place.read_bytes())
        return load(found["seen"]) if found["made by"] == _MADE_BY else None
    except (OSError, ValueError, KeyError, TypeError):
        return None
