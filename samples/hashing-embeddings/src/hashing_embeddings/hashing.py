"""Embeddings without a model: each word has a place in the vector, which its hash chooses.

Texts with common words are near to each other; words that mean the same are not. Known as feature
hashing: https://en.wikipedia.org/wiki/Feature_hashing
"""

from __future__ import annotations

import hashlib
import math
import re

from cachetools import LRUCache

_WORD = re.compile(r"\w+")


class Hashing:
    """Makes vectors of one dimension."""

    def __init__(self, dimension: int, *, remembered: int) -> None:
        """Remember the places of as many words."""
        self.dimension = dimension
        self._places: LRUCache[str, tuple[int, int]] = LRUCache(remembered)

    def embedding(self, text: str) -> list[float]:
        """Return the vector of a text, of length 1. Raises ValueError for a text without words."""
        vector = [0.0] * self.dimension
        for word in words(text):
            place, sign = self._place(word)
            vector[place] += sign
        length = math.hypot(*vector)
        if not length:
            raise ValueError(f"There is no word to embed in {text[:60]!r}")
        return [value / length for value in vector]

    def _place(self, word: str) -> tuple[int, int]:
        found = self._places.get(word)
        if found is None:
            # hash() of Python differs from process to process
            digest = hashlib.blake2b(word.encode("utf-8", "replace"), digest_size=8).digest()
            number = int.from_bytes(digest, "big")
            found = self._places[word] = (number >> 1) % self.dimension, 1 if number & 1 else -1
        return found


def words(text: str) -> list[str]:
    """Return the words of a text, in lower case."""
    return _WORD.findall(text.casefold())
