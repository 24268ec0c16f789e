"""What an author is advised to do when nothing satisfies everything: only what helps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lls_provider.bundle.bundle import BundleRequest
from lls_provider.bundle.closure import collect_wheels
from lls_provider.errors import Code, SdkError
from lls_provider.runtime.wheelfile.wheel import read_wheel
from lls_provider.wheels.distribution import Distribution

pytestmark = pytest.mark.slow


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
        "Name another version of demo after --package, whose requirements fit, or "
        "build with\n"
        "  --override 'shared==1.0': every bound on shared is replaced and the image records it; "
        "what set the bound runs with a version that it does not claim to support.\n"
        "  --bundle shared: shared 2.0 goes into the image and shadows the server's "
        "1.0, for the server itself (whose packages accept that) and for other providers too."
    )


def test_what_the_server_is_called_is_no_package_in_the_way(
    offer: Any, make_wheel: Any, interpreter: Any
) -> None:
    offer(make_wheel("demo", requires=["shared>=2"]), make_wheel("shared", "1.0"))
    pins = {"shared": "1.0", "ogx": "1.5.0"}
    beside = Distribution("ogx==1.5.0", pins, interpreter, None, requires={})
    with pytest.raises(SdkError) as caught:
        collect_wheels(BundleRequest("demo", None, interpreter, (beside,)))
    assert "ogx==1.5.0 provides shared==1.0" in caught.value.why
    assert "--override 'shared==1.0'" in caught.value.resolution
    assert "--override 'ogx" not in caught.value.resolution


def test_a_version_that_the_server_itself_refuses_is_no_way_out(
    offer: Any, make_wheel: Any, resolution: Any
) -> None:
    offer(
        make_wheel("demo", requires=["shared<2"]),
        make_wheel("shared", "1.0"),
        make_wheel("shared", "2.0"),
    )
    requires = {"server": ("shared>=2", "other; extra == 'x'"), "shared": ()}
    told = resolution("demo", {"shared": "2.0", "server": "7"}, requires=requires)
    assert "  --override 'shared==2.0': " in told
    assert told.endswith(
        "These do not help: --bundle shared (with shared 1.0 the server itself would not run: "
        "server 7 needs shared>=2)."
    )


def test_what_is_bundled_already_is_no_package_of_the_server_that_refuses(
    offer: Any, make_wheel: Any, resolution: Any
) -> None:
    offer(
        make_wheel("demo", requires=["front<2"]),
        *(make_wheel("front", it, requires=[f"back=={it}"]) for it in ("1.0", "2.0")),
        *(make_wheel("back", it) for it in ("1.0", "2.0")),
    )
    requires = {"front": ("back==2.0",), "back": ()}
    pins = {"front": "2.0", "back": "2.0"}
    told = resolution("demo", pins, requires=requires, bundle=frozenset({"front"}))
    assert "  --bundle back: back 1.0 goes into the image" in told
    assert "(whose packages accept that)" in told


def test_what_the_server_accepts_is_read_from_an_environment_where_versions_are_all_that_is_told(
    offer: Any, make_wheel: Any, resolution: Any
) -> None:
    offer(
        make_wheel("demo", requires=["shared<2"]),
        make_wheel("server", "7", requires=["shared>=2"]),
        make_wheel("shared", "1.0"),
        make_wheel("shared", "2.0"),
    )
    told = resolution("demo", {"shared": "2.0", "server": "7"}, requires=None)
    assert "server 7 needs shared>=2" in told
    told = resolution("demo", {"shared": "2.0", "nowhere": "7"}, requires=None)
    assert "  --bundle shared: shared 1.0 goes into the image" in told
    assert "for the server itself (whether its packages accept that is not known)" in told


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
    assert "shadows the server's 1.0 and 2.0" in told


def test_of_the_packages_in_the_way_those_are_bundled_that_have_to_be(
    offer: Any, make_wheel: Any, resolution: Any
) -> None:
    """An explanation names packages too that then are as the server has them."""
    offer(
        make_wheel("demo", requires=["front<2", "middle"]),
        *(make_wheel(name, it) for name in ("front", "back") for it in ("1.0", "2.0")),
        make_wheel("middle", "1.0", requires=["back<2"]),
    )
    told = resolution("demo", {"front": "2.0", "back": "2.0", "middle": "1.0"})
    (way,) = [line for line in told.splitlines() if line.startswith("  --bundle")]
    assert sorted(way.partition(":")[0].split()) == ["--bundle", "--bundle", "back", "front"]
    assert "back 1.0 and front 1.0 go into the image and shadow the server's" in way


def test_the_server_itself_is_never_to_be_bundled(
    offer: Any, make_wheel: Any, resolution: Any
) -> None:
    offer(
        make_wheel("demo", requires=["ogx>=2"]),
        make_wheel("ogx", "1.0"),
        make_wheel("ogx", "2.0"),
    )
    assert "--bundle ogx" not in resolution("demo", {"ogx": "1.0"})


def test_what_is_in_the_way_of_a_way_is_looked_for_too(
    offer: Any, make_wheel: Any, resolution: Any
) -> None:
    """A resolver reports the first conflict only; a provider for an old server has several."""
    offer(
        make_wheel("demo", requires=["ogx-api==1.0", "ogx==1.0", "rich<2"]),
        *(make_wheel(name, it) for name in ("ogx", "ogx-api", "rich") for it in ("1.0", "2.0")),
    )
    told = resolution("demo", {"ogx": "2.0", "ogx-api": "2.0", "rich": "2.0"})
    (helping,) = [line for line in told.splitlines() if line.startswith("  ")]
    options = helping.partition(":")[0].split("--override ")
    assert sorted(it.strip() for it in options if it.strip()) == [
        "'ogx-api==2.0'",
        "'ogx==2.0'",
        "'rich==2.0'",
    ]
    assert "--bundle ogx " not in f"{told} "


def test_the_server_that_a_provider_is_made_for_is_tried(
    offer: Any, make_wheel: Any, resolution: Any
) -> None:
    offer(
        make_wheel("demo", requires=["ogx>=1,<2"]),
        *(make_wheel("ogx", it) for it in ("1.0", "1.1", "2.0")),
    )
    told = resolution("demo==1.0.0", {"ogx": "2.0"})
    assert "  --distribution 'ogx==1.1': the image is then for that server and not for" in told


def test_beside_the_server_that_a_provider_is_made_for_packages_may_have_to_be_bundled(
    offer: Any, make_wheel: Any, resolution: Any
) -> None:
    """An old server that is resolved today gets the newest versions of what it needs."""
    offer(
        make_wheel("demo", requires=["ogx<2", "rich<2"]),
        make_wheel("ogx", "1.0", requires=["rich"]),
        make_wheel("ogx", "2.0"),
        *(make_wheel("rich", it) for it in ("1.0", "2.0")),
    )
    told = resolution("demo==1.0.0", {"ogx": "2.0"})
    assert "  --distribution 'ogx==1.0' --bundle rich: the image is then for that server" in told
    assert "; rich 1.0 goes into the image and shadows the server's 2.0" in told


def test_a_project_is_told_to_change_its_requirement(
    offer: Any, make_wheel: Any, resolution: Any
) -> None:
    own = make_wheel("demo", requires=["shared>=2"])
    offer(make_wheel("shared", "1.0"))
    told = resolution(f"demo @ {own.as_uri()}", {"shared": "1.0"}, own=read_wheel(own))
    assert told.startswith("Change the requirement that the explanation names in the provider's")


_NAMES = st.sampled_from(["shared", "other", "third"])
_VERSIONS = st.sampled_from(["1.0", "2.0", "3.0"])
_BOUNDS = st.sampled_from(["", "<2", ">=2", "==9", "!=1.0"])
_MARKERS = st.sampled_from(
    ["", "; sys_platform == 'win32'", "; platform_machine == 's390x'", "; python_version < '3'"]
)
_REQUIREMENTS = st.builds("{}{}{}".format, _NAMES, _BOUNDS, _MARKERS)


@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    needs=st.lists(_REQUIREMENTS, min_size=1, max_size=3),
    of_others=st.dictionaries(_NAMES, st.lists(_REQUIREMENTS, max_size=2), max_size=2),
    pins=st.dictionaries(_NAMES, _VERSIONS, max_size=3),
    machines=st.sampled_from([(), ("x86_64", "aarch64"), ("s390x",)]),
)
def test_no_advice_crashes(
    tmp_path_factory: pytest.TempPathFactory,
    make_wheel: Any,
    gathered: Any,
    needs: list[str],
    of_others: dict[str, list[str]],
    pins: dict[str, str],
    machines: tuple[str, ...],
) -> None:
    """Whatever conflicts, there is a result or an error with a resolution."""
    house = tmp_path_factory.mktemp("house")
    wheels = [make_wheel("demo", requires=needs)]
    for name in ("shared", "other", "third"):
        wheels += [
            make_wheel(name, version, requires=of_others.get(name, []))
            for version in ("1.0", "2.0", "3.0")
        ]
    for wheel in wheels:
        (house / wheel.name).write_bytes(wheel.read_bytes())
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("UV_NO_INDEX", "1")
        patch.setenv("UV_FIND_LINKS", str(house))
        patch.setenv("LLS_PROVIDER_CACHE", str(house / "cache"))
        try:
            gathered("demo", *([pins] if pins else []), machines=machines)
        except SdkError as error:
            assert error.code in (Code.RESOLUTION_FAILED, Code.WHEEL_INCOMPATIBLE)
            assert error.resolution
