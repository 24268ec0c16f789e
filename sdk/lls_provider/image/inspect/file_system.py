"""The files of an image that its C library and its Pythons depend on.

One pass reads the layers, with whiteouts and replaced files. Only the headers of METADATA files,
``pyvenv.cfg``, the names of Pythons and symbolic links are kept. The result is cached under the
image's digest, which covers every byte of the layers.
"""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from lls_provider import __version__
from lls_provider.bundle.checks.elf import defined_glibc
from lls_provider.contract.limits import CONFIGURATION
from lls_provider.image.layer_reader import LayerEntries, LayerEntry, LayerLimits, Parts
from lls_provider.runtime.install.shadowing import recorded_modules
from lls_provider.system.cache import keep
from lls_provider.system.cache_sections import cache_section

if TYPE_CHECKING:
    from pathlib import Path

    from lls_provider.image.image import Image, JsonObject


_HEAD = 64 << 10  # of METADATA: name and version are in its first lines
_NODES = 1_000_000
_DEPTH = 100
WHOLE_LIMIT = CONFIGURATION.size + 1
"""Bytes of a file that is kept whole: what reads it refuses one more than its own limit."""

_HOPS = 40  # links to links, the limit of Linux
_RECORD = 32 << 20  # of RECORD, of which only the modules are kept
_LIBC = re.compile(r"libc\.so\.6|libc-2\.[0-9]+\.so|ld-musl-[a-z0-9_]+\.so\.1")
_LIBC_IN_MEMORY = 8 << 20
_PYTHON = re.compile(r"python(3(\.\d{1,2})?)?")
_RESOLUTION = "Name another image, or a freeze file: run `python3 -m pip freeze` in the image."


@dataclass(slots=True)
class _Node:
    """A directory (with its relevant children only), or a file or link that is kept."""

    layer: int = 0
    content: bytes | None = None  # of a file that is read
    link: str | None = None  # the target of a symbolic link
    children: dict[str, _Node] = field(default_factory=dict)

    @property
    def is_directory(self) -> bool:
        return self.content is None and self.link is None


@dataclass(slots=True)
class Filesystem:
    """The relevant files by path; links are resolved inside the image only."""

    root: _Node = field(default_factory=_Node)
    nodes: int = 0
    whole: frozenset[Parts] = frozenset()  # files that are kept besides, not their heads alone

    def resolve(self, path: Parts) -> Parts:
        """Resolve a path through every link in it."""
        todo = list(reversed(path))
        done: list[str] = []
        nodes = [self.root]  # one more than ``done``
        hops = 0
        while todo:
            part = todo.pop()
            if part == "..":
                del done[-1:], nodes[len(done) + 1 :]
                continue
            node = nodes[-1].children.get(part, _NOTHING)
            if node.link is not None and hops < _HOPS and len(todo) < _DEPTH:
                hops += 1
                if node.link.startswith("/"):
                    done, nodes = [], [self.root]
                todo += [it for it in reversed(node.link.split("/")) if it not in {"", "."}]
                continue
            done.append(part)
            nodes.append(node)
        return tuple(done)

    def content(self, path: Parts) -> bytes | None:
        """Return the beginning of a file that is kept; None for any other path."""
        return self._node(self.resolve(path)).content

    def link(self, path: Parts) -> str | None:
        """Return the target of a symbolic link; None for any other path."""
        return self._node((*self.resolve(path[:-1]), *path[-1:])).link

    def paths(self) -> Iterator[Parts]:
        """Yield every file and link that is kept, sorted."""
        todo: list[tuple[Parts, _Node]] = [((), self.root)]
        while todo:
            path, node = todo.pop()
            if not node.is_directory:
                yield path
            names = sorted(node.children, reverse=True)
            todo += [((*path, name), node.children[name]) for name in names]

    def _node(self, path: Parts) -> _Node:
        node = self.root
        for part in path:
            node = node.children.get(part, _NOTHING)
        return node

    def put(self, path: Parts, node: _Node) -> bool:
        """Keep a node; return whether the limit allows it."""
        above = self.root
        for part in path[:-1]:
            below = above.children.get(part)
            if below is None or not below.is_directory:
                below = above.children[part] = _Node(node.layer)
                self.nodes += 1
            above = below
        above.children[path[-1]] = node
        self.nodes += 1
        return self.nodes <= _NODES

    def remove(self, path: Parts, before: int, *, below: bool = False) -> None:
        """Remove what layers before ``before`` have at a path (``below``: only under it)."""
        above = self._node(path[:-1])
        node = above.children.get(path[-1]) if path else self.root
        if node is None:
            return
        if _forget(node, before) and not below and path:
            del above.children[path[-1]]


_NOTHING = _Node()


def _forget(node: _Node, before: int) -> bool:
    """Remove older nodes below a node; return whether the node itself can be removed."""
    # no recursion: a hostile image can nest to any depth
    todo, order = [node], []
    while todo:
        current = todo.pop()
        order.append(current)
        todo += current.children.values()
    for current in reversed(order):
        current.children = {
            name: child
            for name, child in current.children.items()
            if child.children or (not child.is_directory and child.layer >= before)
        }
    return not node.children and (node.is_directory or node.layer < before)


def read_filesystem(
    image: Image,
    *,
    whole: Collection[Parts] = (),
    limits: LayerLimits = LayerLimits(),  # noqa: B008 - frozen
) -> Filesystem:
    """Read the layers of ``image``; nothing is executed or written.

    Files at the paths in ``whole`` are kept up to `WHOLE_LIMIT`.

    Raises SdkError IMAGE_INVALID for damaged or hostile layers, and what a layer raises.
    """
    files = Filesystem(whole=frozenset(whole))
    walk = LayerEntries(image, "The image cannot be read", _RESOLUTION, limits)
    gone: set[tuple[int, Parts, bool]] = set()
    for entry in walk:
        parts = entry.parts
        if not parts or ".." in parts or len(parts) > _DEPTH:
            continue  # no Python would find it
        if (whiteout := entry.whiteout()) is not None:
            again = (walk.layer, whiteout.parts, whiteout.below)
            if again not in gone and len(gone) < _NODES:
                gone.add(again)
                target = files.resolve(parts[:-1])
                name = () if whiteout.below else whiteout.parts[-1:]
                files.remove((*target, *name), walk.layer, below=whiteout.below)
            continue
        _take(entry, (*files.resolve(parts[:-1]), parts[-1]), files, walk)
    return files


def _take(entry: LayerEntry, path: Parts, files: Filesystem, walk: LayerEntries) -> None:
    member = entry.member
    if member.isdir():
        if files.link(path) is not None:
            files.remove(path, walk.layer + 1)
        return
    files.remove(path, walk.layer + 1)  # a file replaces whatever exists
    node = _Node(walk.layer)
    if member.issym():
        node.link = member.linkname[:4096]
    elif not _wanted(path) and path not in files.whole:
        return
    elif _PYTHON.fullmatch(path[-1]):
        node.content = b""  # its existence is enough
    elif member.islnk() and not is_libc(path):
        # packages in a cache and in an environment are often hard links
        node.content = files.content(entry.link)
        if node.content is None and is_record(path):
            node.content = b""  # RECORD only reports modules, and a profile can replace it
        if node.content is None and path in files.whole:
            return
        if node.content is None:
            walk.refuse(f"{entry.shown} is a hard link to a file that no Python package has")
    elif member.isreg():
        derived = _libc if is_libc(path) else _modules if is_record(path) else _head
        node.content = _beginning(entry, WHOLE_LIMIT) if path in files.whole else derived(entry)
    else:
        return
    if not files.put(path, node):
        walk.refuse(f"the layers hold more than {_NODES:,} links and packages")


def _wanted(path: Parts) -> bool:
    name = path[-1]
    directory = path[-2] if len(path) > 1 else ""
    return (
        is_metadata(path)
        or is_record(path)
        or is_libc(path)
        or name == "pyvenv.cfg"
        or (directory == "bin" and _PYTHON.fullmatch(name) is not None)
    )


def is_metadata(path: Parts) -> bool:
    """Whether a path is the METADATA or PKG-INFO of an installed package."""
    name = path[-1]
    directory = path[-2] if len(path) > 1 else ""
    return (
        (name == "METADATA" and directory.endswith(".dist-info"))
        or (name == "PKG-INFO" and directory.endswith(".egg-info"))
        or name.endswith(".egg-info")
    )


def is_record(path: Parts) -> bool:
    """Whether a path is the RECORD of an installed package."""
    return len(path) > 1 and path[-1] == "RECORD" and path[-2].endswith(".dist-info")


def is_libc(path: Parts) -> bool:
    """Whether a path is that of a C library, glibc or musl."""
    return _LIBC.fullmatch(path[-1]) is not None


def _libc(entry: LayerEntry) -> bytes:
    """Return what is kept of a C library: its newest symbol version, or that it is musl."""
    if entry.parts[-1].startswith("ld-musl"):
        return b"musl"
    with tempfile.SpooledTemporaryFile(_LIBC_IN_MEMORY) as stream:
        for chunk in entry.chunks():
            stream.write(chunk)
        version = defined_glibc(stream)
    return f"{version[0]}.{version[1]}".encode() if version else b""


def _modules(entry: LayerEntry) -> bytes:
    """Return what is kept of RECORD: its modules, one per line."""
    data = bytearray()
    for chunk in entry.chunks():
        data += chunk
        if len(data) > _RECORD:
            return b""
    return "\n".join(sorted(recorded_modules(data.decode("utf-8", "replace")))).encode()


def _head(entry: LayerEntry) -> bytes:
    """Return the beginning of a file."""
    return _beginning(entry, _HEAD)


def _beginning(entry: LayerEntry, limit: int) -> bytes:
    data = bytearray()
    for chunk in entry.chunks():
        data += chunk
        if len(data) >= limit:
            break
    return bytes(data[:limit])


# other versions may read the same layers differently
_MADE_BY = f"{__version__} (3)"
_Seen = TypeVar("_Seen")


def cached_facts(
    image: Image,
    kind: str,
    look: Callable[[], _Seen],
    *,
    dump: Callable[[_Seen], JsonObject],
    load: Callable[[JsonObject], _Seen],
) -> _Seen:
    """Return what ``look`` finds in ``image``, from the cache if possible; ``kind`` names its
    directory.

    ``load`` raises ValueError, KeyError or TypeError for data that ``dump`` did not write. Raises
    what ``look`` raises, and SdkError NO_SPACE or CACHE_UNWRITABLE. Measured by
    benchmarks/tricks.py: without it a build on a base takes 1.27 times as long.
    """
    if image.raw_manifest is None:  # it was just composed: computing its digest would read it
        return look()
    place = cache_section(kind) / f"{image.digest.removeprefix('sha256:')}.json"
    known = _known(place, load)
    if known is None:
        known = look()
        keep(place, json.dumps({"made by": _MADE_BY, "seen": dump(known)}).encode())
    return known


def _known(place: Path, load: Callable[[JsonObject], _Seen]) -> _Seen | None:
    try:
        found = json.loads(place.read_bytes())
        return load(found["seen"]) if found["made by"] == _MADE_BY else None
    except (OSError, ValueError, KeyError, TypeError):
        return None
