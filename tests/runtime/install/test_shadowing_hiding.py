"""Which modules hide one of the server's, and that Python finds them so."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from lls_provider.errors import Code, SdkError
from lls_provider.runtime.install.shadowing import (
    ShadowingModules,
    hidden_modules,
    outermost,
    recorded_modules,
    server_modules,
    shadowing_modules,
)
from lls_provider.runtime.merge import merge
from lls_provider.runtime.preflight.preflight import preflight
from lls_provider.runtime.wheelfile.wheel import read_wheel

PKGUTIL = "__path__ = __import__('pkgutil').extend_path(__path__, __name__)\n"


def test_outermost_modules_are_found_at_any_depth() -> None:
    paths = [
        "one.py",
        "two.cpython-312-x86_64-linux-gnu.so",
        "three/__init__.py",
        "three/inner.py",
        "four/part/__init__.py",
        "four/part/deep.py",
        "four/lone.py",
        "five/data.txt",
        "not-a-name/file.py",
        "tests/__init__.py",
        "tests/test_one.py",
        "setup.py",
        "__main__.py",
    ]
    assert outermost(paths) == {"one", "two", "three", "four.part", "four.lone"}
    assert outermost(paths, ["three"]) == {"one", "two", "three.inner", "four.part", "four.lone"}


def test_a_record_tells_modules_whatever_else_it_holds() -> None:
    record = '../../bin/x,,\n"a,b.py",,\npkg/__init__.py,sha256=x,1\npkg-1.dist-info/RECORD,,\n'
    assert recorded_modules(record) == {"pkg"}


CASES: list[tuple[dict[str, str], dict[str, str], list[str]]] = [
    ({"yaml.py": ""}, {"yaml/__init__.py": ""}, ["yaml"]),
    ({"yaml/__init__.py": ""}, {"yaml.py": ""}, ["yaml"]),
    ({"six.py": ""}, {"six.py": ""}, ["six"]),
    ({"yaml/extra.py": ""}, {"yaml/__init__.py": ""}, []),
    ({"yaml2.py": ""}, {"yaml.py": ""}, []),
    ({"ns/one.py": ""}, {"ns/two.py": ""}, []),
    ({"ns/one.py": ""}, {"ns/one.py": ""}, ["ns.one"]),
    ({"ns/sub/one.py": ""}, {"ns/sub/one/__init__.py": ""}, ["ns.sub.one"]),
    ({"ns/sub/__init__.py": ""}, {"ns/sub/one.py": ""}, ["ns.sub"]),
    ({"ns/__init__.py": ""}, {"ns/one.py": ""}, ["ns"]),
    ({"ns/__init__.py": PKGUTIL, "ns/two.py": ""}, {"ns/one.py": ""}, []),
    (
        {"ns/__init__.py": PKGUTIL, "ns/two.py": ""},
        {"ns/__init__.py": PKGUTIL, "ns/one.py": ""},
        [],
    ),
    ({"ns/__init__.py": PKGUTIL, "ns/one.py": ""}, {"ns/one.py": ""}, ["ns.one"]),
    ({"tests/__init__.py": ""}, {"tests/__init__.py": ""}, []),
    ({"yaml.pyi": "", "yaml/py.typed": ""}, {"yaml.py": ""}, []),
]


@pytest.mark.parametrize(("front", "behind", "expected"), CASES)
def test_what_is_hidden_is_what_real_python_does_not_find(
    tmp_path: Path,
    make_wheel: Callable[..., Path],
    front: Mapping[str, str],
    behind: Mapping[str, str],
    expected: list[str],
) -> None:
    wheel = read_wheel(make_wheel("other", files=front))
    server = server_modules([("real", "2.0", outermost(behind))])
    found = list(hidden_modules([shadowing_modules(wheel)], server, 12))
    assert [it.module for it in found] == expected
    assert all(
        str(it) == f"other 1.0 puts '{it.module}' in front of that of the server's real 2.0"
        for it in found
    )
    for folder, files in (("front", front), ("behind", behind)):
        for path, source in files.items():
            (tmp_path / folder / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / folder / path).write_text(source)
    imported = [
        path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
        for path in behind
        if path.endswith(".py") and not path.startswith("tests") and behind[path] != PKGUTIL
    ]
    code = (
        f"import importlib, sys\nfor n in {imported!r}: print(importlib.import_module(n).__file__)"
    )
    env = {"PYTHONPATH": f"{tmp_path / 'front'}:{tmp_path / 'behind'}"}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True)
    reached = done.returncode == 0 and f"{tmp_path}/front/" not in done.stdout
    assert reached is not bool(expected)


def test_the_same_distribution_is_bundled_on_purpose() -> None:
    server = server_modules([("pyyaml", "6.0", ["yaml"]), ("fork", "1", ["yaml"])])
    assert not list(
        hidden_modules(
            [ShadowingModules("pyyaml", "5.4", ["yaml/__init__.py"], lambda _: b"")], server, 12
        )
    )


@pytest.mark.parametrize("module", ["json", "uuid", "enum", "typing", "asyncio", "sitecustomize"])
def test_a_module_of_python_is_hidden_too(module: str) -> None:
    found = [
        str(it)
        for it in hidden_modules(
            [ShadowingModules("a", "1", [f"{module}.py"], lambda _: b"")], {}, 12
        )
    ]
    told = [f"a 1 puts '{module}' in front of the standard library's"]
    assert found == (told if module != "sitecustomize" else [])


@pytest.mark.parametrize("module", ["test", "argparse", "audioop", "turtle"])
def test_what_no_server_misses_is_no_fault(module: str) -> None:
    assert not list(
        hidden_modules(
            [ShadowingModules("a", "1", [f"{module}/__init__.py"], lambda _: b"")], {}, 13
        )
    )


@pytest.mark.parametrize(
    ("files", "whose"),
    [
        ({"yaml.py": "raise SystemExit(0)"}, "that of the server's pyyaml "),
        ({"packaging/__init__.py": ""}, "that of the server's packaging "),
        ({"json.py": "raise SystemExit(0)"}, "the standard library's"),
    ],
)
def test_preflight_names_both_packages(
    pod: Any,
    make_bundle: Callable[..., Path],
    make_wheel: Callable[..., Path],
    files: Mapping[str, str],
    whose: str,
) -> None:
    pod.install(make_bundle(dependencies=[make_wheel("bad", files=files)]))
    base = Path(pod.root) / "base-config" / "run.yaml"
    base.parent.mkdir(parents=True)
    base.write_text("version: 2\n")
    with pytest.raises(SdkError) as caught:
        preflight(merge(pod.root).path, root=pod.root)
    assert caught.value.code is Code.MODULE_HIDDEN
    module = next(iter(files)).partition("/")[0].removesuffix(".py")
    text = caught.value.render()
    assert text.startswith(
        "ERROR: Provider validation failed\n\nProvider: acme-echo\nModule: acme_echo\n"
        "Reason: A module of the provider would hide one of the server\n\nImage: "
    )
    assert f"\nbad 1.0 puts '{module}' in front of {whose}" in text
    assert "\n\nResolution: Rename the module, or leave the package out" in text


def test_preflight_lets_namespaces_and_stray_folders_pass(
    pod: Any, make_bundle: Callable[..., Path], make_wheel: Callable[..., Path]
) -> None:
    files = {"tests/__init__.py": "", "test/__init__.py": "", "yaml/portion.py": ""}
    pod.install(make_bundle(dependencies=[make_wheel("odd", files=files)]))
    base = Path(pod.root) / "base-config" / "run.yaml"
    base.parent.mkdir(parents=True)
    base.write_text("version: 2\n")
    assert len(preflight(merge(pod.root).path, root=pod.root)) == 1


def test_a_record_that_is_no_table_tells_nothing() -> None:
    assert recorded_modules('"' + "x" * 200_000) == frozenset()


def test_what_many_distributions_leave_beside_their_package_is_nobodys() -> None:
    assert [*server_modules([("a", "1", ["tests", "docs.conf", "a"])])] == ["a"]


def test_what_a_wheel_has_not_got_reads_as_empty(make_wheel: Callable[..., Path]) -> None:
    front = shadowing_modules(read_wheel(make_wheel("x", files={"x/__init__.py": "A = 1"})))
    assert front.read("x/__init__.py") == b"A = 1"
    assert front.read("y/__init__.py") == b""
