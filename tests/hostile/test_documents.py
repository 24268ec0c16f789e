"""Metadata, manifests and configurations that attack: refused, and nothing is written."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
from tests.factories.providers import manifest_document

from lls_provider.errors import Code
from lls_provider.runtime.cli import arguments

if TYPE_CHECKING:
    Refuse = Callable[..., Any]
    World = Any

SPEC = "lls-provider-spec.yaml"
MANIFEST = "manifest.json"
INVALID, LIMIT = Code.YAML_INVALID, Code.YAML_LIMIT
VALUE, TYPE = Code.FIELD_VALUE, Code.FIELD_TYPE
LAUGHS = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{new}: &{new} [{', '.join([f'*{old}'] * 10)}]\n"
    for old, new in zip("abcdefgh", "bcdefghi", strict=True)
)
DOCUMENTS: list[tuple[str, Code, str, bytes]] = [
    ("laughs a billion times", LIMIT, "more than 50,000 values", LAUGHS.encode()),
    ("has many aliases", LIMIT, "1,000 aliases", b"a: &a x\nb: [" + b"*a, " * 1001 + b"]\n"),
    ("is inside of itself", INVALID, "inside the value that it refers to", b"a: &a [*a]\n"),
    ("merges itself", INVALID, "part of", b"a: &a {<<: *a}\n"),
    ("is deep in brackets", LIMIT, "64 levels", b"a: " + b"[" * 100_000),
    ("is deep in braces", LIMIT, "64 levels", b"{a: " * 100_000),
    ("is deep in lists", LIMIT, "64 levels", b"- " * 100_000),
    ("has deep keys", LIMIT, "64 levels", b"? " * 100_000),
    ("is large", LIMIT, "1,048,576 bytes", b"a: " + b"x" * (1 << 20)),
    ("has many values", LIMIT, "50,000 values", b"a: [" + b"1," * 60_000 + b"]\n"),
    ("has a long number", LIMIT, "one number", b"a: " + b"9" * 5000 + b"\n"),
    ("has a long number of minutes", LIMIT, "one number", b"a: 1" + b":59" * 5000 + b"\n"),
    ("has a long float", LIMIT, "one number", b"a: 1." + b"9" * 5000 + b"\n"),
    ("runs a command", INVALID, "refused", b"a: !!python/object/apply:os.system ['touch evil']\n"),
    ("makes an object", INVALID, "refused", b"a: !!python/object:subprocess.Popen {}\n"),
    ("names a module", INVALID, "refused", b"a: !!python/name:os.system ''\n"),
    ("has a tag of its own", INVALID, "refused", b"a: !evil x\n"),
    ("is binary", Code.FIELD_TYPE, "not binary data", b"!!binary AAAA\n"),
    ("is a set", Code.FIELD_TYPE, "not a set", b"!!set {x}\n"),
    ("has binary that is none", INVALID, "is not a valid binary", "a: !!binary é\n".encode()),
    ("has a key twice", Code.DUPLICATE_KEY, "twice", b"a: 1\na: 2\n"),
    ("has a key that is a list", INVALID, "single value", b"[a, b]: 1\n"),
    ("is in UTF-16", INVALID, "not UTF-8", "a: b\n".encode("utf-16")),
    ("is in UTF-32", INVALID, "U+0000 is not allowed", "a: b\n".encode("utf-32-le")),
    ("is in Latin-1", INVALID, "not UTF-8", "a: \xe4\n".encode("latin-1")),
    ("holds a NUL", INVALID, "U+0000", b"a: b\0c\n"),
    ("holds an escape", INVALID, "U+001B", b"a: \x1b[2J\n"),
    ("holds half a pair", INVALID, "surrogate", b'a: "\\ud800"\n'),
    ("holds no character", INVALID, "not a character", b'a: "\\UFFFFFFFF"\n'),
    ("never ends a text", INVALID, "line 1", b'a: "' + b"x" * 100_000),
    ("is two", INVALID, "second document", b"a: 1\n---\nb: 2\n"),
    ("is nothing", INVALID, "empty", b""),
    ("is a comment", INVALID, "empty", b"# " + b"x" * 500_000),
    ("is a list", TYPE, "mapping", b"- a\n"),
    ("has a wrong date", INVALID, "not a valid timestamp", b"a: !!timestamp evil\n"),
]


def refused_codes(error: Any) -> set[Code]:
    return {error.code, *(problem.code for problem in error.problems)}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("code", "why", "data"), [it[1:] for it in DOCUMENTS], ids=[it[0] for it in DOCUMENTS]
)
def test_metadata_that_attacks_is_refused(
    world: World, refuse: Refuse, code: Code, why: str, data: bytes
) -> None:
    (world.source / SPEC).write_bytes(data)
    refuse(code, why, names=SPEC)


FIELDS = [
    ("wheelPath", "/lls-provider/../../etc/evil.whl"),
    ("wheelPath", "/lls-provider/packages/../../victim/x.whl"),
    ("wheelPath", "/etc/evil.whl"),
    ("wheelPath", "packages/acme_echo-1.0-py3-none-any.whl"),
    ("wheelPath", "/lls-provider//evil.whl"),
    ("wheelPath", "/lls-provider/packages/.hidden.whl"),
    ("wheelPath", "/lls-provider/packages\\evil.whl"),
    ("wheelPath", "/lls-provider/packages/a\nb.whl"),
    ("wheelPath", "/lls-provider/packages/evil.sh"),
    ("packageName", "../evil"),
    ("packageName", "acme_echo; import os"),
    ("packageName", "acme_echo.class"),
    ("packageName", "$(touch evil)"),
    ("providerType", "remote::../evil"),
    ("providerType", "remote::$(touch evil)"),
    ("api", "../inference"),
    ("name", "../../evil"),
    ("name", "acme echo; rm -rf /"),
    ("version", "1.0; evil"),
    ("version", "1." + "9" * 5000),
    ("kind", "Evil"),
]


@pytest.mark.parametrize(("field", "text"), FIELDS)
def test_a_field_that_tries_to_be_a_path_or_a_shell_is_refused(
    world: World, refuse: Refuse, field: str, text: str
) -> None:
    import yaml

    spec = yaml.safe_load((world.source / SPEC).read_text())
    for part in (spec, spec["metadata"], spec["spec"]):
        if field in part:
            part[field] = text
    (world.source / SPEC).write_text(yaml.safe_dump(spec))
    refuse(VALUE, field, names=SPEC)


def manifest(world: World, **changes: Any) -> dict[str, Any]:
    return manifest_document(world.source, **changes)


FILE = {"sha256": "0" * 64, "size": 1}
Change = dict[str, Any]
VALUES: list[tuple[str, Code, str, Change]] = [
    ("lists a path that leaves", VALUE, "files", {"files": {"../victim/secret.txt": FILE}}),
    ("lists an absolute path", VALUE, "files", {"files": {"/etc/passwd": FILE}}),
    ("lists a path with backslashes", VALUE, "files", {"files": {"a\\b": FILE}}),
    ("lists a path with a NUL", VALUE, "files", {"files": {"a\0b": FILE}}),
    ("lists half a pair", INVALID, "surrogate", {"files": {"\ud800": FILE}}),
    ("lists what is missing", Code.BUNDLE_INVALID, "missing", {"files": {"packages/x.whl": FILE}}),
    ("lies about a size", Code.BUNDLE_INVALID, "the manifest says 1", {"files": {SPEC: FILE}}),
    ("has files of a list", TYPE, "files", {"files": []}),
    ("has a size of text", TYPE, "size", {"files": {SPEC: FILE | {"size": "1"}}}),
    ("has a negative size", VALUE, "size", {"files": {SPEC: FILE | {"size": -1}}}),
    ("has a size of no number", TYPE, "installed_size", {"installed_size": float("nan")}),
    ("has a size without end", TYPE, "installed_size", {"installed_size": float("inf")}),
    ("is of another format", VALUE, "format", {"format": 2}),
    (
        "has a target that is code",
        VALUE,
        "python_tag",
        {"target": {"python_tag": "cp312; evil", "platforms": [], "machine": "x86_64"}},
    ),
    (
        "has a machine that is a path",
        VALUE,
        "machine",
        {"target": {"python_tag": "cp312", "platforms": [], "machine": "../x"}},
    ),
    ("has an odd override", Code.BUNDLE_INVALID, "override", {"overrides": ["a b c"]}),
    (
        "has a nested override",
        Code.BUNDLE_INVALID,
        "override",
        {"overrides": ["a; " + "(" * 2000 + "extra == 'a'" + ")" * 2000]},
    ),
    (
        "has an endless override",
        Code.BUNDLE_INVALID,
        "override",
        {"overrides": ["a>=" + "9" * 5000]},
    ),
]


@pytest.mark.parametrize(
    ("code", "why", "changes"), [it[1:] for it in VALUES], ids=[it[0] for it in VALUES]
)
def test_a_manifest_that_attacks_is_refused(
    world: World, refuse: Refuse, code: Code, why: str, changes: Change
) -> None:
    (world.source / MANIFEST).write_text(json.dumps(manifest(world, **changes)))
    named = [*changes.get("files", ()), MANIFEST][0] if code is Code.BUNDLE_INVALID else MANIFEST
    refuse(code, why, names=named)


TEXTS: list[tuple[str, Code, str, bytes]] = [
    ("is cut short", INVALID, "line 1", b'{"format": 1,'),
    ("is deep", LIMIT, "64 levels", b'{"files": ' + b"[" * 200_000),
    ("is deep in mappings", LIMIT, "64 levels", b'{"a": ' * 100_000),
    ("has a long number", LIMIT, "one number", b'{"format": ' + b"1" * 5000 + b"}"),
    ("has a key twice", Code.DUPLICATE_KEY, "twice", b'{"format": 1, "format": 2}'),
    ("is in UTF-16", INVALID, "not UTF-8", '{"format": 1}'.encode("utf-16")),
    ("is in Latin-1", INVALID, "not UTF-8", b'{"sdk": "\xe4"}'),
    ("is large", LIMIT, "1,048,576 bytes", b'{"sdk": "' + b"x" * (1 << 20) + b'"}'),
    ("has many values", LIMIT, "50,000 values", b'{"files": [' + b"1," * 60_000 + b"1]}"),
    ("is a number", TYPE, "mapping", b"1"),
    ("is empty", INVALID, "line 1", b""),
]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("code", "why", "data"), [it[1:] for it in TEXTS], ids=[it[0] for it in TEXTS]
)
def test_a_manifest_that_is_no_json_is_refused(
    world: World, refuse: Refuse, code: Code, why: str, data: bytes
) -> None:
    (world.source / MANIFEST).write_bytes(data)
    refuse(code, why, names=MANIFEST)


def rejected(world: World, capsys: pytest.CaptureFixture[str], status: int, *changes: str) -> str:
    """Run the command line with further arguments; nothing may change."""
    before = world.snapshot()
    assert arguments.main(world.arguments(*changes)) == status
    assert world.snapshot() == before
    message = capsys.readouterr().err
    assert "Resolution: " in message
    assert "Traceback" not in message
    return message


@pytest.mark.parametrize(
    ("flag", "text"),
    [
        *(("--provider-id", it) for it in ("../evil", "a/b", "/etc", "..", "$(touch evil)", "a b")),
        *(("--provider-id", it) for it in ("a;b", "a\nb", "A", "a_b", "-a", "a" * 47, "\udcff")),
        *(("--api", it) for it in ("../inference", "inference;evil", "vectorIo", "")),
        *(("--image", it) for it in ("", "a b", "a\nERROR: evil", "a\tb")),
        *(("--container", it) for it in ("a b", "a\nb")),
        *(("--python-tag", it) for it in ("../cp312", "cp312;evil", "cp" + "3" * 5000)),
        ("--order", "-1"),
    ],
)
def test_an_argument_that_tries_to_be_a_path_or_a_shell_is_refused(
    world: World, capsys: pytest.CaptureFixture[str], flag: str, text: str
) -> None:
    rejected(world, capsys, 2, f"{flag}={text}")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('{"a": ' * 100_000, "64 levels"),
        ('{"a": ' * 70 + "1" + "}" * 70, "64 levels"),
        ('{"a": ' * 500 + "1" + "}" * 500, "64 levels"),
        ("[" * 100_000, "64 levels"),
        ('{"a": "\\ud800"}', "surrogate"),
        ('{"\\udfff": 1}', "surrogate"),
        ('{"a": 1, "a": 2}', "twice"),
        ('{"a": ' + "9" * 5000 + "}", "one number"),
        ("a: !!python/object/apply:os.system ['touch evil']", "refused"),
        (LAUGHS, "50,000 values"),
        ("$(touch evil)", "not a mapping"),
        ("[1, 2]", "not a mapping"),
        ("a: \udcff", "not UTF-8"),
        ("a: \x00", "U+0000"),
        ("../../etc/passwd", "not a mapping"),
    ],
    ids=range(15),
)
def test_a_configuration_that_attacks_is_refused(
    world: World, capsys: pytest.CaptureFixture[str], text: str, why: str
) -> None:
    assert why in rejected(world, capsys, 1, f"--config={text}")


def test_a_configuration_of_shell_and_paths_is_only_text(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    import yaml

    value = {"url": "$(touch evil)`touch evil`; ../../etc/passwd", "../x": "{{ 1 }} ${HOME}"}
    assert arguments.main(world.arguments(f"--config={json.dumps(value)}")) == 0
    written = world.root / "external-providers/metadata/acme-echo/crd-config.yaml"
    assert yaml.safe_load(written.read_text())["config"] == value
    assert not list(world.top.rglob("evil"))
