"""A wheel as the installer sees it: its METADATA, what it requires, what it writes and where.

Reading a wheel checks everything that can be checked without unpacking it: names, metadata, and a
RECORD that covers every file (the content itself is verified while it is unpacked).

Two ``__init__.py`` may mean the same: comments and docstrings do not count, nor does the way
in which a package declares itself a namespace (PEP 420, "Legacy namespace packages").
"""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import (
    InvalidWheelFilename,
    NormalizedName,
    canonicalize_name,
    parse_wheel_filename,
)
from packaging.version import InvalidVersion, Version

from lls_provider.contract.limits import (
    REQUIREMENT_CHARACTERS,
    REQUIREMENT_DIGITS,
    REQUIREMENT_NESTING,
    REQUIREMENTS,
    wheel_limits,
)
from lls_provider.errors import Code
from lls_provider.runtime.messages import wheel_error
from lls_provider.runtime.wheelfile.archive import limit_error
from lls_provider.runtime.wheelfile.contents import Contents, Headers, WheelFile, read_contents

if TYPE_CHECKING:
    from packaging.tags import Tag

    from lls_provider.contract.limits import WheelLimits


@dataclass(frozen=True, slots=True)
class Wheel:
    """A wheel that passed every check except that of its files' content."""

    path: Path
    name: NormalizedName
    version: Version
    tags: frozenset[Tag]
    requires: tuple[Requirement, ...]
    requires_python: SpecifierSet
    dist_info: str
    files: tuple[WheelFile, ...]
    record: WheelFile  # when all of them are installed
    archive_size: int = 0  # bytes
    metadata: Headers | None = field(default=None, compare=False, repr=False)  # of METADATA

    @property
    def filename(self) -> str:
        """The file's name."""
        return self.path.name

    @property
    def installed_size(self) -> int:
        """Bytes of all files it writes."""
        return sum(file.size for file in self.files)

    @property
    def top_levels(self) -> frozenset[str]:
        """The modules and packages that it makes importable."""
        found = set()
        for file in self.files:
            first, slash, _ = file.path.partition("/")
            if slash:
                if first.isidentifier() and file.path.endswith((".py", ".so", ".pyi")):
                    found.add(first)
            elif first.endswith((".py", ".so")):
                found.add(first.partition(".")[0])
        return frozenset(found)


def read_wheel(
    path: Path, limits: WheelLimits | None = None, *, contents: Contents | None = None
) -> Wheel:
    """Read and check a wheel; without ``limits`` those of the environment apply.

    ``contents`` is what `read_contents` returned for this file, if it was read before.
    Raises SdkError: one of the codes ``WHEEL_...`` naming the file and what is wrong, or
    FILE_UNREADABLE.
    """
    try:
        name, version, _build, tags = parse_wheel_filename(path.name)
    except (InvalidWheelFilename, InvalidVersion) as error:
        raise wheel_error(Code.WHEEL_NAME_INVALID, path, str(error)) from error
    if contents is None:
        contents = read_contents(path, limits or wheel_limits())
    _check_directories(path, contents, name, version)
    _check_identity(path, contents.metadata, name, version)
    _check_format(path, contents.about)
    requires, requires_python = _requirements(path, contents.metadata)
    return Wheel(
        path=path,
        name=name,
        version=version,
        tags=tags,
        requires=requires,
        requires_python=requires_python,
        dist_info=contents.dist_info,
        files=contents.files,
        record=contents.record,
        archive_size=contents.archive_size,
        metadata=contents.metadata,
    )


def check_total(
    wheels: Sequence[Wheel], directory: Path, limits: WheelLimits | None = None
) -> None:
    """Raise SdkError WHEEL_LIMIT if wheels exceed a limit together, as many small bombs would."""
    limits = limits or wheel_limits()
    archives = sum(wheel.archive_size for wheel in wheels)
    files = sum(len(wheel.files) for wheel in wheels)
    if files > limits.files_of(archives):
        why = f"the {len(wheels):,} wheels have {files:,} files together"
        raise limit_error(directory, why, f"{limits.files_of(archives):,}")
    total = sum(wheel.installed_size for wheel in wheels)
    if total > limits.bytes_of(archives):
        why = f"the {archives:,} bytes of {len(wheels):,} wheels unpack to {total:,} bytes"
        raise limit_error(directory, why, f"{limits.bytes_of(archives):,}")


def _check_directories(
    path: Path, contents: Contents, name: NormalizedName, version: Version
) -> None:
    if not _is_mine(contents.dist_info.removesuffix(".dist-info"), name, version):
        why = f"{contents.dist_info} does not belong to this name and version"
        raise wheel_error(Code.WHEEL_NAME_MISMATCH, path, why)
    for directory, member in contents.data_directories.items():
        if not _is_mine(directory.removesuffix(".data"), name, version):
            why = f"{member!r:.300} is in the .data directory of another wheel"
            raise wheel_error(Code.WHEEL_DATA_INVALID, path, why)


def _is_mine(stem: str, name: NormalizedName, version: Version) -> bool:
    """Whether ``name-version`` is this wheel's, in any spelling."""
    written, _, number = stem.partition("-")
    try:
        return canonicalize_name(written) == name and parse_version(number) == version
    except InvalidVersion:
        return False


def _check_identity(path: Path, metadata: Headers, name: NormalizedName, version: Version) -> None:
    try:
        declared, number = metadata.one("Name"), metadata.one("Version")
        same = canonicalize_name(declared) == name and parse_version(number) == version
    except ValueError as error:
        raise wheel_error(Code.WHEEL_METADATA_INVALID, path, f"METADATA: {error}") from error
    if not same:
        why = f"METADATA says {declared!r:.200} {number!r:.200}, the file's name says otherwise"
        raise wheel_error(Code.WHEEL_NAME_MISMATCH, path, why)


def _check_format(path: Path, about: Headers) -> None:
    version = about.optional("Wheel-Version")
    if not version:
        why = "WHEEL: Wheel-Version is missing"
        raise wheel_error(Code.WHEEL_METADATA_INVALID, path, why)
    if not re.fullmatch(r"1\.[0-9]+", version):
        why = f"WHEEL: Wheel-Version {version!r:.80} is not 1.x"
        raise wheel_error(Code.WHEEL_VERSION_UNSUPPORTED, path, why)


def _requirements(path: Path, metadata: Headers) -> tuple[tuple[Requirement, ...], SpecifierSet]:
    """What METADATA requires: distributions, and versions of Python."""
    texts = metadata.all("Requires-Dist")
    if len(texts) > REQUIREMENTS:
        why = f"METADATA has {len(texts):,} requirements"
        raise limit_error(path, why, f"{REQUIREMENTS:,}")
    try:
        requires = tuple(parse_requirement(text) for text in texts)
        return requires, parse_specifier(metadata.optional("Requires-Python") or "")
    except (InvalidRequirement, InvalidSpecifier) as error:
        raise wheel_error(Code.WHEEL_METADATA_INVALID, path, f"METADATA: {error}") from error


_NUMBER = re.compile(f"[0-9]{{{REQUIREMENT_DIGITS}}}")
_STEP = {"(": 1, ")": -1}


def parse_requirement(text: str) -> Requirement:
    """A requirement; raises InvalidRequirement for anything else."""
    problem = _text_problem(text)
    if problem is not None:
        raise InvalidRequirement(problem)
    return Requirement(text)


def parse_specifier(text: str) -> SpecifierSet:
    """Bounds of a version; raises InvalidSpecifier for anything else."""
    problem = _text_problem(text)
    if problem is not None:
        raise InvalidSpecifier(problem)
    return SpecifierSet(text)


def parse_version(text: str) -> Version:
    """A version; raises InvalidVersion for anything else."""
    problem = _text_problem(text)
    if problem is not None:
        raise InvalidVersion(problem)
    return Version(text)


def _text_problem(text: str) -> str | None:
    """What `packaging` would not report as its own error.

    Its parser of markers is recursive (RecursionError), and Python reads no number of more than
    4,300 digits (ValueError).
    """
    if len(text) > REQUIREMENT_CHARACTERS:
        return f"{text[:80]!r}… is longer than {REQUIREMENT_CHARACTERS:,} characters"
    if len(text) >= REQUIREMENT_DIGITS and _NUMBER.search(text):
        return f"{text[:80]!r}… has a number of {REQUIREMENT_DIGITS:,} digits or more"
    if text.count("(") > REQUIREMENT_NESTING:
        depth = max(accumulate(_STEP.get(character, 0) for character in text))
        if depth > REQUIREMENT_NESTING:
            return f"{text[:80]!r}… has more than {REQUIREMENT_NESTING} levels of parentheses"
    return None


_LIMIT = 64 * 1024  # bytes: a larger file does more than declare a namespace
_DECLARATIONS = {
    "pass",
    "import pkgutil",
    "import pkg_resources",
    "from pkgutil import extend_path",
    "__path__ = extend_path(__path__, __name__)",
    "__path__ = pkgutil.extend_path(__path__, __name__)",
    "__path__ = __import__('pkgutil').extend_path(__path__, __name__)",
    "pkg_resources.declare_namespace(__name__)",
    "__import__('pkg_resources').declare_namespace(__name__)",
}


def same_init_meaning(first: bytes, second: bytes) -> bool:
    """Whether two ``__init__.py`` do the same: equal code, or both only declare a namespace."""
    one, other = _statements(first), _statements(second)
    if one is None or other is None:
        return False
    try:
        if list(map(ast.dump, one)) == list(map(ast.dump, other)):
            return True
    except RecursionError:  # nested almost too deeply to be parsed
        return False
    return bool(one and other) and _is_declaration([*one, *other])


def is_empty_init(source: bytes) -> bool:
    """Whether an ``__init__.py`` is empty or only declares a namespace: it defines no name."""
    statements = _statements(source)
    return statements is not None and _is_declaration(statements)


def declares_namespace(source: bytes) -> bool:
    """Whether an ``__init__.py`` declares a namespace and does nothing else."""
    declared = b"extend_path(" in source or b"declare_namespace(" in source
    return declared and is_empty_init(source)


def _statements(source: bytes) -> list[ast.stmt] | None:
    """The statements without the docstring; None if this Python cannot parse them."""
    if len(source) > _LIMIT:
        return None
    try:
        body = ast.parse(source).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    match body:
        case [ast.Expr(value=ast.Constant(value=str())), *rest]:
            return rest
    return body


def _is_declaration(statements: list[ast.stmt]) -> bool:
    for statement in statements:
        match statement:
            case ast.Try(body=body, handlers=handlers, orelse=[], finalbody=[]):
                parts = [*body, *(part for handler in handlers for part in handler.body)]
                if not _is_declaration(parts):
                    return False
            case _ if not _declares(statement):
                return False
    return True


def _declares(statement: ast.stmt) -> bool:
    try:
        return ast.unparse(statement) in _DECLARATIONS
    except RecursionError:
        return False
