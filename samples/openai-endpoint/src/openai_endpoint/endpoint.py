"""Requests to the endpoint, with time limits, and its failures as what a server makes of them.

A server answers 502 for a ConnectionError, 504 for a TimeoutError, and with the status that an
exception has in ``status_code``.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Iterator, Mapping
from http import HTTPStatus
from typing import Any

import httpx
from httpx_sse import EventSource, SSEError

_DONE = "[DONE]"
_SHOWN = 300  # characters of a reply that is quoted
_ABOUT_THE_KEY = (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN)


class RefusedRequestError(Exception):
    """The endpoint refuses this request, with a status that is for who sent it."""

    def __init__(self, message: str, status_code: int) -> None:
        """Keep the status, which the server then answers with."""
        super().__init__(message)
        self.status_code = status_code


class Endpoint:
    """An OpenAI-compatible API at a URL."""

    def __init__(
        self, base_url: str, api_key: str | None, *, timeout: float, connect_timeout: float
    ) -> None:
        """Prepare a client; nothing is sent yet."""
        self._url = base_url.rstrip("/")
        self._api_key = api_key
        self._timeout = timeout
        self._limits = httpx.Timeout(timeout, connect=connect_timeout, pool=connect_timeout)
        self._opened: tuple[asyncio.AbstractEventLoop, httpx.AsyncClient] | None = None

    @property
    def _client(self) -> httpx.AsyncClient:
        """The client of the event loop that runs now.

        A server asks for the list of models in the loop that it starts in, and serves in another:
        connections that were opened in the first fail in the second.
        """
        loop = asyncio.get_running_loop()
        if self._opened is None or self._opened[0] is not loop:
            self._opened = loop, httpx.AsyncClient(timeout=self._limits)
        return self._opened[1]

    async def close(self) -> None:
        """Close the connections."""
        if self._opened is not None:
            await self._client.aclose()

    async def get(
        self, path: str, *, key: str | None = None, timeout: float | None = None
    ) -> dict[str, Any]:
        """Return the reply to a GET. ``key`` is used instead of the configured one."""
        return await self._reply(self._request("GET", path, key), key, timeout)

    async def post(
        self, path: str, body: Mapping[str, Any], *, key: str | None = None
    ) -> dict[str, Any]:
        """Return the reply to a POST of JSON.

        Raises ConnectionError, TimeoutError or RefusedRequestError.
        """
        return await self._reply(self._request("POST", path, key, body), key, None)

    async def stream(
        self, path: str, body: Mapping[str, Any], *, key: str | None = None
    ) -> AsyncIterator[dict[str, Any]]:
        """Return the events of a stream, once the endpoint has accepted the request.

        Raises what `post` raises, before the first event and between events.
        """
        request = self._request("POST", path, key, body)
        with self._failures(self._timeout):
            response = await self._client.send(request, stream=True)
            if not response.is_success:
                async with contextlib.aclosing(response):
                    await response.aread()
        self._require_success(response, key)
        return self._events(response)

    async def _events(self, response: httpx.Response) -> AsyncIterator[dict[str, Any]]:
        async with contextlib.aclosing(response):
            with self._failures(self._timeout):
                async for event in EventSource(response).aiter_sse():
                    if event.data == _DONE:
                        return
                    yield self._object(event.data)
        raise ConnectionError(f"{self._url} ended its stream without {_DONE}")

    async def _reply(
        self, request: httpx.Request, key: str | None, timeout: float | None
    ) -> dict[str, Any]:
        # the client's own limit is for each read, and an endpoint that trickles never meets it
        limit = timeout or self._timeout
        with self._failures(limit):
            async with asyncio.timeout(limit):
                response = await self._client.send(request)
        self._require_success(response, key)
        return self._object(response.text)

    def _request(
        self, method: str, path: str, key: str | None, body: Mapping[str, Any] | None = None
    ) -> httpx.Request:
        used = key or self._api_key
        headers = {"Authorization": f"Bearer {used}"} if used else {}
        return self._client.build_request(
            method, f"{self._url}/{path}", headers=headers, json=None if body is None else body
        )

    @contextlib.contextmanager
    def _failures(self, limit: float) -> Iterator[None]:
        try:
            yield
        except (httpx.TimeoutException, TimeoutError) as error:
            raise TimeoutError(f"{self._url} did not answer within {limit:g} s") from error
        except (httpx.HTTPError, SSEError) as error:
            raise ConnectionError(f"{self._url} does not answer: {_text(error)}") from error

    def _require_success(self, response: httpx.Response, key: str | None) -> None:
        if response.is_success:
            return
        said = f"{self._url} answers {response.status_code}: {_explanation(response)}"
        if response.status_code in _ABOUT_THE_KEY and key is None:
            # who sent the request cannot mend this: it is not their key
            raise ConnectionError(f"{said} (api_key of the configuration)")
        if response.is_client_error:
            raise RefusedRequestError(said, response.status_code)
        raise ConnectionError(said)

    def _object(self, text: str) -> dict[str, Any]:
        try:
            found = json.loads(text)
        except ValueError as error:
            raise ConnectionError(f"{self._url} answers no JSON: {text[:_SHOWN]!r}") from error
        if not isinstance(found, dict):
            raise ConnectionError(f"{self._url} answers no JSON object: {text[:_SHOWN]!r}")
        if found.get("error"):  # in a stream the status was sent before
            raise ConnectionError(f"{self._url} answers an error: {_message(found)[:_SHOWN]}")
        return found


def _explanation(response: httpx.Response) -> str:
    try:
        found = response.json()
    except ValueError:
        found = None
    text = _message(found) if isinstance(found, dict) else response.text
    return text[:_SHOWN] or response.reason_phrase


def _message(reply: Mapping[str, Any]) -> str:
    """Return what an OpenAI-compatible reply says of its error."""
    error = reply.get("error", reply)
    return str(error.get("message", error) if isinstance(error, dict) else error)


def _text(error: Exception) -> str:
    return str(error) or type(error).__name__
