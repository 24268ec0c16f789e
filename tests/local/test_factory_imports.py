"""An import that fails in a provider's factory is reported with the extra that would bring it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from lls_provider.bundle.bundle import Bundle
from lls_provider.bundle.option_search import extras_that_bring
from lls_provider.errors import Code, SdkError
from lls_provider.local.log_diagnosis import LogDiagnosis
from lls_provider.local.plan import UpOptions
from lls_provider.local.run import Up
from lls_provider.operations.targets import resolve_source
from lls_provider.runtime.wheelfile.wheel import read_wheel

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


KFP = (
    "Provides-Extra: dev",
    "Provides-Extra: remote",
    "Requires-Dist: kfp-kubernetes>=2; extra == 'dev'",
    "Requires-Dist: kfp>=2.5; extra == 'dev'",
    "Requires-Dist: ruff; extra == 'dev'",
    "Requires-Dist: kfp-kubernetes>=2; extra == 'remote'",
    "Requires-Dist: kfp>=2.5; extra == 'remote'",
)


@pytest.mark.parametrize(
    ("module", "expected"),
    [
        ("kfp", [("remote", "kfp>=2.5"), ("dev", "kfp>=2.5")]),
        ("kfp.kubernetes", [("remote", "kfp>=2.5"), ("dev", "kfp>=2.5")]),
        ("kfp_kubernetes", [("remote", "kfp-kubernetes>=2"), ("dev", "kfp-kubernetes>=2")]),
        ("kubernetes", [("remote", "kfp-kubernetes>=2"), ("dev", "kfp-kubernetes>=2")]),
    ],
)
def test_the_extra_that_brings_least_else_comes_first(
    make_provider: MakeProvider, module: str, expected: list[tuple[str, str]]
) -> None:
    own = read_wheel(make_provider(fields=KFP).own_wheel)
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
    suspects = LogDiagnosis(
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


def raised(reason: str, file: str = f"{OVERLAY}/acme_echo/__init__.py") -> str:
    return (
        "Traceback (most recent call last):\n"
        f'  File "{file}", line 2, in get_adapter_impl\n'
        f"    raise\n{reason}\n"
    )


@pytest.mark.parametrize(
    "reason",
    [
        "acme_echo.base.EchoError: Echo is off. Enable it with 'pip install acme-echo[inline]'.",
        "RuntimeError: SDK not available. Install with: pip install -e .[inline]",
        "ImportError: run `pip install acme_echo[nowhere,Inline]`",
        "acme_echo.EchoError: Nowhere is not installed. Install it: pip install nowhere-dep",
        "ImportError: The 'nowhere_dep' package is not installed",
        "ValueError: the nowhere_dep library is not installed",
    ],
)
def test_the_words_of_real_providers_name_the_extra(
    make_provider: MakeProvider, reason: str
) -> None:
    wheel = make_provider(fields=FIELDS).own_wheel
    suspects = LogDiagnosis(OVERLAY, {"acme_echo": "acme-echo"}, wheels={"acme-echo": wheel})
    error = suspects.error(Code.SERVER_FAILED, "The server ended", raised(reason))
    assert "lls-provider build --package 'acme-echo[inline]==1.0.0'." in error.resolution
    suspects = LogDiagnosis(
        OVERLAY,
        {"acme_echo": "acme-echo"},
        wheels={"acme-echo": wheel},
        projects=frozenset(["acme-echo"]),
    )
    error = suspects.error(Code.SERVER_FAILED, "The server ended", raised(reason))
    assert "to the provider's dependencies and run it again." in error.resolution


@pytest.mark.parametrize(
    "reason",
    [
        "RuntimeError: The driver for CUDA is not installed",
        "ValueError: model tiny is not installed on the host",
        "RuntimeError: run pip install other-package[inline] on the host",
        "RuntimeError: run pip install acme-echo[unknown] on the host",
    ],
)
def test_other_words_name_no_extra_and_no_module(make_provider: MakeProvider, reason: str) -> None:
    wheel = make_provider(fields=FIELDS).own_wheel
    suspects = LogDiagnosis(OVERLAY, {"acme_echo": "acme-echo"}, wheels={"acme-echo": wheel})
    error = suspects.error(Code.SERVER_FAILED, "The server ended", raised(reason))
    assert error.resolution.startswith("Correct provider 'acme-echo' at acme_echo/")


@pytest.mark.parametrize("own_base", [True, False])
@pytest.mark.parametrize("module", ["torch", "sqlalchemy.ext"])
def test_what_the_server_itself_imports_is_no_providers_fault(own_base: bool, module: str) -> None:
    suspects = LogDiagnosis(OVERLAY, {"acme_echo": "acme-echo"}, own_base=own_base)
    reason = f"ModuleNotFoundError: No module named '{module}'"
    log = raised(reason, "/opt/app/llama_stack/providers/inline/post_training/impl.py")
    error = suspects.error(Code.SERVER_FAILED, "The server ended", log)
    assert error.where.provider is None
    assert error.resolution == (
        f"The server itself imports '{module}', but it is missing from its environment: give one "
        "that has it with --server python:ENV"
        + ("." if own_base else ", or take what needs it out of --base-config.")
    )


def test_a_module_that_the_provider_lacks_stays_its_own_fault() -> None:
    suspects = LogDiagnosis(OVERLAY, {"acme_echo": "acme-echo"})
    log = raised("ModuleNotFoundError: No module named 'acme_echo.x'", "/opt/app/ogx/resolver.py")
    error = suspects.error(Code.SERVER_FAILED, "The server ended", log)
    assert error.resolution.startswith("Add the package that holds the module 'acme_echo.x'")


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
        Up([resolve_source(str(bundle.root))], UpOptions(server=server), recorder) as up,
        pytest.raises(SdkError) as caught,
    ):
        up.run()
    error = caught.value
    assert error.where.provider == "acme-echo"
    assert "nowhere_dep" in error.why.splitlines()[0]
    assert "--package 'acme-echo[inline]==1.0.0'" in error.resolution
