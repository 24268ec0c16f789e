"""The bundle's manifest."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from lls_provider.contract.models import (
    BuildTarget,
    BundleManifest,
    FileHash,
    dump_manifest,
    read_manifest,
)
from lls_provider.errors import Code, SdkError

MANIFEST = BundleManifest(
    files={
        "packages/acme_echo-1.0-py3-none-any.whl": FileHash("ab" * 32, 12),
        "lls-provider-spec.yaml": FileHash("cd" * 32, 0),
    },
    target=BuildTarget("cp312", ("manylinux_2_28_x86_64",), "x86_64"),
    provided={"httpx": "0.28.1"},
    distributions=("llama-stack==0.7.3",),
    overrides=("idna<4",),
    sdk="0.1.0",
    installed_size=20480,
)


def _refusal(folder: Path, data: bytes) -> SdkError:
    path = folder / "manifest.json"
    path.write_bytes(data)
    with pytest.raises(SdkError) as caught:
        read_manifest(path, "manifest.json")
    assert caught.value.where.file == "manifest.json"
    return caught.value


def test_a_manifest_survives_writing_and_reading(tmp_path: Path) -> None:
    path = tmp_path / "manifest.json"
    path.write_bytes(dump_manifest(MANIFEST))
    assert read_manifest(path) == MANIFEST


def test_equal_manifests_are_equal_bytes() -> None:
    data = dump_manifest(MANIFEST)
    assert data.endswith(b"}\n")
    assert data == json.dumps(json.loads(data), indent=1, sort_keys=True).encode() + b"\n"


def test_a_wrong_manifest_is_told_with_its_line(tmp_path: Path) -> None:
    document: dict[str, Any] = MANIFEST.to_document()
    document["files"]["lls-provider-spec.yaml"]["size"] = -1
    error = _refusal(tmp_path, json.dumps(document, indent=1).encode())
    assert error.code is Code.FIELD_VALUE
    assert error.where.line == 10
    assert "lls-provider build" in error.resolution


def test_a_manifest_that_is_no_json_is_told_with_its_line(tmp_path: Path) -> None:
    error = _refusal(tmp_path, b'{\n "format": }\n')
    assert error.code is Code.YAML_INVALID
    assert (error.where.line, error.where.column) == (2, 12)


def test_a_key_twice_is_refused(tmp_path: Path) -> None:
    error = _refusal(tmp_path, b'{"format": 1,\n "format": 1}\n')
    assert error.code is Code.DUPLICATE_KEY
    assert error.where.line == 2


def test_a_manifest_beyond_the_limits_is_refused(tmp_path: Path) -> None:
    assert _refusal(tmp_path, b"[" * 100_000).code is Code.YAML_LIMIT
    assert _refusal(tmp_path, b"[" + b"1" * 5000 + b"]").code is Code.YAML_LIMIT
    assert _refusal(tmp_path, b" " * 2_000_000).code is Code.YAML_LIMIT


def test_a_manifest_that_is_not_utf_8_is_refused(tmp_path: Path) -> None:
    assert _refusal(tmp_path, b'{"a": "\xff"}').code is Code.YAML_INVALID
