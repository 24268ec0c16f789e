from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from lls_provider.runtime.install.conflict import (
    Candidate,
    Decision,
    Source,
    decide,
    parse_overrides,
    parse_provided,
    shown_versions,
)
from lls_provider.runtime.target_python import TargetPython

ENVIRONMENTS = TargetPython(12, "x86_64").environments()
ECHO = Source("acme-echo", "img/echo:1", canonicalize_name("echo"))
GUARD = Source("acme-guard", "img/guard:1", canonicalize_name("guard"))


def _c(source: Source | None, name: str, version: str, *requires: str) -> Candidate:
    return Candidate(
        canonicalize_name(name),
        Version(version),
        tuple(Requirement(text) for text in requires),
        source,
    )


def _decide(installed: Sequence[Candidate], new: Sequence[Candidate]) -> Decision:
    return decide(installed, new, ENVIRONMENTS)


def test_an_empty_volume_takes_everything() -> None:
    decision = _decide([], [_c(ECHO, "echo", "1", "dep>=1"), _c(ECHO, "dep", "1")])
    assert decision.install == ("dep", "echo")
    assert not decision.conflicts


def test_the_installed_version_stays_when_it_satisfies_everyone() -> None:
    installed = [_c(ECHO, "echo", "1", "dep"), _c(ECHO, "dep", "1.0")]
    decision = _decide(installed, [_c(GUARD, "guard", "1", "dep>=1"), _c(GUARD, "dep", "2.0")])
    assert decision.install == ("guard",)
    assert decision.keep == {"dep": Version("1.0")}
    assert decision.replace == ()


def test_the_new_version_replaces_when_only_it_satisfies_everyone() -> None:
    installed = [_c(ECHO, "echo", "1", "dep>=1"), _c(ECHO, "dep", "1.0")]
    decision = _decide(installed, [_c(GUARD, "guard", "1", "dep>=2"), _c(GUARD, "dep", "2.0")])
    assert decision.replace == ("dep",)
    assert decision.install == ("guard",)


def test_the_golden_conflict_names_packages_requirers_and_images() -> None:
    echo = Source("acme-echo", "registry.example.com/acme/echo:1.0", canonicalize_name("echo"))
    guard = Source("acme-guard", "registry.example.com/acme/guard:1.0", canonicalize_name("guard"))
    decision = _decide(
        [_c(echo, "echo", "1", "requests==2.28.0"), _c(echo, "requests", "2.28.0")],
        [_c(guard, "guard", "1", "requests==2.31.0"), _c(guard, "requests", "2.31.0")],
    )
    assert [conflict.render() for conflict in decision.conflicts] == [
        (
            "requests: 2.28.0 is installed, this image brings 2.31.0\n"
            "  provider 'acme-echo' (image: registry.example.com/acme/echo:1.0) "
            "needs requests==2.28.0\n"
            "  provider 'acme-guard' (image: registry.example.com/acme/guard:1.0) "
            "needs requests==2.31.0"
        )
    ]


def test_a_requirer_that_is_a_dependency_is_named() -> None:
    decision = _decide(
        [_c(ECHO, "echo", "1", "dep"), _c(ECHO, "dep", "1"), _c(ECHO, "user", "3", "dep<2")],
        [_c(GUARD, "guard", "1", "dep>=2"), _c(GUARD, "dep", "2")],
    )
    assert "needs dep<2 (by user 3)" in decision.conflicts[0].render()


def test_switching_one_switches_what_hangs_on_it() -> None:
    # guard needs a 2, and a 2 needs b 2: both are replaced, since no one needs the old ones
    installed = [_c(ECHO, "echo", "1", "a"), _c(ECHO, "a", "1", "b<2"), _c(ECHO, "b", "1")]
    new = [_c(GUARD, "guard", "1", "a>=2"), _c(GUARD, "a", "2", "b>=2"), _c(GUARD, "b", "2")]
    decision = _decide(installed, new)
    assert decision.replace == ("a", "b")


def test_what_a_kept_version_rules_out_does_not_count() -> None:
    # the new "a" is not taken, so its need for b 2 is no one's
    installed = [_c(ECHO, "echo", "1", "a<2", "b<2"), _c(ECHO, "a", "1"), _c(ECHO, "b", "1")]
    new = [_c(GUARD, "guard", "1", "a"), _c(GUARD, "a", "2", "b>=2"), _c(GUARD, "b", "2")]
    decision = _decide(installed, new)
    assert not decision.conflicts
    assert set(decision.keep) == {"a", "b"}


def test_a_choice_is_never_taken_back() -> None:
    installed = [_c(ECHO, "echo", "1", "a<2"), _c(ECHO, "a", "1")]
    decision = _decide(installed, [_c(GUARD, "guard", "1", "a>=2"), _c(GUARD, "a", "2")])
    assert [conflict.name for conflict in decision.conflicts] == ["a"]


def test_names_are_compared_normalised() -> None:
    installed = [_c(ECHO, "echo", "1", "Zope.Interface"), _c(ECHO, "zope-interface", "1")]
    decision = _decide(
        installed, [_c(GUARD, "guard", "1", "zope_interface>=1"), _c(GUARD, "zope.interface", "2")]
    )
    assert decision.keep == {"zope-interface": Version("1")}


@pytest.mark.parametrize(
    "requirement",
    [
        "dep<1; python_version < '3.12'",
        "dep<1; sys_platform == 'win32'",
        "dep<1; extra == 'never'",
        "dep<1; platform_machine == 'aarch64'",
    ],
)
def test_a_marker_that_does_not_hold_for_the_target_does_not_count(requirement: str) -> None:
    assert not _decide([], [_c(ECHO, "echo", "1", requirement), _c(ECHO, "dep", "2")]).conflicts


def test_what_stands_behind_a_requirement_that_does_not_count_counts() -> None:
    new = [_c(ECHO, "echo", "1", "other; python_version < '3'", "dep>=2"), _c(ECHO, "dep", "1")]
    assert [conflict.name for conflict in _decide([], new).conflicts] == ["dep"]


def test_extras_are_followed_as_far_as_they_lead() -> None:
    new = [
        _c(ECHO, "echo", "1", "a[x]"),
        _c(ECHO, "a", "1", "b[Y_z]; extra == 'x'"),
        _c(ECHO, "b", "1", "c>=2; extra == 'y-z'"),
        _c(ECHO, "c", "1"),
    ]
    assert [conflict.name for conflict in _decide([], new).conflicts] == ["c"]


def test_pre_releases_and_urls_are_taken_as_they_are() -> None:
    new = [
        _c(ECHO, "echo", "1", "a>=1", "b @ https://example.com/b.zip"),
        _c(ECHO, "a", "2.0rc1"),
        _c(ECHO, "b", "0.1"),
    ]
    assert not _decide([], new).conflicts


def test_a_dependency_that_the_server_provides_is_found_behind_the_tree() -> None:
    source = Source("p", "i", canonicalize_name("p"), parse_provided({"Pydantic": "2.9"}))
    assert not _decide([], [_c(source, "p", "1", "pydantic>=2")]).conflicts
    conflict = _decide([], [_c(source, "p", "1", "pydantic>=3")]).conflicts[0]
    assert conflict.render().startswith(
        "pydantic: the distribution provides 2.9, this image brings none\n"
    )


@pytest.mark.parametrize("bound", ["dep<2", "dep>=2"])
def test_of_several_servers_one_that_does_not_do_is_told_with_who_rejects_it(bound: str) -> None:
    """Although the first who asks would take them all."""
    source = Source("p", "i", canonicalize_name("p"), parse_provided({"dep": "1, 2"}))
    new = [_c(source, "a", "1", "dep>=1"), _c(source, "p", "1", bound)]
    (conflict,) = _decide([], new).conflicts
    assert conflict.render() == (
        f"dep: the distribution provides {1 if bound == 'dep>=2' else 2}, this image brings none\n"
        f"  provider 'p' (image: i) needs {bound}"
    )


def test_what_nobody_provides_is_a_conflict_when_the_build_said_what_it_assumed() -> None:
    source = Source("p", "i", canonicalize_name("p"), {})
    conflict = _decide([], [_c(source, "p", "1", "tqdm")]).conflicts[0]
    assert conflict.render() == (
        "tqdm: neither this image nor the distribution provides it\n"
        "  provider 'p' (image: i) needs tqdm"
    )
    assert not _decide([], [_c(ECHO, "echo", "1", "tqdm")]).conflicts


def test_what_stands_in_front_of_the_server_counts_for_all() -> None:
    first = Source("a", "i", canonicalize_name("a"), parse_provided({"dep": "1"}))
    installed = [_c(first, "a", "1", "dep<2")]
    conflict = _decide(installed, [_c(GUARD, "guard", "1", "dep"), _c(GUARD, "dep", "2")]).conflicts
    assert conflict[0].render().startswith("dep: this image brings 2\n  provider 'a'")


def test_an_override_stands_in_place_of_the_bound_and_is_told() -> None:
    source = Source(
        "p", "i", canonicalize_name("p"), {}, parse_overrides(["dep<3", "gone; python_version<'3'"])
    )
    decision = _decide([], [_c(source, "p", "1", "dep[x]>=5", "gone"), _c(source, "dep", "2")])
    assert not decision.conflicts
    assert any("dep<3 (instead of dep[x]>=5 of p)" in text for text in decision.used_overrides)


def test_a_stranger_counts_but_is_never_replaced() -> None:
    installed = [_c(None, "dep", "1")]
    new = [_c(GUARD, "guard", "1", "dep>=2"), _c(GUARD, "dep", "2")]
    assert _decide(installed, new).conflicts
    assert not _decide(installed, [_c(GUARD, "guard", "1", "dep"), _c(GUARD, "dep", "2")]).conflicts


def test_an_extra_asked_for_only_now_counts_for_what_stays() -> None:
    # "a" is kept, but no one had requested its extra before: its old "b" does not do
    installed = [
        _c(ECHO, "echo", "1", "a", "b"),
        _c(ECHO, "a", "1", "b>=2; extra == 'x'"),
        _c(ECHO, "b", "1"),
    ]
    assert _decide(installed, [_c(GUARD, "guard", "1", "a[x]")]).conflicts
    decision = _decide(installed, [_c(GUARD, "guard", "1", "a[x]"), _c(GUARD, "b", "2")])
    assert decision.replace == ("b",)


def test_an_extra_asked_for_only_now_may_lead_to_the_server() -> None:
    installed = [_c(ECHO, "echo", "1", "a"), _c(ECHO, "a", "1", "b>=2; extra == 'x'")]
    for version, fits in (("2", True), ("1", False)):
        guard = Source("g", "i", canonicalize_name("guard"), parse_provided({"b": version}))
        assert (not _decide(installed, [_c(guard, "guard", "1", "a[x]")]).conflicts) is fits


def test_a_marker_on_the_patch_release_counts_only_where_every_release_agrees() -> None:
    for bound in ("< '3.12.3'", ">= '3.12.3'"):
        new = [_c(ECHO, "echo", "1", f"dep<1; python_full_version {bound}"), _c(ECHO, "dep", "2")]
        assert not _decide([], new).conflicts
    new = [_c(ECHO, "echo", "1", "dep<1; python_full_version >= '3.12'"), _c(ECHO, "dep", "2")]
    assert _decide([], new).conflicts


@pytest.mark.parametrize("marker", ["os_name ~= 'x'", "'x' in extras", "python_version ~= 'y'"])
def test_a_marker_that_means_nothing_holds_nowhere(marker: str) -> None:
    assert not _decide([], [_c(ECHO, "echo", "1", f"dep; {marker}")]).conflicts


def test_overrides_of_one_name_may_differ_in_their_markers() -> None:
    overrides = parse_overrides(["dep<3; python_version<'3.12'", "dep<2; python_version>='3.12'"])
    source = Source("p", "i", canonicalize_name("p"), {}, overrides)
    assert not _decide([], [_c(source, "p", "1", "dep>=5"), _c(source, "dep", "1")]).conflicts
    assert _decide([], [_c(source, "p", "1", "dep>=5"), _c(source, "dep", "2")]).conflicts


def test_what_follows_from_another_conflict_is_not_told() -> None:
    installed = [_c(ECHO, "echo", "1", "a<2", "b<2"), _c(ECHO, "a", "1", "b<2"), _c(ECHO, "b", "1")]
    new = [_c(GUARD, "guard", "1", "a>=2"), _c(GUARD, "a", "2", "b>=2"), _c(GUARD, "b", "2")]
    assert [conflict.name for conflict in _decide(installed, new).conflicts] == ["a"]


@pytest.mark.parametrize(("others", "is_told"), [(62, False), (63, True)])
def test_of_more_than_64_conflicts_all_are_told(others: int, is_told: bool) -> None:
    names = ["a", *(f"x{number}" for number in range(others))]
    old = [_c(ECHO, "echo", "1", "b<2", *(f"{it}<2" for it in names)), _c(ECHO, "b", "1")]
    old += [_c(ECHO, it, "1", *(["b<2"] if it == "a" else [])) for it in names]
    new = [_c(GUARD, "guard", "1", *(f"{it}>=2" for it in names)), _c(GUARD, "b", "2")]
    new += [_c(GUARD, it, "2", *(["b>=2"] if it == "a" else [])) for it in names]
    told = {str(conflict.name) for conflict in _decide(old, new).conflicts}
    assert told == {*names, *(["b"] if is_told else [])}


def test_conflicts_that_have_nothing_to_do_with_each_other_are_all_told() -> None:
    installed = [
        _c(ECHO, "echo", "1", "a<2", "z<2"),
        _c(ECHO, "a", "1"),
        _c(ECHO, "z", "1"),
    ]
    new = [_c(GUARD, "guard", "1", "a>=2", "z>=2"), _c(GUARD, "a", "2"), _c(GUARD, "z", "2")]
    assert [conflict.name for conflict in _decide(installed, new).conflicts] == ["a", "z"]


def test_who_asks_for_what_shows_extras_and_addresses() -> None:
    new = [
        _c(ECHO, "echo", "1", "dep[x,a]>=3; python_version>'3'", "other @ https://e.com/o.whl"),
        _c(ECHO, "dep", "1"),
    ]
    (conflict,) = _decide([], new).conflicts
    assert conflict.demands[0].wanted == "dep[a,x]>=3"
    source = Source("p", "i", canonicalize_name("p"), {})
    (conflict,) = _decide([], [_c(source, "p", "1", "other @ https://e.com/o.whl")]).conflicts
    assert conflict.demands[0].wanted == "other @ https://e.com/o.whl"


def test_what_was_broken_before_is_not_this_providers_doing() -> None:
    installed = [_c(None, "old", "1", "dep>=9"), _c(None, "dep", "1")]
    assert not _decide(installed, [_c(GUARD, "guard", "1", "dep")]).conflicts


def test_what_was_missing_before_is_not_this_providers_doing_whatever_its_server_has() -> None:
    guard = Source("g", "i", canonicalize_name("guard"), parse_provided({"dep": "1"}))
    installed = [_c(ECHO, "echo", "1", "gone", "dep>=2")]
    decision = _decide(installed, [_c(guard, "guard", "1")])
    assert not decision.conflicts
    assert decision.install == ("guard",)


def test_a_providers_own_code_is_not_swapped_for_another_version() -> None:
    other = Source("echo-two", "img/echo:2", canonicalize_name("echo"))
    decision = _decide([_c(ECHO, "echo", "1")], [_c(other, "echo", "2")])
    assert decision.conflicts[0].render() == (
        "echo: 1 is installed, this image brings 2\n"
        "  provider 'acme-echo' (image: img/echo:1) needs echo==1\n"
        "  provider 'echo-two' (image: img/echo:2) needs echo==2"
    )


def test_two_providers_from_one_package_share_it() -> None:
    other = Source("echo-two", "img/echo:1", canonicalize_name("echo"))
    decision = _decide([_c(ECHO, "echo", "1")], [_c(other, "echo", "1")])
    assert decision.keep == {"echo": Version("1")}


def test_a_provided_version_that_is_none_is_left_out() -> None:
    found = parse_provided({"a": "1", "b": "not a version", "c": "2"})
    assert found == {"a": (Version("1"),), "c": (Version("2"),)}


def test_several_servers_versions_are_separated_by_commas() -> None:
    found = parse_provided({"a": "1, 2.0"})
    assert found == {"a": (Version("1"), Version("2.0"))}
    assert shown_versions(found[canonicalize_name("a")]) == "1, 2.0"


# worlds of four names in three versions, where nothing is provided: all must be in the tree
_NAMES = ("a", "b", "c", "d")
_REQUIREMENTS = st.tuples(
    st.sampled_from(_NAMES), st.sampled_from(["", ">=2", "<2", "<3", "==2", "!=2"])
).map("".join)
_PACKAGES = st.dictionaries(
    st.sampled_from(_NAMES),
    st.tuples(st.sampled_from("123"), st.lists(_REQUIREMENTS, max_size=2)),
    max_size=4,
)
_IMAGES = st.lists(st.tuples(_PACKAGES, st.lists(_REQUIREMENTS, max_size=3)), max_size=4)


def _broken(tree: Mapping[str, Candidate]) -> list[str]:
    """What is not satisfied in a tree, by a reading of the requirements of its own."""
    return [
        f"{item.name} needs {requirement}"
        for item in tree.values()
        for requirement in item.requires
        if requirement.name not in tree
        or str(tree[requirement.name].version) not in requirement.specifier
    ]


@given(_IMAGES)
@settings(max_examples=150, deadline=None)
def test_what_is_installed_is_satisfied_and_kept_where_it_can_be(
    images: list[tuple[dict[str, tuple[str, list[str]]], list[str]]],
) -> None:
    tree: dict[str, Candidate] = {}
    for number, (packages, requires) in enumerate(images):
        own = f"own-{number}"
        source = Source(own, "image", canonicalize_name(own), {})
        new = [_c(source, own, "1", *requires)]
        new += [_c(source, name, version, *more) for name, (version, more) in packages.items()]
        decision = _decide(list(tree.values()), new)
        brought: dict[str, Candidate] = {item.name: item for item in new}
        kept = {**brought, **tree}
        if decision.conflicts:
            assert _broken(kept)
            assert all(conflict.demands for conflict in decision.conflicts)
            continue
        if not _broken(kept):
            assert not decision.replace
        tree.update((str(name), brought[name]) for name in (*decision.install, *decision.replace))
        assert not _broken(tree)
