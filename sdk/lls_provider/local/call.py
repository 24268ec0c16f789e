"""Sends HTTP requests to the local server (health, providers, sample call) and inspects its port.

The standard library connects directly to 127.0.0.1, without the proxies of the user's environment.
The process that holds a port is read from Linux' ``/proc``; elsewhere it is unknown.
"""

from __future__ import annotations

import errno
import http.client
import json
import mimetypes
import os
import re
import secrets
import socket
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lls_provider.errors import Code, SdkError, Where
from lls_provider.local.plan import CallReply, ServedProvider
from lls_provider.project.sample_call import SampleCall

HOST = "127.0.0.1"

_PROC = Path("/proc")
_LISTEN = "0A"


@dataclass(frozen=True, slots=True)
class Process:
    """A process, as ``/proc`` shows it."""

    pid: int
    name: str
    group: int


def free_port() -> int:
    """Return a port that nothing listens on now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def require_free(port: int) -> None:
    """Raise SdkError PORT_TAKEN when a server could not listen on ``port``."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # as servers do: lingering connections of an earlier server do not block the port
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
            probe.listen(1)
        except OSError as error:
            raise port_taken(port, error) from error


def port_taken(port: int, error: OSError | None = None) -> SdkError:
    """Return the error for a port that cannot be used; it names the holder if that is known."""
    if error is not None and error.errno in (errno.EACCES, errno.EPERM):
        why = "This user may not listen on it: ports below 1024 usually need privileges."
    elif error is not None and error.errno != errno.EADDRINUSE:
        why = error.strerror or str(error)
    else:
        holder = next(iter(_holders(port)), None)
        who = f"process {holder.pid} ({holder.name})" if holder else "another program"
        why = f"{who[0].upper()}{who[1:]} listens on it."
    return SdkError(
        Code.PORT_TAKEN,
        f"Port {port} on {HOST} cannot be used",
        why=why,
        resolution="Choose another port with --port, leave --port out to get a free one, "
        "or stop the program that listens there.",
    )


def group_listens(group: int, port: int) -> bool:
    """Whether a process of the group listens on ``port``; True if that cannot be determined.

    The server that answers on the port may be another one: it can have taken the port after our
    check, while ours is about to fail.
    """
    inodes = _listening(port)
    if inodes is None:
        return True
    return any(process.group == group for process in _owners(inodes))


def group_lives(group: int) -> bool:
    """Whether a process group has a process that is not a zombie."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    known = list(_processes())
    return not known or any(process.group == group for process in known)


def _holders(port: int) -> Iterator[Process]:
    inodes = _listening(port)
    if inodes:
        yield from _owners(inodes)


def _listening(port: int) -> set[str] | None:
    """Return the inodes of the sockets that listen on ``port``; None without /proc."""
    found: set[str] | None = None
    for name in ("tcp", "tcp6"):
        try:
            text = (_PROC / "net" / name).read_text("ascii", "replace")
        except OSError:
            continue
        found = set() if found is None else found
        for line in text.splitlines()[1:]:
            columns = line.split()
            if len(columns) < 10 or columns[3] != _LISTEN:
                continue
            if int(columns[1].rpartition(":")[2], 16) == port:
                found.add(columns[9])
    return found


def _owners(inodes: set[str]) -> Iterator[Process]:
    wanted = {f"socket:[{inode}]" for inode in inodes}
    for process in _processes():
        try:
            handles = list((_PROC / str(process.pid) / "fd").iterdir())
        except OSError:
            continue  # it ended meanwhile, or belongs to another user
        for handle in handles:
            try:
                if str(handle.readlink()) in wanted:
                    yield process
                    break
            except OSError:
                continue


def _processes() -> Iterator[Process]:
    """Yield every process except zombies."""
    try:
        entries = [entry for entry in _PROC.iterdir() if entry.name.isdigit()]
    except OSError:
        return
    for entry in entries:
        try:
            text = (entry / "stat").read_text("utf-8", "replace")
        except OSError:
            continue
        # "pid (name) state ppid pgrp …"; the name may hold spaces and parentheses
        head, _, rest = text.rpartition(")")
        state, _parent, group = rest.split()[:3]
        if state not in "ZX":
            yield Process(int(entry.name), head.partition("(")[2], int(group))


_METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
_BODY_LIMIT = 16 * 1024 * 1024


def parse_call(text: str) -> SampleCall:
    """Parse a call written as ``METHOD PATH [JSON]``. Raises SdkError USAGE."""
    words = text.strip().split(None, 2)
    if len(words) < 2 or words[0].upper() not in _METHODS or not words[1].startswith("/"):
        raise _bad_call(text, f"It begins with one of {', '.join(_METHODS)} and a path.")
    if not re.fullmatch(r"[!-~]+", words[1]):
        raise _bad_call(text, "The path holds characters that must be percent-encoded.")
    body: Any = None
    if len(words) == 3:
        try:
            body = json.loads(words[2])
        except ValueError as error:
            raise _bad_call(text, f"The body is not JSON: {error}.") from error
    return SampleCall(method=words[0].upper(), path=words[1], body=body)


def send(call: SampleCall, port: int, *, timeout: float) -> CallReply:
    """Send one call and read the whole reply.

    Raises SdkError CALL_FAILED when no reply comes, FILE_UNREADABLE for a file to send that cannot
    be read. The caller compares the status.
    """
    body, content_type = _payload(call)
    headers = {"Accept": "application/json, */*"}
    if content_type:
        headers["Content-Type"] = content_type
    try:
        return _exchange(call.method, call.path, port, timeout, body, headers)
    except (OSError, http.client.HTTPException) as error:
        raise SdkError(
            Code.CALL_FAILED,
            f"The server gave no reply to {call.name}",
            why=f"{type(error).__name__}: {error}" if str(error) else type(error).__name__,
            resolution="Read the server's log for what it did with the call.",
        ) from error


def is_healthy(port: int, *, timeout: float = 2.0) -> bool:
    """Whether a server on ``port`` reports that it is healthy."""
    try:
        return _exchange("GET", "/v1/health", port, timeout).status == 200
    except (OSError, http.client.HTTPException):
        return False


def list_providers(port: int, *, timeout: float = 30.0) -> tuple[ServedProvider, ...]:
    """Return the providers that the server lists. Raises SdkError SERVER_FAILED."""
    why = ""
    try:
        reply = _exchange("GET", "/v1/providers", port, timeout)
        if reply.status == 200:
            return tuple(ServedProvider.from_entry(entry) for entry in reply.body["data"])
        why = f"GET /v1/providers returned status {reply.status}: {reply.body}"
    except (OSError, http.client.HTTPException) as error:
        why = f"GET /v1/providers: {type(error).__name__}: {error}"
    except (KeyError, TypeError, IndexError):
        why = f"GET /v1/providers did not return a list of providers: {reply.body!r:.500}"
    raise SdkError(
        Code.SERVER_FAILED,
        "The server does not list its providers",
        why=why,
        resolution="Check that --server is a Llama Stack (OGX) server of a supported version.",
    )


def _exchange(
    method: str,
    path: str,
    port: int,
    timeout: float,
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
) -> CallReply:
    connection = http.client.HTTPConnection(HOST, port, timeout=timeout)
    try:
        connection.request(method, path, body=body, headers=dict(headers or {}))
        response = connection.getresponse()
        data = response.read(_BODY_LIMIT)
        return CallReply(response.status, _parsed(data))
    finally:
        connection.close()


def _parsed(data: bytes) -> Any:
    text = data.decode("utf-8", "replace")
    try:
        return json.loads(text)
    except ValueError:
        return text


def _payload(call: SampleCall) -> tuple[bytes | None, str]:
    """Return the body to send and its content type."""
    if call.form or call.files:
        return _multipart(call.form, call.files)
    if call.body is None:
        return None, ""
    return json.dumps(call.body).encode(), "application/json"


def _multipart(form: Mapping[str, str], files: Mapping[str, Path]) -> tuple[bytes, str]:
    boundary = f"lls-provider-{secrets.token_hex(12)}"
    parts: list[bytes] = []
    for name, value in form.items():
        parts.append(_part(boundary, f'name="{_quoted(name)}"', "", value.encode()))
    for name, path in files.items():
        kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
        disposition = f'name="{_quoted(name)}"; filename="{_quoted(path.name)}"'
        parts.append(_part(boundary, disposition, kind, _read(path)))
    parts.append(f"--{boundary}--\r\n".encode())
    return b"".join(parts), f"multipart/form-data; boundary={boundary}"


def _part(boundary: str, disposition: str, kind: str, data: bytes) -> bytes:
    head = f"--{boundary}\r\nContent-Disposition: form-data; {disposition}\r\n"
    if kind:
        head += f"Content-Type: {kind}\r\n"
    return head.encode() + b"\r\n" + data + b"\r\n"


def _quoted(text: str) -> str:
    # as browsers encode names (WHATWG, multipart/form-data encoding algorithm)
    return text.replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A")


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise SdkError(
            Code.FILE_UNREADABLE,
            f"Cannot read the sample file {path.name}",
            why=error.strerror or str(error),
            where=Where(file=str(path)),
            resolution="Correct the path in [tool.lls-provider.up.call], or create the file.",
        ) from error


def _bad_call(text: str, why: str) -> SdkError:
    return SdkError(
        Code.USAGE,
        f"--call cannot be understood: {text!r}",
        why=why,
        resolution="Write --call 'METHOD PATH [JSON]', for example "
        '--call \'POST /v1/chat/completions {"model": "acme-echo/echo", "messages": []}\'.',
    )
