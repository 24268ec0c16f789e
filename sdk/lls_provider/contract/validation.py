"""Validates documents: their JSON Schema, the rules that no schema can express, and advice.

An operator in another language implements these beside the schemas; ``contract/README.md``
lists them and the conformance vectors cover each.
"""

from __future__ import annotations

import keyword
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from lls_provider.contract import schema as schemas
from lls_provider.contract.names import unloadable
from lls_provider.contract.schema import path_text, shown
from lls_provider.errors import Code, Problem, SdkError, Where

if TYPE_CHECKING:
    from lls_provider.contract.document import Document
    from lls_provider.errors import Step

_HINTS = {
    ("externalproviders-cr", "providerType"): "Remove it: the image declares its type itself.",
}

_SEMANTIC = re.compile(
    r"(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)(-[0-9A-Za-z.-]+)?(\+[0-9A-Za-z.-]+)?"
)


def problems(document: Document, schema: str) -> list[Problem]:
    """Every complaint about a document, in the order of their positions; none if it is valid.

    ``schema`` is one of `schema.SCHEMAS`. The rules that JSON Schema cannot express are included.
    """
    found = schemas.problems(document, schema, lambda key: _HINTS.get((schema, key)))
    reported = {problem.path for problem in found}
    further = [problem for problem in check(document, schema) if problem.path not in reported]
    return sorted(found + further, key=_place)


def require(document: Document, schema: str, what: str, resolution: str) -> None:
    """Raise SdkError if the document is not valid, with every complaint in ``problems``.

    The error's code is that of the one complaint, DOCUMENT_INVALID when there are several.
    """
    refuse(problems(document, schema), document.source, what, resolution)


def refuse(found: Sequence[Problem], source: str, what: str, resolution: str) -> None:
    """Raise the SdkError that `require` describes, if anything was found."""
    if found:
        single = len(found) == 1
        raise SdkError(
            found[0].code if single else Code.DOCUMENT_INVALID,
            what,
            where=found[0].where if single else Where(file=source),
            resolution=resolution,
            problems=found,
        )


def _place(problem: Problem) -> tuple[int, int]:
    return problem.where.line or 0, problem.where.column or 0


def check(document: Document, schema: str) -> Iterator[Problem]:
    """The complaints beyond the schema. Values of a wrong type are left to the schema."""
    rule = _RULES.get(schema)
    if rule is not None and isinstance(document.value, dict):
        yield from rule(document)


def advice(document: Document) -> list[Problem]:
    """What is allowed in a ProviderPackage and still worth a warning (contract section 1).

    That is a version that is not semantic, an underscore in the provider type, which an operator
    that enforces the specification's pattern would refuse (decision 5), and an API that no
    supported server loads.
    """
    found = []
    version = _text(document, ("metadata", "version"))
    if version is not None and not _SEMANTIC.fullmatch(version):
        found.append(
            _problem(
                document,
                ("metadata", "version"),
                f"metadata.version {shown(version)} is not a semantic version",
                "Consider MAJOR.MINOR.PATCH, such as 1.2.0.",
            )
        )
    provider_type = _text(document, ("spec", "providerType"))
    if provider_type is not None and "_" in provider_type:
        meant = provider_type.replace("_", "-")
        found.append(
            _problem(
                document,
                ("spec", "providerType"),
                f"spec.providerType {shown(provider_type)} has an underscore: an operator that "
                "enforces the specification's pattern refuses it",
                f"Consider {meant}: change get_provider_spec(), then what names the old type.",
            )
        )
    reason = unloadable(_text(document, ("spec", "api")) or "")
    if reason is not None:
        found.append(
            _problem(
                document,
                ("spec", "api"),
                f"spec.api: {reason}",
                "Deploy it only where the server's notes say that it loads providers of this API.",
            )
        )
    return found


def _provider_package(document: Document) -> Iterator[Problem]:
    version = _text(document, ("metadata", "version"))
    if version is not None:
        from packaging.version import Version

        try:
            Version(version)
        except ValueError:  # InvalidVersion, or a number of more digits than Python reads
            yield _problem(
                document,
                ("metadata", "version"),
                f"metadata.version is {shown(version)}, expected a PEP 440 version",
                "Write a version such as 1.2.0, 1.2.0rc1 or 1.2.0.post1.",
            )
    yield from _module(document, ("spec", "packageName"))


def _external_providers(document: Document) -> Iterator[Problem]:
    yield from _unique_ids(document, ("providers",), "provider_id")
    for path in _entries(document, ("providers",)):
        yield from _module(document, (*path, "module"))


def _custom_resource(document: Document) -> Iterator[Problem]:
    return _unique_ids(document, ("spec", "server", "externalProviders"), "providerId")


_QUANTITY = re.compile(r"[0-9]+(\.[0-9]+)?(m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei)?")
_EXCLUDING = {
    "server": (("image", "distribution"), ("config", "configMap")),
    "provider": (("config", "configFrom"),),
    "variable": (("value", "valueFrom"),),
}


def _provider_file(document: Document) -> Iterator[Problem]:
    """The rules of a provider file; `operations.provider_file` checks what several files make."""
    yield from _unique_ids(document, (), "id", section="providers")
    server, providers = _value(document, ("server",)), _value(document, ("providers",))
    if isinstance(server, dict):
        yield from _exclusive(document, ("server",), server, "server")
        yield from _quantities(document, ("server",), server)
        for index, variable in enumerate(_list(server.get("env"))):
            if isinstance(variable, dict):
                yield from _exclusive(document, ("server", "env", index), variable, "variable")
    for index, provider in enumerate(_list(providers)):
        if isinstance(provider, dict):
            path = ("providers", index)
            yield from _exclusive(document, path, provider, "provider")
            yield from _quantities(document, path, provider)
            yield from _one_source(document, path, provider.get("configFrom"))


def _exclusive(
    document: Document, path: tuple[Step, ...], value: Mapping[Any, Any], kind: str
) -> Iterator[Problem]:
    for first, second in _EXCLUDING[kind]:
        if first in value and second in value:
            yield _problem(
                document,
                (*path, second),
                f"{path_text(path)} has both '{first}' and '{second}'",
                f"Keep one of them: '{first}' or '{second}'.",
            )


def _quantities(
    document: Document, path: tuple[Step, ...], value: Mapping[Any, Any]
) -> Iterator[Problem]:
    resources = value.get("resources")
    for kind, quantities in resources.items() if isinstance(resources, dict) else ():
        for name, quantity in quantities.items() if isinstance(quantities, dict) else ():
            # a mapping that is included may be patched: null removes an entry
            if quantity is None or type(quantity) in (int, float):
                continue
            if not isinstance(quantity, str) or not _QUANTITY.fullmatch(quantity):
                here = (*path, "resources", kind, name)
                yield _problem(
                    document,
                    here,
                    f"{path_text(here)} is {shown(quantity)}, expected a quantity of Kubernetes",
                    "Write a quantity such as 512Mi, 2Gi or 500m.",
                )


def _one_source(document: Document, path: tuple[Step, ...], value: object) -> Iterator[Problem]:
    if isinstance(value, dict) and len(value.keys() & {"secret", "configMap"}) != 1:
        here = (*path, "configFrom")
        yield _problem(
            document,
            here,
            f"{path_text(here)} must have either 'secret' or 'configMap'",
            "Name one Secret or one ConfigMap.",
        )


def _list(value: object) -> Sequence[Any]:
    return value if isinstance(value, list) else ()


def _module(document: Document, path: tuple[Step, ...]) -> Iterator[Problem]:
    """A reserved word cannot be imported."""
    module = _text(document, path)
    if module is None:
        return
    reserved = [part for part in module.split(".") if keyword.iskeyword(part)]
    if reserved:
        yield _problem(
            document,
            path,
            f"{path_text(path)} is {shown(module)}, but '{reserved[0]}' is a reserved word of "
            "Python",
            "Rename the module.",
        )


def _unique_ids(
    document: Document, sections: tuple[Step, ...], name: str, *, section: str | None = None
) -> Iterator[Problem]:
    """An ID is unique over all sections (decision 8), or in ``section`` alone."""
    first: dict[str, tuple[Step, ...]] = {}
    for path in _entries(document, sections):
        if section is not None and path[-2] != section:
            continue
        here = (*path, name)
        identifier = _text(document, here)
        if identifier is None:
            continue
        if identifier in first:
            before = first[identifier]
            line = document.where(before).line
            yield _problem(
                document,
                here,
                f"{name} '{identifier}' appears twice: {_entry_text(document, before)}"
                + (f" in line {line}" if line is not None else "")
                + f" and {_entry_text(document, here)}",
                "Give each provider an ID of its own; it is unique over all APIs.",
                Code.PROVIDER_DUPLICATE,
            )
        first.setdefault(identifier, here)


def _entry_text(document: Document, path: tuple[Step, ...]) -> str:
    image = _text(document, (*path[:-1], "image"))
    place = path_text(path[:-1])
    return f"{place} (image: {image})" if image is not None else place


def _entries(document: Document, sections: tuple[Step, ...]) -> Iterator[tuple[Step, ...]]:
    found = _value(document, sections)
    if isinstance(found, dict):
        for section, entries in found.items():
            if isinstance(entries, list):
                for index in range(len(entries)):
                    yield (*sections, section, index)


def _value(document: Document, path: tuple[Step, ...]) -> object:
    value = document.value
    for step in path:
        if isinstance(value, dict):
            value = value.get(step)
        elif isinstance(value, list) and isinstance(step, int):
            value = value[step]
        else:
            return None
    return value


def _text(document: Document, path: tuple[Step, ...]) -> str | None:
    value = _value(document, path)
    return value if type(value) is str else None


def _problem(
    document: Document,
    path: tuple[Step, ...],
    what: str,
    resolution: str,
    code: Code = Code.FIELD_VALUE,
) -> Problem:
    return Problem(code, what, document.where(path), resolution, path_text(path))


_RULES: Mapping[str, Callable[[Document], Iterator[Problem]]] = {
    "provider-package": _provider_package,
    "external-providers": _external_providers,
    "externalproviders-cr": _custom_resource,
    "provider-file": _provider_file,
}
