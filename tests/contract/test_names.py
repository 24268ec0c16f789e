"""The trees of an image and of the volume."""

from __future__ import annotations

from pathlib import Path

from lls_provider.contract.names import BundleTree, VolumeTree


def test_the_tree_of_an_image() -> None:
    tree = BundleTree(Path("/lls-provider"))
    assert [str(path) for path in (tree.spec, tree.packages, tree.fragment)] == [
        "/lls-provider/lls-provider-spec.yaml",
        "/lls-provider/packages",
        "/lls-provider/extra-providers.yaml",
    ]
    assert tree.manifest.parent == tree.zipapp.parent == Path("/lls-provider")


def test_the_tree_of_the_volume() -> None:
    tree = VolumeTree(Path("/opt/llama-stack"))
    external = Path("/opt/llama-stack/external-providers")
    assert tree.external == external
    assert tree.python_packages == external / "python-packages"
    assert tree.metadata == external / "metadata"
    assert tree.installed_packages == external / "installed-packages.txt"
    assert tree.zipapp == external / "bin" / "lls-provider.pyz"
    assert tree.base_config == Path("/opt/llama-stack/base-config/run.yaml")
    assert tree.config == Path("/opt/llama-stack/config")
