from __future__ import annotations

import os
import re
import signal
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from lls_provider.errors import Code, SdkError
from lls_provider.runtime.merge import MergeResult, merge
from lls_provider.runtime.preflight.preflight import preflight

if TYPE_CHECKING:
    MakeBundle = Callable[..., Path]
    Pod = Any

BASE = """\
version: 2
distro_name: "starter"
apis: [inference]
image: 'quoted: yes'
providers:
  inference:
  - provider_id: ollama
    provider_type: remote::ollama
    config:
      url: ${env.OLLAMA_URL:=http://localhost:11434}
      octal: 0o17
      old_octal: 017
      hex: 0x1F
      float: 1e3
      real: 1.50
      text: "1.50"
      yes: "yes"
      truth: yes
      nothing: ~
      empty: ""
      date: 2026-11-22
      many: [1, -0.0, .inf, "null", "on"]
      long: |
        two
        lines
  - provider_id: other
    provider_type: remote::other
  safety:
  tool_runtime: []
server: {port: 8321}
"""


def _base(pod: Pod, text: str = BASE) -> Path:
    path = Path(pod.root) / "base-config" / "run.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def _merged(pod: Pod, name: str = "run.yaml") -> Any:
    return yaml.safe_load((pod.root / "config" / name).read_text())


def _log(pod: Pod) -> str:
    return str((pod.root / "config" / "merge-log.txt").read_text())


def _refused(pod: Pod, **more: Any) -> SdkError:
    with pytest.raises(SdkError) as caught:
        merge(pod.root, **more)
    assert not (pod.root / "config").exists()
    return caught.value


def test_without_providers_the_base_survives_by_value(pod: Pod) -> None:
    _base(pod)
    assert merge(pod.root) == MergeResult(pod.root / "config" / "run.yaml")
    assert repr(_merged(pod)) == repr(yaml.safe_load(BASE))
    assert _merged(pod, "extra-providers.yaml")["providers"] == {}


def test_a_provider_is_appended_and_everything_else_survives(
    pod: Pod, make_bundle: MakeBundle
) -> None:
    _base(pod)
    pod.install(make_bundle(), config={"url": "${env.X:=y}", "n": 1.5})
    result = merge(pod.root)
    assert result.providers == ("acme-echo",)
    entry = {
        "provider_id": "acme-echo",
        "provider_type": "remote::acme-echo",
        "module": "acme_echo",
        "config": {"url": "${env.X:=y}", "n": 1.5},
    }
    expected = yaml.safe_load(BASE)
    expected["providers"]["inference"].append(entry)
    assert repr(_merged(pod)) == repr(expected)
    assert _merged(pod, "extra-providers.yaml") == {
        "apiVersion": "llamastack.io/v1alpha1",
        "kind": "ExternalProviders",
        "providers": {"inference": [entry]},
    }


def test_no_config_in_the_cr_is_no_config_in_the_entry(pod: Pod, make_bundle: MakeBundle) -> None:
    _base(pod)
    pod.install(make_bundle())
    merge(pod.root)
    assert "config" not in _merged(pod)["providers"]["inference"][-1]


def test_an_override_replaces_moves_to_the_end_and_warns(pod: Pod, make_bundle: MakeBundle) -> None:
    _base(pod)
    pod.install(make_bundle("ollama", provider_type="remote::ollama-custom"), "ollama")
    result = merge(pod.root)
    ids = [entry["provider_id"] for entry in _merged(pod)["providers"]["inference"]]
    assert ids == ["other", "ollama"]
    message = (
        "External provider 'ollama' overrides base provider in API 'inference'\n"
        "  Base type: remote::ollama\n"
        "  External type: remote::ollama-custom"
    )
    assert result.warnings == (message,)
    assert message in _log(pod)


def test_a_missing_section_is_created_and_the_api_is_listed(
    pod: Pod, make_bundle: MakeBundle
) -> None:
    _base(pod)
    pod.install(make_bundle(api="vector_io"), api="vector_io")
    merge(pod.root)
    assert _merged(pod)["apis"] == ["inference", "vector_io"]
    assert len(_merged(pod)["providers"]["vector_io"]) == 1
    assert "Added API 'vector_io' to the list 'apis'" in _log(pod)


@pytest.mark.parametrize("text", ["version: 2\n", "version: 2\nproviders:\n", "providers: {}\n"])
def test_a_base_without_sections_gets_them_and_no_list_of_apis(
    pod: Pod, make_bundle: MakeBundle, text: str
) -> None:
    _base(pod, text)
    pod.install(make_bundle())
    merge(pod.root)
    assert list(_merged(pod)["providers"]) == ["inference"]
    assert "apis" not in _merged(pod)


@pytest.mark.parametrize("written", ["[]", "", "~", "null"])
def test_an_empty_list_of_apis_stays_as_it_is(
    pod: Pod, make_bundle: MakeBundle, written: str
) -> None:
    """To llama-stack an empty list means every API: one with a single API would hide all others."""
    _base(pod, f"version: 2\napis: {written}\nproviders:\n  safety: []\n")
    pod.install(make_bundle())
    pod.install(make_bundle("acme-io", api="vector_io"), "acme-io", api="vector_io")
    result = merge(pod.root)
    assert _merged(pod)["apis"] == yaml.safe_load(written)
    assert list(_merged(pod)["providers"]) == ["safety", "inference", "vector_io"]
    assert result.warnings == ()
    assert "Added API" not in _log(pod)
    assert ("The list 'apis' is empty and stays so" in _log(pod)) == (written == "[]")


def test_a_list_of_apis_gets_each_missing_one_once(pod: Pod, make_bundle: MakeBundle) -> None:
    _base(pod, "apis: [safety]\n")
    pod.install(make_bundle())
    pod.install(make_bundle("acme-b"), "acme-b")
    merge(pod.root)
    assert _merged(pod)["apis"] == ["safety", "inference"]
    assert _log(pod).count("Added API 'inference' to the list 'apis'") == 1


@pytest.mark.parametrize("section", ["[]", "~", "{}", ""])
def test_empty_sections_of_the_base_are_no_sections_to_merge_into(
    pod: Pod, make_bundle: MakeBundle, section: str
) -> None:
    _base(pod, f"providers: {section if section != '[]' else '{inference: []}'}\n")
    pod.install(make_bundle())
    merge(pod.root)
    assert [len(it) for it in _merged(pod)["providers"].values()] == [1]


def test_a_base_of_routing_tables_is_refused_as_servers_drop_its_providers(
    pod: Pod, make_bundle: MakeBundle
) -> None:
    text = "version: 1\nrouting_table: {}\napis_to_serve: []\n"
    base = _base(pod, text)
    merge(pod.root)  # nothing to lose
    assert _merged(pod) == yaml.safe_load(text)
    pod.install(make_bundle())
    with pytest.raises(SdkError) as caught:
        merge(pod.root)
    assert caught.value.code is Code.FIELD_VALUE
    assert (caught.value.where.file, caught.value.where.line) == (str(base), 2)
    assert "external providers would not be loaded" in caught.value.render()


CONDITIONAL = """\
providers:
  inference:
  - provider_id: {written}
    provider_type: remote::ollama
    config: {{url: "${{env.OLLAMA_URL:=http://localhost:11434/v1}}"}}
  - provider_id: other
    provider_type: remote::other
"""
OVERRIDE = """\
External provider 'ollama' overrides base provider in API 'inference'
  Base type: remote::ollama
  External type: remote::acme"""


@pytest.mark.parametrize(
    ("written", "ids", "told"),
    [
        ("ollama", ["other", "ollama"], []),
        (
            "${env.OLLAMA_URL:+ollama}",
            ["other", "ollama"],
            ["  The base provider is there only when the variable OLLAMA_URL is set: "],
        ),
        (
            "${env.A:+ollama}${env.B:+}",
            ["other", "ollama"],
            ["  The base provider is there only depending on the variables A, B: "],
        ),
        (
            "${env.OLLAMA_ID:=ollama}",
            ["${env.OLLAMA_ID:=ollama}", "other", "ollama"],
            ["  Only unless the variable OLLAMA_ID is set: ", "  Both entries are kept; "],
        ),
        (
            "oll${env.A:+ama}",
            ["oll${env.A:+ama}", "other", "ollama"],
            ["  Only when the variable A is set: ", "  Both entries are kept; "],
        ),
    ],
)
def test_a_conditional_id_of_the_base_is_overridden_with_a_warning(
    pod: Pod, make_bundle: MakeBundle, written: str, ids: list[str], told: list[str]
) -> None:
    _base(pod, CONDITIONAL.format(written=written))
    pod.install(make_bundle("ollama", provider_type="remote::acme"), "ollama")
    result = merge(pod.root)
    assert [entry["provider_id"] for entry in _merged(pod)["providers"]["inference"]] == ids
    (warning,) = result.warnings
    lines = warning.splitlines()
    assert "\n".join(lines[:3]) == OVERRIDE
    assert [line[: len(start)] for line, start in zip(lines[3:], told, strict=True)] == told
    assert not told or lines[3].endswith(written)
    assert warning in _log(pod)


@pytest.mark.parametrize(
    "written",
    ["${env.X:+other2}", "${env.X:=vllm}", "${env.X}", "__disabled__", "''", "${env.X:ollama}"],
)
def test_an_id_that_cannot_be_the_same_by_what_is_written_stays(
    pod: Pod, make_bundle: MakeBundle, written: str
) -> None:
    _base(pod, CONDITIONAL.format(written=written))
    pod.install(make_bundle("ollama", provider_type="remote::acme"), "ollama")
    assert merge(pod.root).warnings == ()
    assert len(_merged(pod)["providers"]["inference"]) == 3


@pytest.mark.parametrize(
    ("kinds", "told"),
    [
        (["remote::other"], ("'p0'", "'other'")),
        (["remote::acme", "remote::acme"], ("'p1'", "'p0'")),
        (["remote::other", "remote::other"], ("'p1'", "'other', 'p0'")),
        (["remote::acme", "remote::echo"], None),
    ],
)
def test_a_type_that_two_modules_are_meant_to_serve_is_told(
    pod: Pod, make_bundle: MakeBundle, kinds: list[str], told: tuple[str, str] | None
) -> None:
    _base(pod, CONDITIONAL.format(written="ollama"))
    for number, kind in enumerate(kinds):
        pod.install(make_bundle(f"p{number}", provider_type=kind), f"p{number}", order=number)
    warnings = merge(pod.root).warnings
    assert len(warnings) == (told is not None)
    if told is not None:
        used, others = told
        start = f"Providers of API 'inference' have the same type '{kinds[0]}'; a server loads one"
        assert warnings[0].startswith(start)
        assert f"\n  Module: {used[1:-1]}, of {used}\n" in warnings[0]
        assert warnings[0].endswith(f"\n  Served by it too: {others}")
        assert warnings[0] in _log(pod)


def test_one_module_may_serve_a_type_as_often_as_it_likes(
    pod: Pod, make_bundle: MakeBundle
) -> None:
    text = "{provider_id: first, provider_type: 'remote::acme-echo', module: acme_echo}"
    _base(pod, f"providers: {{inference: [{text}]}}\n")
    pod.install(make_bundle())
    assert merge(pod.root).warnings == ()


def test_a_conditional_id_in_another_section_is_kept_with_a_warning(
    pod: Pod, make_bundle: MakeBundle
) -> None:
    _base(pod, CONDITIONAL.format(written="${env.OLLAMA_URL:+ollama}"))
    pod.install(make_bundle("ollama", api="safety"), "ollama", api="safety")
    (warning,) = merge(pod.root).warnings
    assert "is in API 'inference' of the base" in warning
    assert len(_merged(pod)["providers"]["inference"]) == 2


def test_the_order_is_that_of_the_cr_and_not_of_the_alphabet(
    pod: Pod, make_bundle: MakeBundle
) -> None:
    _base(pod)
    for order, name in enumerate(("zeta", "alpha", "mid")):
        pod.install(make_bundle(name), name, order=order)
    assert merge(pod.root).providers == ("zeta", "alpha", "mid")
    ids = [entry["provider_id"] for entry in _merged(pod)["providers"]["inference"]]
    assert ids == ["ollama", "other", "zeta", "alpha", "mid"]


def test_the_same_id_in_another_section_of_the_base_is_kept_with_a_warning(
    pod: Pod, make_bundle: MakeBundle
) -> None:
    _base(pod)
    pod.install(make_bundle("ollama", api="safety"), "ollama", api="safety")
    result = merge(pod.root)
    assert _merged(pod)["providers"]["inference"][0]["provider_id"] == "ollama"
    assert _merged(pod)["providers"]["safety"][0]["provider_id"] == "ollama"
    assert len(result.warnings) == 1
    assert "is in API 'inference' of the base" in result.warnings[0]


def test_the_output_may_be_named_config_yaml_and_the_base_given(pod: Pod, tmp_path: Path) -> None:
    base = tmp_path / "mounted.yaml"
    base.write_text("version: 2\n")
    result = merge(pod.root, base=base, output_name="config.yaml")
    assert result.path.name == "config.yaml"
    assert _merged(pod, "config.yaml") == {"version": 2}


def test_merging_again_gives_the_same_bytes(pod: Pod, make_bundle: MakeBundle) -> None:
    _base(pod)
    pod.install(make_bundle())
    merge(pod.root)
    before = {path.name: path.read_bytes() for path in (pod.root / "config").iterdir()}
    merge(pod.root)
    assert {path.name: path.read_bytes() for path in (pod.root / "config").iterdir()} == before
    assert sorted(before) == ["extra-providers.yaml", "merge-log.txt", "run.yaml"]


def test_what_a_merge_that_was_killed_left_goes(
    pod: Pod, make_bundle: MakeBundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    _base(pod)
    pod.install(make_bundle())
    child = os.fork()
    if child == 0:
        monkeypatch.setattr(Path, "replace", lambda *_: os.kill(os.getpid(), signal.SIGKILL))
        merge(pod.root)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    assert all(path.name.startswith(".merge-") for path in (pod.root / "config").iterdir())
    merge(pod.root)
    names = sorted(path.name for path in (pod.root / "config").iterdir())
    assert names == ["extra-providers.yaml", "merge-log.txt", "run.yaml"]


@pytest.mark.parametrize("name", ["lls-provider-spec.yaml", "crd-config.yaml"])
def test_an_incomplete_provider_folder_is_refused(
    pod: Pod, make_bundle: MakeBundle, name: str
) -> None:
    _base(pod)
    pod.install(make_bundle())
    (pod.external / "metadata" / "acme-echo" / name).unlink()
    error = _refused(pod)
    assert error.code is Code.METADATA_MISSING
    assert name in error.what


def test_a_wrong_section_is_refused_again(pod: Pod, make_bundle: MakeBundle) -> None:
    _base(pod)
    pod.install(make_bundle())
    crd = pod.external / "metadata" / "acme-echo" / "crd-config.yaml"
    crd.write_text(crd.read_text().replace("api: inference", "api: safety"))
    error = _refused(pod)
    assert error.code is Code.API_MISMATCH
    assert "externalProviders.safety" in error.render()


def test_an_id_in_two_folders_is_refused_with_both_images(
    pod: Pod, make_bundle: MakeBundle
) -> None:
    _base(pod)
    pod.install(make_bundle())
    pod.install(make_bundle("acme-guard"), "acme-guard")
    crd = pod.external / "metadata" / "acme-guard" / "crd-config.yaml"
    crd.write_text(crd.read_text().replace("providerId: acme-guard", "providerId: acme-echo"))
    error = _refused(pod)
    assert error.code is Code.PROVIDER_DUPLICATE
    assert "registry.example.com/acme-echo:1.0" in error.why
    assert "registry.example.com/acme-guard:1.0" in error.why


@pytest.mark.parametrize(
    ("text", "code", "line"),
    [
        ("a: 1\nb: [\n", Code.YAML_INVALID, 3),
        ("a: 1\na: 2\n", Code.DUPLICATE_KEY, 2),
        ("- 1\n", Code.FIELD_TYPE, 1),
        ("a: 1\nproviders: text\n", Code.FIELD_TYPE, 2),
        ("providers:\n  inference: {}\n", Code.FIELD_TYPE, 2),
        ("a: 1\napis: inference\n", Code.FIELD_TYPE, 2),
        ("a: 1\napis: ''\n", Code.FIELD_TYPE, 2),
        ("providers:\n  inference:\n  - ollama\n", Code.FIELD_TYPE, 3),
        ("providers:\n  safety:\n  - {provider_id: x}\n  -\n", Code.FIELD_TYPE, 4),
        ("providers:\n  safety:\n  - [provider_id, x]\n", Code.FIELD_TYPE, 3),
        ("providers:\n  safety:\n  - 7\n", Code.FIELD_TYPE, 3),
    ],
)
def test_a_base_that_no_server_reads_is_told_with_its_line(
    pod: Pod, make_bundle: MakeBundle, text: str, code: Code, line: int
) -> None:
    base = _base(pod, text)
    pod.install(make_bundle())
    error = _refused(pod)
    assert error.code is code
    assert (error.where.file, error.where.line) == (str(base), line)


@pytest.mark.unmeasured
@pytest.mark.slow
def test_what_servers_read_survives_with_a_provider_and_passes_preflight(
    pod: Pod, make_bundle: MakeBundle
) -> None:
    text = (
        "logo: !!binary |\n  aGVsbG8=\nnames: !!set {b, a}\norder: !!omap [b: 1, a: 2]\n"
        "times: !!pairs [a: 2026-11-22, a: 10:30]\n2026-11-22: {1.5: .nan, ~: 0x1F, on: 017}\n"
    )
    text += "certificates:\n" + f"- {'x' * 1000}\n" * 1500  # 1.5 MB
    base = _base(pod, text)
    pod.install(make_bundle(), config={"seen": {"a", "b"}, "key": b"\x00\xff"})
    path = merge(pod.root).path
    merged, before = yaml.safe_load(path.read_text()), yaml.safe_load(base.read_text())
    (entry,) = merged.pop("providers")["inference"]
    assert entry["config"] == {"seen": {"a", "b"}, "key": b"\x00\xff"}
    names = merged.pop("names"), before.pop("names")
    assert names[0] == names[1]
    assert repr(merged) == repr(before)
    assert [it.provider_id for it in preflight(path, root=pod.root)] == ["acme-echo"]


def test_a_base_that_is_larger_than_allowed_is_merged_with_the_limit_raised_as_told(
    pod: Pod, make_bundle: MakeBundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    _base(pod, "x: |\n" + f"  {'y' * 1_000}\n" * 21)
    pod.install(make_bundle())
    monkeypatch.setenv("LLS_PROVIDER_LIMITS", "document_bytes=20000")
    error = _refused(pod)
    assert error.code is Code.YAML_LIMIT
    (told,) = re.findall(r"set (\w+)=(\w+=\d+)", error.resolution)
    monkeypatch.setenv(*told)
    path = merge(pod.root).path
    assert path.stat().st_size > 21_000
    assert preflight(path, root=pod.root)


@pytest.mark.unmeasured
@pytest.mark.slow
def test_what_a_merge_wrote_at_its_limits_passes_preflight(
    pod: Pod, make_bundle: MakeBundle
) -> None:
    deep: Any = "x"
    for _ in range(61):
        deep = [deep]
    # in flow style, as short as it can be; written in block style it is many times as long
    _base(pod, "a: " + "[" * 62 + ",".join(["1"] * 49_000) + "]" * 62)
    pod.install(make_bundle(), config={"deep": deep, "long": [1] * 10_000})
    assert preflight(merge(pod.root).path, root=pod.root)


def test_a_value_that_depends_on_the_version_of_the_reader_is_told(pod: Pod) -> None:
    text = "x: &x {url: a}\ny: &y {url: b}\nz:\n  <<: [*x, *y]\n"
    base = _base(pod, text)
    (warning,) = merge(pod.root).warnings
    assert "The key 'url' is in several mappings of '<<'" in warning
    assert f"({base}:4:3)" in warning
    assert _merged(pod)["z"] == {"url": "a"}
    # the advice, followed
    _base(pod, text + "  url: a\n")
    assert merge(pod.root).warnings == ()
    assert _merged(pod)["z"] == yaml.safe_load(text + "  url: a\n")["z"]


def test_a_missing_base_tells_the_ways_out(pod: Pod) -> None:
    error = _refused(pod)
    assert error.code is Code.FILE_MISSING
    assert "ConfigMap" in error.resolution


def test_a_config_folder_that_cannot_be_written_is_told(pod: Pod) -> None:
    _base(pod)
    (pod.root / "config").write_text("a file")
    with pytest.raises(SdkError) as caught:
        merge(pod.root)
    assert caught.value.code is Code.VOLUME_UNWRITABLE
