"""The providers of a final configuration that the server does not have itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lls_provider.contract.schema import path_text
from lls_provider.errors import Code, SdkError

if TYPE_CHECKING:
    from lls_provider.contract.document import Document


@dataclass(frozen=True, slots=True)
class ConfiguredProvider:
    """An entry of the configuration that names a module."""

    provider_id: str
    provider_type: str
    api: str
    module: str

    @property
    def package(self) -> str:
        """The module without the version that a server splits off."""
        return self.module.partition("==")[0]


def configured_providers(document: Document) -> list[ConfiguredProvider]:
    """The entries with a ``module``, in the order of the file; others are the server's own.

    Raises SdkError FIELD_TYPE or FIELD_MISSING with the place of an entry that no server reads.
    """
    value = document.value
    sections = value.get("providers") if isinstance(value, dict) else None
    if sections is None:
        return []
    found = []
    for api, entries in _pairs(document, sections):
        for index, entry in enumerate(entries or []):
            if not isinstance(entry, dict):
                path = ("providers", api, index)
                raise _shape(document, path, f"{path_text(path)} must be a mapping")
            if entry.get("module"):
                found.append(_entry(document, api, index, entry))
    return found


def provider_entries(document: Document) -> dict[str, list[dict[str, Any]]]:
    """All entries by API, the server's own too; `configured_providers` refuses other shapes."""
    value = document.value
    sections = value.get("providers") if isinstance(value, dict) else None
    return {
        str(api): [entry for entry in entries if isinstance(entry, dict)]
        for api, entries in (sections.items() if isinstance(sections, dict) else ())
        if isinstance(entries, list)
    }


def _pairs(document: Document, sections: Any) -> list[tuple[str, list[Any]]]:
    if not isinstance(sections, dict):
        raise _shape(document, ("providers",), "providers must be a mapping")
    for api, entries in sections.items():
        if entries is not None and not isinstance(entries, list):
            raise _shape(document, ("providers", str(api)), f"providers.{api} must be a list")
    return [(str(api), entries) for api, entries in sections.items()]


def _entry(document: Document, api: str, index: int, entry: dict[str, Any]) -> ConfiguredProvider:
    for field in ("provider_id", "provider_type", "module"):
        if not isinstance(entry.get(field), str) or not entry[field]:
            path = ("providers", api, index)
            raise _shape(document, path, f"providers.{api}[{index}].{field} must be text")
    return ConfiguredProvider(entry["provider_id"], entry["provider_type"], api, entry["module"])


def _shape(document: Document, path: tuple[str | int, ...], what: str) -> SdkError:
    return SdkError(
        Code.FIELD_TYPE,
        what,
        where=document.where(path),
        resolution="Correct the configuration, or the base that it was merged from.",
    )
