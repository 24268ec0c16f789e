"""What each sink wrote is accepted by its judges, and runs as an init container does."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tests.factories.providers import NO_SPECS

from lls_provider.bundle.bundle import Bundle
from lls_provider.image.bundle_image import compose
from lls_provider.image.check import check_place
from lls_provider.image.transports.layout import read_layout
from lls_provider.image.transports.transport import parse_output, read_image
from lls_provider.operations.images import image_facts

if TYPE_CHECKING:
    from tests.engines.containers import Engine as Container

    from lls_provider.image.image import Image

Engine = Callable[[str], str]
MakeBundle = Callable[..., Bundle]

NAME = "localhost/sinks/echo:1"

pytestmark = [pytest.mark.engine, pytest.mark.xdist_group("sinks")]


@dataclass(frozen=True, slots=True)
class Sink:
    """A place, and how the engines take an image out of it."""

    place: str  # {} is a directory of the test, {registry} a registry
    podman: tuple[str, ...]
    docker: tuple[str, ...] = ()  # none: Docker does not read it, skopeo brings it there
    name: str = NAME  # what both then call the image


SINKS = {
    "oci": Sink("oci:{}/image:1", ("pull", "--quiet", "oci:{}/image:1")),
    "oci-archive": Sink(
        f"oci-archive:{{}}/image.tar:{NAME}", ("load", "--quiet", "--input", "{}/image.tar")
    ),
    "docker-archive": Sink(
        f"docker-archive:{{}}/image.tar:{NAME}",
        ("load", "--quiet", "--input", "{}/image.tar"),
        ("load", "--quiet", "--input", "{}/image.tar"),
    ),
    "docker-daemon": Sink(
        f"docker-daemon:{NAME}",
        ("load", "--quiet", "--input", "{}/saved.tar"),  # podman asks one daemon only: the usual
        ("inspect", NAME),
    ),
    "docker": Sink(
        "docker://{registry}/sinks/echo:1",
        ("pull", "--quiet", "--tls-verify=false", "docker://{registry}/sinks/echo:1"),
        ("pull", "--quiet", "{registry}/sinks/echo:1"),
        "{registry}/sinks/echo:1",
    ),
}


@dataclass(frozen=True, slots=True)
class Written:
    """An image that a sink wrote."""

    sink: Sink
    folder: Path
    registry: str
    image: Image
    bundle: Bundle

    def words(self, *texts: str) -> list[str]:
        return [it.format(self.folder, registry=self.registry) for it in texts]

    @property
    def place(self) -> str:
        return self.words(self.sink.place)[0]


@pytest.fixture(params=SINKS)
def written(
    request: pytest.FixtureRequest,
    make_bundle: MakeBundle,
    python_base: Path,
    registry: str,
    docker: Container,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Written:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{docker.socket}")
    monkeypatch.setenv("LLS_PROVIDER_CACHE", str(tmp_path / "cache"))
    bundle = make_bundle(source=NO_SPECS)
    image = compose(bundle, read_layout(python_base))
    written = Written(SINKS[request.param], tmp_path, registry, image, bundle)
    parse_output(written.place).write(image)
    return written


def test_we_read_what_we_wrote(written: Written) -> None:
    assert read_image(written.place).config_bytes() == written.image.config_bytes()
    found = image_facts(read_image(written.place))
    assert (found["kind"], found["user"]) == ("runnable", "1001")
    assert found["provider"]["provider_id"] == "acme-echo"
    report = check_place(written.place)
    assert (report.kind, report.errors, report.warnings) == ("image", (), ())


def test_skopeo_and_umoci_accept_it(written: Written, engine: Engine, docker: Container) -> None:
    skopeo, place = [engine("skopeo"), "--insecure-policy"], written.place
    source = {
        "docker-daemon": ["daemon-host", f"unix://{docker.socket}"],
        "docker": ["tls-verify=false"],
    }.get(place.partition(":")[0], [])
    first, *rest = source or [""]
    inspected = judged(*skopeo, "inspect", *([f"--{first}", *rest] if source else []), place)
    assert inspected["Labels"] == written.image.labels
    if not place.startswith("docker-"):  # Docker's own form knows no manifest of ours
        assert inspected["Digest"] == written.image.digest
    copy = written.folder / "copy"
    judged(*skopeo, "copy", *([f"--src-{first}", *rest] if source else []), place, f"oci:{copy}:1")
    copied = read_layout(copy, "1")
    assert [it.diff_id for it in copied.layers] == [it.diff_id for it in written.image.layers]
    unpacked = written.folder / "unpacked"
    judged(engine("umoci"), "unpack", "--image", f"{copy}:1", unpacked)
    assert files(unpacked / "rootfs" / "lls-provider") == files(written.bundle.root)


def test_it_installs_under_podman(
    written: Written, podman: Container, docker: Container, tmp_path: Path
) -> None:
    if written.place.startswith("docker-daemon:"):
        docker.run("save", "--output", tmp_path / "saved.tar", NAME)
    done = podman.run(*written.words(*written.sink.podman))
    name = done.stdout.strip().rpartition(": ")[2]  # an ID, or "Loaded image: NAME"
    installs(podman, name, tmp_path)
    podman.run("rmi", "--force", name)


def test_it_installs_under_docker(
    written: Written, docker: Container, engine: Engine, tmp_path: Path
) -> None:
    (name,) = written.words(written.sink.name)
    if written.sink.docker:
        docker.run(*written.words(*written.sink.docker))
    else:
        to = ["--dest-daemon-host", f"unix://{docker.socket}", f"docker-daemon:{NAME}"]
        judged(engine("skopeo"), "--insecure-policy", "copy", written.place, *to)
    installs(docker, name, tmp_path)
    docker.run("rmi", "--force", name)


@pytest.mark.parametrize("name", ["podman", "docker"])
def test_any_uid_installs(
    request: pytest.FixtureRequest,
    make_bundle: MakeBundle,
    python_base: Path,
    tmp_path: Path,
    name: str,
) -> None:
    container: Container = request.getfixturevalue(name)
    place = f"docker-archive:{tmp_path}/image.tar:{NAME}"
    parse_output(place).write(compose(make_bundle(), read_layout(python_base)))
    container.run("load", "--quiet", "--input", tmp_path / "image.tar")
    for number, user in enumerate(("4242:0", "1000650000:1000650000")):
        volume = tmp_path / str(number)
        volume.mkdir()
        installs(container, NAME, volume, user)
    container.run("rmi", "--force", NAME)


def installs(engine: Container, image: str, folder: Path, user: str = "") -> None:
    """Run the image as a Pod runs an init container, and look at what is on the volume then."""
    volume = folder / "volume"
    volume.mkdir()
    volume.chmod(0o777)  # as an emptyDir is
    told = {
        "LLS_PROVIDER_ID": "echo",
        "LLS_PROVIDER_API": "inference",
        "LLS_PROVIDER_IMAGE": image,
        "LLS_INIT_CONTAINER": "install-provider-echo",
    }
    engine.run(
        *("run", "--rm", "--network", "none", "--read-only", "--cap-drop", "ALL"),
        *("--security-opt", "no-new-privileges", "--volume", f"{volume}:/opt/llama-stack"),
        *(("--user", user) if user else ()),
        *(word for name, value in told.items() for word in ("--env", f"{name}={value}")),
        image,
    )
    root = volume / "external-providers"
    assert (root / "metadata" / "echo" / "lls-provider-spec.yaml").is_file()
    module = root / "python-packages" / "acme_echo" / "provider.py"
    assert module.is_file()
    assert module.stat().st_uid == int(user.partition(":")[0] or 1001)


def judged(*command: str | Path) -> Any:
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout) if done.stdout.startswith("{") else done.stdout


def files(root: Path) -> dict[str, bytes]:
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }
