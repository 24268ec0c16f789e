import asyncio
import base64
import math
import struct
from typing import Any

import pytest

from hashing_embeddings._server import api
from hashing_embeddings.config import HashingConfig
from hashing_embeddings.inference import HashingProvider, get_provider_impl


def provider(dimension: int = 64, remembered_words: int = 2) -> HashingProvider:
    config = HashingConfig(dimension=dimension, remembered_words=remembered_words)
    return asyncio.run(get_provider_impl(config, {}))


def embedded(given: Any, **more: Any) -> Any:
    params = api.OpenAIEmbeddingsRequestWithExtraBody(model="hashing", input=given, **more)
    return asyncio.run(provider().openai_embeddings(params))


def similarity(one: str, other: str) -> float:
    first, second = (it.embedding for it in embedded([one, other]).data)
    return sum(a * b for a, b in zip(first, second, strict=True))


def test_common_words_make_texts_near() -> None:
    near = similarity("A heron stands in the water", "a HERON, in water!")

    assert near > 0.7 > similarity("A heron stands in the water", "Parliament debates budgets")
    assert similarity("heron", "Heron") == pytest.approx(1)


def test_a_vector_has_the_length_one_and_is_the_same_in_every_process() -> None:
    reply = embedded("heron")

    (vector,) = [it.embedding for it in reply.data]
    assert math.hypot(*vector) == pytest.approx(1)
    assert [at for at, value in enumerate(vector) if value] == [54]
    assert reply.usage.prompt_tokens == 1


def test_a_vector_can_be_had_in_base64() -> None:
    (plain,) = [it.embedding for it in embedded("heron").data]

    (encoded,) = [it.embedding for it in embedded("heron", encoding_format="base64").data]

    assert struct.unpack("<64f", base64.b64decode(encoded)) == pytest.approx(plain)


@pytest.mark.parametrize(
    ("given", "more", "said"),
    [
        (["heron", "!?"], {}, r"no word to embed in '!\?'"),
        ([[1, 2]], {}, "texts, not tokens"),
        ("heron", {"dimensions": 3}, "64 dimensions alone"),
    ],
)
def test_what_cannot_be_embedded_is_refused(given: Any, more: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        embedded(given, **more)


def test_its_model_is_listed_with_its_dimension() -> None:
    (model,) = asyncio.run(provider().list_models()) or []

    assert model.model_type == api.ModelType.embedding
    assert model.metadata == {"embedding_dimension": 64}


def test_other_calls_say_that_they_are_not_there() -> None:
    with pytest.raises(NotImplementedError, match="embeddings alone"):
        asyncio.run(provider().openai_chat_completion(None))
    with pytest.raises(NotImplementedError, match="embeddings alone"):
        asyncio.run(provider().openai_completion(None))
