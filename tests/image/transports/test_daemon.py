"""A Docker or Podman daemon: loaded into, and a base taken out of; and daemons that fail."""

from __future__ import annotations

import contextlib
import json
import shutil
import socket
import socketserver
import subprocess
import tarfile
import tempfile
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tests.engines.containers import docker_daemon

from lls_provider.bundle.bundle import Bundle
from lls_provider.errors import Code, ExitStatus, SdkError
from lls_provider.image.bundle_image import compose
from lls_provider.image.image import sha256
from lls_provider.image.transports.daemon import Daemon, DaemonOutput, find_daemon
from lls_provider.image.transports.layout import read_layout, write_layout
from lls_provider.image.transports.registry.reference import tagged

if TYPE_CHECKING:
    from tests.engines.containers import Engine as Container

MakeBundle = Callable[..., Bundle]
MakeLayout = Callable[..., Path]


def use(daemon: Path, tmp_path: Path, patch: pytest.MonkeyPatch) -> None:
    patch.setenv("DOCKER_HOST", f"unix://{daemon}")
    patch.setenv("LLS_PROVIDER_CACHE", str(tmp_path / "cache"))


@pytest.fixture(params=["docker", "podman_service"])
def daemon(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Container:
    engine: Container = request.getfixturevalue(request.param)
    assert engine.socket is not None
    use(engine.socket, tmp_path, monkeypatch)
    return engine


# --- real daemons ---


@pytest.mark.engine
def test_what_is_loaded_has_our_id_and_layers(make_bundle: MakeBundle, daemon: Container) -> None:
    image = compose(make_bundle())
    known = DaemonOutput(tagged("localhost/acme/loaded:v1")).write(image)
    assert known.removeprefix("sha256:") == sha256(image.config_bytes()).removeprefix("sha256:")
    (found,) = json.loads(daemon.run("image", "inspect", "localhost/acme/loaded:v1").stdout)
    assert found["RootFS"]["Layers"] == [layer.diff_id for layer in image.layers]
    assert found["Config"]["Labels"] == image.labels
    assert found["Config"]["User"] == "1001"


@pytest.mark.engine
def test_a_name_moves_to_the_new_image(make_bundle: MakeBundle, daemon: Container) -> None:
    output = DaemonOutput(tagged("localhost/acme/moved:v1"))
    first = output.write(compose(make_bundle("a")))
    second = output.write(compose(make_bundle("b", source="ANSWER = 43\n")))
    assert first != second
    (found,) = json.loads(daemon.run("image", "inspect", "localhost/acme/moved:v1").stdout)
    assert found["Id"].removeprefix("sha256:") == second.removeprefix("sha256:")


@pytest.mark.engine
def test_a_load_that_breaks_off_leaves_the_name_as_it_was(
    make_bundle: MakeBundle, daemon: Container
) -> None:
    output = DaemonOutput(tagged("localhost/acme/kept:v1"))
    first = output.write(compose(make_bundle("a")))
    bundle = make_bundle("b", source="ANSWER = 43\n")
    image = compose(bundle)
    bundle.own_wheel.write_bytes(b"cut")
    with pytest.raises(SdkError, match="changed while"):
        output.write(image)
    (found,) = json.loads(daemon.run("image", "inspect", "localhost/acme/kept:v1").stdout)
    assert found["Id"].removeprefix("sha256:") == first.removeprefix("sha256:")


@pytest.mark.engine
def test_the_reason_of_a_real_daemon_is_told(daemon: Container) -> None:
    del daemon  # it is the one of DOCKER_HOST
    with Daemon.connect() as connected, pytest.raises(SdkError) as caught:
        connected.load(iter([b"no archive" * 1000]))
    assert caught.value.code is Code.DAEMON_FAILED
    assert "tar header" in caught.value.why
    assert "daemon's log" in caught.value.resolution


@pytest.mark.engine
def test_a_base_is_taken_out_once(
    make_bundle: MakeBundle, daemon: Container, tmp_path: Path
) -> None:
    root = tmp_path / "root.tar"
    with tarfile.open(root, "w") as archive:
        archive.addfile(tarfile.TarInfo("etc/marker"))
    daemon.run("import", root, "localhost/acme/base:1")
    base = find_daemon(tagged("localhost/acme/base:1")).image()
    image = compose(make_bundle(), base)
    known = DaemonOutput(tagged("localhost/acme/runnable:1")).write(image)
    assert image.layers[0].diff_id == base.layers[0].diff_id
    assert write_layout(image, tmp_path / "oci") == image.digest
    assert read_layout(tmp_path / "oci").platform == base.platform
    kept = sorted((tmp_path / "cache" / "daemon").glob("*.tar"))
    assert find_daemon(tagged("localhost/acme/base:1")).image().digest == base.digest
    assert sorted((tmp_path / "cache" / "daemon").glob("*.tar")) == kept
    (found,) = json.loads(daemon.run("image", "inspect", "localhost/acme/runnable:1").stdout)
    assert found["Id"].removeprefix("sha256:") == known.removeprefix("sha256:")
    assert found["Config"]["Entrypoint"][0] == "python3"


@pytest.mark.engine
def test_an_image_that_is_not_there(daemon: Container) -> None:
    with pytest.raises(SdkError) as caught:
        find_daemon(tagged("localhost/nobody/nothing:1"))
    assert caught.value.code is Code.IMAGE_MISSING
    assert "localhost/nobody/nothing:1" in caught.value.what


# --- which daemon ---


@pytest.mark.parametrize("told", ["user:secret@host", "/x/secret.sock", "npipe://secret"])
def test_another_kind_of_address_is_refused_without_repeating_it(
    told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", told)
    with pytest.raises(SdkError) as caught:
        Daemon.connect()
    assert caught.value.code is Code.USAGE
    assert "secret" not in caught.value.render()


@pytest.mark.parametrize(
    "told", ["tcp://user:secret@127.0.0.1:1", "http://user:secret@127.0.0.1:1"]
)
def test_an_error_tells_the_address_without_the_password(
    told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", told)
    with pytest.raises(SdkError) as caught:
        Daemon.connect()
    assert caught.value.code is Code.DAEMON_FAILED
    assert "secret" not in caught.value.render()


@pytest.mark.engine
def test_a_daemon_behind_tls(
    engine: Callable[[str], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificates(engine("openssl"), tmp_path)
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as probe:
        address = f"tcp://127.0.0.1:{probe.getsockname()[1]}"
    more = ["--host", address, "--tlsverify"]
    for option, name in (("cacert", "ca"), ("cert", "cert"), ("key", "key")):
        more += [f"--tls{option}", str(tmp_path / f"{name}.pem")]
    monkeypatch.setenv("DOCKER_HOST", address)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/etc/ssl/certs/ca-certificates.crt")
    with docker_daemon(engine("dockerd"), engine("docker"), *more):
        with pytest.raises(SdkError) as caught:
            Daemon.connect()
        assert caught.value.code is Code.DAEMON_FAILED
        monkeypatch.setenv("DOCKER_TLS_VERIFY", "1")
        monkeypatch.setenv("DOCKER_CERT_PATH", str(tmp_path))
        with Daemon.connect() as daemon:
            assert daemon.address == address


def certificates(openssl: str, folder: Path) -> None:
    """One certificate, which is its own authority, the daemon's and the client's."""
    subprocess.run(
        [
            *(openssl, "req", "-x509", "-nodes", "-days", "2", "-subj", "/CN=docker"),
            *("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"),
            *("-addext", "subjectAltName=IP:127.0.0.1"),
            *("-addext", "extendedKeyUsage=serverAuth,clientAuth"),
            *("-keyout", str(folder / "key.pem"), "-out", str(folder / "cert.pem")),
        ],
        check=True,
        capture_output=True,
    )
    shutil.copy(folder / "cert.pem", folder / "ca.pem")


@pytest.mark.engine
def test_a_context_is_honoured(
    docker: Container, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    monkeypatch.delenv("DOCKER_HOST", raising=False)
    client = docker.command[0]
    for words in (
        ("create", "there", "--docker", f"host=unix://{docker.socket}"),
        ("use", "there"),
    ):
        subprocess.run([client, "context", *words], check=True, capture_output=True)
    with Daemon.connect() as daemon:
        assert daemon.address == str(docker.socket)
    # as for `docker`: the variable of a context wins over that of a host, which wins over the file
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/nothing.sock")
    with pytest.raises(SdkError, match="cannot be reached"):
        Daemon.connect()
    monkeypatch.setenv("DOCKER_CONTEXT", "there")
    Daemon.connect().client.close()
    monkeypatch.setenv("DOCKER_CONTEXT", "elsewhere")
    with pytest.raises(SdkError, match="no Docker context 'elsewhere'") as caught:
        Daemon.connect()
    assert caught.value.code is Code.USAGE


def test_no_daemon_is_told_with_the_way_out(
    make_bundle: MakeBundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(tmp_path / "nothing.sock", tmp_path, monkeypatch)
    with pytest.raises(SdkError) as caught:
        DaemonOutput(tagged("acme/echo")).write(compose(make_bundle()))
    assert caught.value.code is Code.DAEMON_FAILED
    assert caught.value.status is ExitStatus.ENVIRONMENT
    assert "DOCKER_HOST" in caught.value.resolution


# --- daemons that fail ---

Answer = Callable[[Any], None]


@contextlib.contextmanager
def serving(answer: Answer) -> Iterator[Path]:
    """A daemon that answers every request by calling ``answer`` with its handler."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            (say(200, b'{"ApiVersion": "1.41"}') if self.path == "/version" else answer)(self)

        def do_POST(self) -> None:
            answer(self)

        def address_string(self) -> str:
            return "socket"

        def log_message(self, *_args: object) -> None:
            pass

    class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
        daemon_threads = True

    with tempfile.TemporaryDirectory(prefix="lls-", dir="/tmp") as folder:
        path = Path(folder) / "s"
        with Server(str(path), Handler) as server:
            thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
            thread.start()
            try:
                yield path
            finally:
                server.shutdown()
                thread.join()


def say(status: int, body: bytes, length: int | None = -1) -> Answer:
    """An answer whose headers say another ``length``, or None: it comes in one chunk."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        if handler.command == "POST":
            while size := int(handler.rfile.readline(), 16):
                handler.rfile.read(size + 2)
        handler.send_response(status)
        if length is None:
            handler.send_header("Transfer-Encoding", "chunked")
            handler.end_headers()
            handler.wfile.write(b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body))
        else:
            handler.send_header("Content-Length", str(len(body) if length < 0 else length))
            handler.end_headers()
            handler.wfile.write(body)

    return answer


def refuse_unread(handler: BaseHTTPRequestHandler) -> None:
    handler.send_response(500)
    body = b'{"message": "no space left on device"}'
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body)


def hang_up(handler: BaseHTTPRequestHandler) -> None:
    handler.close_connection = True


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (refuse_unread, "no space left on device"),
        (say(500, b'{"message": "denied by policy"}'), "denied by policy"),
        (say(500, b"plain words"), "plain words"),
        (
            say(200, b'{"stream": "x"}\n{"errorDetail": {}, "error": "unexpected EOF"}\n', None),
            "unexpected EOF",
        ),
        (hang_up, "the connection broke"),
    ],
)
def test_what_the_daemon_says_is_told(
    make_bundle: MakeBundle,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    answer: Answer,
    told: str,
) -> None:
    with serving(answer) as path:
        use(path, tmp_path, monkeypatch)
        with pytest.raises(SdkError) as caught:
            DaemonOutput(tagged("acme/echo")).write(compose(make_bundle()))
    assert caught.value.code is Code.DAEMON_FAILED
    assert told in caught.value.render()


@pytest.mark.parametrize(
    "answer",
    [
        say(200, b"[]"),
        say(200, b"[" * 100_000),
        say(200, b"{}"),
        say(200, b'{"Id": "sha256:../../x"}'),
        say(200, b'{"Id": "sha', length=1000),
        say(500, b""),
    ],
)
def test_an_answer_that_is_none_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: Answer
) -> None:
    with serving(answer) as path:
        use(path, tmp_path, monkeypatch)
        with pytest.raises(SdkError) as caught:
            find_daemon(tagged("acme/echo"))
    assert caught.value.code is Code.DAEMON_FAILED


@pytest.mark.parametrize(("length", "code"), [(1000, Code.DAEMON_FAILED), (-1, Code.IMAGE_INVALID)])
def test_an_archive_that_breaks_off_is_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, length: int, code: Code
) -> None:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        if handler.path.endswith("/json"):
            say(200, json.dumps({"Id": "sha256:" + "0" * 64}).encode())(handler)
        else:
            say(200, b"half", length=length)(handler)

    with serving(answer) as path:
        use(path, tmp_path, monkeypatch)
        with pytest.raises(SdkError) as caught:
            find_daemon(tagged("acme/echo"))
    assert caught.value.code is code
    assert [it.suffix for it in (tmp_path / "cache" / "daemon").iterdir()] == [".lock"]
