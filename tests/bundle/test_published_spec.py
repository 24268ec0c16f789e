"""What a published package provides: what flags leave, what is run, what is read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lls_provider.bundle.assemble import on_this_machine
from lls_provider.bundle.bundle import Bundle, BundleOptions
from lls_provider.bundle.published import SpecFlags, bundle_published, choose_spec
from lls_provider.bundle.static_spec import StaticSpec
from lls_provider.bundle.trial import Trial
from lls_provider.errors import Code, SdkError

pytestmark = pytest.mark.slow

OWN = Path("acme-1.0.0-py3-none-any.whl")
A = StaticSpec("acme", "safety", "remote::a")
B = StaticSpec("acme", "safety", "remote::b")
C = StaticSpec("acme.inner", "eval", "remote::b")


def test_the_only_spec_is_chosen() -> None:
    assert choose_spec([A, A], OWN) == A


def test_flags_choose_among_several() -> None:
    assert choose_spec([A, B, C], OWN, SpecFlags(provider_type="remote::a")) == A
    assert choose_spec([A, B, C], OWN, SpecFlags(api="eval")) == C
    assert choose_spec([A, B, C], OWN, SpecFlags(module="acme", provider_type="remote::b")) == B


def test_flags_that_say_everything_need_no_spec() -> None:
    chosen = choose_spec([], OWN, SpecFlags(module="m", api="safety", provider_type="remote::x"))
    assert chosen == StaticSpec("m", "safety", "remote::x")


def test_several_types_are_listed_with_the_flags_that_choose_them() -> None:
    with pytest.raises(SdkError) as caught:
        choose_spec([A, B, C], OWN)
    assert caught.value.code is Code.USAGE
    text = caught.value.render()
    assert "--module acme --api safety --provider-type remote::a" in text
    assert "--module acme.inner --api eval --provider-type remote::b" in text


def test_flags_that_leave_nothing_show_what_there_is() -> None:
    with pytest.raises(SdkError) as caught:
        choose_spec([A], OWN, SpecFlags(provider_type="remote::z"))
    assert caught.value.code is Code.USAGE
    assert "remote::a" in caught.value.render()


def test_a_package_without_provider_is_told() -> None:
    with pytest.raises(SdkError) as caught:
        choose_spec([], OWN, SpecFlags(api="safety"))
    assert caught.value.code is Code.MODULE_MISSING


@pytest.mark.parametrize(
    ("modules", "chosen"),
    [
        (["acme", "acme.inline"], "acme"),
        (["acme.inline", "acme", "acme.inline.deep"], "acme"),
        (["acme.x", "acme.x.y"], "acme.x"),
    ],
)
def test_one_provider_that_an_outer_package_offers_too_is_packaged_from_there(
    modules: list[str], chosen: str
) -> None:
    specs = [StaticSpec(module, "eval", "inline::a") for module in modules]
    assert choose_spec(specs, OWN).module == chosen
    inner = modules[-1]
    assert choose_spec(specs, OWN, SpecFlags(module=inner)).module == inner


@pytest.mark.parametrize(
    "modules", [["acme.x", "acme.y"], ["acme", "acmeother"], ["acme.x", "acme.xy"]]
)
def test_modules_beside_each_other_are_asked_about(modules: list[str]) -> None:
    with pytest.raises(SdkError, match="holds 2 provider types"):
        choose_spec([StaticSpec(module, "eval", "inline::a") for module in modules], OWN)


def test_what_may_be_more_is_not_chosen_from_unasked() -> None:
    with pytest.raises(SdkError) as caught:
        choose_spec([A], OWN, complete=False, unread=["More is made."])
    assert caught.value.code is Code.USAGE
    assert "--provider-type remote::a\nMore is made." in caught.value.why
    assert "--distribution" in caught.value.resolution
    assert choose_spec([A], OWN, SpecFlags(provider_type="remote::a"), complete=False) == A


# types that only running it says, and one that can be read
SEVERAL = """\
import os
class Config: ...
class RemoteProviderSpec:
    def __init__(self, api, provider_type):
        self.api, self.provider_type = api, provider_type
        self.module, self.config_class = "acme", Config
def get_provider_spec():
    if count := os.environ.get("ACME_COUNT"):
        with open(count, "a") as stream:
            stream.write("loaded ")
    return [RemoteProviderSpec("safety", f"remote::{name}") for name in "ab"] + [
        RemoteProviderSpec(api="eval", provider_type="remote::c")
    ]
"""
INIT = "async def get_adapter_impl(config, deps): ...\n"

Make = Callable[..., Bundle]


@pytest.fixture
def packaged(server: Any, offer: Any, make_wheel: Any, recorder: Any, tmp_path: Path) -> Make:
    """Packages ``acme==1.0.0`` of these sources, beside the server unless given otherwise."""

    def make(
        source: str = SEVERAL,
        package: str = "acme==1.0.0",
        *,
        beside: bool = True,
        init: str = INIT,
        trial: Trial | None = None,
        fields: Any = (),
        others: Any = (),
        files: dict[str, str] | None = None,
        **asked: Any,
    ) -> Bundle:
        files = files or {"acme/__init__.py": init, "acme/provider.py": source}
        offer(make_wheel("acme", files=files, fields=fields), *others)
        (bundle,) = bundle_published(
            package,
            on_this_machine(tmp_path / "out"),
            BundleOptions([server] if beside else [], trial=trial or Trial()),
            flags=SpecFlags(**asked),
            progress=recorder,
        )
        return bundle

    return make


def test_types_that_only_running_tells_are_listed(packaged: Make, tmp_path: Path) -> None:
    with pytest.raises(SdkError, match="holds 3 provider types") as caught:
        packaged()
    assert [line.split()[-1] for line in caught.value.why.splitlines()[1:]] == [
        "remote::c",
        "remote::a",
        "remote::b",
    ]
    assert not (tmp_path / "out").exists()


def test_without_a_server_one_of_several_is_not_taken_for_all(packaged: Make) -> None:
    with pytest.raises(SdkError, match="may hold more provider types than can be read") as caught:
        packaged(beside=False)
    assert "--distribution" in caught.value.resolution


def test_one_that_can_be_read_is_packaged_when_it_is_named(packaged: Make) -> None:
    bundle = packaged(beside=False, provider_type="remote::c")
    assert (bundle.metadata.api, bundle.metadata.package_name) == ("eval", "acme")


@pytest.mark.parametrize(("provider_type", "loads"), [("remote::a", 1), ("remote::b", 2)])
def test_the_first_type_is_loaded_once(
    packaged: Make, tmp_path: Path, provider_type: str, loads: int
) -> None:
    """Of another the classes are not loaded when the package reports its types."""
    count = tmp_path / "count"
    trial = Trial(environment={"ACME_COUNT": str(count)})
    bundle = packaged(trial=trial, provider_type=provider_type)
    assert bundle.metadata.provider_type == provider_type
    assert count.read_text().split() == ["loaded"] * loads


def test_a_module_behind_one_that_ends_the_process_is_asked_too(packaged: Make) -> None:
    """And one process serves for all that do not."""
    files = {
        "acme/__init__.py": INIT,
        "acme/provider.py": "import os\nos._exit(3)\n",
        "acme/one/__init__.py": "",
        "acme/one/provider.py": SEVERAL,
    }
    with pytest.raises(SdkError, match="holds 3 provider types") as caught:
        packaged(files=files)
    assert "--module acme.one --api safety --provider-type remote::a" in caught.value.why


def test_a_type_that_it_does_not_return_is_refused(packaged: Make) -> None:
    with pytest.raises(SdkError, match="does not load") as caught:
        packaged(module="acme", api="safety", provider_type="remote::z")
    assert "remote::a, remote::b" in caught.value.why
    assert "Correct --module, --api and --provider-type" in caught.value.resolution


def test_why_it_does_not_tell_is_told(packaged: Make) -> None:
    with pytest.raises(SdkError, match="does not say what it provides") as caught:
        packaged("import module_of_nobody\n")
    assert caught.value.why.startswith("acme does not load beside python:")
    assert caught.value.why.endswith("No module named 'module_of_nobody'")
    assert "does not depend on what provides 'module_of_nobody'" in caught.value.resolution
    assert "--allow-failure" in caught.value.resolution


def test_a_dependency_that_lost_a_module_is_named_with_its_version(
    packaged: Make, make_wheel: Any
) -> None:
    with pytest.raises(SdkError) as caught:
        packaged(
            "import acme_dep.lost\n",
            fields=["Requires-Dist: acme-dep"],
            others=[make_wheel("acme-dep", "2.0")],
        )
    assert caught.value.resolution.startswith(
        "acme-dep 2.0, which goes into the image, has no such module. Ask for a version that has "
        "it, with --override, such as 'acme-dep<2.0'."
    )


def test_what_it_lacks_is_not_for_the_reader_to_add(packaged: Make) -> None:
    with pytest.raises(SdkError, match="does not load beside") as caught:
        packaged(init="import module_of_nobody\n", provider_type="remote::c")
    assert "does not depend on what provides 'module_of_nobody'" in caught.value.resolution
    assert "after --package" in caught.value.resolution


def test_a_package_without_provider_py_is_no_provider(packaged: Make) -> None:
    with pytest.raises(SdkError, match=r"has no package with provider\.py") as caught:
        packaged(files={"acme/__init__.py": ""})
    assert caught.value.code is Code.MODULE_MISSING


def test_extras_bring_what_they_need(packaged: Make, make_wheel: Any) -> None:
    fields = ["Provides-Extra: big_GPU", "Requires-Dist: dep; extra == 'big_GPU'"]
    bundle = packaged(
        package="acme[big-gpu]==1.0.0",
        provider_type="remote::a",
        fields=fields,
        others=[make_wheel("dep")],
    )
    assert [it.name for it in bundle.wheels] == [
        "acme-1.0.0-py3-none-any.whl",
        "dep-1.0.0-py3-none-any.whl",
    ]


def test_an_extra_that_there_is_not_is_refused(packaged: Make) -> None:
    """A resolver passes over it with a warning that is easily missed."""
    with pytest.raises(SdkError, match="acme has no extra cpu") as caught:
        packaged(package="acme[cpu,gpu]==1.0.0", fields=["Provides-Extra: gpu"])
    assert caught.value.code is Code.USAGE
    assert "has: gpu" in caught.value.why


@pytest.mark.parametrize("resolves", [True, False])
def test_a_package_for_another_way_of_loading_is_told_as_that(
    packaged: Make, resolves: bool
) -> None:
    """Before its closure is looked into, since nothing would help."""
    folder = "resources/external_providers"
    files = {
        "acme/__init__.py": "",
        **{f"{folder}/inline/safety/{it}.yaml": "module: acme\n" for it in ("a", "b", "c")},
        f"{folder}/remote/vector_io/d.yml": "module: acme\n",
        f"{folder}/remote/nothing/e.yaml": "",
        "acme/remote/safety/code.py": "",
    }
    with pytest.raises(SdkError) as caught:
        packaged(files=files, fields=[] if resolves else ["Requires-Dist: nowhere"])
    error = caught.value
    assert error.code is Code.MODULE_MISSING
    assert error.what == (
        "acme-1.0.0-py3-none-any.whl has no get_provider_spec(), only YAML files for a server's "
        "external_providers_dir"
    )
    assert "inline/safety/a.yaml, " in error.why
    assert " and 1 more. " in error.why
    assert "add a module provider.py" in error.resolution


def test_a_package_that_is_no_provider_is_told_before_what_does_not_resolve(
    packaged: Make,
) -> None:
    with pytest.raises(SdkError, match=r"has no package with provider\.py"):
        packaged(files={"acme/__init__.py": ""}, fields=["Requires-Dist: nowhere"])
