"""Small real wheels, and the bundle of a provider made of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tests.factories.environments import make_environment
from tests.factories.providers import NO_SPECS, MakeBundle, build_target, provider_package
from tests.factories.wheels import MakeWheel, WheelFactory

from lls_provider.bundle.assemble import assemble
from lls_provider.bundle.bundle import Bundle, BundleRequest, CollectedWheels
from lls_provider.bundle.closure import collect_wheels
from lls_provider.wheels.distribution import Distribution
from lls_provider.wheels.interpreter import Interpreter, find_interpreter
from lls_provider.wheels.loading import load_distribution

if TYPE_CHECKING:
    from tests.recorder import Recorder

    from lls_provider.bundle.bundle import FileDigests
    from lls_provider.contract.models import ProviderPackage

Gather = Callable[..., CollectedWheels]


@pytest.fixture
def make_wheel(tmp_path: Path) -> MakeWheel:
    return WheelFactory(tmp_path / "wheels", "1.0.0")


@pytest.fixture
def metadata() -> ProviderPackage:
    """What a build knows of a provider before its wheels have a place."""
    return provider_package(description="Says it again")


@pytest.fixture
def make_bundle(tmp_path: Path, make_wheel: MakeWheel, metadata: ProviderPackage) -> MakeBundle:
    """Assembles the bundle of a provider that needs one bundled and one provided package."""

    def make(
        out: str = "bundle",
        *,
        own: Path | None = None,
        dependencies: Sequence[Path] | None = None,
        provided: Mapping[str, str] | None = None,
        overrides: Sequence[str] = (),
        expected: Mapping[str, str] | None = None,
        hashed: Mapping[Path, FileDigests] | None = None,
    ) -> Bundle:
        return assemble(
            tmp_path / out,
            metadata=metadata,
            own_wheel=own
            or make_wheel(
                "acme-echo",
                files={"acme_echo/__init__.py": "", "acme_echo/provider.py": NO_SPECS},
                requires=["dep>=1", "llama-stack-api"],
            ),
            dependencies=[make_wheel("dep")] if dependencies is None else dependencies,
            target=build_target(),
            provided={"llama-stack-api": "0.7.3"} if provided is None else provided,
            distributions=("llama-stack==0.7.3",),
            overrides=overrides,
            expected=expected,
            hashed=hashed,
        )

    return make


@pytest.fixture(scope="session")
def interpreter() -> Interpreter:
    return find_interpreter()


@pytest.fixture
def offer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Make wheels the only ones that uv can get."""

    def make(*wheels: Path) -> None:
        house = tmp_path / "house"
        house.mkdir()
        (tmp_path / "no-index").mkdir()
        for wheel in wheels:
            (house / wheel.name).write_bytes(wheel.read_bytes())
        monkeypatch.setenv("UV_DEFAULT_INDEX", (tmp_path / "no-index").as_uri())
        monkeypatch.setenv("UV_FIND_LINKS", str(house))
        # what is made of these wheels is nothing for other tests
        monkeypatch.setenv("LLS_PROVIDER_CACHE", str(tmp_path / "cache"))

    return make


@pytest.fixture
def gathered(interpreter: Interpreter, recorder: Recorder) -> Gather:
    """Gather for servers, each its pins."""

    def make(requirement: str, *servers: dict[str, str], **options: Any) -> CollectedWheels:
        requires, indexed = options.pop("requires", {}), options.pop("indexed", True)
        named = tuple(
            Distribution(
                f"server-{number}", pins, interpreter, None, requires=requires, indexed=indexed
            )
            for number, pins in enumerate(servers)
        )
        own = options.pop("own", None)
        return collect_wheels(
            BundleRequest(requirement, own, interpreter, named, **options), recorder
        )

    return make


@pytest.fixture(scope="session")
def server(interpreter: Interpreter, tmp_path_factory: pytest.TempPathFactory) -> Distribution:
    """A real environment, without any package."""
    folder = tmp_path_factory.mktemp("server") / "venv"
    make_environment(interpreter.path, folder)
    return load_distribution(f"python:{folder}")
