"""Images are checked where they are: ours without their base, those made by hand in full."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.factories.providers import NO_SPECS
from tests.image.transports.registry.fake import FakeRegistry

from lls_provider.bundle.bundle import Bundle
from lls_provider.image.bundle_image import compose
from lls_provider.image.check import check_place
from lls_provider.image.transports.layout import read_layout
from lls_provider.image.transports.registry.reference import parse
from lls_provider.image.transports.registry.transfer import push

if TYPE_CHECKING:
    from tests.engines.containers import Engine as Container

MakeBundle = Callable[..., Bundle]
MakeLayout = Callable[..., Path]

MEMBERS = [("lls-provider/packages/leftover.whl", b"x"), ("usr/bin/python3", b"x")]


@pytest.mark.parametrize("ours", [True, False])
def test_the_base_of_an_image_of_ours_is_not_loaded(
    make_bundle: MakeBundle,
    make_layout: MakeLayout,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    ours: bool,
) -> None:
    monkeypatch.setenv("LLS_PROVIDER_CACHE", str(tmp_path / "cache"))
    base = read_layout(make_layout(MEMBERS))
    image = compose(make_bundle(source=NO_SPECS), base)
    if not ours:  # as if another tool had made it: nothing reports which layer is whose
        image = replace(image, config={**image.config, "history": []})
    with FakeRegistry() as fake:
        push(image, parse(f"{fake.host}/acme/echo:1"))
        fake.seen.clear()
        report = check_place(f"docker://{fake.host}/acme/echo:1")
        loaded = bool(fake.asked("GET", base.layers[0].digest))
    assert (report.errors, report.warnings) == ((), ())
    assert loaded is not ours


@pytest.mark.engine
def test_an_image_that_docker_built_of_a_folder_is_checked_in_its_daemon(
    make_bundle: MakeBundle, docker: Container, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What people do without us: COPY the wheels and the metadata, and an ENTRYPOINT of theirs."""
    monkeypatch.setenv("DOCKER_HOST", f"unix://{docker.socket}")
    monkeypatch.setenv("LLS_PROVIDER_CACHE", str(tmp_path / "cache"))
    context = tmp_path / "context"
    bundle = make_bundle(source=NO_SPECS)
    shutil.copytree(bundle.tree.packages, context / "lls-provider" / "packages")
    shutil.copy(bundle.tree.spec, context / "lls-provider")
    (context / "Dockerfile").write_text(
        'FROM scratch\nCOPY lls-provider /lls-provider\nENTRYPOINT ["sh", "-c", "pip install"]\n'
    )
    docker.run("build", "--quiet", "--tag", "localhost/by-hand/echo:1", context)
    report = check_place("docker-daemon:localhost/by-hand/echo:1")
    assert report.errors == ()
    assert [it.rule for it in report.warnings] == ["kind", "user", "manifest", "fragment"]
    (context / "lls-provider" / "packages" / bundle.own_wheel.name).unlink()
    docker.run("build", "--quiet", "--tag", "localhost/by-hand/echo:1", context)
    report = check_place("docker-daemon:localhost/by-hand/echo:1")
    assert {it.rule for it in report.errors} == {"wheel-path"}
