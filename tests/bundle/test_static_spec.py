"""Reading a provider's spec, vendor and address off its wheel."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from lls_provider.bundle.static_spec import (
    StaticSpec,
    declared_maintainer,
    declared_summary,
    declared_vendor,
    defines_spec,
    provider_modules,
    static_specs,
)
from lls_provider.errors import Code, SdkError

MakeWheel = Callable[..., Path]


@pytest.mark.parametrize(
    ("source", "api", "provider_type", "spec_module"),
    [
        pytest.param(
            """
            def get_provider_spec():
                return RemoteProviderSpec(
                    api=Api.eval,
                    provider_type="remote::trustyai_lmeval",
                    adapter_type="lmeval",
                    module="acme",
                )
            """,
            "eval",
            "remote::trustyai_lmeval",
            "acme",
            id="today",
        ),
        pytest.param(
            """
            def get_provider_spec():
                return remote_provider_spec(
                    api=Api.post_training,
                    adapter=AdapterSpec(adapter_type="instructlab_kft", module="kft_adapter"),
                )
            """,
            "post_training",
            "remote::instructlab_kft",
            "kft_adapter",
            id="servers up to 0.2",
        ),
        pytest.param(
            """
            TYPE = "inline::acme-filter"
            LOOP = LOOP
            async def get_provider_impl(config, deps): ...
            def get_provider_spec():
                return datatypes.InlineProviderSpec(
                    api=datatypes.Api.safety, provider_type=TYPE, module=LOOP
                )
            """,
            "safety",
            "inline::acme-filter",
            "",
            id="constants and attributes",
        ),
        pytest.param(
            """
            SPEC = RemoteProviderSpec(api="inference", adapter_type="acme")
            def get_provider_spec():
                return SPEC
            """,
            "inference",
            "remote::acme",
            "",
            id="made at the top of the module",
        ),
        pytest.param(
            """
            def get_provider_spec():
                if OLD:
                    return RemoteProviderSpec(api=Api.safety, provider_type="remote::a")
                return RemoteProviderSpec(api=Api.safety.value, provider_type="remote::a")
            def get_shields_provider_spec():
                return RemoteProviderSpec(api=Api.shields, provider_type="remote::a")
            """,
            "safety",
            "remote::a",
            "",
            id="other functions are not asked",
        ),
    ],
)
def test_a_plain_spec_is_read(
    make_wheel: MakeWheel, source: str, api: str, provider_type: str, spec_module: str
) -> None:
    import textwrap

    wheel = make_wheel("acme", files={"acme/provider.py": textwrap.dedent(source)})
    assert static_specs(wheel) == (StaticSpec("acme", api, provider_type, spec_module),)


@pytest.mark.parametrize(
    "source",
    [
        "def get_provider_spec(): return make()",
        "def get_provider_spec(): return RemoteProviderSpec(**FIELDS)",
        "def get_provider_spec(): return RemoteProviderSpec(api=pick(), provider_type='remote::a')",
        "not python",
        "",
    ],
)
def test_what_only_running_could_tell_is_left_open(make_wheel: MakeWheel, source: str) -> None:
    assert static_specs(make_wheel("acme", files={"acme/provider.py": source})) == ()


def test_several_types_and_packages_are_all_told(make_wheel: MakeWheel) -> None:
    many = (
        "def get_provider_spec():\n"
        "    return [RemoteProviderSpec(api='safety', adapter_type='a'),\n"
        "            InlineProviderSpec(api='eval', provider_type='inline::b')]\n"
    )
    wheel = make_wheel(
        "acme",
        files={
            "acme/provider.py": many,
            "acme/inner/provider.py": "def get_provider_spec(): ...\n",
            "acme-data/provider.py": "x\n",
            "provider.py": "x\n",
        },
    )
    assert provider_modules(wheel) == ("acme", "acme.inner")
    assert [spec.provider_type for spec in static_specs(wheel)] == ["inline::b", "remote::a"]


def test_the_module_provider_may_be_a_package(make_wheel: MakeWheel) -> None:
    source = "def get_provider_spec(): return RemoteProviderSpec(api='eval', adapter_type='a')\n"
    files = {"acme/__init__.py": "", "acme/provider/__init__.py": source, "a-b/provider.py": source}
    wheel = make_wheel("acme", files=files)
    assert provider_modules(wheel) == ("acme",)
    assert static_specs(wheel) == (StaticSpec("acme", "eval", "remote::a"),)


@pytest.mark.parametrize(
    ("fields", "vendor"),
    [
        (["Maintainer: TrustyAI Developers", "Author: someone"], "TrustyAI Developers"),
        (["Author: Acme\n  Research"], "Acme Research"),
        (['Author-email: "Acme, Inc" <a@example.com>'], "Acme"),
        (["Author-email: Acme <a@example.com>, B <b@example.com>"], "Acme"),
        (["Author-email: a@example.com"], None),
        ([], None),
    ],
)
def test_the_vendor_is_who_made_it(
    make_wheel: MakeWheel, fields: list[str], vendor: str | None
) -> None:
    assert declared_vendor(make_wheel("acme", fields=fields)) == vendor


def test_summary_and_address_are_taken_over(make_wheel: MakeWheel) -> None:
    fields = ["Summary: Says it again", "Author-email: Acme <a@example.com>"]
    wheel = make_wheel("acme", fields=fields)
    assert declared_summary(wheel) == "Says it again"
    assert declared_maintainer(wheel) == "a@example.com"
    bare = make_wheel("acme")
    assert (declared_summary(bare), declared_maintainer(bare)) == (None, None)


def test_what_is_no_wheel_is_told(tmp_path: Path) -> None:
    path = tmp_path / "acme-1.0.0-py3-none-any.whl"
    for content in (None, b"no zip"):
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(SdkError) as caught:
            static_specs(path)
        assert caught.value.code is Code.WHEEL_NOT_ZIP


@pytest.mark.parametrize("nested", ["not ", "-", "("])
def test_a_module_nested_without_end_tells_nothing(make_wheel: MakeWheel, nested: str) -> None:
    wheel = make_wheel("acme", files={"acme/provider.py": "x = " + nested * 20_000 + "1\n"})
    assert static_specs(wheel) == ()


def test_a_member_that_cannot_be_parsed_may_define_the_function(tmp_path: Path) -> None:
    wheel = tmp_path / "it-1-py3-none-any.whl"
    wheel.write_bytes(b"no zip")
    assert defines_spec(wheel, "it/provider.py")
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("it/new.py", "def get_provider_spec(:\n")
        archive.writestr("it/large.py", b"#" * ((4 << 20) + 1))
        archive.writestr("it/without.py", "x = 1\n")
    assert all(defines_spec(wheel, f"it/{name}.py") for name in ("absent", "new", "large"))
    assert not defines_spec(wheel, "it/without.py")
