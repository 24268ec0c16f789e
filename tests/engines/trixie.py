"""podman of Debian 13, in a root filesystem and namespaces of its own: it mounts images as volumes.

Debian 12, which the other engines are of, has podman 4.3, which cannot.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.engines.containers import Engine

_RELEASE = "trixie"
_MIRROR = "http://deb.debian.org/debian"
_PACKAGES = (
    *("base-files", "busybox-static", "catatonit", "crun", "podman"),
    "netavark",  # the network of a Pod; without aardvark-dns, which would take the bridge's port 53
)
# the Pod's address is reached over the bridge itself: no rule of a firewall, so none is left behind
_CONTAINERS_CONF = """\
[containers]
default_ulimits = ["nofile=1024:1024", "nproc=4096:4096"]
[engine]
runtime = "crun"
cgroup_manager = "cgroupfs"
events_logger = "file"
[network]
firewall_driver = "none"
"""
_FILES = {
    "etc/containers/containers.conf": _CONTAINERS_CONF,
    "etc/passwd": "root:x:0:0:root:/root:/bin/sh\n",
    "etc/group": "root:x:0:\n",
}
# as the first process of its namespaces: $1 becomes their root filesystem, with $2 in its place
_ENTER = """\
set -e
mount --bind "$1" "$1"
cd "$1"
mount -t proc proc proc
mount --rbind /sys sys
# crun refuses cgroups of both versions
! mountpoint -q sys/fs/cgroup/unified || umount sys/fs/cgroup/unified
mount --rbind /dev dev
mount -t tmpfs tmpfs run
mkdir -p ".$2"
mount --bind "$2" ".$2"
mkdir old
pivot_root . old
busybox umount -l /old
echo entered
exec catatonit -P
"""
_ENVIRONMENT = (
    ("PATH", "/usr/sbin:/usr/bin"),
    ("HOME", "/root"),
    ("TMPDIR", "/var/tmp"),
    ("PODMAN_IGNORE_CGROUPSV1_WARNING", "1"),
)


@contextlib.contextmanager
def podman(shared: Path, mmdebstrap: str, unshare: str, nsenter: str) -> Iterator[Engine]:
    """podman 5.4 with an empty storage, on this machine's network. Needs root.

    The directory ``shared`` is the only one that both have. What runs in there ends with its first
    process, mounts and namespaces with it.
    """
    folder = Path(tempfile.mkdtemp(prefix="lls-trixie-", dir="/tmp"))
    try:
        root = _root_filesystem(mmdebstrap, folder)
        with _namespaces(unshare, root, shared) as process:
            entered = (nsenter, "--target", str(process), "--mount", "--pid", "--")
            engine = Engine((*entered, "/usr/bin/podman"), _ENVIRONMENT)
            try:
                yield engine
            finally:
                # cgroups and the bridge are the machine's: podman removes what it made
                engine.run("pod", "rm", "--force", "--all", "--time", "0", status=None)
                engine.run("rm", "--force", "--all", "--time", "0", status=None)
                engine.run("network", "prune", "--force", status=None)
    finally:
        shutil.rmtree(folder)


def _root_filesystem(mmdebstrap: str, folder: Path) -> Path:
    """Debian's packages, unpacked: nothing in them is run, so no service and no user is made."""
    root = folder / "root"
    options = ("--quiet", "--mode=root", "--variant=extract", "--format=directory")
    done = subprocess.run(
        [mmdebstrap, *options, f"--include={','.join(_PACKAGES)}", _RELEASE, root, _MIRROR],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    for name, text in _FILES.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


@contextlib.contextmanager
def _namespaces(unshare: str, root: Path, shared: Path) -> Iterator[int]:
    """Namespaces of mounts and processes with ``root``; the number of their first process."""
    command = [unshare, "--mount", "--pid", "--fork", "--kill-child", "--", "sh", "-c", _ENTER]
    environment = {**os.environ, "PATH": f"{os.environ['PATH']}:/usr/sbin:/usr/bin:/sbin"}
    with subprocess.Popen(
        [*command, "sh", root, shared], stdout=subprocess.PIPE, text=True, env=environment
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "entered\n", "no namespaces: see its messages"
            children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
            (first,) = children.read_text().split()
            yield int(first)
        finally:
            process.kill()  # and its child with it
