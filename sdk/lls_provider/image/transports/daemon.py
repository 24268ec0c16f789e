"""Reads and writes images of a Docker or Podman daemon, through the Docker Engine API.

The library `docker` implements the API and finds daemons (DOCKER_HOST, contexts, TLS); images are
streamed in both directions as Docker archives. A daemon on another machine is reached through ``ssh
HOST docker system dial-stdio``, as `docker` does: ssh handles keys, jump hosts and known hosts. The
library would use paramiko, a second implementation of SSH.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import socket
import subprocess
import tempfile
import threading
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any
from urllib.parse import urlsplit

from lls_provider.bundle.image_names import DAEMON
from lls_provider.errors import Code, SdkError, Where
from lls_provider.image.manifest import layers_size, one_image
from lls_provider.image.tar import CHUNK
from lls_provider.image.transports.archive import docker_archive, find_archive, write_archive
from lls_provider.image.transports.registry.reference import is_digest
from lls_provider.progress import SILENT, Progress, counting
from lls_provider.system.cache import locked
from lls_provider.system.cache_sections import cache_section

if TYPE_CHECKING:
    from lls_provider.image.image import JsonObject
    from lls_provider.image.manifest import Content
    from lls_provider.image.transports.layout import StoredManifest
    from lls_provider.image.transports.registry.reference import Reference


_ERROR_OUTPUT_LIMIT = 2000
_END_SECONDS = 10


class AddressError(ValueError):
    """An address that ssh cannot be called with; the message says why and quotes none of it."""


def ssh_command(address: str) -> list[str]:
    """Return the command that connects to the daemon of ``ssh://[USER@]HOST[:PORT][/SOCKET]``.

    Raises AddressError.
    """
    try:
        parts = urlsplit(address)
        port = parts.port
    except ValueError as error:
        raise AddressError("its port is not a number") from error
    if parts.password is not None:
        raise AddressError("it has a password, which ssh does not take from there")
    if not parts.hostname or parts.query or parts.fragment:
        raise AddressError("it is not ssh://[USER@]HOST[:PORT]")
    command = ["ssh", "-T", "-o", "ConnectTimeout=30"]
    command += ["-l", parts.username] if parts.username else []
    command += ["-p", str(port)] if port else []
    dial = ["docker"]
    if parts.path.strip("/"):
        dial += ["--host", f"unix://{parts.path}"]
    # the remote shell parses it; after `--` no host can be an option
    return [*command, "--", parts.hostname, shlex.join([*dial, "system", "dial-stdio"])]


@dataclass(slots=True)
class SshTunnel:
    """A socket on this machine that is forwarded to the other machine's daemon."""

    command: list[str]
    _directory: Path
    _listener: socket.socket
    _log: IO[bytes]
    _processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @classmethod
    def open(cls, address: str) -> SshTunnel:
        """Listen; ssh starts with the first connection. Raises AddressError or OSError."""
        command = ssh_command(address)
        if shutil.which("ssh") is None:
            raise FileNotFoundError(None, "There is no ssh on this machine's PATH")
        directory = Path(tempfile.mkdtemp(prefix="lls-provider-"))
        try:
            listener = socket.socket(socket.AF_UNIX)
            listener.bind(str(directory / "docker.sock"))
            listener.listen()
            tunnel = cls(command, directory, listener, (directory / "log").open("w+b"))
        except BaseException:
            shutil.rmtree(directory, ignore_errors=True)
            raise
        threading.Thread(target=tunnel._serve, daemon=True).start()
        return tunnel

    @property
    def url(self) -> str:
        """The address on this machine."""
        return f"unix://{self._directory / 'docker.sock'}"

    def error_output(self) -> str:
        """Return the error output of ssh and the other machine."""
        for process in self._processes:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(_END_SECONDS)  # the end of the log is the latest output
        text = (self._directory / "log").read_bytes()[-_ERROR_OUTPUT_LIMIT:]
        return text.decode(errors="replace").strip()

    def close(self) -> None:
        """End every connection."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for process in self._processes:
            process.terminate()
        for process in self._processes:
            process.wait()
        self._log.close()
        shutil.rmtree(self._directory, ignore_errors=True)

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return  # the socket is closed
            with connection:
                self._processes.append(
                    subprocess.Popen(
                        self.command,
                        stdin=connection.fileno(),
                        stdout=connection.fileno(),
                        stderr=self._log,
                    )
                )


_HOST = "DOCKER_HOST"
_CONTEXT = "DOCKER_CONTEXT"
_SCHEMES = ("unix", "tcp", "ssh", "http", "https")
_DOCKER_SOCKET = Path("/var/run/docker.sock")
_USER_SOCKETS = ("docker.sock", "podman/podman.sock")  # below the user's runtime directory
_PODMAN_SOCKET = Path("/run/podman/podman.sock")
_SILENCE = 600  # seconds; a daemon sends nothing while it unpacks
_REASON_LIMIT = 2000
_RUN_ONE = (
    f"Start the daemon (`systemctl start docker`, `systemctl --user start podman.socket`), or name "
    f"it: {_HOST}=unix:///PATH. Without a daemon, write oci:DIR."
)
_UNREACHED = "The container daemon cannot be reached, or the connection broke"
_BY_HAND = (
    "Try by hand what it is reached with: `ssh [USER@]HOST docker system dial-stdio`; the other "
    f"machine needs the docker command. Or forward its socket, `ssh -nNT -L "
    f"$HOME/docker.sock:/var/run/docker.sock [USER@]HOST`, and set "
    f"{_HOST}=unix://$HOME/docker.sock."
)
_ASK_IT = (
    "Look at the daemon's log (`journalctl -u docker`). To do without a daemon, write oci:DIR, or "
    "push with docker://REF."
)
_FREE = "Free space where the daemon keeps its images (`docker system df`), then run this again."


@dataclass(frozen=True, slots=True)
class DaemonOutput:
    """An image of a daemon, by its name there."""

    reference: Reference
    progress: Progress = SILENT

    def __str__(self) -> str:
        return f"{DAEMON}{self.reference}"

    def write(self, content: Content) -> str:
        """Load an image and return its ID in the daemon.

        The name is set last: a load that fails leaves it unchanged. Raises SdkError DAEMON_FAILED,
        what a layer raises whose files have changed, and USAGE for an index.
        """
        image = one_image(content, self)
        with Daemon.connect() as daemon:
            with self.progress.task("loading", layers_size(image)) as advance:
                daemon.load(counting(docker_archive(image, self.reference), advance))
            found = daemon.inspect(self.reference)
        layers = (found.get("RootFS") or {}).get("Layers")
        if layers != [layer.diff_id for layer in image.layers]:
            raise daemon.failed(
                f"The daemon has another image as {self.reference}",
                "Its layers are not the ones that were loaded; perhaps another client loaded one.",
                "Load it again when no other client uses that name.",
            )
        return str(found.get("Id"))


def find_daemon(reference: Reference, *, progress: Progress = SILENT) -> StoredManifest:
    """Return the image ``reference`` of a daemon; its layers are cached by its ID.

    Raises SdkError IMAGE_MISSING, DAEMON_FAILED, NO_SPACE, CACHE_UNWRITABLE, IMAGE_INVALID.
    """
    with Daemon.connect() as daemon:
        known = str(daemon.inspect(reference).get("Id"))
        if not is_digest(known):
            raise daemon.failed(
                f"The daemon's ID of {reference} is not a digest", repr(known[:_REASON_LIMIT])
            )
        path = cache_section("daemon") / f"{known.removeprefix('sha256:')}.tar"
        with locked(path.with_suffix(".lock")):
            if path.exists():
                return find_archive(path)
            # by its ID: the name may be changed meanwhile
            with progress.task("reading", 0) as advance:
                write_archive(counting(daemon.save(known), advance), path)
            try:
                found = find_archive(path)
                for layer in found.image().layers:
                    for _ in layer.chunks():
                        pass
            except SdkError:
                path.unlink()  # the cache must hold complete archives only
                raise
    return found


@dataclass(frozen=True, slots=True)
class Daemon:
    """A connection to a daemon; a context manager that closes it."""

    client: Any  # an APIClient, whose stubs do not type the methods that are used
    address: str  # for messages: without user and password
    tunnel: SshTunnel | None = None

    @classmethod
    def connect(cls, *, timeout: int = _SILENCE) -> Daemon:
        """Connect to the daemon that `docker` would use, else to Podman's.

        ``timeout`` are the seconds that it may be silent.

        DOCKER_CONTEXT, DOCKER_HOST and the current context are tried in this order, then the usual
        sockets. Raises SdkError USAGE for a DOCKER_HOST that is not an address, DAEMON_FAILED when
        there is no daemon or it does not answer.
        """
        with _wrapped("the address that Docker's settings name"):
            settings = _settings()
        address = str(settings["base_url"])
        if address.startswith("ssh:"):
            return cls._through_ssh(address, timeout)
        shown = _shown(address)
        with _wrapped(shown, secret=urlsplit(address).netloc):
            return cls(_client(settings, timeout), shown)

    @classmethod
    def _through_ssh(cls, address: str, timeout: int) -> Daemon:
        try:
            shown = _shown(address)
            tunnel = SshTunnel.open(address)
        except AddressError as error:
            raise SdkError(
                Code.USAGE,
                "ssh cannot be called with the daemon's address",
                why=str(error),
                resolution=f"Set {_HOST} to ssh://[USER@]HOST[:PORT], or to a local socket.",
            ) from error
        except OSError as error:
            raise _failed(shown, _UNREACHED, _root(error), _BY_HAND) from error
        try:
            with _wrapped(shown, tunnel=tunnel):
                return cls(_client({"base_url": tunnel.url}, timeout), shown, tunnel)
        except BaseException:
            tunnel.close()
            raise

    def __enter__(self) -> Daemon:
        return self

    def __exit__(self, *_error: object) -> None:
        self.client.close()
        if self.tunnel is not None:
            self.tunnel.close()

    def load(self, archive: Iterable[bytes]) -> None:
        """Load a Docker archive. Raises SdkError DAEMON_FAILED with the daemon's reason."""
        with _wrapped(self.address, tunnel=self.tunnel):
            # the status is sent before the archive is read: errors are in the body
            for line in self.client.load_image(archive, quiet=True):
                reason = _object(line).get("error")
                if reason:
                    why = str(reason)[:_REASON_LIMIT]
                    raise self.failed("The daemon did not load the image", why, _resolution(why))

    def version(self) -> str:
        """Return what the daemon is, and its version. Raises SdkError DAEMON_FAILED."""
        with _wrapped(self.address, tunnel=self.tunnel):
            found = _object(self.client.version())
        components = found.get("Components")
        first = components[0] if isinstance(components, list) and components else {}
        name = first.get("Name") if isinstance(first, dict) else None
        # Docker's own component is the "Engine", Podman's the "Podman Engine"
        name = "Docker Engine" if name in (None, "Engine") else name
        return f"{name} {found.get('Version') or ''}".strip()

    def inspect(self, reference: Reference) -> JsonObject:
        """Return the daemon's description of an image. Raises SdkError IMAGE_MISSING,
        DAEMON_FAILED.
        """
        with _wrapped(self.address, name=str(reference), tunnel=self.tunnel):
            found = _object(self.client.inspect_image(str(reference)))
        if not found:
            raise self.failed(f"The daemon's answer about {reference} is empty", "")
        return found

    def save(self, image: str) -> Iterator[bytes]:
        """Yield the archive of an image by ID. Raises what `inspect` raises, also when it breaks
        off.
        """
        with _wrapped(self.address, name=image, tunnel=self.tunnel):
            yield from self.client.get_image(image, chunk_size=CHUNK)

    def failed(self, what: str, why: str, resolution: str = _ASK_IT) -> SdkError:
        """Return the error DAEMON_FAILED about this daemon."""
        return _failed(self.address, what, why, resolution)


def _settings() -> dict[str, Any]:
    """Return the daemon's address and TLS settings, as arguments of the client."""
    from docker.context import ContextAPI
    from docker.context.config import get_current_context_name
    from docker.utils import kwargs_from_env

    host = os.environ.get(_HOST, "")
    context = os.environ.get(_CONTEXT, "") or ("" if host else get_current_context_name())
    if context and context != "default":
        found = ContextAPI.kwargs_from_context(context)
        if not found.get("base_url"):
            raise SdkError(
                Code.USAGE,
                f"There is no Docker context {context!r:.100}",
                resolution=f"Choose one of `docker context ls`, or unset {_CONTEXT}.",
            )
        return dict(found)
    if host:
        scheme, separator, _ = host.partition("://")
        if not separator or scheme not in _SCHEMES:
            raise SdkError(
                Code.USAGE,
                f"{_HOST} is not an address of a daemon",
                why=f"It begins with none of {', '.join(f'{it}://' for it in _SCHEMES)}.",
                resolution="Set it to unix:///PATH, or unset it for the daemon at its usual place.",
            )
        return dict(kwargs_from_env())
    return {"base_url": f"unix://{_usual_socket()}"}


def _client(settings: Mapping[str, Any], timeout: int) -> Any:
    from docker.api.client import APIClient

    class Client(APIClient):
        def merge_environment_settings(
            self, url: Any, proxies: Any, stream: Any, verify: Any, cert: Any
        ) -> Any:
            # else REQUESTS_CA_BUNDLE would replace the certificates of DOCKER_CERT_PATH
            verified = self.verify if verify is None else verify
            return super().merge_environment_settings(url, proxies, stream, verified, cert)

    return Client(**settings, version="auto", timeout=timeout)


def _usual_socket() -> Path:
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    places = [_DOCKER_SOCKET]
    places += [Path(runtime, name) for name in _USER_SOCKETS if runtime]
    places.append(_PODMAN_SOCKET)
    for place in places:
        if place.is_socket():
            return place
    raise SdkError(
        Code.DAEMON_FAILED,
        "There is no container daemon on this machine",
        why="Looked for:\n" + "\n".join(f"  {place}" for place in places),
        resolution=_RUN_ONE,
    )


def _shown(address: str) -> str:
    """Return an address without credentials; a socket as its path."""
    parts = urlsplit(address)
    if parts.scheme.endswith("unix"):
        return parts.path
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"


@contextlib.contextmanager
def _wrapped(
    address: str, *, name: str = "", secret: str = "", tunnel: SshTunnel | None = None
) -> Iterator[None]:
    """Convert the client's exceptions to an SdkError about the daemon at ``address``."""
    from docker.errors import APIError, DockerException, ImageNotFound
    from requests import RequestException

    try:
        yield
    except ImageNotFound as error:
        raise SdkError(
            Code.IMAGE_MISSING,
            f"The daemon has no image {name}",
            why=_explained(error),
            where=Where(file=address),
            resolution=f"Look at `docker images`, or `docker pull {name}` first. Podman's own "
            "images are named localhost/NAME.",
        ) from error
    except APIError as error:
        why = _explained(error)
        status = f"status {error.status_code}"
        raise _failed(address, f"The daemon refuses ({status})", why, _resolution(why)) from error
    except (DockerException, RequestException, OSError, ValueError, RecursionError) as error:
        reason = _root(error)[:_REASON_LIMIT]
        if secret:
            reason = reason.replace(secret, secret.rpartition("@")[2])
        if tunnel is not None:
            raise _failed(address, _UNREACHED, tunnel.error_output() or reason, _BY_HAND) from error
        raise _failed(address, _UNREACHED, reason, _RUN_ONE) from error


def _root(error: BaseException) -> str:
    """Return the innermost system error that the client wraps."""
    cause: BaseException | None = error
    while cause is not None:
        if type(cause).__module__ == "builtins" and isinstance(cause, OSError) and cause.strerror:
            return cause.strerror
        cause = cause.__cause__ or cause.__context__
    return str(error) or type(error).__name__


def _explained(error: Any) -> str:
    return str(error.explanation or error)[:_REASON_LIMIT]


def _resolution(reason: str) -> str:
    return _FREE if "no space left" in reason else _ASK_IT


def _failed(address: str, what: str, why: str, resolution: str) -> SdkError:
    return SdkError(
        Code.DAEMON_FAILED, what, why=why, where=Where(file=address), resolution=resolution
    )


def _object(value: Any) -> JsonObject:
    return value if isinstance(value, dict) else {}
