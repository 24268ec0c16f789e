"""The merge of generated configurations, against contract section 4 written out in the test."""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from tests.factories.providers import provider_document

from lls_provider.contract.document import load
from lls_provider.contract.models import CrdConfig, ProviderPackage
from lls_provider.runtime.merge import ExternalProvider, merge, merge_documents

pytestmark = pytest.mark.unmeasured

APIS = ["inference", "safety", "vector_io"]
IDS = ["ollama", "acme", "acme-echo", "x1"]
Json = Any

texts = st.text(st.characters(codec="utf-8"), max_size=12)
keys = st.text(st.characters(codec="utf-8"), min_size=1, max_size=8)
scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats(allow_nan=False)
    | texts
    | st.sampled_from(
        ["yes", "1.50", "0o17", "2026-11-22", "~", "${env.URL:=http://x:1}", "<<", "="]
    )
)
values: st.SearchStrategy[Json] = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3),
    max_leaves=6,
)
mappings = st.dictionaries(keys, values, max_size=3)
entries = st.fixed_dictionaries(
    {"provider_id": st.sampled_from(IDS), "provider_type": st.sampled_from(["remote::a", "b"])},
    optional={"config": mappings},
)
sections = st.dictionaries(
    st.sampled_from([*APIS, "tool_runtime"]), st.none() | st.lists(entries, max_size=3)
)


@st.composite
def bases(draw: st.DrawFn) -> dict[str, Json]:
    base = {
        f"_{key}": value for key, value in draw(mappings).items()
    }  # which is none that merging knows
    base |= draw(
        st.fixed_dictionaries(
            {},
            optional={
                "apis": st.none() | st.lists(st.sampled_from([*APIS, "files"]), unique=True),
                "providers": st.none() | sections,
            },
        )
    )
    return dict(draw(st.permutations(list(base.items()))))


@st.composite
def externals(draw: st.DrawFn) -> list[ExternalProvider]:
    found = []
    for order, name in enumerate(draw(st.lists(st.sampled_from(IDS), unique=True, max_size=3))):
        api = draw(st.sampled_from(APIS))
        kind = f"remote::{draw(st.sampled_from(['a', name]))}"
        package = ProviderPackage(
            name, "1.0.0", "Acme", None, None, f"module_{order}", kind, api, "/lls-provider/x.whl"
        )
        config = draw(st.none() | mappings)
        found.append(
            ExternalProvider(
                package, CrdConfig(name, api, config, "example.com/x:1", f"install-{name}", order)
            )
        )
    return found


def expected(base: dict[str, Json], providers: Sequence[ExternalProvider]) -> dict[str, Json]:
    """Section 4: the entry of the same ID goes, the external one comes last, apis is completed."""
    run = copy.deepcopy(base)
    for provider in providers:
        if not run.get("providers"):
            run["providers"] = {}
        section = run["providers"].get(provider.metadata.api) or []
        section = [it for it in section if it["provider_id"] != provider.crd.provider_id]
        run["providers"][provider.metadata.api] = [*section, added(provider)]
        if run.get("apis") and provider.metadata.api not in run["apis"]:
            run["apis"].append(provider.metadata.api)
    return run


def added(provider: ExternalProvider) -> dict[str, Json]:
    entry: dict[str, Json] = {
        "provider_id": provider.crd.provider_id,
        "provider_type": provider.metadata.provider_type,
        "module": provider.metadata.package_name,
    }
    if provider.crd.config is not None:
        entry["config"] = provider.crd.config
    return entry


def dumped(value: Json) -> str:
    text: str = yaml.safe_dump(value, sort_keys=False)
    return text


def merged_file(base: dict[str, Json], providers: Sequence[ExternalProvider]) -> dict[str, Json]:
    """What `merge` writes, by name, as another reader of YAML reads it."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        (root / "base.yaml").write_text(dumped(base), "utf-8")
        for provider in providers:
            about = root / "external-providers" / "metadata" / provider.crd.provider_id
            about.mkdir(parents=True)
            package = provider.metadata
            document = provider_document(
                package.name,
                packageName=package.package_name,
                providerType=package.provider_type,
                api=package.api,
            )
            (about / "lls-provider-spec.yaml").write_text(dumped(document), "utf-8")
            (about / "crd-config.yaml").write_text(dumped(provider.crd.to_document()), "utf-8")
        result = merge(root, base=root / "base.yaml")
        assert list(result.providers) == [it.crd.provider_id for it in providers]
        written = result.path.parent
        return {
            name: yaml.safe_load((written / name).read_text("utf-8"))
            for name in ("run.yaml", "extra-providers.yaml")
        }


@given(bases(), externals())
def test_the_files_hold_what_the_contract_says(
    base: dict[str, Json], providers: list[ExternalProvider]
) -> None:
    written = merged_file(base, providers)
    wanted = expected(base, providers)
    assert written["run.yaml"] == wanted
    assert list(written["run.yaml"]) == list(wanted)  # and in the order of the base
    extra: dict[str, list[Json]] = {}
    for provider in providers:
        extra.setdefault(provider.metadata.api, []).append(added(provider))
    assert written["extra-providers.yaml"] == {
        "apiVersion": "llamastack.io/v1alpha1",
        "kind": "ExternalProviders",
        "providers": extra,
    }


@given(bases(), externals())
def test_merging_again_changes_nothing(
    base: dict[str, Json], providers: list[ExternalProvider]
) -> None:
    once = merge_documents(load(dumped(base).encode(), "base"), providers)
    again = merge_documents(load(dumped(once.run).encode(), "base"), providers)
    assert (again.run, again.extra) == (once.run, once.extra)


@given(bases(), externals())
def test_each_entry_that_goes_is_told_and_no_other(
    base: dict[str, Json], providers: list[ExternalProvider]
) -> None:
    merged = merge_documents(load(dumped(base).encode(), "base"), providers)
    gone = [
        f"External provider '{it.crd.provider_id}' overrides base provider in API "
        f"'{it.metadata.api}'\n  Base type: {entry['provider_type']}\n"
        f"  External type: {it.metadata.provider_type}"
        for it in providers
        for entry in (base.get("providers") or {}).get(it.metadata.api) or []
        if entry["provider_id"] == it.crd.provider_id
    ]
    assert [it for it in merged.warnings if " overrides base provider " in it] == gone
