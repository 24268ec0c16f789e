from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lls_provider.errors import SdkError
from lls_provider.runtime.install import shadowing
from lls_provider.runtime.install.shadowing import (
    ServerModuleNames,
    front_modules,
    standard_library,
)
from lls_provider.runtime.wheelfile.wheel import read_wheel
from lls_provider.wheels.interpreter import find_interpreter

MakeBundle = Callable[..., Path]
MakeWheel = Callable[..., Path]


@pytest.mark.parametrize("minor", [11, 12, 13])
def test_the_standard_library_is_that_of_the_target(minor: int) -> None:
    try:
        python = find_interpreter(explicit=f"3.{minor}").path
    except SdkError:
        pytest.skip(f"no Python 3.{minor} here")
    code = "import sys; print('\\n'.join(sys.stdlib_module_names))"
    done = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True)
    public = {name for name in done.stdout.split() if not name.startswith("_")}
    assert {n for n in standard_library(minor) if not n.startswith("_")} == public | {"test"}


def test_a_module_that_left_the_standard_library_shadows_it_only_before(
    make_wheel: MakeWheel,
) -> None:
    wheel = read_wheel(make_wheel("audioop-lts", files={"audioop/__init__.py": ""}))
    assert list(shadowing.shadowing_warnings([wheel], 12, {})) == [
        "audioop-lts 1.0 puts 'audioop' in front of the standard library's"
    ]
    assert list(shadowing.shadowing_warnings([wheel], 13, {})) == []


def test_what_every_python_runs_at_its_start_is_told(
    make_wheel: MakeWheel, make_bundle: MakeBundle, pod: Any
) -> None:
    wheel = make_wheel("agent", files={"sitecustomize.py": "print('first')"})
    (warning,) = pod.install(make_bundle(dependencies=[wheel])).plan.warnings
    assert (
        warning == "agent 1.0 brings 'sitecustomize', which the server's Python runs at its start"
    )
    done = subprocess.run(
        [sys.executable, "-c", "print('second')"],
        env={"PYTHONPATH": str(pod.packages)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "first\nsecond\n"


def test_only_what_python_finds_first_is_in_front(make_wheel: MakeWheel) -> None:
    files = {
        "one.py": "",
        "two.cpython-312-x86_64-linux-gnu.so": "",
        "three/__init__.py": "",
        "four/part.py": "",
        "five/data.txt": "",
        "six.txt": "",
        "seven/__init__.cpython-312-x86_64-linux-gnu.so": "",
    }
    wheel = read_wheel(make_wheel("many", files=files))
    assert front_modules(wheel) == {"one", "two", "three", "seven"}


def test_a_folder_without_init_hides_nothing_in_real_python(
    make_wheel: MakeWheel, make_bundle: MakeBundle, pod: Any
) -> None:
    wheels = [
        make_wheel("a", files={"json/part.py": ""}),
        make_wheel("b", files={"test/__init__.py": "ours = 1"}),
    ]
    (warning,) = pod.install(make_bundle(dependencies=wheels)).plan.warnings
    assert warning == "b 1.0 puts 'test' in front of the standard library's"
    code = "import json, test; print(json.dumps(1), test.ours)"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONPATH": str(pod.packages)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "1 1\n"


def test_what_stands_in_front_of_the_server_is_told(make_wheel: MakeWheel) -> None:
    wheels = [
        read_wheel(make_wheel("pydantic", "2.1")),
        read_wheel(make_wheel("same", "1.0")),
        read_wheel(make_wheel("other", files={"llama_stack/__init__.py": ""})),
        read_wheel(make_wheel("portion", files={"google/thing.py": ""})),
    ]
    server = {
        "pydantic": ServerModuleNames("pydantic", "2.9"),
        "same": ServerModuleNames("same", "1.0"),
        "llama_stack": ServerModuleNames("llama-stack", "0.7.3"),
        "google": ServerModuleNames("google", "3"),
    }
    assert list(shadowing.shadowing_warnings(wheels, 12, server)) == [
        "pydantic 2.1 shadows the server's pydantic 2.9",
        "other 1.0 puts 'llama_stack' in front of that of the server's llama-stack 0.7.3",
    ]


def test_the_installer_knows_the_server_as_far_as_images_tell(
    make_wheel: MakeWheel, make_bundle: MakeBundle, pod: Any
) -> None:
    pod.install(make_bundle(provided={"pydantic": "2.9"}))
    guard = make_bundle("acme-guard", dependencies=[make_wheel("pydantic", "2.10")])
    (warning,) = pod.install(guard, "acme-guard").plan.warnings
    assert warning == "pydantic 2.10 shadows the server's pydantic 2.9"
