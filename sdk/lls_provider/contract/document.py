"""Documents: plain data read from YAML, with line and column in every complaint.

Documents are read as the servers read them (YAML 1.1, as PyYAML's safe loader has it), because
a base configuration must mean the same before and after the merge (contract section 4). On top
of that: no duplicate keys, only the tags of plain data, and limits on size, depth, number of values
and aliases. The parser itself is imported at the first load: the installer's fast path reads
no YAML.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lls_provider.contract.limits import DocumentLimits, document_limits, raise_hint
from lls_provider.errors import Code, SdkError, Step, Where

if TYPE_CHECKING:
    from lls_provider.contract.yaml_text import NodeTree


@dataclass(frozen=True, slots=True)
class Document:
    """Plain data with the positions it was read from.

    ``value`` consists of dict, list, str (`Timestamp` among them), int, float, bool and None; in
    free data also of what the servers' reader makes of the tags ``!!binary`` (bytes), ``!!set``
    (set), ``!!omap`` and ``!!pairs`` (a list of tuples). A key may be a date.
    """

    source: str
    value: Any
    tree: NodeTree | None = None

    def where(self, path: Sequence[Step] = (), *, key: bool = False) -> Where:
        """The position of the value at ``path``, or of its key; lines and columns from 1.

        If the path does not exist, it is the position of the deepest value on it. Data that was
        not read from YAML has no positions: then it is the source alone.
        """
        if self.tree is None:
            return Where(file=self.source)
        line, column = self.tree.position(path, key=key)
        return Where(file=self.source, line=line, column=column)

    @property
    def disputed(self) -> Sequence[tuple[str, Where]]:
        """Keys to which several mappings of one ``<<`` give different values, with its position.

        The first one counts, as YAML specifies and PyYAML did; PyYAML 6.0.4 takes the last.
        """
        return self.tree.disputed if self.tree is not None else ()

    def text(self, path: Sequence[Step]) -> str | None:
        """The text of a scalar as written, without its quotes; None if it is unknown."""
        return self.tree.text(path) if self.tree is not None else None


_MOUNT_HINT = (
    "Put the file itself there, and mount a file that exists: mounting one that does not exist "
    "creates a directory with its name."
)


def load(data: bytes, source: str, *, limits: DocumentLimits | None = None) -> Document:
    """Read one YAML document; ``source`` is its name in messages.

    Raises SdkError YAML_INVALID (syntax, encoding, tags, an empty file or several documents),
    YAML_LIMIT or DUPLICATE_KEY, with file, line and column. Duplicate keys and refused values
    are reported all at once: in the error's ``problems`` when there are several. Without ``limits``
    they are the default ones, with those that the user sets.
    """
    from lls_provider.contract import yaml_values

    limits = limits or document_limits()
    if len(data) > limits.size:
        raise _too_large(source, limits)
    tree = yaml_values.read_plain(data, source, limits)
    return Document(source, tree.value, tree)


def load_file(
    path: Path, source: str | None = None, *, limits: DocumentLimits | None = None
) -> Document:
    """Read a file, up to one byte beyond the limit.

    Raises SdkError FILE_MISSING or FILE_UNREADABLE, and what `load` raises.
    """
    name = source if source is not None else str(path)
    return load(read_bytes(path, name, limits=limits), name, limits=limits)


def read_bytes(path: Path, source: str, *, limits: DocumentLimits | None = None) -> bytes:
    """The bytes of a document's file.

    Raises SdkError FILE_MISSING, FILE_UNREADABLE, or YAML_LIMIT when it is too large.
    """
    limits = limits or document_limits()
    try:
        data = _read_regular(path, limits.size + 1)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR):
            raise SdkError(
                Code.FILE_MISSING,
                f"File not found: {source}",
                where=Where(file=source),
                resolution="Check the path, or create the file.",
            ) from error
        raise SdkError(
            Code.FILE_UNREADABLE,
            f"Cannot read {source}",
            why=error.strerror or str(error),
            where=Where(file=source),
            resolution=_MOUNT_HINT
            if error.errno == errno.EISDIR
            else f"Make it a regular file that the current user (uid {os.getuid()}) may read.",
        ) from error
    if len(data) > limits.size:
        raise _too_large(source, limits)
    return data


def _read_regular(path: Path, size: int) -> bytes:
    # without O_NONBLOCK, opening a pipe waits for a writer that never comes
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
    try:
        mode = os.fstat(descriptor).st_mode
        if stat.S_ISDIR(mode):
            raise OSError(errno.EISDIR, "it is a directory")
        if not stat.S_ISREG(mode):
            raise OSError(errno.EINVAL, "it is not a regular file")
        with os.fdopen(descriptor, "rb", closefd=False) as stream:
            return stream.read(size)
    finally:
        os.close(descriptor)


def dump(value: object) -> str:
    """The value as YAML, the same text for the same value, ending in a newline.

    Block style, keys in their order, no aliases, no folded lines. Text that some YAML reader
    could read as another type is quoted. Raises TypeError for what is not plain data.
    """
    from lls_provider.contract import yaml_text

    return yaml_text.dump_yaml(value)


def _too_large(source: str, limits: DocumentLimits) -> SdkError:
    return SdkError(
        Code.YAML_LIMIT,
        f"The document is larger than {limits.size:,} bytes",
        where=Where(file=source),
        resolution=f"Make it smaller{raise_hint('size', limits.size)}.",
    )
