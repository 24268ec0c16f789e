"""What the sample call's reply must be."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from lls_provider.errors import Code, SdkError
from lls_provider.local.log_diagnosis import LogDiagnosis
from lls_provider.local.plan import CallReply
from lls_provider.local.questions import Answer, require_expected
from lls_provider.project.settings import SampleCall

if TYPE_CHECKING:
    from lls_provider.local.server import Server


def judge(reply: CallReply, **expected: Any) -> None:
    suspects = LogDiagnosis(Path("/overlay"), {"acme": "acme"})
    server = cast("Server", SimpleNamespace(suspects=suspects, log_text=lambda _start: ""))
    require_expected(server, SampleCall("GET", "/x", **expected), Answer(reply, 0))


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
