"""Every conformance vector, run against this implementation and against `jsonschema`."""

from __future__ import annotations

import datetime
import json
from typing import Any

import jsonschema
import pytest

from lls_provider import resources
from lls_provider.conformance.vectors import DocumentVector, document_vectors
from lls_provider.contract import schema, validation
from lls_provider.contract.document import Document, load
from lls_provider.contract.plain_data import Timestamp
from lls_provider.errors import Code, Problem, SdkError

SOURCE = "document.yaml"
# What a JSON Schema validator cannot see, because no schema can express it.
BEYOND_SCHEMA = {Code.PROVIDER_DUPLICATE}


VECTORS = document_vectors()
SCHEMA_VECTORS = [vector for vector in VECTORS if vector.schema is not None]


def _told(vector: DocumentVector) -> list[Problem]:
    """Every complaint about the vector's document, from loading or from the schema."""
    try:
        document = load(vector.data, SOURCE)
    except SdkError as error:
        return list(error.problems) or [Problem(error.code, error.what, error.where)]
    if vector.schema is None:
        if vector.value is not None:
            assert document.value == vector.value
        return []
    return validation.problems(document, vector.schema)


@pytest.mark.parametrize("vector", VECTORS, ids=str)
def test_vector(vector: DocumentVector) -> None:
    found = [
        {
            "code": problem.code.slug,
            "path": problem.path,
            "line": problem.where.line,
            "column": problem.where.column,
        }
        for problem in _told(vector)
    ]
    expected = [dict(error) for error in vector.errors]
    told = [
        {key: complaint[key] for key in error}
        for error, complaint in zip(expected, found, strict=False)
    ]
    assert told == expected, found
    assert len(found) == len(expected), found


@pytest.mark.parametrize("vector", VECTORS, ids=str)
def test_every_complaint_names_the_file_and_a_step(vector: DocumentVector) -> None:
    try:
        document = load(vector.data, SOURCE)
        if vector.schema is not None:
            validation.require(document, vector.schema, "It is not valid", "Correct it.")
    except SdkError as error:
        assert error.where.file == SOURCE
        assert error.resolution
        for problem in error.problems:
            assert problem.what
            assert problem.resolution
            assert problem.where.file == SOURCE
    else:
        assert not vector.errors


def _json(value: Any) -> Any:
    """The value for `jsonschema`: a timestamp is not text there either."""
    if isinstance(value, dict):
        return {key: _json(child) for key, child in value.items()}
    if isinstance(value, list):
        return [_json(child) for child in value]
    return datetime.date.min if isinstance(value, Timestamp) else value


def _loaded(vector: DocumentVector) -> Document | None:
    try:
        return load(vector.data, SOURCE)
    except SdkError:
        return None


@pytest.mark.parametrize("vector", SCHEMA_VECTORS, ids=str)
def test_jsonschema_agrees(vector: DocumentVector) -> None:
    assert vector.schema is not None
    document = _loaded(vector)
    assert document is not None
    judge = json.loads(
        # Python's "$" also matches before a last line break; JSON Schema's does not
        resources.read_data(f"contract/schemas/{vector.schema}.json").replace(b'$"', b'\\\\Z"')
    )
    passes = not list(jsonschema.Draft7Validator(judge).iter_errors(_json(document.value)))
    if passes:
        beyond = [problem.code for problem in validation.problems(document, vector.schema)]
        assert set(beyond) <= BEYOND_SCHEMA | {Code.FIELD_VALUE}
    else:
        assert vector.errors


def test_there_are_vectors_for_every_schema() -> None:
    assert len(VECTORS) >= 60
    assert {vector.schema for vector in SCHEMA_VECTORS} == set(schema.SCHEMAS)
    for name in schema.SCHEMAS:
        assert any(not vector.errors for vector in SCHEMA_VECTORS if vector.schema == name)
