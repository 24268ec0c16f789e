"""Asks a SearXNG, with a time limit, and remembers its answers for a while.

Its JSON: https://docs.searxng.org/dev/search_api.html
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from http import HTTPStatus

import httpx
from cachetools import TTLCache

_REMEMBERED = 256  # searches
_HEALTH_TIMEOUT = 2


class SearchError(Exception):
    """A search that failed, and why, for whoever reads the model's answer."""


@dataclass(frozen=True, slots=True)
class Result:
    """A page that was found."""

    title: str
    url: str
    content: str


class Searxng:
    """A SearXNG at a URL."""

    def __init__(self, url: str, *, language: str, timeout: float, cache_seconds: float) -> None:
        """Prepare a client; nothing is sent yet."""
        self._url = url.rstrip("/")
        self._language = language
        self._timeout = timeout
        self._client = httpx.AsyncClient(timeout=timeout)
        self._found: TTLCache[str, list[Result]] = TTLCache(_REMEMBERED, cache_seconds)

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def search(self, query: str) -> list[Result]:
        """Return what is found, the best first. Raises SearchError."""
        known = self._found.get(query)
        if known is not None:
            return known
        response = await self._get(
            "search", {"q": query, "format": "json", "language": self._language}
        )
        if response.status_code == HTTPStatus.FORBIDDEN:
            raise SearchError(
                f"{self._url} refuses JSON: add json to search.formats in its settings.yml"
            )
        if response.status_code == HTTPStatus.TOO_MANY_REQUESTS:
            raise SearchError(f"{self._url} takes no more searches for now: its limiter is on")
        if not response.is_success:
            raise SearchError(f"{self._url} answers {response.status_code}")
        found = self._found[query] = self._results(response)
        return found

    async def problem(self) -> str | None:
        """Return why no search is possible now, or None."""
        try:
            response = await self._get("healthz", {}, limit=_HEALTH_TIMEOUT)
        except SearchError as error:
            return str(error)
        return None if response.is_success else f"{self._url} answers {response.status_code}"

    async def _get(
        self, path: str, params: dict[str, str], *, limit: float | None = None
    ) -> httpx.Response:
        limit = min(limit or self._timeout, self._timeout)
        try:
            # the client's own limit is for each read: a server that trickles never meets it
            async with asyncio.timeout(limit):
                return await self._client.get(f"{self._url}/{path}", params=params)
        except (TimeoutError, httpx.TimeoutException) as error:
            raise SearchError(f"{self._url} did not answer within {limit:g} s") from error
        except httpx.HTTPError as error:
            said = str(error) or type(error).__name__
            raise SearchError(f"{self._url} does not answer: {said}") from error

    def _results(self, response: httpx.Response) -> list[Result]:
        try:
            return [
                Result(str(it["title"]), str(it["url"]), str(it.get("content") or ""))
                for it in response.json()["results"]
            ]
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            raise SearchError(f"{self._url} does not answer like a SearXNG") from error
