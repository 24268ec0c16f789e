"""Implementations that no runner should have to meet: ``python bad.py WHAT SOURCE ROOT``."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path


def hang(root: Path) -> None:
    time.sleep(600)


def crash(root: Path) -> None:
    os.abort()


def garbage(root: Path) -> None:
    """What a reader of the volume may stumble over."""
    external = root / "external-providers"
    metadata = external / "metadata" / "acme-echo"
    metadata.mkdir(parents=True)
    (metadata / "crd-config.yaml").write_bytes(b"\xff\xfe\x00: [")
    (metadata / "lls-provider-spec.yaml").mkdir()
    os.mkfifo(external / "installed-packages.txt")
    (external / "python-packages").symlink_to(external)
    (root / os.fsdecode(b"not-utf8-\xff")).write_bytes(os.urandom(100))
    (root / "large").touch()
    os.truncate(root / "large", 1 << 34)
    deep = root
    for _ in range(60):
        deep /= "deep"
        deep.mkdir()
    shut = root / "shut"
    shut.mkdir()
    (shut / "file").touch()
    shut.chmod(0)


def many(root: Path) -> None:
    for number in range(6_000):
        (root / str(number)).touch()


def bytes_(root: Path) -> None:
    sys.stderr.buffer.write(b"\xff\x00\x1b[31mERROR: \xc3\x28\n" * 10)
    sys.exit(1)


def delete(root: Path) -> None:
    shutil.rmtree(root)


def uproot(root: Path) -> None:
    """Removes what is beside the volume, the second time."""
    if (root / "seen").exists():
        shutil.rmtree(root.parent)
    else:
        (root / "seen").touch()


def link(root: Path) -> None:
    """Puts a link in the place of what the next run gets."""
    shutil.rmtree(root.parent / "inputs")
    (root.parent / "inputs").symlink_to(os.environ["OUTSIDE"])


def flood(root: Path) -> None:
    block = b"x" * (1 << 20)
    for _ in range(100):
        sys.stdout.buffer.write(block)


def background(root: Path) -> None:
    """Ends at once, and leaves a process that keeps the output open."""
    done = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    (root / "pid").write_text(str(done.pid))
    os._exit(0)


def deaf(root: Path) -> None:
    """Closes its output and goes on."""
    os.close(1)
    os.close(2)
    time.sleep(600)


if __name__ == "__main__":
    what = sys.argv[1]
    {"bytes": bytes_}.get(what, globals().get(what))(Path(sys.argv[3]))  # type: ignore[misc]
