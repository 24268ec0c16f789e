"""Bad input about images, through the real command: a clear error, and nothing half-written."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.image.transports.registry.fake import FakeRegistry, cut, digest_of

pytestmark = pytest.mark.slow

Cli = Callable[..., "subprocess.CompletedProcess[str]"]
Engine = Callable[[str], str]

SAMPLE = Path(__file__).parents[2] / "samples" / "echo-inference"
OLD = ("application/vnd.oci.image.manifest.v1+json", b"{}")


def told(done: subprocess.CompletedProcess[str], status: int, *words: str) -> None:
    """One error, which says what and what to do, and shows nothing of our insides."""
    assert done.returncode == status, done.stdout + done.stderr
    assert done.stderr.count("ERROR: ") == done.stderr.count("Resolution: ") == 1, done.stderr
    for word in words:
        assert word in done.stderr
    for inside in ("Traceback", "Connection(", "Error(", "Errno", "object at"):
        assert inside not in done.stderr


@pytest.fixture
def nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A home without credentials, and an own cache."""
    for name in ("DOCKER_AUTH_CONFIG", "REGISTRY_AUTH_FILE", "DOCKER_CONFIG", "XDG_RUNTIME_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("LLS_PROVIDER_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def fake(nobody: None) -> Iterator[FakeRegistry]:
    """A registry that does what it is reported; it has an old image under the tag 1."""
    del nobody
    with FakeRegistry() as registry:
        registry.manifests["1"] = OLD
        yield registry


def name_in(fake: FakeRegistry) -> str:
    return f"{fake.host}/acme/echo:1"


# --- registries ---


def test_a_registry_that_is_down(cli: Cli, python_base: Path, nobody: None) -> None:
    del nobody
    done = cli("push", f"oci:{python_base}", "127.0.0.1:1/acme/echo:1")
    told(done, 3, "127.0.0.1:1: Connection refused", "name and port")
    assert "--insecure" not in done.stderr  # it would not help


def test_a_name_that_nobody_knows(cli: Cli, python_base: Path, nobody: None) -> None:
    del nobody
    done = cli("push", f"oci:{python_base}", "registry.invalid/acme/echo:1")
    told(done, 3, "registry.invalid:443: ")


def test_a_tag_without_permission(cli: Cli, python_base: Path, fake: FakeRegistry) -> None:
    fake.ask_for_password("me", "s3cret")
    done = cli("push", f"oci:{python_base}", name_in(fake))
    told(done, 3, "401", "No credentials were found", f"podman login {fake.host}")
    assert fake.manifests == {"1": OLD}


@pytest.mark.parametrize(("method", "pattern"), [("PUT", "manifests"), ("POST", "uploads")])
def test_a_connection_that_is_always_cut(
    cli: Cli, python_base: Path, fake: FakeRegistry, method: str, pattern: str
) -> None:
    fake.fault(method, pattern, cut, times=99)
    done = cli("push", f"oci:{python_base}", name_in(fake))
    told(done, 3, name_in(fake), "run the command again")
    assert fake.manifests == {"1": OLD}


def test_a_layer_that_was_damaged(
    cli: Cli, python_base: Path, fake: FakeRegistry, tmp_path: Path
) -> None:
    layout = Path(shutil.copytree(python_base, tmp_path / "bad"))
    layer = max((layout / "blobs" / "sha256").iterdir(), key=lambda path: path.stat().st_size)
    with layer.open("r+b") as stream:
        stream.seek(1000)
        stream.write(b"x")
    done = cli("push", f"oci:{layout}", name_in(fake))
    told(done, 1, f"Layer sha256:{layer.name} is damaged", "copy the image again")
    assert fake.manifests == {"1": OLD}
    done = cli("check", f"oci:{layout}")  # its finding names the damage too, not a symptom of it
    assert done.returncode == 1
    assert f"Layer sha256:{layer.name} is damaged" in done.stdout


# --- bases ---


def build(cli: Cli, base: str, out: Path) -> subprocess.CompletedProcess[str]:
    return cli("build", SAMPLE, "--base", base, "--output", f"oci:{out}")


def test_a_base_that_is_not_there(cli: Cli, fake: FakeRegistry, tmp_path: Path) -> None:
    bases = {
        f"docker://{fake.host}/acme/nothing:9": "404",
        f"oci:{tmp_path}/nothing": "no such directory",
        f"oci-archive:{tmp_path}/nothing.tar": "No such file",
        f"docker-archive:{tmp_path}/nothing.tar": "No such file",
    }
    for base, word in bases.items():
        told(build(cli, base, tmp_path / "out"), 1, word)
        assert not (tmp_path / "out").exists()


def test_a_base_for_another_machine(cli: Cli, python_base: Path, tmp_path: Path) -> None:
    layout = Path(shutil.copytree(python_base, tmp_path / "s390x"))
    blobs = layout / "blobs" / "sha256"

    def rewritten(described: dict[str, object], **changes: object) -> dict[str, object]:
        value = json.loads((blobs / str(described["digest"]).removeprefix("sha256:")).read_bytes())
        data = json.dumps(value | changes).encode()
        (blobs / digest_of(data).removeprefix("sha256:")).write_bytes(data)
        return described | {"digest": digest_of(data), "size": len(data)}

    index = json.loads((layout / "index.json").read_bytes())
    (entry,) = index["manifests"]
    old = json.loads((blobs / entry["digest"].removeprefix("sha256:")).read_bytes())
    config = rewritten(old["config"], architecture="s390x")
    index["manifests"] = [rewritten(entry, config=config)]
    (layout / "index.json").write_text(json.dumps(index))
    told(build(cli, f"oci:{layout}", tmp_path / "out"), 1, "linux/s390x")
    assert not (tmp_path / "out").exists()


# --- disks ---

FULL = """set -e; mount --make-rprivate /; directory=$1; shift
mount -t tmpfs -o size=16m none "$directory"
status=0; "$@" || status=$?
echo "left: $(ls -A "$directory")"; exit $status"""


@pytest.mark.network
@pytest.mark.engine
@pytest.mark.parametrize("place", ["oci:{}/image", "oci-archive:{}/a", "docker-archive:{}/a"])
def test_a_disk_that_fills(
    cli: Cli, engine: Engine, python_base: Path, tmp_path: Path, place: str
) -> None:
    """The base alone is larger than the disk."""
    prefix = (engine("unshare"), "--mount", "sh", "-c", FULL, "sh", str(tmp_path))
    if subprocess.run([*prefix, "true"], check=False).returncode:
        pytest.skip("mounting is not permitted")
    done = cli(
        *("build", SAMPLE, "--base", f"oci:{python_base}", "--output", place.format(tmp_path)),
        prefix=prefix,
    )
    told(done, 3, str(tmp_path), "No space left")
    assert done.stdout == "left: \n"
