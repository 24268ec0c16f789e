"""What compat adds to the installer's answer; that it is that answer, the vectors show."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.factories.providers import provider_document, write_bundle
from tests.factories.wheels import MakeWheel, module_of

from lls_provider.bundle.compat import CompatServer, compat_server, compatibility
from lls_provider.cli.compat import describe
from lls_provider.errors import Code, ExitStatus
from lls_provider.wheels.distribution import Distribution
from lls_provider.wheels.servers import line_named

if TYPE_CHECKING:
    from lls_provider.bundle.bundle import Bundle
    from lls_provider.wheels.interpreter import Interpreter

MakeImage = Callable[..., tuple[str, Path]]


@pytest.fixture
def make_image(tmp_path: Path, make_wheel: MakeWheel) -> MakeImage:
    """A bundle made by hand, without a manifest, and its label."""

    def make(
        name: str,
        *,
        requires: Sequence[str] = (),
        files: Mapping[str, str] | None = None,
        dependencies: Sequence[Path] = (),
    ) -> tuple[str, Path]:
        root = tmp_path / f"image-{len(list(tmp_path.glob('image-*')))}"
        own = make_wheel(
            name, "1.0", files or {f"{module_of(name)}/provider.py": ""}, requires=requires
        )
        write_bundle(root, [own, *dependencies], provider_document(name, wheel=own.name))
        return f"example.com/{name}:1.0", root

    return make


def test_each_package_is_told_with_what_becomes_of_it(
    make_image: MakeImage, make_wheel: MakeWheel
) -> None:
    same = make_wheel("same", "1.0")
    old = [make_wheel("dep", "1.0"), make_wheel("tool", "1.0"), same]
    new = [make_wheel("dep", "2.0"), make_wheel("tool", "2.0"), same]
    result = compatibility(
        [
            make_image("acme-echo", requires=["dep", "tool"], dependencies=old),
            make_image("acme-guard", requires=["dep>=2", "tool"], dependencies=new),
        ]
    )
    assert result.status is ExitStatus.OK
    assert describe(result) == (
        "PROVIDER    PACKAGE     VERSION  RESULT\n"
        "acme-echo   acme-echo   1.0      installed\n"
        "acme-echo   dep         1.0      installed\n"
        "acme-echo   same        1.0      installed\n"
        "acme-echo   tool        1.0      installed\n"
        "acme-guard  acme-guard  1.0      installed\n"
        "acme-guard  dep         2.0      replaces 1.0\n"
        "acme-guard  same        1.0      there already\n"
        "acme-guard  tool        2.0      not installed, 1.0 stays\n"
        "\n"
        "They live together."
    )


def test_a_conflict_has_the_installers_words_and_its_parts_as_data(
    make_image: MakeImage, make_wheel: MakeWheel
) -> None:
    images = [
        make_image("acme-echo", requires=["dep<2"], dependencies=[make_wheel("dep", "1.0")]),
        make_image("acme-guard", requires=["dep>=2"], dependencies=[make_wheel("dep", "2.0")]),
        make_image("acme-store", requires=["dep"]),
    ]
    result = compatibility(images)
    assert result.status is ExitStatus.WRONG
    text = describe(result)
    assert "acme-guard  -           -        refused: Cannot install provider" in text
    assert "\nERROR: Cannot install provider 'acme-guard' due to dependency conflict\n" in text
    assert "  provider 'acme-echo' (image: example.com/acme-echo:1.0) needs dep<2\n" in text
    assert text.endswith("They do not live together: refused acme-guard.")
    document = json.loads(json.dumps(result.to_document()))
    assert document["ok"] is False
    assert [target["ok"] for target in document["targets"]] == [True, False, True]
    assert document["targets"][1]["conflicts"] == [
        {
            "package": "dep",
            "installed": "1.0",
            "new": "2.0",
            "provided": None,
            "demands": [
                {
                    "wanted": wanted,
                    "requirer": provider,
                    "version": "1.0",
                    "provider": provider,
                    "image": f"example.com/{provider}:1.0",
                }
                for wanted, provider in (("dep<2", "acme-echo"), ("dep>=2", "acme-guard"))
            ],
        }
    ]
    assert document["targets"][1]["error"]["code"] == "dependency-conflict"


def test_files_that_clash_are_told_as_the_installer_tells_them(
    make_image: MakeImage, make_wheel: MakeWheel
) -> None:
    echo = make_image(
        "acme-echo",
        files={"acme/__init__.py": "", "acme/echo/provider.py": "", "acme/data.txt": "1"},
    )
    same = {"acme/__init__.py": "# nothing\n", "acme/guard/provider.py": ""}
    result = compatibility([echo, make_image("acme-guard", files={**same, "acme/data.txt": "2"})])
    assert result.verdicts[1].warnings == (
        (
            "acme/data.txt of acme-guard 1.0 is not installed: acme-echo 1.0 of provider "
            "'acme-echo' (image: example.com/acme-echo:1.0) has installed it in different "
            "content, which stays"
        ),
    )
    refused = compatibility([echo, make_image("acme-guard", files={"acme/echo": "", **same})])
    error = refused.verdicts[1].error
    assert error is not None
    assert error.why == "acme/echo of acme-guard 1.0: acme/echo is a directory on the volume"


def test_one_id_twice_is_refused_with_both_images(make_image: MakeImage) -> None:
    label, root = make_image("acme-echo")
    result = compatibility([(label, root), ("example.com/other:1.0", root)])
    error = result.verdicts[1].error
    assert error is not None
    assert error.code is Code.PROVIDER_DUPLICATE
    assert label in error.why
    assert "example.com/other:1.0" in error.why


def test_a_wheel_for_another_python_is_refused(
    make_image: MakeImage, make_wheel: MakeWheel
) -> None:
    native = make_wheel("dep", tag="cp311-cp311-manylinux_2_28_x86_64")
    server = CompatServer("ogx==1.5.0", "cp312", {})
    result = compatibility([make_image("acme-echo", dependencies=[native])], server)
    error = result.verdicts[0].error
    assert error is not None
    assert error.code is Code.WHEEL_INCOMPATIBLE
    assert "Expected Python: cp312" in error.render()


def test_a_server_stands_in_place_of_what_images_assume(
    make_image: MakeImage, make_wheel: MakeWheel
) -> None:
    image = make_image("acme-echo", requires=["pydantic>=2"])
    assert compatibility([image]).status is ExitStatus.OK
    assert compatibility([image], CompatServer("s", "cp312", {"pydantic": "2.9"})).status == 0
    result = compatibility([image], CompatServer("s", "cp312", {"pydantic": "1.10"}))
    assert describe(result).endswith("They do not live together on s: refused acme-echo.")
    assert (
        result.verdicts[0]
        .conflicts[0]
        .render()
        .startswith("pydantic: the distribution provides 1.10, this image brings none\n")
    )
    shadow = make_image("acme-guard", dependencies=[make_wheel("pydantic", "2.1")])
    result = compatibility([shadow], CompatServer("s", "cp312", {"pydantic": "2.9"}))
    assert result.verdicts[0].warnings == ("pydantic 2.1 shadows the server's pydantic 2.9",)
    assert "WARNING: example.com/acme-guard:1.0: pydantic 2.1 shadows" in describe(result)


def test_a_bundle_built_for_another_state_of_the_server_is_told(
    make_bundle: Callable[..., Bundle],
) -> None:
    root = make_bundle().root
    server = CompatServer("llama-stack==0.8.0", "cp312", {"llama-stack-api": "0.8.0"})
    (verdict,) = compatibility([("example.com/echo:1", root)], server).verdicts
    assert verdict.error is None
    assert verdict.warnings == (
        (
            "provider 'acme-echo' (image: example.com/echo:1) was built for a server with other "
            "versions than llama-stack==0.8.0\n  llama-stack-api: 0.7.3, it has 0.8.0"
        ),
    )


def test_what_shadows_the_standard_library_is_told(
    make_image: MakeImage, make_wheel: MakeWheel
) -> None:
    wheel = make_wheel("tool", files={"json.py": "", "test/__init__.py": ""})
    result = compatibility([make_image("acme-echo", dependencies=[wheel])])
    assert result.status is ExitStatus.OK
    (warning,) = result.verdicts[0].warnings
    assert warning.startswith("tool ")
    assert warning.endswith(" puts 'json', 'test' in front of the standard library's")
    assert f"WARNING: example.com/acme-echo:1.0: {warning}" in describe(result)


def test_images_for_different_servers_are_told(make_bundle: Callable[..., Bundle]) -> None:
    one = make_bundle("one")
    other = make_bundle("other", provided={"llama-stack-api": "0.8.0"})
    spec = other.tree.spec
    spec.write_text(spec.read_text().replace("name: acme-echo", "name: acme-ecco"))
    manifest = json.loads(other.tree.manifest.read_text())
    manifest["files"][spec.name]["size"] = spec.stat().st_size
    other.tree.manifest.write_text(json.dumps(manifest))
    bundles = [("example.com/one:1", one.root), ("example.com/other:1", other.root)]
    result = compatibility(bundles)
    assert result.status is ExitStatus.OK
    warning = (
        "provider 'acme-echo' (image: example.com/one:1) and provider 'acme-ecco' (image: "
        "example.com/other:1) were built for different servers\n  llama-stack-api: 0.7.3 and 0.8.0"
    )
    assert result.verdicts[1].warnings == (warning,)
    assert json.loads(json.dumps(result.to_document()))["targets"][1]["warnings"] == [warning]


def test_images_for_different_pythons_are_told(make_bundle: Callable[..., Bundle]) -> None:
    one, other = make_bundle("one"), make_bundle("other")
    spec, manifest = other.tree.spec, other.tree.manifest
    spec.write_text(spec.read_text().replace("name: acme-echo", "name: acme-ecco"))
    manifest.write_text(manifest.read_text().replace('"cp312"', '"cp313"'))
    bundles = [("example.com/one:1", one.root), ("example.com/other:1", other.root)]
    warning = "it was built for cp313, example.com/one:1 for cp312; a server has one Python"
    assert compatibility(bundles).verdicts[1].warnings == (warning,)
    assert compatibility(bundles, python_tag="cp313").verdicts[1].warnings == ()


@pytest.mark.parametrize(
    ("server", "has", "brings", "needs"),
    [
        ("llama-stack==0.7.3", "1.30.0", "2.3.0", "llama-stack 0.7.3 needs mcp<2"),
        ("ogx==1.4.1", "1.30.0", "2.0.0", "ogx 1.4.1 needs mcp<2"),
        ("ogx==1.5.0", "2.3.0", "1.30.0", "ogx 1.5.0 needs mcp>=2"),
    ],
)
def test_a_package_that_the_server_does_not_run_with_is_named(
    make_image: MakeImage,
    make_wheel: MakeWheel,
    interpreter: Interpreter,
    server: str,
    has: str,
    brings: str,
    needs: str,
) -> None:
    """Whatever the server's metadata says: none of llama-stack says that it needs mcp 1."""
    name, _, version = server.partition("==")
    pins = {name: version, "mcp": has}
    distribution = Distribution(server, pins, interpreter, line_named(name), requires={})
    image = make_image("acme-echo", dependencies=[make_wheel("mcp", brings)])
    result = compatibility([image], compat_server([distribution]))
    assert result.status is ExitStatus.WRONG
    text = describe(result)
    assert f"ERROR: {server} itself cannot run with what goes into the image" in text
    assert f"mcp {brings} would hide its {has}, but {needs}" in text
    fitting = make_image("acme-guard", dependencies=[make_wheel("mcp", f"{has}.post1")])
    assert compatibility([fitting], compat_server([distribution])).status is ExitStatus.OK
