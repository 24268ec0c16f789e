"""The conflict rule, against the oracle that `tests.properties.conflicts` writes out."""

from __future__ import annotations

import random
from collections.abc import Sequence
from itertools import product

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from tests.properties.conflicts import VERSIONS, Image, Need, Oracle, Package

from lls_provider.runtime.install.conflict import Decision, decide
from lls_provider.runtime.target_python import TargetPython

pytestmark = pytest.mark.unmeasured

ENVIRONMENTS = TargetPython(12, "x86_64").environments()
NAMES = "abcd"
BEHIND = "z"  # which only a server has
World = tuple[list[Package], list[Package]]

versions = st.sampled_from(sorted(VERSIONS))
some_versions = st.frozensets(versions, max_size=3)
most_versions = st.frozensets(versions, min_size=1, max_size=3)
extras = st.frozensets(st.sampled_from("xy"), max_size=1)
needs = st.builds(
    Need,
    name=st.sampled_from([*NAMES, BEHIND]),
    allowed=most_versions,
    extras=extras,
    guard=st.sampled_from(["", "", "", "x", "y"]),
    holds=st.sampled_from([None, None, True, False]),
)


def images(provider: str) -> st.SearchStrategy[Image]:
    return st.builds(
        Image,
        provider=st.just(provider),
        own=st.sampled_from([provider, provider, "a"]),
        provided=st.none() | st.dictionaries(st.sampled_from([BEHIND, "d"]), some_versions),
        overrides=st.dictionaries(st.sampled_from(NAMES), most_versions, max_size=1),
    )


def packages(names: str | Sequence[str], image: Image | None) -> st.SearchStrategy[list[Package]]:
    one = {
        name: st.none()
        | st.builds(
            Package,
            name=st.just(name),
            version=versions,
            needs=st.lists(needs, max_size=2).map(tuple),
            image=st.just(image),
        )
        for name in names
    }
    return st.fixed_dictionaries(one).map(lambda it: [found for found in it.values() if found])


@st.composite
def worlds(draw: st.DrawFn) -> World:
    """What is installed, by two providers and someone else, and what a third one brings."""
    owners = [draw(images("p")), draw(images("q")), None]
    old: dict[str, Package] = {}
    for image in owners:
        names = [it for it in (*NAMES, *([image.own] if image else ())) if it not in old]
        old |= {it.name: it for it in draw(packages(sorted(set(names)), image))}
    image = draw(images("r"))
    own = Package(image.own, draw(versions), tuple(draw(st.lists(needs, max_size=3))), image)
    rest = [it for it in draw(packages(NAMES, image)) if it.name != own.name]
    return list(old.values()), [own, *rest]


def decided(old: Sequence[Package], new: Sequence[Package]) -> Decision:
    sources = {it.image.provider: it.image.source() for it in (*old, *new) if it.image is not None}
    return decide(
        [it.candidate(sources) for it in old],
        [it.candidate(sources) for it in new],
        ENVIRONMENTS,
    )


def tree_after(world: World, decision: Decision) -> dict[str, Package]:
    old, new = ({it.name: it for it in packages} for packages in world)
    taken = {*decision.install, *decision.replace}
    return {**old, **{name: it for name, it in new.items() if name in taken}}


@given(worlds())
def test_it_decides_as_the_contract_says(world: World) -> None:
    oracle, decision = Oracle(*world), decided(*world)
    chosen = oracle.choose()
    rejected = oracle.unsatisfied(chosen)
    assert bool(decision.conflicts) == bool(rejected)
    assert {str(it.name) for it in decision.conflicts} <= rejected
    if not rejected:
        assert tree_after(world, decision) == chosen
        old, new = oracle.old, oracle.new
        assert set(decision.install) == new.keys() - old.keys()
        kept = {name: str(version) for name, version in decision.keep.items()}
        assert kept == {
            name: str(old[name].version) for name in new if chosen[name] is old.get(name)
        }


@given(worlds(), st.randoms(use_true_random=False))
def test_no_order_changes_the_decision(world: World, order: random.Random) -> None:
    def shuffled(packages: Sequence[Package]) -> list[Package]:
        mixed = [
            Package(it.name, it.version, tuple(order.sample(it.needs, len(it.needs))), it.image)
            for it in packages
        ]
        return order.sample(mixed, len(mixed))

    first, second = decided(*world), decided(shuffled(world[0]), shuffled(world[1]))
    assert (first.install, first.replace, first.keep, first.used_overrides) == (
        *(second.install, second.replace, second.keep, second.used_overrides),
    )
    for one, other in zip(first.conflicts, second.conflicts, strict=True):
        assert (one.name, one.installed, one.new, one.fixed) == (
            *(other.name, other.installed, other.new, other.fixed),
        )
        assert {str(it) for it in one.demands} == {str(it) for it in other.demands}


@given(worlds())
def test_what_satisfies_everyone_is_kept(world: World) -> None:
    oracle = Oracle(*world)
    kept = {**oracle.new, **oracle.old}
    assume(
        all(it.version in ask.allowed for ask in oracle.asks(kept) if (it := kept.get(ask.name)))
    )
    assume(not oracle.unsatisfied(kept))
    decision = decided(*world)
    assert (decision.replace, decision.conflicts) == ((), ())


@given(worlds())
def test_where_no_choice_satisfies_everyone_it_fails(world: World) -> None:
    oracle = Oracle(*world)
    both = sorted(oracle.old.keys() & oracle.new.keys())
    possible = [
        {**oracle.new, **oracle.old, **dict(zip(both, choice, strict=True))}
        for choice in product(*((oracle.old[name], oracle.new[name]) for name in both))
    ]
    if not any(not oracle.unsatisfied(choice) for choice in possible):
        assert decided(*world).conflicts


@given(worlds())
def test_a_stranger_is_never_replaced(world: World) -> None:
    strangers = {it.name for it in world[0] if it.image is None}
    assert not strangers & set(decided(*world).replace)


@given(worlds())
def test_the_named_conflicts_explain_the_others_and_are_no_more_than_needed(world: World) -> None:
    oracle = Oracle(*world)
    rejected = oracle.rejected()
    if not rejected:
        return
    named = {str(it.name) for it in decided(*world).conflicts}
    assert not oracle.rejected(named) & rejected
    # those that stay in conflict although all others were solved
    roots = {name for name in rejected if name in oracle.rejected(rejected - {name})}
    assert roots <= named
    if roots and not oracle.rejected(roots) & rejected:
        assert named == roots


@given(worlds())
def test_the_same_image_again_changes_nothing(world: World) -> None:
    decision = decided(*world)
    assume(not decision.conflicts)
    again = decided(list(tree_after(world, decision).values()), world[1])
    assert (again.install, again.replace, again.conflicts) == ((), (), ())
