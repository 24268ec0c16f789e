"""What is in the image of a bundle, and that it is the same wherever it is made."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from lls_provider.bundle.bundle import Bundle
from lls_provider.errors import Code, SdkError
from lls_provider.image.bundle_image import compose
from lls_provider.image.image import Layer, TreeLayer
from lls_provider.image.tar import LayerFile, LayerTree
from lls_provider.image.transports.layout import read_layout, write_layout

MakeBundle = Callable[..., Bundle]
MakeLayout = Callable[..., Path]


def members(layer: Layer) -> dict[str, tarfile.TarInfo]:
    with tarfile.open(fileobj=io.BytesIO(b"".join(layer.chunks()))) as archive:
        return {member.name: member for member in archive}


def test_layers_go_from_rarely_to_often_changed(make_bundle: MakeBundle) -> None:
    image = compose(make_bundle())
    titles = ["runtime", "dependency wheels", "metadata", "provider"]
    assert [layer.title for layer in image.layers] == titles
    files = [
        sorted(name for name, member in members(layer).items() if member.isfile())
        for layer in image.layers
    ]
    assert files == [
        ["lls-provider/lls-provider.pyz"],
        ["lls-provider/packages/dep0-1.0.0-py3-none-any.whl"],
        [
            "lls-provider/extra-providers.yaml",
            "lls-provider/lls-provider-spec.yaml",
            "lls-provider/sbom.cdx.json",
        ],
        [
            "lls-provider/manifest.json",
            "lls-provider/packages/acme_echo-1.0.0-py3-none-any.whl",
        ],
    ]


def test_nothing_of_the_builder_stands_in_a_tar_header(make_bundle: MakeBundle) -> None:
    for layer in compose(make_bundle()).layers:
        for member in members(layer).values():
            assert (member.uid, member.gid, member.uname, member.gname) == (0, 0, "", "")
            assert member.mtime == 0
            assert member.pax_headers == {}
            assert member.mode == (0o755 if member.isdir() or "pyz" in member.name else 0o644)


def test_a_provider_without_dependencies_has_no_layer_for_them(make_bundle: MakeBundle) -> None:
    image = compose(make_bundle(dependencies=0))
    assert [layer.title for layer in image.layers] == ["runtime", "metadata", "provider"]


def test_labels_tell_everything_without_a_layer(make_bundle: MakeBundle) -> None:
    labels = compose(make_bundle()).labels
    expected = {
        "org.opencontainers.image.title": "acme-echo",
        "org.opencontainers.image.version": "1.0.0",
        "org.opencontainers.image.vendor": "Acme Örgs",
        "io.llamastack.provider.id": "acme-echo",
        "io.llamastack.provider.api": "inference",
        "io.llamastack.provider.type": "remote::acme-echo",
        "io.llamastack.provider.module": "acme_echo",
        "io.llamastack.provider.target.python": "cp312",
        "io.llamastack.provider.target.machine": "x86_64",
        "io.llamastack.provider.distributions": "llama-stack==0.7.3",
    }
    assert {name: labels.get(name) for name in expected} == expected


def test_a_data_image_starts_nothing(make_bundle: MakeBundle) -> None:
    image = compose(make_bundle())
    assert image.command == ()
    assert image.config["config"]["User"] == "1001"


def test_a_base_gives_platform_environment_and_lower_layers(
    make_bundle: MakeBundle, make_layout: MakeLayout
) -> None:
    base = read_layout(
        make_layout(
            [("usr/bin/python3", b"")],
            config={
                "Env": ["LANG=C.UTF-8"],
                "Cmd": ["bash"],
                "User": "root",
                "Labels": {"kept": "yes", "org.opencontainers.image.title": "debian"},
            },
        )
    )
    image = compose(make_bundle(), base)
    assert image.layers[0] == base.layers[0]
    assert image.command == (
        "python3",
        "-I",
        "-S",
        "/lls-provider/lls-provider.pyz",
        "install",
    )
    config = image.config["config"]
    assert config["User"] == "1001"
    assert config["Env"][0] == "LANG=C.UTF-8"
    assert config["Env"][1].startswith("PATH=")
    assert "Cmd" not in config
    assert image.labels["kept"] == "yes"
    assert image.labels["org.opencontainers.image.title"] == "acme-echo"
    assert image.annotations["org.opencontainers.image.base.digest"] == base.digest
    assert "org.opencontainers.image.base.name" not in image.annotations
    assert len(image.config["history"]) == 5


def test_a_base_for_another_machine_is_refused(
    make_bundle: MakeBundle, make_layout: MakeLayout
) -> None:
    base = read_layout(make_layout([("x", b"")], architecture="arm64"))
    with pytest.raises(SdkError) as caught:
        compose(make_bundle(), base)
    assert caught.value.code is Code.IMAGE_INVALID
    assert "linux/arm64" in caught.value.what
    assert "linux/amd64" in caught.value.what


def test_a_changed_provider_moves_only_the_last_layer(
    make_bundle: MakeBundle, tmp_path: Path
) -> None:
    before = compose(make_bundle("a"))
    after = compose(make_bundle("b", source="ANSWER = 43\n"))
    assert [x.digest == y.digest for x, y in zip(before.layers, after.layers, strict=True)] == [
        True,
        True,
        True,
        False,
    ]


BUILD = """
import os, sys, tempfile
from pathlib import Path
from lls_provider.bundle.assemble import assemble
from lls_provider.bundle.bundle import read_bundle
from lls_provider.image.bundle_image import compose
from lls_provider.image.transports.layout import write_layout

wheels, umask, uid = Path(sys.argv[1]).absolute(), int(sys.argv[2], 8), int(sys.argv[3])
old = read_bundle(Path(sys.argv[1]))

def build():
    with tempfile.TemporaryDirectory() as directory:
        made = assemble(
            Path(directory) / "bundle", metadata=old.metadata, own_wheel=old.own_wheel,
            dependencies=list(reversed(old.dependencies)), target=old.manifest.target,
            provided=old.manifest.provided, distributions=old.manifest.distributions,
        )
        return write_layout(compose(made), Path(directory) / "oci")

build()  # imports everything while the user may read it
if uid:
    os.setgid(uid)
    os.setuid(uid)
os.umask(umask)
print(build())
"""


@pytest.mark.slow
def test_one_bundle_gives_one_digest_whoever_builds_it(
    make_bundle: MakeBundle, tmp_path: Path
) -> None:
    bundle = make_bundle(dependencies=3)
    # readable for another user, whatever pytest's own directories are
    readable = Path("/tmp") if os.geteuid() == 0 else tmp_path
    import tempfile

    with tempfile.TemporaryDirectory(dir=readable) as folder:
        Path(folder).chmod(0o755)
        packages = Path(folder) / "packages"
        packages.mkdir()
        for path in (*bundle.wheels, *bundle.root.glob("*.*")):
            copy = Path(folder) / path.relative_to(bundle.root)
            copy.write_bytes(path.read_bytes())
            copy.chmod(0o644)
        digests = {
            _run(folder, umask="022", TZ="UTC", LC_ALL="C"),
            _run(folder, umask="077", TZ="Asia/Tokyo", LC_ALL="C.UTF-8", PYTHONHASHSEED="1"),
            _run(folder, umask="000", cwd="/", TZ="America/New_York", PYTHONHASHSEED="2"),
        }
        if os.geteuid() == 0:
            digests.add(_run(folder, umask="027", uid="1234", TZ="UTC"))
    assert digests == {compose(bundle).digest}


def _run(folder: str, *, umask: str, uid: str = "0", cwd: str = ".", **variables: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", BUILD, folder, umask, uid],
        cwd=cwd,
        env={**os.environ, **variables},
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_source_date_epoch_moves_no_layer_but_the_providers(
    make_bundle: MakeBundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is the commit's time in many a CI: the wheels of the closure must not move with it."""
    monkeypatch.delenv("SOURCE_DATE_EPOCH", raising=False)
    before = compose(make_bundle("a"))
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "86400")
    image = compose(make_bundle("b"))
    assert image.config["created"] == "1970-01-02T00:00:00Z"
    *lower, last = image.layers
    assert {member.mtime for member in members(last).values()} == {86400}
    assert [it.digest for it in lower] == [it.digest for it in before.layers[:-1]]


def test_a_bundle_made_by_hand_needs_a_base_to_know_its_platform(
    make_bundle: MakeBundle, make_layout: MakeLayout
) -> None:
    bundle = make_bundle()
    by_hand = Bundle(bundle.root, bundle.metadata, None, bundle.wheels)
    with pytest.raises(SdkError, match="which machine"):
        compose(by_hand)
    base = read_layout(make_layout([("x", b"")], architecture="arm64"))
    assert str(compose(by_hand, base).platform) == "linux/arm64"


def test_a_file_that_changes_under_the_tar_is_told(tmp_path: Path) -> None:
    path = tmp_path / "wheel.whl"
    path.write_bytes(b"12345")
    layer = TreeLayer(LayerTree.of([LayerFile("lls-provider/wheel.whl", path, 5)]), "provider")
    assert layer.size == len(b"".join(layer.chunks()))
    path.write_bytes(b"54321")
    with pytest.raises(SdkError, match="provider changed") as caught:
        list(layer.chunks())
    assert caught.value.code is Code.HASH_MISMATCH
    for content in (b"1234", b"123456"):
        path.write_bytes(content)
        with pytest.raises(SdkError, match=r"wheel\.whl changed"):
            list(layer.chunks())
    path.unlink()
    with pytest.raises(SdkError, match=r"Cannot read wheel\.whl"):
        list(layer.chunks())


def test_long_and_unusual_names_survive(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"x" * 513)
    names = [f"lls-provider/packages/{'n' * 200}.whl", "lls-provider/ä/b", "lls-provider/a"]
    layer = TreeLayer(LayerTree.of(LayerFile(name, path, 513) for name in names), "x")
    data = b"".join(layer.chunks())
    assert len(data) == layer.size
    assert len(data) % 10240 == 0
    assert [name for name, it in members(layer).items() if it.isfile()] == [
        "lls-provider/a",
        names[0],
        names[1],
    ]


def test_writing_a_layout_reads_a_layer_once(
    make_bundle: MakeBundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads = []
    original = LayerTree.chunks

    def counted(self: LayerTree) -> object:
        reads.append(self)
        return original(self)

    monkeypatch.setattr(LayerTree, "chunks", counted)
    image = compose(make_bundle())
    digest = write_layout(image, tmp_path / "oci")
    assert len(reads) == len(image.layers)
    assert digest == image.digest
