"""The result's two forms."""

from __future__ import annotations

import json
from dataclasses import replace

from tests import results

from lls_provider.local.plan import CallReply, Phase, ServedProvider, UpResult

RESULT = UpResult(
    "llama-stack==0.7.3",
    [Phase("build", 1.23456, ok=True), Phase("call", 0.1, ok=False)],
    (
        ServedProvider("acme-echo", "inference", "remote::acme-echo"),
        ServedProvider("guard", "safety", "inline::guard"),
    ),
    [CallReply(200, {"id": "x"}, "POST /v1/chat/completions")],
)
SEVERAL = replace(RESULT, calls=[CallReply(204, "", "POST /v1/vector-io/insert"), *RESULT.calls])


def test_the_document_has_exactly_the_fields_of_the_design() -> None:
    document = json.loads(json.dumps(RESULT.to_document()))
    assert document == {
        "server": "llama-stack==0.7.3",
        "phases": [
            {"name": "build", "seconds": 1.235, "ok": True},
            {"name": "call", "seconds": 0.1, "ok": False},
        ],
        "providers": [
            {"provider_id": "acme-echo", "api": "inference", "provider_type": "remote::acme-echo"},
            {"provider_id": "guard", "api": "safety", "provider_type": "inline::guard"},
        ],
        "call": {"status": 200, "body": {"id": "x"}},
    }


def test_a_run_without_a_call_says_so_with_null() -> None:
    assert UpResult("ogx==1.5.0").to_document() == {
        "server": "ogx==1.5.0",
        "phases": [],
        "providers": [],
        "call": None,
    }


def test_the_text_lists_providers_in_columns_and_shows_the_reply() -> None:
    assert RESULT.text().splitlines() == [
        "llama-stack==0.7.3 serves:",
        "  inference  acme-echo  remote::acme-echo",
        "  safety     guard      inline::guard",
        "POST /v1/chat/completions -> 200",
        '  {"id": "x"}',
    ]


def test_the_document_of_several_calls_has_the_last_one_and_all() -> None:
    document = SEVERAL.to_document()
    last = {"status": 200, "body": {"id": "x"}}
    assert document["call"] == last
    assert document["calls"] == [
        {"call": "POST /v1/vector-io/insert", "status": 204, "body": ""},
        {"call": "POST /v1/chat/completions", **last},
    ]
    results.check(json.dumps({"schema": "lls-provider/up/1", **document, "error": None}))


def test_the_text_shows_every_call_and_no_empty_reply() -> None:
    assert SEVERAL.text().splitlines()[3:] == [
        "POST /v1/vector-io/insert -> 204",
        "POST /v1/chat/completions -> 200",
        '  {"id": "x"}',
    ]
