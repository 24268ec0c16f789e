"""Makes the sample calls of a run in their order, each until its reply is what it has to be."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from lls_provider.errors import Code, SdkError, Where
from lls_provider.local.call import send
from lls_provider.local.plan import shown_body
from lls_provider.progress import SILENT, Progress
from lls_provider.project.sample_call import filled

if TYPE_CHECKING:
    from lls_provider.local.plan import CallReply
    from lls_provider.local.server import Server
    from lls_provider.project.sample_call import SampleCall

CALL_TIMEOUT = 300.0  # seconds; a provider may load a model during its first call
PAUSE = 0.5  # seconds between two requests of a call that is repeated


@dataclass(frozen=True, slots=True)
class SentCall:
    """A call as it was sent, its last reply, and where the server's log of it begins."""

    call: SampleCall
    reply: CallReply
    log_start: int


def sent_calls(
    server: Server,
    calls: Sequence[SampleCall],
    progress: Progress = SILENT,
    *,
    now: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], object] = time.sleep,
) -> Iterator[SentCall]:
    """Send calls in order and yield each with its reply, before the reply is judged.

    Raises SdkError CALL_FAILED for a call without the reply that it has to have, or with a
    reply field that the earlier reply does not have; and what `send` raises.
    """
    replies: list[Any] = []
    for number, written in enumerate(calls, start=1):
        call = written
        if number > 1:  # the first, and the command line's only one, is sent as it is written
            call = filled(written, number, replies)
            progress.step(f"calling {call.name}")
        sent = _repeated(server, call, now, sleep)
        yield sent
        require_expected(server, sent)
        replies.append(sent.reply.body)


def require_expected(server: Server, sent: SentCall) -> None:
    """Raise SdkError CALL_FAILED if the reply lacks the status or the text of the call."""
    lack = _lack(sent.call, sent.reply)
    if not lack:
        return
    within = f" within {sent.call.within:g} s" if sent.call.within else ""
    where, resolution = _correction(sent.call, sent.reply)
    raise server.suspects.error(
        Code.CALL_FAILED,
        f"{sent.call.name} {lack}{within}",
        server.log_text(sent.log_start),
        why=f"The {'last ' if within else ''}reply: {shown_body(sent.reply.body)}",
        where=where,
        running=resolution,
    )


def _correction(call: SampleCall, reply: CallReply) -> tuple[Where, str]:
    """Return the place of what the call expects, and how to correct that or the provider."""
    if not call.places:  # the command line's, which expects the status 200
        return Where(), "Correct the provider, whose answer this is, or the call after --call."
    is_status = reply.status != call.expect_status
    key = "expect-status" if is_status else "expect-text"
    where = call.places.get((key,), call.places.get((), Where()))
    sent = "what the call sends, or " if is_status else ""
    return where, (
        f"Correct the provider, whose answer this is, or {sent}`{key}` at {where.position}."
    )


def _lack(call: SampleCall, reply: CallReply) -> str:
    """Return what is wrong with a reply; nothing if it is as expected."""
    text = reply.body if isinstance(reply.body, str) else json.dumps(reply.body, ensure_ascii=False)
    if reply.status != call.expect_status:
        return f"returned status {reply.status}, not {call.expect_status}"
    return "" if call.expect_text in text else f"did not return the text {call.expect_text!r}"


def _repeated(
    server: Server,
    call: SampleCall,
    now: Callable[[], float],
    sleep: Callable[[float], object],
) -> SentCall:
    """Send a call until its reply is as expected or its time is over.

    A request for which too little time is left to be answered ends in the reply before it.
    """
    begin, log_start = now(), server.log_size()
    sent: SentCall | None = None
    while True:
        left = call.within - (now() - begin) if call.within else CALL_TIMEOUT
        try:
            reply = _reply(server, call, log_start, timeout=min(max(left, PAUSE), CALL_TIMEOUT))
        except SdkError as error:
            too_late = now() - begin >= call.within
            if sent is None or error.code is not Code.CALL_FAILED or not too_late:
                raise
            return sent
        sent = SentCall(call, reply, log_start)
        if not _lack(call, reply) or now() - begin + PAUSE > call.within:
            return sent
        sleep(PAUSE)


def _reply(server: Server, call: SampleCall, log_start: int, *, timeout: float) -> CallReply:
    """Send a call once.

    Raises SdkError CALL_FAILED with the server's own cause when no reply comes, or SERVER_FAILED.
    """
    try:
        return replace(send(call, server.port, timeout=timeout), call=call.name)
    except SdkError as error:
        server.require_alive()
        if error.code is not Code.CALL_FAILED:
            raise
        log = server.log_text(log_start)
        raise server.suspects.error(
            error.code,
            error.what,
            log,
            why=error.why,
            running=f"Correct the provider, which has to answer within {timeout:g} seconds.",
        ) from error
