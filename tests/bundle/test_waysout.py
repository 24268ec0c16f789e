"""What an author is told to do when nothing satisfies everything: only what was seen to help."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from lls_provider.errors import Code, SdkError


@pytest.fixture
def resolution(gathered: Any) -> Callable[..., str]:
    def make(*args: Any, **options: Any) -> str:
        with pytest.raises(SdkError) as caught:
            gathered(*args, **options)
        assert caught.value.code is Code.RESOLUTION_FAILED
        return caught.value.resolution

    return make


def test_what_helps_is_told_with_its_consequence(
    offer: Any, make_wheel: Any, resolution: Any
) -> None:
    offer(
        make_wheel("demo", requires=["shared>=2"]),
        make_wheel("shared", "1.0"),
        make_wheel("shared", "2.0"),
    )
    assert resolution("demo", {"shared": "1.0"}) == (
        "Change the requirement that the explanation names in the provider's dependencies, or "
        "build with\n"
        "  --override 'shared==1.0': every bound on shared is replaced and the image records it; "
        "what set the bound runs with a version that it does not claim to support.\n"
        "  --bundle shared: shared 2.0 goes into the image and stands in front of the server's "
        "1.0, for the server itself and for other providers too."
    )


def test_what_does_not_help_is_told_as_such(offer: Any, make_wheel: Any, resolution: Any) -> None:
    offer(
        make_wheel("demo", requires=["shared>=2", "other"]),
        make_wheel("other", "1.0", requires=["shared<2"]),
        make_wheel("shared", "1.0"),
        make_wheel("shared", "2.0"),
    )
    told = resolution("demo", {"shared": "1.0", "other": "1.0"})
    assert "  --override 'shared==1.0': " in told
    assert "These do not help: --bundle shared" in told


def test_a_conflict_of_the_providers_own_names_only_what_may_help(
    offer: Any, make_wheel: Any, resolution: Any
) -> None:
    offer(make_wheel("demo", requires=["mine>=2"]), make_wheel("mine", "1.0"))
    told = resolution("demo", {"shared": "1.0"})
    assert "so --bundle does not apply" in told
    assert "--override 'NAME==VERSION'" in told


def test_for_several_servers_an_override_lets_the_oldest_be(
    offer: Any, make_wheel: Any, resolution: Any
) -> None:
    offer(
        make_wheel("demo", requires=["shared>=3"]),
        *(make_wheel("shared", version) for version in ("1.0", "2.0", "3.0")),
    )
    told = resolution("demo", {"shared": "2.0"}, {"shared": "1.0"})
    assert "--override 'shared>=1.0'" in told
    assert "in front of the server's 1.0 and 2.0" in told


def test_the_server_itself_is_never_to_be_bundled(
    offer: Any, make_wheel: Any, resolution: Any
) -> None:
    offer(
        make_wheel("demo", requires=["ogx>=2"]),
        make_wheel("ogx", "1.0"),
        make_wheel("ogx", "2.0"),
    )
    assert "--bundle ogx" not in resolution("demo", {"ogx": "1.0"})
