"""An import that fails in a provider's factory is told with the extra that would bring it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from lls_provider.bundle.fix import extras_that_bring
from lls_provider.bundle.read import Bundle
from lls_provider.errors import Code, SdkError
from lls_provider.local.blame import Suspects
from lls_provider.local.plan import Options
from lls_provider.local.target import resolve_target
from lls_provider.local.up import Up
from lls_provider.runtime.wheel import read_wheel

if TYPE_CHECKING:
    from tests.recorder import Recorder

MakeProvider = Callable[..., Bundle]

FIELDS = (
    "Provides-Extra: dev",
    "Provides-Extra: inline",
    "Provides-Extra: all",
    "Requires-Dist: ruff; extra == 'dev'",
    "Requires-Dist: nowhere-dep<2,>=1; extra == 'inline'",
    "Requires-Dist: acme-echo[inline]; extra == 'all'",
)
OVERLAY = Path("/opt/llama-stack/external-providers/python-packages")

RAISED = {
    "chained": (
        "    try:\n        import nowhere_dep\n    except ImportError as error:\n"
        "        raise ImportError('nowhere_dep is not installed, please install it') from error\n"
    ),
    "while handled": (
        "    try:\n        import nowhere_dep\n    except ImportError:\n"
        "        raise RuntimeError('nowhere_dep is not installed, please install it')\n"
    ),
    "alone": "    raise ImportError('nowhere_dep is not installed, please install it')\n",
    "plain": "    import nowhere_dep\n",
}


@pytest.mark.parametrize(
    ("module", "expected"),
    [
        ("nowhere_dep", [("inline", "nowhere-dep<2,>=1"), ("all", "nowhere-dep<2,>=1")]),
        ("nowhere_dep.inner", [("inline", "nowhere-dep<2,>=1"), ("all", "nowhere-dep<2,>=1")]),
        ("ruff", [("dev", "ruff")]),
        ("other", []),
    ],
)
def test_the_extras_that_bring_a_module(
    make_provider: MakeProvider, module: str, expected: list[tuple[str, str]]
) -> None:
    own = read_wheel(make_provider(fields=FIELDS).own_wheel)
    assert extras_that_bring(own, module) == expected


def test_an_extra_that_names_itself_ends(make_provider: MakeProvider) -> None:
    fields = (
        "Provides-Extra: a",
        "Provides-Extra: b",
        "Requires-Dist: acme-echo[b]; extra == 'a'",
        "Requires-Dist: acme-echo[a]; extra == 'b'",
    )
    assert extras_that_bring(read_wheel(make_provider(fields=fields).own_wheel), "x") == []


@pytest.mark.parametrize("is_project", [True, False])
def test_a_log_that_says_so_names_the_extra(make_provider: MakeProvider, is_project: bool) -> None:
    log = (
        "Traceback (most recent call last):\n"
        f'  File "{OVERLAY}/acme_echo/__init__.py", line 2, in get_adapter_impl\n'
        "    raise ImportError(message)\n"
        "ImportError: nowhere_dep is not installed, please install it\n"
    )
    suspects = Suspects(
        OVERLAY,
        {"acme_echo": "acme-echo"},
        wheels={"acme-echo": make_provider(fields=FIELDS).own_wheel},
        projects=frozenset(["acme-echo"] if is_project else []),
    )
    error = suspects.error(Code.SERVER_FAILED, "The server ended", log)
    assert error.why.startswith("ImportError: nowhere_dep is not installed, please install it\n")
    assert error.where.provider == "acme-echo"
    assert error.resolution == (
        "Its extra inline brings 'nowhere_dep', and an image is built without extras: add "
        "'nowhere-dep<2,>=1' to the provider's dependencies and run it again."
        if is_project
        else "Build the image with the extra that brings 'nowhere_dep': lls-provider build "
        "--package 'acme-echo[inline]==1.0.0'."
    )


@pytest.mark.network
@pytest.mark.server
@pytest.mark.parametrize(
    ("server", "kind"),
    [
        ("llama-stack==0.7.3", "chained"),
        ("llama-stack==0.7.3", "while handled"),
        ("ogx==1.5.0", "alone"),
        ("ogx==1.5.0", "plain"),
    ],
)
def test_a_real_server_that_ends_for_it(
    make_provider: MakeProvider, recorder: Recorder, server: str, kind: str
) -> None:
    factory = f"async def get_adapter_impl(config, deps):\n{RAISED[kind]}"
    bundle = make_provider(files={"__init__.py": factory}, fields=FIELDS)
    with (
        Up([resolve_target(str(bundle.root))], Options(server=server), recorder) as up,
        pytest.raises(SdkError) as caught,
    ):
        up.run()
    error = caught.value
    assert error.where.provider == "acme-echo"
    assert "nowhere_dep" in error.why.splitlines()[0]
    assert "--package 'acme-echo[inline]==1.0.0'" in error.resolution
