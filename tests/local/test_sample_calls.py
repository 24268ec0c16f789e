"""Sample calls: their order, what their replies must be, and how long one is repeated."""

from __future__ import annotations

import http.server
import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from lls_provider.errors import Code, SdkError, Where
from lls_provider.local import sample_calls
from lls_provider.local.log_diagnosis import LogDiagnosis
from lls_provider.local.plan import CallReply
from lls_provider.local.sample_calls import SentCall, require_expected, sent_calls
from lls_provider.project.sample_call import SampleCall
from lls_provider.project.settings import read_settings

if TYPE_CHECKING:
    from lls_provider.local.server import Server


def server(log: str = "") -> Server:
    suspects = LogDiagnosis(Path("/overlay"), {"acme": "acme"})
    stub = SimpleNamespace(
        port=1,
        suspects=suspects,
        log_text=lambda start=0: log[start:],
        log_size=lambda: len(log),
        require_alive=lambda: None,
    )
    return cast("Server", stub)


def judge(reply: CallReply, **expected: Any) -> None:
    require_expected(server(), SentCall(SampleCall("GET", "/x", **expected), reply, 0))


def refused(reply: CallReply, **expected: Any) -> SdkError:
    with pytest.raises(SdkError) as caught:
        judge(reply, **expected)
    assert caught.value.code is Code.CALL_FAILED
    return caught.value


@pytest.mark.parametrize(
    ("body", "text"),
    [({"a": ["ü"]}, '"a": ["ü"]'), ("plain ü", "plain ü"), ({"a": 1}, ""), (None, "null")],
)
def test_a_reply_that_holds_the_text_is_fine(body: Any, text: str) -> None:
    judge(CallReply(200, body), expect_text=text)


def test_another_text_is_told_with_the_reply() -> None:
    error = refused(CallReply(200, {"content": "Bye"}), expect_text="Hello")

    assert error.what == "GET /x did not return the text 'Hello'"
    assert '"content": "Bye"' in error.why


def test_the_status_is_told_first() -> None:
    error = refused(CallReply(500, "Hello"), expect_text="Bye")

    assert error.what == "GET /x returned status 500, not 200"


def test_an_unexpected_reply_of_a_running_server_is_the_providers_or_the_settings(
    tmp_path: Path,
) -> None:
    package = tmp_path / "acme"
    package.mkdir()
    (package / "provider.py").touch()
    file = tmp_path / "pyproject.toml"

    def refused_as_written(reply: CallReply) -> SdkError:
        (call,) = read_settings(tmp_path).up.calls
        with pytest.raises(SdkError) as caught:
            require_expected(server("INFO all is well"), SentCall(call, reply, 0))
        error = caught.value
        assert "ends the process" not in error.why
        assert "  | INFO all is well" in error.why
        assert "--keep" not in error.resolution
        assert error.resolution.endswith(f"at {error.where.position}.")
        return error

    file.write_text(
        '[project]\nname = "acme"\nversion = "1"\n[tool.lls-provider]\napi = "inference"\n'
        'provider-type = "remote::acme"\nmodule = "acme"\nvendor = "Acme"\n'
        '[tool.lls-provider.up.call]\npath = "/v1/x"\nexpect-text = "Hello"\n'
    )
    error = refused_as_written(CallReply(200, "Bye"))
    assert (error.where.file, error.where.line) == (str(file), 11)
    assert "`expect-text`" in error.resolution
    file.write_text(file.read_text().replace('"Hello"', '"Bye"'))  # as it says
    (call,) = read_settings(tmp_path).up.calls
    require_expected(server(), SentCall(call, CallReply(200, "Bye"), 0))

    error = refused_as_written(CallReply(404, "no model x"))
    assert error.where.line == 9  # it has no expect-status
    assert "what the call sends, or `expect-status`" in error.resolution
    file.write_text(f"{file.read_text()}expect-status = 404\n")
    (call,) = read_settings(tmp_path).up.calls
    require_expected(server(), SentCall(call, CallReply(404, "Bye"), 0))
    assert refused_as_written(CallReply(200, "Bye")).where.line == 12  # its expect-status


def test_an_unexpected_reply_to_the_command_lines_call_names_the_option() -> None:
    assert refused(CallReply(404, "no")).resolution.endswith("or the call after --call.")


class Clock:
    """A clock that only sleeping moves on; it keeps how long each sleep was."""

    def __init__(self) -> None:
        self.time = 100.0
        self.slept: list[float] = []

    def now(self) -> float:
        return self.time

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.time += seconds


class Replies:
    """Sends nothing: gives the replies in order, the last one again and again."""

    def __init__(self, *replies: CallReply | SdkError, clock: Clock, takes: float = 0) -> None:
        self.replies = list(replies)
        self.clock = clock
        self.takes = takes
        self.sent: list[SampleCall] = []
        self.timeouts: list[float] = []

    def send(self, call: SampleCall, _port: int, *, timeout: float) -> CallReply:
        self.sent.append(call)
        self.timeouts.append(timeout)
        self.clock.time += self.takes
        reply = self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]
        if isinstance(reply, SdkError):
            raise reply
        return reply


@pytest.fixture
def clock() -> Clock:
    return Clock()


def made(
    calls: list[SampleCall], replies: Replies, monkeypatch: pytest.MonkeyPatch, seen: list[SentCall]
) -> None:
    monkeypatch.setattr(sample_calls, "send", replies.send)
    clock = replies.clock
    seen.extend(sent_calls(server(), calls, now=clock.now, sleep=clock.sleep))


def test_calls_are_made_in_order_with_what_was_replied(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = [
        SampleCall("POST", "/files", form={"purpose": "batch"}),
        SampleCall("POST", "/batches", {"file": "${replies.1.id}"}),
        SampleCall("GET", "/batches/${replies.2.id}?file=${replies.1.id}"),
    ]
    replies = Replies(
        *(CallReply(200, {"id": name}) for name in ("f-1", "b-2", "b-2")), clock=clock
    )
    seen: list[SentCall] = []
    made(calls, replies, monkeypatch, seen)

    assert [(it.name, it.body) for it in replies.sent] == [
        ("POST /files", None),
        ("POST /batches", {"file": "f-1"}),
        ("GET /batches/b-2?file=f-1", None),
    ]
    assert [it.reply.call for it in seen] == [it.name for it in replies.sent]
    assert replies.timeouts == [sample_calls.CALL_TIMEOUT] * 3
    assert clock.slept == []


def test_the_only_call_is_sent_as_it_is_written(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    call = SampleCall("POST", "/x", {"a": "${replies.1.id}"})
    replies = Replies(CallReply(200, {}), clock=clock)
    made([call], replies, monkeypatch, [])
    assert replies.sent == [call]


def test_after_a_failure_no_call_is_made(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    replies = Replies(CallReply(500, "no"), clock=clock)
    seen: list[SentCall] = []
    with pytest.raises(SdkError, match="GET /a returned status 500"):
        made([SampleCall("GET", "/a"), SampleCall("GET", "/b")], replies, monkeypatch, seen)
    assert [it.reply.status for it in seen] == [500]
    assert len(replies.sent) == 1


def test_a_field_that_a_reply_lacks_ends_the_run_before_the_call(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = Where("pyproject.toml", 3, 8)
    later = SampleCall("GET", "/b/${replies.1.ids}", places={("path",): place})
    replies = Replies(CallReply(200, {"id": "1", "object": "x"}), clock=clock)
    with pytest.raises(SdkError) as caught:
        made([SampleCall("GET", "/a"), later], replies, monkeypatch, [])

    assert (caught.value.code, caught.value.where) == (Code.CALL_FAILED, place)
    assert caught.value.what.startswith("Call 2 needs ${replies.1.ids}, which the reply to call 1")
    assert caught.value.why == "There is no 'ids': it has id, object."
    assert caught.value.resolution == "Write ${replies.1.id}."
    assert len(replies.sent) == 1


RUNNING, DONE = CallReply(200, {"status": "running"}), CallReply(200, {"status": "done"})
WAITING = SampleCall("GET", "/batch", expect_text="done", within=30)


def test_a_call_is_repeated_until_its_reply_is_as_expected(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    replies = Replies(CallReply(404, "not yet"), RUNNING, RUNNING, DONE, clock=clock)
    seen: list[SentCall] = []
    made([WAITING], replies, monkeypatch, seen)

    assert len(replies.sent) == 4
    assert clock.slept == [0.5, 0.5, 0.5]
    assert [it.reply.body for it in seen] == [DONE.body]
    assert replies.timeouts == [30, 29.5, 29, 28.5]


def test_when_the_time_is_over_the_last_reply_is_shown(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    replies = Replies(CallReply(404, "not yet"), RUNNING, clock=clock)
    with pytest.raises(SdkError) as caught:
        made([WAITING], replies, monkeypatch, [])

    assert caught.value.what == "GET /batch did not return the text 'done' within 30 s"
    assert caught.value.why.startswith('The last reply: {"status": "running"}')
    assert clock.time == 130
    assert len(replies.sent) == 61


def test_slow_replies_do_not_make_it_longer(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    replies = Replies(RUNNING, clock=clock, takes=9.6)
    with pytest.raises(SdkError, match="within 30 s"):
        made([WAITING], replies, monkeypatch, [])

    assert len(replies.sent) == 3  # a fourth would begin after 30.3 s
    assert replies.timeouts == [pytest.approx(it) for it in (30, 19.9, 9.8)]


@pytest.mark.parametrize(("takes", "what"), [(29, "within 30 s"), (1, "gave no reply")])
def test_a_request_without_a_reply_counts_unless_the_time_is_over(
    clock: Clock, monkeypatch: pytest.MonkeyPatch, takes: float, what: str
) -> None:
    silent = SdkError(Code.CALL_FAILED, "The server gave no reply", resolution="Look.")
    replies = Replies(RUNNING, silent, clock=clock, takes=takes)
    with pytest.raises(SdkError, match=what):
        made([WAITING], replies, monkeypatch, [])


def test_the_log_of_a_repeated_call_begins_with_its_first_request(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    replies = Replies(RUNNING, DONE, clock=clock)
    seen: list[SentCall] = []
    made([WAITING], replies, monkeypatch, seen)
    assert seen[0].log_start == 0


class Handler(http.server.BaseHTTPRequestHandler):
    """A service that makes something in the background: it is done at the third look."""

    looks = 0

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self._reply({"id": "job/1", "of": asked["of"]})

    def do_GET(self) -> None:
        type(self).looks += 1
        done = self.path == "/jobs/job%2F1" and self.looks > 2
        self._reply({"status": "done" if done else "running"})

    def _reply(self, value: Any) -> None:
        data = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        pass


@pytest.fixture
def port() -> Iterator[int]:
    from tests.engines.serving import running

    Handler.looks = 0
    service = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    with running(service):
        yield service.server_address[1]


def test_a_real_server_is_asked_until_it_is_done(port: int, clock: Clock) -> None:
    calls = [
        SampleCall("POST", "/jobs", {"of": [1, 2]}),
        SampleCall("GET", "/jobs/${replies.1.id}", expect_text="done", within=10),
    ]
    there = server()
    there.port = port
    first, second = sent_calls(there, calls, now=clock.now, sleep=clock.sleep)

    assert first.reply == CallReply(200, {"id": "job/1", "of": [1, 2]}, "POST /jobs")
    assert second.reply == CallReply(200, {"status": "done"}, "GET /jobs/job%2F1")
    assert Handler.looks == 3
