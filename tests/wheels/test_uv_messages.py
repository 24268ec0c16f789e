"""The real uv prints every phrase that we read, and we read it right.

A new version of uv that words something otherwise fails here first: `tools/try_newest_uv.py` runs
this module with the newest one.
"""

from __future__ import annotations

import ast
import contextlib
import json
import os
import re
import shlex
import shutil
import socketserver
import subprocess
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import uv as uv_package
from packaging.version import Version
from tests.engines.index import make_certificate, private_index
from tests.engines.serving import Ending, running

import lls_provider
from lls_provider.errors import Code, SdkError
from lls_provider.wheels import uv, uv_messages
from lls_provider.wheels.environment import build_environment
from lls_provider.wheels.uv_messages import PHRASES

if TYPE_CHECKING:
    from lls_provider.wheels.interpreter import Interpreter

pytestmark = pytest.mark.slow

MakeWheel = Callable[..., Path]

# a user who reads what the SDK's own environment is in, and writes nothing of it
STRANGER = (
    *("setpriv", "--reuid=12345", "--regid=12345", "--clear-groups"),
    *("--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search"),
)
GIT = ("git", "-c", "user.email=a@b.example", "-c", "user.name=a")

SHOWN: dict[str, tuple[str, ...]] = {}
"""The names of the phrases that each test shows."""


def shows(*names: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Mark a test in which uv has to print these phrases."""

    def mark(test: Callable[..., None]) -> Callable[..., None]:
        SHOWN[test.__name__] = names
        return test

    return mark


@dataclass
class Uv:
    """The installed uv, called as the SDK calls it; ``printed`` is all that it said."""

    interpreter: Interpreter
    patch: pytest.MonkeyPatch
    printed: list[str] = field(default_factory=list)

    def fails(self, *args: str | Path, stdin: str = "", **env: str) -> SdkError:
        """The error of a command that fails."""
        with pytest.raises(SdkError) as caught:
            uv.run_uv([*map(str, args)], doing="testing", stdin=stdin, environ=env)
        return caught.value

    def warns(self, *args: str | Path, stdin: str = "") -> list[str]:
        """The lines that a command says although it succeeds."""
        lines: list[str] = []
        uv.run_uv([*map(str, args)], doing="testing", stdin=stdin, warned=lines.append)
        self.printed += lines
        return lines

    def wrap(self, script: Path, before: Sequence[str] = (), after: str = "") -> None:
        """Call uv with these words of the shell around it."""
        command = shlex.join([*before, uv_package.find_uv_bin()])
        script.write_text(f'#!/bin/sh\nexec {command} "$@" {after}\n')
        script.chmod(0o755)
        self.patch.setattr(uv_package, "find_uv_bin", lambda: str(script))

    @property
    def compiling(self) -> tuple[str, ...]:
        """The command that resolves, as the SDK has it."""
        return (
            *("pip", "compile", "-", "--universal", "--no-header", "--no-annotate"),
            *("--python", str(self.interpreter.path)),
        )

    def unresolved(self, *requirements: str, **env: str) -> SdkError:
        """The error of a resolution that fails."""
        return self.fails(*self.compiling, stdin="\n".join(requirements), **env)


@pytest.fixture
def real(
    interpreter: Interpreter,
    uv_cache: Path,
    make_wheel: MakeWheel,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
) -> Iterator[Uv]:
    """uv with an empty index; afterwards, it must have printed the phrases of the test."""
    called = Uv(interpreter, monkeypatch)
    explained = uv.uv_error

    def heard(said: str, status: int, doing: str) -> SdkError:
        called.printed.append(said)
        return explained(said, status, doing)

    monkeypatch.setattr(uv, "uv_error", heard)
    monkeypatch.setenv("UV_CACHE_DIR", str(uv_cache))
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("UV_DEFAULT_INDEX", make_wheel("unneeded").parent.as_uri())
    names = SHOWN[request.function.__name__]
    for name in names:
        request.node.user_properties.append(("phrase", name))
    yield called
    lines = [line for said in called.printed for line in (said, *said.splitlines())]
    for name in names:
        found = any(PHRASES[name].find(line) is not None for line in lines)
        assert found, f"uv did not print {name}, but {called.printed}"


@pytest.fixture
def offered(real: Uv, make_wheel: MakeWheel, monkeypatch: pytest.MonkeyPatch) -> MakeWheel:
    """Makes wheels in the one directory that uv looks into."""
    folder = make_wheel("unneeded").parent
    monkeypatch.setenv("UV_FIND_LINKS", str(folder))
    return make_wheel


@contextlib.contextmanager
def answering(answer: bytes | None) -> Iterator[str]:
    """A server that gives every request this answer and hangs up, or none; ``HOST:PORT``."""

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with contextlib.suppress(ConnectionError):
                self.request.recv(1 << 16)
                if answer is None:
                    self.request.recv(1)  # until the client goes
                else:
                    self.request.sendall(answer)

    class Server(Ending, socketserver.TCPServer):
        """The server."""

    server = Server(("127.0.0.1", 0), Handler)
    with running(server):
        yield f"127.0.0.1:{server.server_address[1]}"


def http(
    status: str, body: bytes = b"", kind: str = "text/html", length: int | None = None
) -> bytes:
    """An answer of HTTP."""
    length = len(body) if length is None else length
    head = f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n"
    return f"{head}Connection: close\r\n\r\n".encode() + body


def test_every_phrase_has_a_test_with_the_real_uv() -> None:
    named = {name for names in SHOWN.values() for name in names}
    assert named == set(PHRASES)
    assert all(callable(globals()[name]) for name in SHOWN)


def test_no_other_module_knows_a_phrase() -> None:
    """Not the words of a pattern that are long enough to be uv's alone.

    Those of NO_SPACE are the system's: servers print them too.
    """
    root = Path(lls_provider.__file__).parent
    words = {
        fragment.replace("\\", ""): name
        for name, phrase in PHRASES.items()
        if name != "NO_SPACE"
        for fragment in re.split(r"[^\w `-]+", phrase.text)
        if len(fragment.strip(" `")) >= 17
    }
    assert len(words) > len(PHRASES) // 3
    for path in sorted(root.rglob("*.py")):
        if path.name == "uv_messages.py":
            continue
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                found = [name for text, name in words.items() if text in node.value]
                assert not found, f"{path.relative_to(root)}:{node.lineno} knows {found}"


def test_a_phrase_says_who_prints_it_and_what_it_means() -> None:
    for phrase in PHRASES.values():
        assert phrase.printed_by
        assert phrase.meaning.endswith(".")


# How a message is laid out


@shows("LABEL", "UNSATISFIABLE", "PINNED")
def test_an_explanation_comes_without_its_layout(real: Uv, offered: MakeWheel) -> None:
    offered("acme", requires=["demo>=2"])
    offered("demo", "1.0")
    offered("demo", "2.0")
    error = real.unresolved("acme", "demo==1.0")
    assert error.code is Code.RESOLUTION_FAILED
    first, second = error.why.splitlines()
    assert first.startswith("Because ")
    assert second.startswith("And because you require demo==1.0")
    assert uv_messages.pinned_versions(error.why) >= {("demo", "1.0")}


@shows("PROJECT_HINT", "OTHER_PYTHON")
def test_a_package_for_another_python(real: Uv, make_wheel: MakeWheel, tmp_path: Path) -> None:
    wheel = make_wheel("old", fields=["Requires-Python: >=3.99"])
    error = real.unresolved(f"old @ {wheel.as_uri()}")
    assert "hint" not in error.why
    assert uv_messages.highest_required_python(error.why) == "3.99"
    assert uv_messages.required_python(error.why, "old") == "Python>=3.99"
    assert uv_messages.required_python(error.why, "other") is None
    assert error.resolution.endswith("build for another one: --python 3.99.")


@shows("OTHER_PYTHON_OF_FILE")
def test_a_file_for_another_python(real: Uv, offered: MakeWheel) -> None:
    offered("old", fields=["Requires-Python: >=3.99"])
    why = real.unresolved("old").why
    assert uv_messages.required_python(why, "old") == "Python >=3.99"
    assert uv_messages.required_python(why, "other") is None


# Storage


@shows("NO_SPACE")
def test_a_full_file_system(real: Uv, offered: MakeWheel, tmp_path: Path) -> None:
    offered("demo")
    real.wrap(tmp_path / "uv", after=">/dev/full")
    assert real.unresolved("demo").code is Code.NO_SPACE


@shows("PATH_FIRST", "CACHE_NOT_MADE")
def test_a_cache_that_cannot_be_made(real: Uv, tmp_path: Path) -> None:
    place = tmp_path / "file"
    place.touch()
    error = real.unresolved("demo", UV_CACHE_DIR=str(place))
    assert error.code is Code.CACHE_UNWRITABLE
    (said,) = real.printed
    assert uv_messages.unwritable_path(said) == (
        place,
        f"failed to create directory `{place}`: File exists".rpartition(": ")[2],
    )
    assert uv_messages.is_about_cache(said)


@shows("PATH_LAST")
def test_a_cache_that_cannot_be_written(
    real: Uv, tmp_path: Path, engine: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = tmp_path / "cache"
    monkeypatch.setenv("UV_CACHE_DIR", str(cache))
    real.warns(*real.compiling)
    (cache / ".lock").unlink()
    for path in cache.rglob("*"):
        path.chmod(0o777)
    cache.chmod(0o555)  # so that a file in it is the one thing that cannot be made
    if os.geteuid() == 0:  # whom no mode stops
        engine("setpriv")
        real.wrap(tmp_path / "uv", before=STRANGER)
    real.unresolved("demo")
    found = uv_messages.unwritable_path(real.printed[-1])
    assert found is not None
    assert found[0].is_relative_to(cache)
    assert found[1] == "Permission denied"


# The network


def network(real: Uv, requirement: str = "demo", **env: str) -> SdkError:
    error = real.unresolved(requirement, **env)
    assert error.code is Code.NETWORK
    return error


@shows("REQUEST_FAILED", "NOT_CONNECTED", "TCP_FAILED", "REFUSED")
def test_nothing_listens(real: Uv) -> None:
    with answering(b"") as host:
        pass
    network(real, UV_DEFAULT_INDEX=f"http://{host}/simple")


@shows("NAME_UNKNOWN")
def test_a_host_that_there_is_not(real: Uv) -> None:
    network(real, UV_DEFAULT_INDEX="http://index.invalid/simple")


@shows("CLOSED")
def test_a_server_that_hangs_up(real: Uv) -> None:
    with answering(b"") as host:
        network(real, UV_DEFAULT_INDEX=f"http://{host}/simple")


@shows("TIMED_OUT")
def test_a_server_that_is_silent(real: Uv) -> None:
    with answering(None) as host:
        network(real, UV_DEFAULT_INDEX=f"http://{host}/simple", UV_HTTP_TIMEOUT="1")


@shows("BODY_CUT")
def test_an_answer_that_is_cut(real: Uv) -> None:
    with answering(http("200 OK", b"<html>", length=100)) as host:
        network(real, UV_DEFAULT_INDEX=f"http://{host}/simple")


@shows("SERVER_ERROR")
def test_a_server_that_fails(real: Uv) -> None:
    with answering(http("503 Service Unavailable")) as host:
        network(real, UV_DEFAULT_INDEX=f"http://{host}/simple")


@shows("RATE_LIMITED")
def test_a_server_that_is_asked_too_often(real: Uv) -> None:
    with answering(http("429 Too Many Requests")) as host:
        error = network(real, UV_DEFAULT_INDEX=f"http://{host}/simple")
    assert error.resolution.startswith("Run the command again later")


@shows("CERTIFICATE_UNKNOWN")
def test_a_certificate_that_nobody_signed(
    real: Uv, tmp_path: Path, engine: Callable[[str], str]
) -> None:
    _, certificate = make_certificate(engine("openssl"), tmp_path)
    with private_index(tmp_path, certificate) as index:
        error = network(real, UV_DEFAULT_INDEX=index.url)
    assert error.resolution.startswith("Name the certificate authority")


@shows("TUNNEL_FAILED")
def test_a_proxy_that_does_not_connect(real: Uv) -> None:
    with answering(http("502 Bad Gateway")) as host:
        network(
            real,
            UV_DEFAULT_INDEX="https://index.invalid/simple",
            HTTPS_PROXY=f"http://{host}",
            NO_PROXY="",
        )


@shows("PROXY_LOGIN_REQUIRED")
def test_a_proxy_that_wants_a_login(real: Uv) -> None:
    with answering(http("407 Proxy Authentication Required")) as host:
        error = network(
            real,
            UV_DEFAULT_INDEX="http://index.invalid/simple",
            HTTP_PROXY=f"http://{host}",
            NO_PROXY="",
        )
    assert error.resolution.startswith("Write the proxy's login")


@shows("OFFLINE_FETCH")
def test_a_url_offline(real: Uv) -> None:
    error = network(real, "demo @ https://index.invalid/demo-1.0-py3-none-any.whl", UV_OFFLINE="1")
    assert error.resolution.startswith("Run it once without --offline (UV_OFFLINE)")


@shows("OFFLINE_RESOLUTION")
def test_a_package_offline(real: Uv) -> None:
    error = network(real, "demo-of-nobody", UV_OFFLINE="1")
    assert error.resolution.startswith("Run it once without --offline (UV_OFFLINE)")


@shows("INDEX_LOGIN_REQUIRED")
def test_an_index_that_wants_a_login(real: Uv) -> None:
    with answering(http("401 Unauthorized")) as host:
        error = network(real, UV_DEFAULT_INDEX=f"http://{host}/simple")
    assert error.resolution.startswith("Give the index's login")


@shows("INDEX_FORBIDDEN")
def test_an_index_that_refuses_a_login(real: Uv) -> None:
    with answering(http("403 Forbidden")) as host:
        error = network(real, UV_DEFAULT_INDEX=f"http://{host}/simple")
    assert error.resolution.startswith("Give the index's login")


@shows("FILE_LOGIN_REQUIRED")
def test_a_file_that_needs_a_login(real: Uv) -> None:
    with answering(http("401 Unauthorized")) as host:
        error = real.unresolved(f"demo @ http://{host}/demo-1.0-py3-none-any.whl")
    assert error.resolution.startswith("Give the index's login")


@shows("FILE_FORBIDDEN")
def test_a_file_that_a_login_is_refused(real: Uv) -> None:
    with answering(http("403 Forbidden")) as host:
        error = real.unresolved(f"demo @ http://{host}/demo-1.0-py3-none-any.whl")
    assert error.resolution.startswith("Give the index's login")


# Resolutions without a result


@shows("NOT_FOUND")
@pytest.mark.parametrize("place", ["folder", "index"])
def test_a_name_that_there_is_not(
    real: Uv, offered: MakeWheel, offer: Callable[..., str], place: str
) -> None:
    wheel = offered("acme", requires=["lost"])
    env = {} if place == "folder" else {"UV_DEFAULT_INDEX": offer(wheel), "UV_FIND_LINKS": ""}
    assert uv_messages.not_found_names(real.unresolved("acme", **env).why) == ["lost"]


@shows("NOT_FOUND")
def test_the_directory_that_has_a_name_can_be_named(
    real: Uv, offered: MakeWheel, tmp_path: Path
) -> None:
    """What the advice about it says."""
    offered("acme", requires=["lost"])
    assert real.unresolved("acme").resolution == (
        "Check the spelling of 'lost'. If an index or a directory of your own has it, name that: "
        "UV_INDEX=URL or UV_FIND_LINKS=DIR."
    )
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    lost = offered("lost")
    lost.rename(elsewhere / lost.name)
    assert real.unresolved("acme").code is Code.RESOLUTION_FAILED
    env = {"UV_FIND_LINKS": f"{lost.parent},{elsewhere}"}
    uv.run_uv([*real.compiling], doing="testing", stdin="acme", environ=env)


@shows("NO_VERSIONS")
def test_a_name_that_there_is_not_with_an_extra(real: Uv, offered: MakeWheel) -> None:
    offered("acme", requires=["lost[fast]"])
    assert uv_messages.not_found_names(real.unresolved("acme").why) == ["lost"]


@shows("NO_SUCH_VERSION")
def test_a_version_that_there_is_not(real: Uv, offered: MakeWheel) -> None:
    offered("some_demo", extras=["x"])
    why = real.unresolved("Some.Demo[x]==1.1+local").why
    assert uv_messages.unavailable_version(why) == ("some-demo", Version("1.1+local"))
    assert dict(uv_messages.missing_versions(why)) == {"some-demo": "1.1+local"}


@shows("DEPENDENCY")
def test_dependencies_that_exclude_each_other(real: Uv, offered: MakeWheel) -> None:
    offered("left", requires=["demo>=2,<3"])
    offered("right", requires=["demo==1.*"])
    offered("demo", "1.0")
    offered("demo", "2.0")
    why = real.unresolved("left", "right").why
    assert uv_messages.names_dependency(why, "demo")
    assert not uv_messages.names_dependency(why, "left")
    (bounds,) = [set(it) for it in uv_messages.clashing_packages(why).values()]
    assert bounds == {">=2,<3", "==1.*"}


@shows("DEPENDENCY", "IN_SOME_ENVIRONMENTS")
def test_a_conflict_of_other_systems(real: Uv, offered: MakeWheel) -> None:
    offered("acme", requires=["demo>=2; sys_platform == 'win32'"])
    offered("demo", "1.0")
    offered("demo", "2.0")
    why = real.unresolved("acme", "demo<2; sys_platform == 'win32'").why
    assert uv_messages.is_about_markers(why)
    assert uv_messages.names_dependency(why, "demo")
    assert not uv_messages.is_about_markers(real.unresolved("acme", "demo==3").why)


@shows("ONLY_VERSION")
@pytest.mark.parametrize("bound", ["==2.0", ">=2"])
def test_a_package_that_is_named_by_its_url(real: Uv, offered: MakeWheel, bound: str) -> None:
    wheel = offered("some_demo", "1.0")
    offered("some_demo", "2.0")
    offered("acme", requires=[f"some-demo{bound}"])
    constraints = wheel.parent / "constraints.txt"
    constraints.write_text(f"some-demo @ {wheel.as_uri()}\n")
    why = real.fails(*real.compiling, "--constraint", constraints, stdin="acme").why
    assert uv_messages.only_versions(why) >= {"some-demo"}


@shows("CONFLICTING_URLS")
def test_two_urls(real: Uv, make_wheel: MakeWheel) -> None:
    urls = [make_wheel("some_demo", version).as_uri() for version in ("1.0", "2.0")]
    error = real.unresolved(*(f"some_demo @ {it}" for it in urls))
    assert uv_messages.conflicting_url(error.why) == "some-demo"


@shows("HIDDEN_BY_DATE")
def test_a_date_that_hides_releases(real: Uv) -> None:
    file = {
        "filename": "demo-1.0-py3-none-any.whl",
        "url": "https://index.invalid/demo-1.0-py3-none-any.whl",
        "hashes": {},
        "upload-time": "2024-02-01T00:00:00Z",
    }
    page = {"meta": {"api-version": "1.1"}, "name": "demo", "versions": ["1.0"], "files": [file]}
    kind = "application/vnd.pypi.simple.v1+json"
    with answering(http("200 OK", json.dumps(page).encode(), kind)) as host:
        error = real.unresolved(
            "demo", UV_DEFAULT_INDEX=f"http://{host}/simple", UV_EXCLUDE_NEWER="2024-01-01"
        )
    assert "it hides every release of demo that is newer than 2024-01-0" in error.resolution


# Sources and builds


@shows("BUILD_FAILED")
@pytest.mark.parametrize("form", ["folder", "archive"])
def test_a_package_that_cannot_be_built(
    real: Uv, tmp_path: Path, offer: Callable[..., str], form: str
) -> None:
    source = tmp_path / "broken-1.0"
    source.mkdir()
    (source / "pyproject.toml").write_text(
        '[build-system]\nrequires = []\nbuild-backend = "nothing"\nbackend-path = ["."]\n'
    )
    (source / "PKG-INFO").write_text("Metadata-Version: 1.0\nName: broken\nVersion: 1.0\n")
    if form == "folder":
        error = real.unresolved(f"broken @ {source.as_uri()}")
    else:
        name = shutil.make_archive(str(source), "gztar", tmp_path, source.name)
        offer(Path(name))
        error = real.unresolved("broken==1.0")
    assert uv_messages.is_about_build(error.why)


@shows("BUILD_REQUIREMENT")
@pytest.mark.parametrize("sources", [False, True])
def test_a_requirement_of_a_build(
    real: Uv, offered: MakeWheel, tmp_path: Path, interpreter: Interpreter, sources: bool
) -> None:
    offered("some_demo")
    with (
        pytest.raises(SdkError) as caught,
        build_environment(
            ["some-demo>=2"], interpreter=interpreter, sources=_with_sources(tmp_path, sources)
        ),
    ):
        pass
    assert uv_messages.build_requirement(caught.value.why) == "some-demo"


def _with_sources(folder: Path, wanted: bool) -> Path | None:
    (folder / "pyproject.toml").write_text('[tool.uv.sources]\nother = { path = "other" }\n')
    return folder if wanted else None


@shows("GIT_MISSING")
def test_no_git(real: Uv, tmp_path: Path) -> None:
    error = real.unresolved(f"demo @ git+{tmp_path.as_uri()}", PATH=str(tmp_path))
    assert error.resolution.startswith("git is not on PATH.")


@shows("GIT_REVISION_UNKNOWN")
@pytest.mark.parametrize("revision", ["nosuch", "0" * 40, "abcdef1", "refs/heads/nosuch"])
def test_a_revision_that_there_is_not(real: Uv, tmp_path: Path, revision: str) -> None:
    for words in (("init", "-q"), ("commit", "-q", "--allow-empty", "-m", "one")):
        subprocess.run([*GIT, *words], cwd=tmp_path, check=True)
    error = real.unresolved(f"demo @ git+{tmp_path.as_uri()}@{revision}")
    assert error.resolution.startswith(f"The repository has no {revision}.")


@shows("GIT_FAILED")
def test_a_repository_that_there_is_not(real: Uv, tmp_path: Path) -> None:
    error = real.unresolved(f"demo @ git+{tmp_path.as_uri()}/nowhere")
    assert error.resolution.startswith("The repository cannot be cloned from here.")


# Warnings of a command that succeeds


@shows("YANKED")
@pytest.mark.parametrize("reason", ["", 'It has a "fault".'])
def test_a_version_that_its_index_withdrew(
    real: Uv, make_wheel: MakeWheel, index: Any, offer: Callable[..., str], reason: str
) -> None:
    page = f"{offer(make_wheel('demo')).removeprefix(index.url)}/demo/"
    link = index.files[page].decode()
    index.files[page] = link.replace("<a ", f"<a data-yanked='{reason}' ").encode()
    lines = real.warns(*real.compiling, stdin="demo==1.0")
    told = [found for it in lines if (found := uv_messages.yanked(it))]
    assert told == ["demo==1.0 is yanked" + (f": {reason}" if reason else "")]


@shows("NO_SUCH_EXTRA")
@pytest.mark.parametrize("pin", ["", "==1.0"])
def test_an_extra_that_there_is_not(real: Uv, offered: MakeWheel, pin: str) -> None:
    offered("some_demo")
    lines = real.warns(*real.compiling, stdin=f"some_demo[fast]{pin}")
    assert [found for it in lines if (found := uv_messages.missing_extra(it))] == [
        ("some-demo", "fast")
    ]
