"""What `up` asks the running server: its providers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from lls_provider.errors import Code, SdkError, Where
from lls_provider.local.call import list_providers
from lls_provider.local.log_diagnosis import log_end

if TYPE_CHECKING:
    from lls_provider.local.plan import PlannedProvider, ServedProvider
    from lls_provider.local.server import Server


def served_providers(
    server: Server, expected: Sequence[PlannedProvider]
) -> tuple[ServedProvider, ...]:
    """Return what the server lists. Raises SdkError SERVER_FAILED if an expected one is missing."""
    served = list_providers(server.port)
    server.require_alive()
    there = {(item.api, item.provider_id) for item in served}
    missing = [it for it in expected if (it.api, it.provider_id) not in there]
    if missing:
        raise _not_listed(server, missing)
    return served


def _not_listed(server: Server, missing: Sequence[PlannedProvider]) -> SdkError:
    names = ", ".join(f"'{item.provider_id}' ({item.api})" for item in missing)
    first = missing[0]
    return SdkError(
        Code.SERVER_FAILED,
        f"The server {server.label} runs but does not list {names}",
        why=log_end(server.log_text()),
        where=Where(provider=first.provider_id, image=first.target),
        resolution=f"Check that {server.label} has the API '{first.api}' and that nothing in the "
        "base configuration switches the provider off.",
    )
