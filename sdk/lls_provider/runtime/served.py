"""What a server leaves unserved of a final configuration without a word, though all of it loads."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from packaging.utils import canonicalize_name
from packaging.version import Version

from lls_provider.contract.apis import unloadable
from lls_provider.foreign import one_line
from lls_provider.runtime.configured import provider_entries
from lls_provider.runtime.references import resolved

if TYPE_CHECKING:
    from packaging.utils import NormalizedName

    from lls_provider.contract.document import Document

_SERVER = canonicalize_name("ogx")
_EMPTY_IS_NONE = Version("1.5.0.dev0")  # before, and in llama-stack, an empty list means all


def hidden_entries(document: Document, env: Mapping[str, str]) -> Iterator[str]:
    """A warning for each entry that another of its API hides, with the variables of ``env``.

    Two of the server's own are the distribution's business, so one of the two has a module.
    """
    for api, entries in provider_entries(document).items():
        shown: dict[str, dict[str, Any]] = {}
        for entry in entries:
            identifier = resolved(entry.get("provider_id"), env)
            if identifier is None:
                continue
            hidden = shown.get(identifier)
            if hidden is not None and (hidden.get("module") or entry.get("module")):
                yield (
                    f"Two providers of API '{one_line(api)}' have the ID "
                    f"'{one_line(identifier)}'; the server uses the "
                    f"last\n  Used: {_told(entry)}\n  Not used: {_told(hidden)}"
                )
            shown[identifier] = entry


def unloadable_entries(document: Document) -> Iterator[str]:
    """A warning for each external provider of an API that no supported server loads."""
    for api, entries in provider_entries(document).items():
        reason = unloadable(api)
        for entry in entries if reason else []:
            if entry.get("module"):
                yield f"Provider '{entry.get('provider_id')}': {reason}"


def unserved_apis(
    document: Document, server: Mapping[NormalizedName, Version] | None
) -> Iterator[str]:
    """A warning when the list ``apis`` is empty and this server serves no API because of it."""
    version = (server or {}).get(_SERVER)
    value = document.value
    is_empty = isinstance(value, dict) and value.get("apis") == []
    if version is None or version < _EMPTY_IS_NONE or not is_empty:
        return
    yield (
        f"The list 'apis' is empty: ogx {version} loads the providers and serves none of their "
        "APIs; remove the key to serve all of them, or list those to serve"
    )


def _told(entry: Mapping[str, Any]) -> str:
    text = f"{entry.get('provider_type')} (provider_id: {entry.get('provider_id')})"
    return one_line(f"{text}, module {entry['module']}" if entry.get("module") else text)
