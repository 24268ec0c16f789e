"""One lock, several targets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from lls_provider.errors import Code, SdkError
from lls_provider.wheels.resolve import make_lock, select_closure

if TYPE_CHECKING:
    from lls_provider.wheels.interpreter import Interpreter


def test_each_machine_gets_its_own_files_from_one_lock(
    offer: Any, make_wheel: Any, interpreter: Interpreter
) -> None:
    tag = interpreter.tag
    native = {
        machine: make_wheel("native", tag=f"{tag}-{tag}-manylinux_2_17_{machine}")
        for machine in ("x86_64", "aarch64")
    }
    offer(
        make_wheel("demo", requires=["native", "extra; platform_machine == 'aarch64'"]),
        make_wheel("extra"),
        *native.values(),
    )
    lock = make_lock(["demo"], distribution=None, interpreter=interpreter)
    found = {
        machine: [
            it.filename
            for it in select_closure(
                lock, interpreter=interpreter, machine=machine, pins={}
            ).packages
        ]
        for machine in native
    }
    demo = "demo-1.0-py3-none-any.whl"
    assert found["x86_64"] == [demo, native["x86_64"].name]
    assert found["aarch64"] == [demo, "extra-1.0-py3-none-any.whl", native["aarch64"].name]


def test_a_machine_that_nothing_is_for_is_named(
    offer: Any, make_wheel: Any, interpreter: Interpreter
) -> None:
    tag = interpreter.tag
    offer(make_wheel("demo", tag=f"{tag}-{tag}-manylinux_2_17_x86_64"))
    lock = make_lock(["demo"], distribution=None, interpreter=interpreter)
    with pytest.raises(SdkError) as caught:
        select_closure(lock, interpreter=interpreter, machine="aarch64", pins={})
    assert caught.value.code is Code.WHEEL_INCOMPATIBLE
    assert "Linux aarch64" in caught.value.resolution
