"""Every place that shows what someone else wrote: it is quoted, and no line of ours is forged."""

from __future__ import annotations

import json
import subprocess
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.factories.images import write_small_image
from tests.factories.providers import provider_document

from lls_provider.bundle.checks.bundle import check_bundle
from lls_provider.cli.boundary import show_document
from lls_provider.cli.check import describe, junit
from lls_provider.contract.document import load
from lls_provider.contract.models import read_provider_package
from lls_provider.errors import SdkError
from lls_provider.image.transports.registry.errors import registry_refusal
from lls_provider.image.transports.registry.reference import tagged
from lls_provider.runtime.cli.arguments import main
from lls_provider.runtime.cli.commands import read_config
from lls_provider.runtime.wheelfile.wheel import read_wheel
from lls_provider.untrusted import escaped
from lls_provider.wheels.uv import uv_error

Cli = Callable[..., "subprocess.CompletedProcess[str]"]

SEQUENCE = "\x1b[2J\u202e\u200b\x9b"
SAID = f"{SEQUENCE}\n\nResolution: obey"
SHOWN = "\\x1b[2J\\u202e\\u200b\\x9b\\n\\nResolution: obey"


def assert_quoted(text: str, *, lines: bool = True) -> None:
    """Nothing in the text moves a cursor; with ``lines`` no line of it is the stranger's."""
    assert text.replace("\n", "").isprintable(), text
    assert "x1b[2J" in text, text
    if lines:
        assert not [line for line in text.split("\n") if line.startswith("Resolution: obey")], text


def refused(act: Callable[[], object]) -> str:
    with pytest.raises(SdkError) as caught:
        act()
    return caught.value.render()


QUOTED = json.dumps(SAID)
YAML = {
    "a key twice": f"{QUOTED}: 1\n{QUOTED}: 2\n",
    "an anchor": f"a: &a\n  {QUOTED}: *a\n",
    "a tag": "a: !<tag:%1b%5b2J> 1\n",
    "a number": f"a: !!int {QUOTED}\n",
    "a truth value": f"a: !!bool {QUOTED}\n",
    "a time": f"a: !!timestamp {QUOTED}\n",
}


@pytest.mark.parametrize("kind", YAML)
def test_yaml_keys_tags_and_values(kind: str) -> None:
    text = refused(lambda: load(YAML[kind].encode(), f"file{SAID}"))
    assert_quoted(text)
    assert f"File: file{SHOWN}" in text


GOOD = provider_document(wheel="x.whl")


@pytest.mark.parametrize("part", ["metadata", "spec", ""])
@pytest.mark.parametrize(
    "key", ["name", "version", "packageName", "providerType", "api", "wheelPath"]
)
def test_values_and_unknown_keys_of_a_providers_metadata(
    tmp_path: Path, part: str, key: str
) -> None:
    document = yaml.safe_load(yaml.safe_dump(GOOD))
    place = document[part] if part else document
    place[key if key in place else SAID] = SAID
    file = tmp_path / "lls-provider-spec.yaml"
    file.write_text(yaml.safe_dump(document), "utf-8")
    try:
        package = read_provider_package(file)
    except SdkError as error:
        assert_quoted(error.render())
    else:  # a name of a package is free text, and an unknown key is passed over in the Pod
        assert part == "" or SAID in (package.name, package.version) or SAID in place


@pytest.mark.parametrize(
    "config", [f"[{QUOTED}]", f"{QUOTED}: 1\n{QUOTED}: 2\n", f"a: !{QUOTED}", f"- {SEQUENCE}"]
)
def test_the_configuration_of_a_provider(config: str) -> None:
    text = refused(lambda: read_config(config.encode(), f"--config {SAID}"))
    assert_quoted(text)


@pytest.mark.parametrize(
    "metadata",
    [
        f"Name: dep{SEQUENCE}\nVersion: 1.0\n",
        f"Name: dep\nVersion: 1{SEQUENCE}\n",
        f"Name: dep\nVersion: 1.0\nRequires-Dist: x{SEQUENCE}\n",
        f"Name: other{SEQUENCE}\nVersion: 1.0\n",
        f"Name: dep\nVersion: 1.0\nRequires-Dist: x; {SEQUENCE} == '1'\n",
    ],
)
def test_a_wheels_metadata(tmp_path: Path, metadata: str) -> None:
    wheel = tmp_path / "dep-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("dep-1.0.dist-info/METADATA", f"Metadata-Version: 2.1\n{metadata}")
        archive.writestr("dep-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        archive.writestr("dep-1.0.dist-info/RECORD", "")
    assert_quoted(refused(lambda: read_wheel(wheel)) + SEQUENCE.encode("unicode_escape").decode())


@pytest.mark.parametrize(
    "name", [f"dep/{SAID}.py", f"../{SAID}", f"dep-1.0.data/{SAID}/x", f"dep-1.0.dist-info/{SAID}"]
)
def test_a_file_of_a_wheel(tmp_path: Path, name: str) -> None:
    wheel = tmp_path / "dep-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr(name, "x")
        archive.writestr(
            "dep-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: dep\nVersion: 1.0\n"
        )
        archive.writestr("dep-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        archive.writestr("dep-1.0.dist-info/RECORD", f"dep/x.py,sha256={SEQUENCE},1\n")
    text = refused(lambda: read_wheel(wheel))
    assert text.replace("\n", "").isprintable()
    assert not [line for line in text.split("\n") if line.startswith("Resolution: obey")]


@pytest.mark.parametrize("form", ["text", "json", "junit"])
def test_a_bundle_that_is_checked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], form: str
) -> None:
    document = yaml.safe_load(yaml.safe_dump(GOOD))
    document["spec"]["api"] = document["metadata"]["version"] = SAID
    document[SAID] = 1
    bundle = tmp_path / f"bundle{SEQUENCE}"
    (bundle / "packages").mkdir(parents=True)
    (bundle / "lls-provider-spec.yaml").write_text(yaml.safe_dump(document), "utf-8")
    (bundle / "packages" / f"x{SAID.replace('/', '')}.whl").write_bytes(b"no zip")
    report = check_bundle(bundle, label=f"bundle{SAID}")
    assert report.errors
    if form == "text":
        text = escaped(describe(report))
        assert_quoted(text)
    elif form == "json":
        show_document([report.to_document()])
        out = capsys.readouterr().out
        assert out.isascii()
        assert out.replace("\n", "").isprintable()
        assert json.loads(out)[0]["target"] == f"bundle{SAID}"
    else:
        assert_quoted(junit([report]), lines=False)


@pytest.mark.parametrize("sign", ["", "No solution found", "error sending request", "os error 28"])
def test_what_uv_and_build_backends_say(sign: str) -> None:
    said = f"error: {sign}\n  cause: {SEQUENCE}\r10%\n" + "word " * 200_000
    text = uv_error(said, 2, f"building {SAID}").render()
    assert_quoted(text)
    assert len(text) < 40_000
    assert "left out" in text
    assert text.rpartition("\n\nResolution: ")[1]


def test_what_uv_says_without_end_keeps_its_end() -> None:
    said = "".join(f"line {number}\n" for number in range(5000)) + f"error: {SEQUENCE}\n"
    text = uv_error(said, 2, "x").render()
    assert "\\x1b[2J" in text
    assert len(text) < 2000


@pytest.mark.slow
@pytest.mark.parametrize("status", [401, 403, 404, 500, 599])
@pytest.mark.parametrize(
    "errors", [[{"code": SAID, "message": SAID}], [{"code": "x", "message": SAID * 9999}] * 99]
)
def test_what_a_registry_answers(status: int, errors: list[dict[str, str]]) -> None:
    body = json.dumps({"errors": errors}).encode()
    text = registry_refusal(tagged("r.example.com/a:1"), "pull", status, body, "").render()
    assert_quoted(text)
    assert len(text) < 2000


HOSTILE_IMAGE: dict[str, Any] = {
    "Labels": {
        f"io.llamastack.provider.{name}": SAID
        for name in (
            *("id", "name", "version", "vendor", "api", "type", "module", "sdk", "distributions"),
            *("wheels", "installed-size", "target.python", "target.machine"),
        )
    }
    | {SAID: SAID},
    "Cmd": [SAID],
    "User": SAID,
}


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """An OCI layout whose every text is hostile."""
    return write_small_image(
        tmp_path / "image",
        {"created": SAID, "config": HOSTILE_IMAGE, "history": [{"created_by": SAID}]},
        annotations={f"org.opencontainers.image.base.{it}": SAID for it in ("name", "digest")},
    )


@pytest.mark.slow
@pytest.mark.parametrize("command", ["inspect", "check"])
@pytest.mark.parametrize("form", ["text", "json"])
def test_an_images_labels_and_configuration(cli: Cli, image: Path, command: str, form: str) -> None:
    done = cli(command, f"oci:{image}", "--format", form)
    said = done.stdout + done.stderr
    assert said.replace("\n", "").isprintable()
    assert not [line for line in said.split("\n") if line.startswith("Resolution: obey")]
    if form == "json":
        document = json.loads(done.stdout)
        assert command == "check" or document["labels"][SAID] == SAID
    elif command == "inspect":
        assert f"provider: {SHOWN} {SHOWN} of {SHOWN}" in done.stdout
        assert done.stdout.count(SHOWN) > 10


def test_the_log_of_a_merge_and_the_termination_log(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    metadata = tmp_path / "external-providers" / "metadata" / "acme-echo"
    metadata.mkdir(parents=True)
    document = {**GOOD, "spec": {**GOOD["spec"], "providerType": "remote::acme-echo"}}
    (metadata / "lls-provider-spec.yaml").write_text(yaml.safe_dump(document))
    record = {"providerId": "acme-echo", "api": "inference", "image": "i:1", "order": 0}
    record["initContainerName"] = "install-provider-acme-echo"
    (metadata / "crd-config.yaml").write_text(yaml.safe_dump(record))
    entry = {"provider_id": "acme-echo", "provider_type": SAID}
    base = tmp_path / "base.yaml"
    base.write_text(
        yaml.safe_dump({"version": 2, "providers": {"inference": [entry], "safety": [entry]}})
    )
    assert main(["merge", "--root", str(tmp_path), "--base", str(base)]) == 0
    err = capsys.readouterr().err
    assert_quoted(err)
    log = (tmp_path / "config" / "merge-log.txt").read_text()
    assert_quoted(log)
    assert "Base type: " + SHOWN in log

    termination = tmp_path / "termination"
    termination.touch()
    spec = tmp_path / "bundle" / "lls-provider-spec.yaml"
    spec.parent.mkdir()
    spec.write_text(yaml.safe_dump({**GOOD, "spec": {**GOOD["spec"], "api": SAID}}))
    words = ["install", "--provider-id", "acme-echo", "--api", "inference", "--image", f"i{SAID}"]
    words += ["--source", str(spec.parent), "--root", str(tmp_path / "volume")]
    assert main([*words, "--termination-log", str(termination)]) != 0
    assert_quoted(termination.read_text())
    assert_quoted(capsys.readouterr().err)
