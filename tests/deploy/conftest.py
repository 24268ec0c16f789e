"""The schemas of Kubernetes and of the released operators."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import celpy
import celpy.adapter
import jsonschema
import kubernetes_validate
import pytest
import yaml

CRDS = Path(__file__).parents[3] / "shared" / "crds"
"""The custom resource definitions of the released operators; they lie beside the checkout."""

VERSIONS = ("1.30", "1.31", "1.32", "1.33", "1.34", "1.35", "1.36", "1.37")


def manifests(text: str) -> list[dict[str, Any]]:
    """The YAML documents of a rendered stream."""
    return list(yaml.safe_load_all(text))


def validate_native(manifest: Mapping[str, Any], version: str) -> None:
    """Validate a manifest of Kubernetes itself, strictly."""
    kubernetes_validate.validate(dict(manifest), version, strict=True)


def validate_custom(manifest: Mapping[str, Any]) -> None:
    """Validate a custom resource as an apiserver does: the closed schema, then the CEL rules."""
    schema = _crd(str(manifest["kind"]), str(manifest["apiVersion"]).partition("/")[2])
    jsonschema.Draft7Validator(_closed(schema)).validate(manifest)
    broken = [rule["rule"] for rule, value in _rules(schema, manifest) if not _holds(rule, value)]
    assert not broken, broken


@cache
def _crd(kind: str, version: str) -> dict[str, Any]:
    if not CRDS.is_dir():
        if os.environ.get("CI"):
            pytest.fail(f"the operators' CRDs are missing: {CRDS}")
        pytest.skip(f"the operators' CRDs are not here: {CRDS}")
    for path in sorted(CRDS.glob("*.yaml")):
        crd = yaml.safe_load(path.read_text("utf-8"))
        if crd["spec"]["names"]["kind"] == kind:
            for served in crd["spec"]["versions"]:
                if served["name"] == version:
                    schema: dict[str, Any] = served["schema"]["openAPIV3Schema"]
                    return schema
    raise AssertionError(f"no CRD for {kind} {version}")


def _closed(schema: Any) -> Any:
    """A structural schema as JSON Schema: unknown fields are refused, as with strict validation."""
    if isinstance(schema, list):
        return [_closed(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    if schema.get("x-kubernetes-int-or-string"):
        return {"type": ["integer", "string"]}
    closed = {
        key: (
            {name: _closed(it) for name, it in value.items()}
            if key == "properties"
            else _closed(value)
        )
        for key, value in schema.items()
        if not key.startswith("x-kubernetes")
    }
    opened = schema.get("x-kubernetes-preserve-unknown-fields")
    if "properties" in schema and not opened and "additionalProperties" not in schema:
        closed["additionalProperties"] = False
    return closed


def _rules(schema: Any, value: Any) -> Iterator[tuple[dict[str, Any], Any]]:
    """The CEL rules of a schema that apply to ``value``, with the value each is about."""
    for rule in schema.get("x-kubernetes-validations", ()):
        yield rule, value
    if isinstance(value, dict):
        for name, child in schema.get("properties", {}).items():
            if name in value:
                yield from _rules(child, value[name])
    if isinstance(value, list) and "items" in schema:
        for item in value:
            yield from _rules(schema["items"], item)


def _holds(rule: Mapping[str, Any], value: Any) -> bool:
    if "oldSelf" in rule["rule"]:
        return True  # about a change of the resource, not about a new one
    environment = celpy.Environment()
    program = environment.program(environment.compile(rule["rule"]))
    return bool(program.evaluate({"self": celpy.adapter.json_to_cel(value)}))
