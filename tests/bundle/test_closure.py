"""The wheels of a bundle beside one distribution and beside several (contract decision 3)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from lls_provider.errors import Code, SdkError

if TYPE_CHECKING:
    from lls_provider.bundle.bundle import CollectedWheels

Gather = Callable[..., "CollectedWheels"]


def names(found: CollectedWheels) -> list[str]:
    return ["-".join(wheel.name.split("-")[:2]) for wheel in found.wheels]


def test_provided_is_what_all_have_in_each_ones_version(
    offer: Any, make_wheel: Any, gathered: Gather, recorder: Any
) -> None:
    offer(
        make_wheel("demo", requires=["both>=1", "one", "none"]),
        *(make_wheel("both", version) for version in ("1.1", "1.2", "1.3")),
        *(make_wheel("one", version) for version in ("1.0", "2.0")),
        make_wheel("none"),
    )
    found = gathered("demo", {"both": "1.2", "one": "1.0"}, {"both": "1.1"})
    assert found.provided == {"both": "1.1, 1.2"}
    # bundled in the version of the server that has it, which then finds what it had
    assert names(found) == ["demo-1.0.0", "none-1.0.0", "one-1.0"]
    assert recorder.warnings == []


def test_a_version_is_found_that_lives_with_every_server(
    offer: Any, make_wheel: Any, gathered: Gather, recorder: Any
) -> None:
    offer(
        make_wheel("demo", requires=["helper"]),
        make_wheel("helper", "2.0", requires=["both>=1.2"]),
        make_wheel("helper", "1.0", requires=["both"]),
        *(make_wheel("both", version) for version in ("1.1", "1.2")),
    )
    for servers in ([{"both": "1.2"}, {"both": "1.1"}], [{"both": "1.1"}, {"both": "1.2"}]):
        found = gathered("demo", *servers)
        assert names(found) == ["demo-1.0.0", "helper-1.0"]
        assert found.provided == {"both": "1.1, 1.2"}
    assert recorder.warnings == []


def test_what_does_not_satisfy_in_every_server_is_bundled_with_a_warning(
    offer: Any, make_wheel: Any, gathered: Gather, recorder: Any
) -> None:
    offer(
        make_wheel("demo", requires=["both>=1.2", "same"]),
        *(make_wheel("both", version) for version in ("1.1", "1.2", "1.3")),
        make_wheel("same"),
    )
    found = gathered("demo", {"both": "1.1", "same": "1.0.0"}, {"both": "1.2", "same": "1.0.0"})
    assert names(found) == ["both-1.2", "demo-1.0.0"]
    assert found.provided == {"same": "1.0.0"}
    (warning,) = recorder.warnings
    assert "both: the distribution is assumed to provide 1.1" in warning
    assert "demo 1.0.0 needs both>=1.2" in warning


def test_what_only_a_servers_packages_need_stays_out(
    offer: Any, make_wheel: Any, gathered: Gather
) -> None:
    offer(
        make_wheel("demo", requires=["both"]),
        make_wheel("both", "1.0", requires=["inner"]),
        make_wheel("both", "2.0"),
        make_wheel("inner"),
    )
    found = gathered("demo", {"both": "1.0", "inner": "1.0.0"}, {"both": "2.0"})
    assert names(found) == ["demo-1.0.0"]
    assert found.provided == {"both": "1.0, 2.0"}


def test_extras_that_are_asked_for_count(offer: Any, make_wheel: Any, gathered: Gather) -> None:
    offer(
        make_wheel("demo", requires=["big; extra == 'all'"], fields=["Provides-Extra: all"]),
        make_wheel("big"),
    )
    assert names(gathered("demo[all]", {"x": "1"}, {"x": "2"})) == ["big-1.0.0", "demo-1.0.0"]


def test_nothing_that_satisfies_is_told(offer: Any, make_wheel: Any, gathered: Gather) -> None:
    offer(make_wheel("demo", requires=["both>=3"]), make_wheel("both", "3.0"))
    with pytest.raises(SdkError) as caught:
        gathered("demo", {"both": "1.0"}, {"both": "2.0"})
    assert caught.value.code is Code.RESOLUTION_FAILED
    assert "server-0" in caught.value.why


@pytest.mark.parametrize("servers", [[{"both": "1.0"}], [{"both": "1.0"}, {"both": "1.0"}]])
def test_what_is_asked_for_is_bundled_nevertheless(
    offer: Any, make_wheel: Any, gathered: Gather, servers: Any
) -> None:
    offer(
        make_wheel("demo", requires=["both>=2"]),
        make_wheel("both", "2.0"),
        make_wheel("both", "1.0"),
    )
    found = gathered("demo", *servers, bundle=frozenset({"both"}))
    assert names(found) == ["both-2.0", "demo-1.0.0"]
    assert found.provided == {}
