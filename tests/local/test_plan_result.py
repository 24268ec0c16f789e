"""The result's two forms."""

from __future__ import annotations

import json

from lls_provider.local.plan import CallReply, Phase, ServedProvider, UpResult

RESULT = UpResult(
    "llama-stack==0.7.3",
    [Phase("build", 1.23456, ok=True), Phase("call", 0.1, ok=False)],
    (
        ServedProvider("acme-echo", "inference", "remote::acme-echo"),
        ServedProvider("guard", "safety", "inline::guard"),
    ),
    CallReply(200, {"id": "x"}),
)


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
    assert RESULT.text("POST /v1/chat/completions").splitlines() == [
        "llama-stack==0.7.3 serves:",
        "  inference  acme-echo  remote::acme-echo",
        "  safety     guard      inline::guard",
        "POST /v1/chat/completions -> 200",
        '  {"id": "x"}',
    ]
