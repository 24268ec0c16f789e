"""One path, several distributions: the rule, on a real volume and with real imports."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lls_provider.errors import Code, SdkError
from lls_provider.runtime.volume.volume import recorded_files

MakeBundle = Callable[..., Path]
MakeWheel = Callable[..., Path]

PKGUTIL = "__path__ = __import__('pkgutil').extend_path(__path__, __name__)\n"
OTHER_PKGUTIL = (
    "# a comment\nfrom pkgutil import extend_path\n__path__ = extend_path(__path__, __name__)\n"
)


def _import(pod: Any, code: str, *behind: Path) -> str:
    path = ":".join(map(str, (pod.packages, *behind)))
    return subprocess.run(
        [sys.executable, "-B", "-c", code],
        env={"PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()


def _refused(pod: Any, source: Path, provider_id: str = "acme-guard") -> str:
    before = pod.snapshot()
    with pytest.raises(SdkError) as caught:
        pod.install(source, provider_id)
    assert caught.value.code is Code.DEPENDENCY_CONFLICT
    assert pod.snapshot() == before
    return caught.value.why


def _recorded(pod: Any, dist_info: str) -> list[str]:
    return recorded_files(pod.packages / dist_info)


def test_equal_content_belongs_to_all_and_stays_while_one_needs_it(
    pod: Any, make_bundle: MakeBundle, make_wheel: MakeWheel
) -> None:
    dep = make_wheel("dep", "1", {"ns/shared.py": "x = 1", "ns/a.py": ""})
    pod.install(make_bundle(dependencies=[dep], requires=["dep"]))
    tool = make_wheel("tool", "1", {"ns/shared.py": "x = 1", "ns/b.py": ""})
    assert not pod.install(
        make_bundle("acme-guard", dependencies=[tool]), "acme-guard"
    ).plan.warnings
    assert "ns/shared.py" in _recorded(pod, "tool-1.dist-info")
    newer = make_wheel("dep", "2", {"ns/a.py": "2"})
    pod.install(make_bundle("acme-store", requires=["dep>=2"], dependencies=[newer]), "acme-store")
    assert _import(pod, "import ns.a, ns.b, ns.shared; print(ns.shared.x)") == "1"


def test_of_different_content_the_installed_one_stays_and_both_owners_are_named(
    pod: Any, make_bundle: MakeBundle, make_wheel: MakeWheel
) -> None:
    pod.install(make_bundle(dependencies=[make_wheel("dep", "1", {"ns/data.txt": "old"})]))
    tool = make_wheel("tool", "3", {"ns/data.txt": "new"})
    plan = pod.install(make_bundle("acme-guard", dependencies=[tool]), "acme-guard").plan
    assert plan.warnings == (
        (
            "ns/data.txt of tool 3 is not installed: dep 1 of provider 'acme-echo' (image: "
            "registry.example.com/acme-echo:1.0) has installed it in different content, which stays"
        ),
    )
    assert (pod.packages / "ns" / "data.txt").read_text() == "old"
    assert "ns/data.txt" not in _recorded(pod, "tool-3.dist-info")


def test_what_nobody_recorded_stays_too(pod: Any, make_bundle: MakeBundle) -> None:
    (pod.packages / "acme_echo").mkdir(parents=True)
    (pod.packages / "acme_echo" / "data.txt").write_text("theirs")
    files = {"acme_echo/provider.py": "", "acme_echo/data.txt": "ours"}
    (warning,) = pod.install(make_bundle(files=files)).plan.warnings
    assert warning.startswith("acme_echo/data.txt of acme-echo 1.0 is not installed: someone else")


def test_the_provider_comes_before_its_dependencies_then_names_decide(
    pod: Any, make_bundle: MakeBundle, make_wheel: MakeWheel
) -> None:
    wheels = [
        make_wheel("aaa", "1", {"acme_echo/tool.py": "aaa", "ns/x.txt": "aaa"}),
        make_wheel("bbb", "1", {"ns/x.txt": "bbb"}),
    ]
    files = {"acme_echo/provider.py": "", "acme_echo/tool.py": "own"}
    plan = pod.install(make_bundle(files=files, dependencies=wheels)).plan
    assert (pod.packages / "acme_echo" / "tool.py").read_text() == "own"
    assert (pod.packages / "ns" / "x.txt").read_text() == "aaa"
    assert plan.warnings == (
        (
            "acme_echo/tool.py comes with acme-echo 1.0 and aaa 1 in different content; "
            "that of acme-echo is installed"
        ),
        "ns/x.txt comes with aaa 1 and bbb 1 in different content; that of aaa is installed",
    )


def test_an_installed_provider_keeps_its_modules_against_anothers_dependency(
    pod: Any, make_bundle: MakeBundle, make_wheel: MakeWheel
) -> None:
    pod.install(make_bundle(files={"acme_echo/provider.py": "mine = 1"}))
    thief = make_wheel("thief", "1", {"acme_echo/provider.py": "mine = 2"})
    (warning,) = pod.install(
        make_bundle("acme-guard", dependencies=[thief]), "acme-guard"
    ).plan.warnings
    assert "thief 1 is not installed: acme-echo 1.0 of provider 'acme-echo'" in warning
    assert _import(pod, "import acme_echo.provider as p; print(p.mine)") == "1"


@pytest.mark.parametrize("path", ["shared/provider.py", "shared/__init__.py", "shared/fast.so"])
def test_a_provider_does_not_run_the_modules_of_another(
    pod: Any, make_bundle: MakeBundle, path: str
) -> None:
    pod.install(make_bundle(files={"acme_echo/provider.py": "", path: "x = 1"}))
    files = {"acme_guard/provider.py": "", path: "x = 2"}
    assert _refused(pod, make_bundle("acme-guard", files=files)) == (
        f"{path}: acme-guard 1.0 is the provider itself and brings this module, acme-echo 1.0 of "
        "provider 'acme-echo' (image: registry.example.com/acme-echo:1.0) has installed another one"
    )


def test_a_provider_that_is_there_in_the_same_version_must_be_the_same_code(
    pod: Any, make_bundle: MakeBundle
) -> None:
    """Images of one package that were built twice without a new version."""
    files = {"acme_echo/provider.py": "x = 1", "acme_echo/words.txt": "one"}
    pod.install(make_bundle(files=files))
    assert not pod.install(make_bundle(files=files), "acme-guard").plan.warnings
    other = make_bundle(files={**files, "acme_echo/provider.py": "x = 2"})
    assert _refused(pod, other, "acme-store") == (
        "acme_echo/provider.py: acme-echo 1.0 is the provider itself and brings this module, "
        "acme-echo 1.0 of provider 'acme-echo' (image: registry.example.com/acme-echo:1.0) has "
        "installed another one"
    )
    more = make_bundle(files={**files, "acme_echo/more.py": ""})
    assert _refused(pod, more, "acme-store") == (
        "acme_echo/more.py: acme-echo 1.0 is the provider itself and brings this module, "
        "acme-echo 1.0 of provider 'acme-echo' (image: registry.example.com/acme-echo:1.0) has "
        "installed none"
    )
    words = make_bundle(files={**files, "acme_echo/words.txt": "two"})
    (warning,) = pod.install(words, "acme-store").plan.warnings
    assert warning.startswith(
        "acme_echo/words.txt of acme-echo 1.0 is not installed: acme-echo 1.0"
    )
    assert (pod.packages / "acme_echo" / "words.txt").read_text() == "one"


@pytest.mark.parametrize(
    ("first", "second", "warned"),
    [
        ("", "# only a comment\n", False),
        ('"""Acme."""\n', "", False),
        (PKGUTIL, OTHER_PKGUTIL, False),
        (PKGUTIL, "", True),
        ("", PKGUTIL, True),
        ("x = 1\n", "x = 1  # the same\n", False),
    ],
)
def test_a_shared_init_that_means_the_same_is_no_false_alarm(
    pod: Any, make_bundle: MakeBundle, first: str, second: str, warned: bool
) -> None:
    pod.install(make_bundle(files={"acme/__init__.py": first, "acme/echo/provider.py": "x = 1"}))
    guard = {"acme/__init__.py": second, "acme/guard/provider.py": "x = 2"}
    plan = pod.install(make_bundle("acme-guard", files=guard), "acme-guard").plan
    assert bool(plan.warnings) is warned
    assert (pod.packages / "acme" / "__init__.py").read_text() == first
    code = "import acme.echo.provider as e, acme.guard.provider as g; print(e.x, g.x)"
    assert _import(pod, code) == "1 2"


def test_a_file_here_and_a_folder_there_are_told_before_anything_is_written(
    pod: Any, make_bundle: MakeBundle, make_wheel: MakeWheel
) -> None:
    pod.install(make_bundle(dependencies=[make_wheel("dep", "1", {"ns": "", "data/x/y.txt": ""})]))
    tool = make_wheel("tool", "1", {"ns/deep/a.py": "", "ns/deep/b.py": "", "data/x": ""})
    assert _refused(pod, make_bundle("acme-guard", dependencies=[tool])).splitlines() == [
        (
            "ns/deep/a.py of tool 1: ns is a file that dep 1 of provider 'acme-echo' (image: "
            "registry.example.com/acme-echo:1.0) has installed"
        ),
        "data/x of tool 1: data/x is a directory on the volume",
    ]
    other = make_wheel("other", "1", {"tree/x.py": "", "leaf": ""})
    more = make_wheel("zzz", "1", {"tree": "", "leaf/x.py": ""})
    assert _refused(pod, make_bundle("acme-guard", dependencies=[other, more])).splitlines() == [
        "tree of zzz 1: tree is a directory of other 1",
        "leaf/x.py of zzz 1: leaf is a file of other 1",
    ]


def test_what_a_replaced_version_wrote_is_free_again(
    pod: Any, make_bundle: MakeBundle, make_wheel: MakeWheel
) -> None:
    old = make_wheel("dep", "1", {"dep/__init__.py": "v = 1", "dep/old.py": ""})
    pod.install(make_bundle(requires=["dep"], dependencies=[old]))
    new = make_wheel("dep", "2", {"dep/__init__.py": "v = 2", "dep/old": ""})
    guard = make_bundle("acme-guard", requires=["dep>=2"], dependencies=[new])
    assert not pod.install(guard, "acme-guard").plan.warnings
    assert _import(pod, "import dep; print(dep.v)") == "2"


@pytest.mark.parametrize("init", [None, PKGUTIL])
def test_a_namespace_split_over_wheels_and_server_is_one(
    pod: Any, make_bundle: MakeBundle, make_wheel: MakeWheel, tmp_path: Path, init: str | None
) -> None:
    def files(module: str) -> dict[str, str]:
        return {f"ns/{module}.py": "", **({"ns/__init__.py": init} if init else {})}

    server = tmp_path / "server"
    for path, text in files("behind").items():
        (server / path).parent.mkdir(parents=True, exist_ok=True)
        (server / path).write_text(text)
    wheels = [make_wheel(f"ns-{name}", "1", files(name)) for name in ("a", "b")]
    pod.install(make_bundle(dependencies=wheels))
    guard = make_bundle("acme-guard", dependencies=[make_wheel("ns-c", "1", files("c"))])
    assert not pod.install(guard, "acme-guard").plan.warnings
    assert _import(pod, "import ns.a, ns.b, ns.c, ns.behind; print('ok')", server) == "ok"


def test_what_was_shared_is_as_in_a_clean_run_when_one_owner_goes(
    pod: Any,
    make_pod: Callable[[str], Any],
    make_bundle: MakeBundle,
    make_wheel: MakeWheel,
) -> None:
    shared = {"ns/__init__.py": PKGUTIL, "ns/shared.py": "x = 1"}
    echo = make_bundle(dependencies=[make_wheel("dep", "1", {**shared, "ns/a.py": ""})])
    tool = make_wheel("tool", "1", {**shared, "ns/__init__.py": OTHER_PKGUTIL, "ns/b.py": ""})
    newer = make_wheel("dep", "2", {"ns/shared.py": "x = 1", "ns/a.py": "2"})
    pod.install(echo)
    pod.install(
        make_bundle("acme-guard", requires=["dep>=2"], dependencies=[tool, newer]), "acme-guard"
    )
    assert _import(pod, "import ns.a, ns.b, ns.shared; print(ns.shared.x)") == "1"
    modest = make_bundle("acme-guard", version="2.0")
    pod.install(modest, "acme-guard")
    clean = make_pod("clean")
    clean.install(echo)
    clean.install(modest, "acme-guard")
    assert pod.snapshot() == clean.snapshot()


def test_a_file_that_is_no_module_may_be_missing_where_the_provider_stands_already(
    pod: Any, make_bundle: MakeBundle
) -> None:
    files = {"acme_echo/provider.py": "x = 1"}
    pod.install(make_bundle(files=files))
    more = make_bundle(files={**files, "acme_echo/words.txt": "one"})
    assert not pod.install(more, "acme-guard").plan.warnings
    assert not (pod.packages / "acme_echo" / "words.txt").exists()


def test_two_wheels_of_an_image_may_share_an_init_that_means_the_same(
    pod: Any, make_bundle: MakeBundle, make_wheel: MakeWheel
) -> None:
    one = make_wheel("ns-a", "1", {"ns/__init__.py": PKGUTIL, "ns/a.py": "x = 1"})
    two = make_wheel("ns-b", "1", {"ns/__init__.py": OTHER_PKGUTIL, "ns/b.py": "x = 2"})
    assert not pod.install(make_bundle(dependencies=[one, two])).plan.warnings
    assert "ns/__init__.py" in _recorded(pod, "ns_b-1.dist-info")
    assert _import(pod, "import ns.a, ns.b; print(ns.a.x, ns.b.x)") == "1 2"


def test_an_init_too_large_to_be_compared_is_told(
    pod: Any, make_bundle: MakeBundle, make_wheel: MakeWheel
) -> None:
    pod.install(make_bundle(dependencies=[make_wheel("dep", "1", {"ns/__init__.py": ""})]))
    large = make_wheel("tool", "1", {"ns/__init__.py": "#" * 2_000_000, "ns/b.py": ""})
    guard = make_bundle("acme-guard", dependencies=[large])
    (warning,) = pod.install(guard, "acme-guard").plan.warnings
    assert warning.startswith("ns/__init__.py of tool 1 is not installed")
