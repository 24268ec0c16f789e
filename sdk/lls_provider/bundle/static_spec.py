"""What a provider's wheel says about itself without running it.

The fallback of ``build --package`` for specs that cannot be imported outside their server:
``provider.py`` is parsed and the calls that make specs are read where they are plain
(contract section 1: ``<packageName>.provider`` has ``get_provider_spec()``).
"""

from __future__ import annotations

import ast
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from packaging.utils import canonicalize_name

from lls_provider.contract.names import APIS
from lls_provider.errors import Code, SdkError
from lls_provider.runtime.messages import wheel_error
from lls_provider.runtime.wheelfile.contents import Headers

ENTRIES = ("provider.py", "provider/__init__.py")
"""What the file of a provider's module may be called in its package."""
_SOURCE_LIMIT = 4 << 20
_SPEC_FUNCTION = "get_provider_spec"
_KINDS = {
    "RemoteProviderSpec": "remote",
    "InlineProviderSpec": "inline",
    "remote_provider_spec": "remote",  # of servers up to 0.2
}


@dataclass(frozen=True, slots=True, order=True)
class StaticSpec:
    """One spec: the package the server imports, and what the spec in it says."""

    module: str  # the package that holds provider.py
    api: str
    provider_type: str
    spec_module: str = ""  # the spec's own `module`, which should be the package too


@dataclass(frozen=True, slots=True)
class SpecChoice:
    """The detail of an SdkError: the specs, one of which a build has to choose."""

    specs: tuple[StaticSpec, ...]


def provider_modules(wheel: Path) -> tuple[str, ...]:
    """The packages with a module ``provider``, the outermost first.

    Raises SdkError WHEEL_NOT_ZIP or WHEEL_METADATA_INVALID.
    """
    with _opened(wheel) as archive:
        return tuple(_sources(archive))


def directory_specs(wheel: Path) -> tuple[str, ...]:
    """Its YAML files for a server's ``external_providers_dir``.

    Such a directory has ``remote/API/NAME.yaml`` and ``inline/API/NAME.yaml`` in it. Raises
    SdkError WHEEL_NOT_ZIP or WHEEL_METADATA_INVALID.
    """
    with _opened(wheel) as archive:
        return tuple(
            sorted(
                name
                for name in archive.namelist()
                if (parts := name.split("/"))[-3:-2] in (["remote"], ["inline"])
                and parts[-2] in APIS
                and name.endswith((".yaml", ".yml"))
            )
        )


def _sources(archive: zipfile.ZipFile) -> dict[str, str]:
    """The member that is the module ``provider`` of each package, the outermost first."""
    found = {}
    for name in archive.namelist():
        for entry in ENTRIES:
            parts = name.removesuffix(f"/{entry}").split("/")
            if name.endswith(f"/{entry}") and all(part.isidentifier() for part in parts):
                found[".".join(parts)] = name
    return {it: found[it] for it in sorted(found, key=lambda module: (module.count("."), module))}


def static_specs(wheel: Path) -> tuple[StaticSpec, ...]:
    """Every spec that can be read from the wheel's provider modules, sorted, each once.

    Raises SdkError WHEEL_NOT_ZIP or WHEEL_METADATA_INVALID.
    """
    found = {
        spec
        for module, tree in _trees(wheel)
        for call in _calls(tree)
        if (spec := _spec(call, tree, module)) is not None
    }
    return tuple(sorted(found))


def unreadable_modules(wheel: Path) -> frozenset[str]:
    """The provider modules that make specs which `static_specs` cannot read.

    Raises SdkError WHEEL_NOT_ZIP or WHEEL_METADATA_INVALID.
    """
    return frozenset(
        module
        for module, tree in _trees(wheel)
        if any(_spec(call, tree, module) is None for call in _calls(tree))
    )


def specs_of_source(module: str, source: bytes) -> tuple[tuple[StaticSpec, ...], bool]:
    """The specs that the source of one provider module makes, and whether there may be more."""
    tree = _parsed_source(source)
    if tree is None:
        return (), True
    specs = [_spec(call, tree, module) for call in _calls(tree)]
    readable = sorted({spec for spec in specs if spec is not None})
    return tuple(readable), not specs or None in specs


def imported_modules(wheel: Path) -> frozenset[str]:
    """The top-level modules that the Python files of a wheel import, in functions too.

    Raises SdkError WHEEL_NOT_ZIP.
    """
    found: set[str] = set()
    with _opened(wheel) as archive:
        for name in archive.namelist():
            tree = _parsed(archive, name, wheel) if name.endswith(".py") else None
            for node in ast.walk(tree) if tree is not None else ():
                if isinstance(node, ast.Import):
                    found.update(alias.name.partition(".")[0] for alias in node.names)
                elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
                    found.add(node.module.partition(".")[0])
    return frozenset(found)


def defines_spec(wheel: Path, member: str) -> bool:
    """Whether a module binds ``get_provider_spec``; true if that is known only by running it."""
    try:
        with _opened(wheel) as archive:
            tree = _parsed(archive, member, wheel)
    except (KeyError, SdkError):
        return True  # it is under .data, or another rule reports the archive
    if tree is None:
        return True
    for node in ast.walk(tree):
        match node:
            case (
                ast.FunctionDef(name="get_provider_spec" | "__getattr__")
                | ast.Name(id="get_provider_spec", ctx=ast.Store())
            ):
                return True
            case ast.ImportFrom(names=names):
                bound = {alias.asname or alias.name for alias in names}
                if bound & {"get_provider_spec", "*"}:
                    return True
    return False


def declared_extras(wheel: Path) -> tuple[str, ...]:
    """The names of its extras, normalised.

    Raises SdkError WHEEL_NOT_ZIP or WHEEL_METADATA_INVALID.
    """
    return tuple(canonicalize_name(it) for it in _metadata(wheel).all("Provides-Extra"))


def declared_vendor(wheel: Path) -> str | None:
    """The Maintainer or Author of its METADATA, or the name in their email addresses.

    Raises SdkError WHEEL_NOT_ZIP or WHEEL_METADATA_INVALID.
    """
    headers = _metadata(wheel)
    for field in ("Maintainer", "Author", "Maintainer-email", "Author-email"):
        text = (headers.optional(field) or "").split(",")[0]
        name = text.partition("<")[0].strip().strip('"')
        if name and "@" not in name:
            return " ".join(name.split())
    return None


def declared_summary(wheel: Path) -> str | None:
    """The Summary of its METADATA.

    Raises SdkError WHEEL_NOT_ZIP or WHEEL_METADATA_INVALID.
    """
    return _metadata(wheel).optional("Summary") or None


def declared_maintainer(wheel: Path) -> str | None:
    """The email address of the maintainer or author.

    Raises SdkError WHEEL_NOT_ZIP or WHEEL_METADATA_INVALID.
    """
    headers = _metadata(wheel)
    for field in ("Maintainer-email", "Author-email"):
        for text in (headers.optional(field) or "").split(","):
            address = text.rpartition("<")[2].strip().rstrip(">")
            if "@" in address:
                return address
    return None


def _metadata(wheel: Path) -> Headers:
    with _opened(wheel) as archive:
        names = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        try:
            (name,) = names
            return Headers(archive.read(name))
        except (ValueError, zipfile.BadZipFile) as error:
            raise wheel_error(Code.WHEEL_METADATA_INVALID, wheel, f"METADATA: {error}") from error


def _opened(wheel: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(wheel)
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise wheel_error(Code.WHEEL_NOT_ZIP, wheel, str(error)) from error


def _trees(wheel: Path) -> Iterator[tuple[str, ast.Module]]:
    """Every provider module that can be parsed."""
    with _opened(wheel) as archive:
        for module, name in _sources(archive).items():
            tree = _parsed(archive, name, wheel)
            if tree is not None:
                yield module, tree


def _parsed(archive: zipfile.ZipFile, member: str, wheel: Path) -> ast.Module | None:
    """The parsed source of a member; None if this Python cannot parse it, or it is too large."""
    try:
        info = archive.getinfo(member)
        return None if info.file_size > _SOURCE_LIMIT else _parsed_source(archive.read(info))
    except zipfile.BadZipFile as error:
        raise wheel_error(Code.WHEEL_NOT_ZIP, wheel, str(error)) from error


def _parsed_source(source: bytes) -> ast.Module | None:
    try:
        return ast.parse(source)
    except (SyntaxError, ValueError):
        return None  # for another Python than this one
    except (RecursionError, MemoryError):
        return None  # nested too deeply: the parser raises either


def _spec(call: ast.Call, tree: ast.Module, module: str) -> StaticSpec | None:
    """The spec that a call makes, as far as it is plain; None if it does not say enough."""
    constants = {
        target.id: node.value
        for node in tree.body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    kind = _KINDS.get(_called(call), "")
    values = {word.arg: word.value for word in call.keywords if word.arg}
    # with old servers the adapter has what later versions have in the spec itself
    adapter = values.get("adapter")
    inner = (
        {word.arg: word.value for word in adapter.keywords if word.arg}
        if isinstance(adapter, ast.Call)
        else {}
    )
    api = _text(values.get("api"), constants)
    provider_type = _text(values.get("provider_type"), constants)
    adapter_type = _text(values.get("adapter_type", inner.get("adapter_type")), constants)
    if not provider_type and adapter_type:
        provider_type = f"{kind}::{adapter_type}"
    if not api or not provider_type:
        return None
    spec_module = _text(values.get("module", inner.get("module")), constants)
    return StaticSpec(module, api, provider_type, spec_module)


def _calls(tree: ast.Module) -> list[ast.Call]:
    """The calls that make specs: those in get_provider_spec(), else all of the module."""
    functions = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef) and node.name == _SPEC_FUNCTION
    ]
    for scope in (functions, [tree]):
        calls = [
            node
            for part in scope
            for node in ast.walk(part)
            if isinstance(node, ast.Call) and _called(node) in _KINDS
        ]
        if calls:
            return calls
    return []


def _called(call: ast.Call) -> str:
    match call.func:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
    return ""


def _text(node: ast.expr | None, constants: dict[str, ast.expr]) -> str:
    """The text of a plain expression: a string, ``Api.safety``, or the name of a constant."""
    match node:
        case ast.Constant(value=str(text)):
            return text
        case ast.Attribute(value=ast.Name(id="Api"), attr=text):
            return text
        case ast.Attribute(value=ast.Attribute(attr="Api"), attr=text):
            return text
        case ast.Attribute(value=inner, attr="value"):
            return _text(inner, constants)
        case ast.Name(id=name) if name in constants:
            others = {key: value for key, value in constants.items() if key != name}
            return _text(constants[name], others)
    return ""
