"""A Docker or Podman daemon: the sink and the base that are reached over its unix socket.

The Docker Engine API needs one request each to load, to inspect and to save, so that the
standard library does; images stream both ways.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import socket
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from lls_provider.errors import Code, SdkError, Where
from lls_provider.image.archive import docker_archive, write_archive
from lls_provider.image.reference import is_digest
from lls_provider.image.tar import CHUNK
from lls_provider.image.unarchive import read_archive
from lls_provider.wheels.cache import cache_root, locked

if TYPE_CHECKING:
    from lls_provider.image.model import Image, JsonObject, Platform
    from lls_provider.image.reference import Reference

_VARIABLE = "DOCKER_HOST"
_UNIX = "unix://"
_DOCKER_SOCKET = Path("/var/run/docker.sock")
_PODMAN_SOCKET = "podman/podman.sock"  # below /run or the user's runtime folder
_SILENCE = 600.0  # seconds; a daemon says nothing while it unpacks
_ANSWER_LIMIT = 4 << 20
_RUN_ONE = (
    f"Start the daemon (`systemctl start docker`, `systemctl --user start podman.socket`), or name "
    f"its socket: {_VARIABLE}=unix:///PATH. Without a daemon, write oci:DIR."
)


@dataclass(frozen=True, slots=True)
class DaemonOutput:
    """An image of a daemon, by its name there."""

    reference: Reference

    def __str__(self) -> str:
        return f"docker-daemon:{self.reference}"

    def write(self, image: Image) -> str:
        """Load ``image`` and give the ID that the daemon knows it by.

        The name is given last: a load that breaks off leaves it as it was. Raises SdkError
        DAEMON_FAILED, and what a layer raises whose files changed meanwhile.
        """
        daemon = Daemon.find()
        daemon.load(docker_archive(image, self.reference))
        found = daemon.inspect(self.reference)
        layers = (found.get("RootFS") or {}).get("Layers")
        if layers != [layer.diff_id for layer in image.layers]:
            raise daemon.failed(
                f"The daemon has another image as {self.reference}",
                "Its layers are not the ones that were loaded; perhaps somebody else loaded one.",
            )
        return str(found.get("Id"))


def read_daemon(reference: Reference, *, platform: Platform | None = None) -> Image:
    """The image that a daemon knows as ``reference``; its layers are kept in the cache by its ID.

    Raises SdkError IMAGE_MISSING, DAEMON_FAILED, NO_SPACE, OUTPUT_UNWRITABLE, IMAGE_INVALID.
    """
    daemon = Daemon.find()
    known = str(daemon.inspect(reference).get("Id"))
    if not is_digest(known):
        raise daemon.failed(f"The daemon's ID of {reference} is no digest", known[:200])
    path = cache_root() / "daemon" / f"{known.removeprefix('sha256:')}.tar"
    with locked(path.with_suffix(".lock")):
        if path.exists():
            return read_archive(path, platform=platform)
        # by its ID: the name may move meanwhile
        write_archive(daemon.save(known), path)
        try:
            image = read_archive(path, platform=platform)
            for layer in image.layers:
                for _ in layer.chunks():
                    pass
        except SdkError:
            path.unlink()  # what is kept under an ID is whole
            raise
    return image


@dataclass(frozen=True, slots=True)
class Daemon:
    """A daemon's socket, and the requests that we make."""

    socket: Path

    @classmethod
    def find(cls, environment: Mapping[str, str] | None = None) -> Daemon:
        """The daemon of DOCKER_HOST, else Docker's or Podman's at its usual place.

        Raises SdkError USAGE for a DOCKER_HOST that is no unix socket, DAEMON_FAILED when there
        is none.
        """
        known = os.environ if environment is None else environment
        told = known.get(_VARIABLE, "")
        if told:
            if not told.startswith(_UNIX):
                raise SdkError(
                    Code.USAGE,
                    f"{_VARIABLE} is no unix socket",
                    why=f"Its scheme is {told.partition(':')[0]!r:.40}; images are loaded into a "
                    "daemon of this machine only.",
                    resolution="Set it to unix:///PATH, or push the image to a registry.",
                )
            return cls(Path(told.removeprefix(_UNIX)))
        runtime = known.get("XDG_RUNTIME_DIR", "")
        places = [_DOCKER_SOCKET, *([Path(runtime, _PODMAN_SOCKET)] if runtime else [])]
        places.append(Path("/run", _PODMAN_SOCKET))
        for place in places:
            if place.is_socket():
                return cls(place)
        raise SdkError(
            Code.DAEMON_FAILED,
            "There is no container daemon on this machine",
            why="Looked for:\n" + "\n".join(f"  {place}" for place in places),
            resolution=_RUN_ONE,
        )

    def ping(self) -> None:
        """Ask whether the daemon answers. Raises SdkError DAEMON_FAILED when it does not."""
        with self._asked("GET", "/_ping") as answer:
            if answer.status != http.client.OK:
                raise self.failed(
                    f"The daemon refuses (status {answer.status})",
                    _message(answer.read(_ANSWER_LIMIT)),
                )

    def load(self, archive: Iterable[bytes]) -> None:
        """Load a Docker archive. Raises SdkError DAEMON_FAILED with the daemon's reason."""
        with self._asked(
            "POST",
            "/images/load?quiet=1",
            body=archive,
            headers={"Content-Type": "application/x-tar"},
        ) as answer:
            said = answer.read(_ANSWER_LIMIT)
            # the status is sent before the archive is read: what went wrong stands in the text
            reason = _reason(said) if answer.status == http.client.OK else _message(said)
            if reason is not None:
                raise self.failed("The daemon did not load the image", reason)

    def inspect(self, reference: Reference) -> JsonObject:
        """What the daemon tells of an image. Raises SdkError IMAGE_MISSING, DAEMON_FAILED."""
        with self._asked("GET", f"/images/{_quoted(reference)}/json") as answer:
            said = answer.read(_ANSWER_LIMIT)
            self._expect(answer, said, reference)
        found = _object(said)
        if found is None:
            raise self.failed(f"The daemon's answer about {reference} is no JSON", _message(said))
        return found

    def save(self, image: str) -> Iterator[bytes]:
        """The archive of the image with an ID. Raises as `inspect`, and when it breaks off."""
        with self._asked("GET", f"/images/{quote(image, safe=':')}/get") as answer:
            if answer.status != http.client.OK:
                self._expect(answer, answer.read(_ANSWER_LIMIT), image)
            while chunk := answer.read(CHUNK):
                yield chunk
            if answer.length:  # http.client tells it of documents that are read whole only
                raise http.client.IncompleteRead(b"", answer.length)

    def failed(self, what: str, why: str) -> SdkError:
        """The error DAEMON_FAILED about this daemon."""
        return SdkError(
            Code.DAEMON_FAILED,
            what,
            why=why,
            where=Where(file=str(self.socket)),
            resolution=_RUN_ONE,
        )

    def _expect(self, answer: http.client.HTTPResponse, said: bytes, name: Reference | str) -> None:
        if answer.status == http.client.NOT_FOUND:
            raise SdkError(
                Code.IMAGE_MISSING,
                f"The daemon has no image {name}",
                why=_message(said),
                where=Where(file=str(self.socket)),
                resolution=f"Look at `docker images`, or `docker pull {name}` first. Podman's "
                "own images are named localhost/NAME.",
            )
        if answer.status != http.client.OK:
            raise self.failed(f"The daemon refuses (status {answer.status})", _message(said))

    @contextlib.contextmanager
    def _asked(
        self,
        method: str,
        path: str,
        *,
        body: Iterable[bytes] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Iterator[http.client.HTTPResponse]:
        connection = _Connection(self.socket)
        try:
            # a daemon that refuses stops reading: its answer is there all the same
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                connection.request(method, path, body, dict(headers or {}))
            yield connection.getresponse()
        except (OSError, http.client.HTTPException) as error:
            reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
            raise self.failed(
                "The container daemon cannot be reached, or broke off", reason
            ) from error
        finally:
            connection.close()


class _Connection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=_SILENCE)
        self.path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(_SILENCE)
        self.sock.connect(os.fspath(self.path))


def _quoted(reference: Reference) -> str:
    return quote(str(reference), safe="/:@")


def _object(data: bytes) -> JsonObject | None:
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _message(said: bytes) -> str:
    """The reason in an answer that is an error."""
    found = (_object(said) or {}).get("message")
    return str(found)[:2000] if found else said[:2000].decode(errors="replace")


def _reason(said: bytes) -> str | None:
    """The first error among the JSON lines that a daemon tells its progress in."""
    for line in said.splitlines():
        found = (_object(line) or {}).get("error")
        if found:
            return str(found)[:2000]
    return None
