"""When an entry of a configuration has a certain ID, and what a server makes of what is written."""

from __future__ import annotations

import pytest

from lls_provider.runtime.configuration import IdMatch, match_ids, resolve_reference


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("ollama", IdMatch("", alone=True)),
        ("${env.X:+ollama}", IdMatch("when the variable X is set", alone=True)),
        ("${env.OLLAMA_URL:+ollama}", IdMatch("when the variable OLLAMA_URL is set", alone=True)),
        ("oll${env.X:+ama}", IdMatch("when the variable X is set", alone=False)),
        ("ollama${env.X:+-big}", IdMatch("unless the variable X is set", alone=False)),
        ("ollama${env.X:+}", IdMatch("", alone=True)),
        ("${env.X:=ollama}", IdMatch("unless the variable X is set", alone=False)),
        ("${env.X:+ollama}${env.X:+}", IdMatch("when the variable X is set", alone=True)),
        (
            "${env.X:+ollama}${env.Y:+ollama}",
            IdMatch("depending on the variables X, Y", alone=False),
        ),
        (
            "${env.X:+oll}${env.Y:+ama}",
            IdMatch("depending on the variables X, Y", alone=False),
        ),
        ("${env.X:+other}", None),
        ("${env.X:=other}", None),
        ("${env.X}", None),
        ("${env.X:ollama}", None),  # no reference to any server
        ("${env.x:+ollama}", None),
        ("$ollama", None),
        ("__disabled__", None),
        ("", None),
        (None, None),
        (7, None),
        (["ollama"], None),
    ],
)
def test_when_an_entry_has_an_id(written: object, expected: IdMatch | None) -> None:
    assert match_ids(written, "ollama") == expected


def test_an_entry_that_is_disabled_at_all_other_times_is_there_alone() -> None:
    assert match_ids("${env.X:+__disabled__}", "ollama") is None
    both = "${env.X:+ollama}${env.Y:+}"
    assert match_ids(both, "ollama") == IdMatch("depending on the variables X, Y", alone=True)


def test_an_id_of_very_many_variables_costs_nothing() -> None:
    assert match_ids("".join(f"${{env.X{n}:+a}}" for n in range(64)), "a") is None


@pytest.mark.parametrize(
    ("written", "unset", "is_set"),
    [
        ("ollama", "ollama", "ollama"),
        ("${env.X:+ollama}", None, "ollama"),
        ("${env.X:=ollama}", "ollama", "mine"),
        ("${env.X:=__disabled__}", None, "mine"),
        ("${env.X:=}", None, "mine"),
        ("${env.X}", None, "mine"),
        ("a-${env.X}", None, "a-mine"),
        ("a-${env.X:+b}", "a-", "a-b"),
        ("${env.X:ollama}", "${env.X:ollama}", "${env.X:ollama}"),
        ("__disabled__", None, None),
        ("", None, None),
        (None, None, None),
        (7, None, None),
    ],
)
def test_what_a_server_makes_of_an_id(
    written: object, unset: str | None, is_set: str | None
) -> None:
    assert resolve_reference(written, {}) == unset
    assert resolve_reference(written, {"X": ""}) == unset
    assert resolve_reference(written, {"X": "mine"}) == is_set
