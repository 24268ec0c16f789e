"""Answers: parsed, completed by questions, and refused with a way out."""

from __future__ import annotations

import keyword
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lls_provider.contract.models import PROVIDER_ID_LIMIT
from lls_provider.errors import Code, SdkError
from lls_provider.project.answers import Question, complete_answers, parse_answers
from lls_provider.project.template_apis import template_apis

DEFAULTS = {
    "name": "acme-echo",
    "api": "inference",
    "vendor": "Acme",
    "maintainer": "",
    "license": "Apache-2.0",
    "sdk": "lls-provider-sdk",
    "sdk_index": "",
}


def test_key_value_texts_are_answers() -> None:
    assert parse_answers(["name=acme", "description=a=b"]) == {"name": "acme", "description": "a=b"}


@pytest.mark.parametrize("texts", [["name"], ["name=a", "name=b"]])
def test_other_texts_are_no_answers(texts: list[str]) -> None:
    with pytest.raises(SdkError) as caught:
        parse_answers(texts)
    assert caught.value.code is Code.USAGE


def test_only_what_is_open_is_asked() -> None:
    asked: list[Question] = []

    def ask(question: Question) -> str:
        asked.append(question)
        return "safety" if question.key == "api" else question.default

    answers = complete_answers({"vendor": "Acme"}, ask, DEFAULTS)

    assert [question.key for question in asked] == [
        "name",
        "api",
        "kind",
        "description",
        "maintainer",
        "license",
        "ci",
    ]
    assert answers["kind"] == "inline"
    assert answers["description"] == "Inline safety provider acme-echo"
    assert asked[0].problem("Acme") is not None
    assert asked[0].problem("acme") is None


def test_the_kinds_are_in_one_order_and_the_usual_one_is_the_default() -> None:
    asked: dict[str, Question] = {}

    def ask(question: Question) -> str:
        asked[question.key] = question
        return question.default

    for api, it in template_apis().items():
        complete_answers({"api": api}, ask, DEFAULTS)
        assert list(asked["kind"].choices) == ["remote", "inline"], api
        assert asked["kind"].default == it.kinds[0]


def test_every_choice_is_explained() -> None:
    asked: dict[str, Question] = {}

    def ask(question: Question) -> str:
        asked[question.key] = question
        return question.default

    complete_answers({}, ask, DEFAULTS)

    for question in asked.values():
        assert all(question.choices.values()), question
        assert all(question.problem(choice) is None for choice in question.choices)
        assert question.default in question.choices or not question.choices
    assert {key for key, question in asked.items() if question.choices} == {
        *("api", "kind", "license", "ci")
    }


@pytest.mark.parametrize(
    "sdk",
    [
        "lls-provider-sdk",
        "lls-provider-sdk~=0.1",
        "lls-provider-sdk[zstd]>=0.1,<1",
        "lls-provider-sdk @ git+https://git.example/lls/sdk@v0.1.0",
        "git+https://git.example/lls/sdk@v0.1.0",
        "git+ssh://git@git.example/lls/sdk",
        "https://files.example/lls_provider_sdk-0.1.0-py3-none-any.whl",
        "file:///wheels/lls_provider_sdk-0.1.0-py3-none-any.whl",
    ],
)
def test_the_sdk_is_a_requirement_a_git_address_or_a_url(sdk: str) -> None:
    answers = complete_answers(
        {"sdk": sdk, "sdk_index": "https://x.example/simple"}, None, DEFAULTS
    )

    assert (answers["sdk"], answers["sdk_index"]) == (sdk, "https://x.example/simple")


NAMES = st.text(string.ascii_lowercase + string.digits + "-", min_size=1, max_size=50)


@given(NAMES)
def test_an_accepted_name_is_a_package_and_a_provider_id(name: str) -> None:
    try:
        answers = complete_answers({"name": name}, None, DEFAULTS)
    except SdkError as error:
        assert error.code is Code.USAGE
        better = error.resolution.removeprefix("Use a name such as ").removesuffix(".")
        assert complete_answers({"name": better}, None, DEFAULTS)["name"] == better
    else:
        package = answers["name"].replace("-", "_")
        assert package.isidentifier()
        assert not keyword.iskeyword(package)
        assert len(name) <= PROVIDER_ID_LIMIT
