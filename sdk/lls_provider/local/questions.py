"""What `up` asks the running server: its providers, and the sample call."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lls_provider.errors import Code, SdkError, Where
from lls_provider.local.call import list_providers, send
from lls_provider.local.log_diagnosis import log_end
from lls_provider.local.plan import shown_body

if TYPE_CHECKING:
    from lls_provider.local.plan import CallReply, PlannedProvider, ServedProvider
    from lls_provider.local.server import Server
    from lls_provider.project.settings import SampleCall

CALL_TIMEOUT = 300.0  # seconds; a provider may load a model during its first call


def served_providers(
    server: Server, expected: Sequence[PlannedProvider]
) -> tuple[ServedProvider, ...]:
    """Return what the server lists. Raises SdkError SERVER_FAILED if an expected one is missing."""
    served = list_providers(server.port)
    server.require_alive()
    there = {(item.api, item.provider_id) for item in served}
    missing = [it for it in expected if (it.api, it.provider_id) not in there]
    if missing:
        raise _not_listed(server, missing)
    return served


@dataclass(frozen=True, slots=True)
class Answer:
    """The reply to the sample call, and where the server's log of it begins."""

    reply: CallReply
    log_start: int


def answer(server: Server, call: SampleCall) -> Answer:
    """Send the sample call.

    Raises SdkError CALL_FAILED with the server's own cause when no reply comes, or SERVER_FAILED.
    """
    before = server.log_size()
    try:
        return Answer(send(call, server.port, timeout=CALL_TIMEOUT), before)
    except SdkError as error:
        server.require_alive()
        if error.code is not Code.CALL_FAILED:
            raise
        log = server.log_text(before)
        raise server.suspects.error(error.code, error.what, log, why=error.why) from error


def require_expected(server: Server, call: SampleCall, given: Answer) -> None:
    """Raise SdkError CALL_FAILED if the reply lacks the status or the text of the call."""
    reply = given.reply
    text = reply.body if isinstance(reply.body, str) else json.dumps(reply.body, ensure_ascii=False)
    if reply.status != call.expect_status:
        what = f"returned status {reply.status}, not {call.expect_status}"
    elif call.expect_text not in text:
        what = f"did not return the text {call.expect_text!r}"
    else:
        return
    raise server.suspects.error(
        Code.CALL_FAILED,
        f"{call.method} {call.path} {what}",
        server.log_text(given.log_start),
        why=f"The reply: {shown_body(reply.body)}",
    )


def _not_listed(server: Server, missing: Sequence[PlannedProvider]) -> SdkError:
    names = ", ".join(f"'{item.provider_id}' ({item.api})" for item in missing)
    first = missing[0]
    return SdkError(
        Code.SERVER_FAILED,
        f"The server {server.label} runs but does not list {names}",
        why=log_end(server.log_text()),
        where=Where(provider=first.provider_id, image=first.target),
        resolution=f"Check that {server.label} has the API '{first.api}' and that nothing in the "
        "base configuration switches the provider off.",
    )
