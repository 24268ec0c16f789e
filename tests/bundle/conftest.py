"""Small real wheels, and the bundle of a provider made of them."""

from __future__ import annotations

import base64
import hashlib
import subprocess
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from lls_provider.bundle.assemble import assemble
from lls_provider.bundle.bundle import Bundle, BundleRequest, CollectedWheels
from lls_provider.bundle.closure import collect_wheels
from lls_provider.contract.models import BuildTarget, ProviderPackage
from lls_provider.wheels.distribution import Distribution
from lls_provider.wheels.interpreter import Interpreter, find_interpreter
from lls_provider.wheels.loading import load_distribution

if TYPE_CHECKING:
    from tests.recorder import Recorder

    from lls_provider.bundle.bundle import FileDigests

MakeWheel = Callable[..., Path]
MakeBundle = Callable[..., Bundle]
Gather = Callable[..., CollectedWheels]

SPEC = "def get_provider_spec():\n    return []\n"


@pytest.fixture
def make_wheel(tmp_path: Path) -> MakeWheel:
    """Writes a wheel: its modules' sources and what its metadata says."""

    def make(
        name: str,
        version: str = "1.0.0",
        files: Mapping[str, str | bytes] | None = None,
        *,
        requires: Sequence[str] = (),
        fields: Sequence[str] = (),
        tag: str = "py3-none-any",
    ) -> Path:
        package = name.replace("-", "_")
        info = f"{package}-{version}.dist-info"
        members = {
            path: text.encode() if isinstance(text, str) else text
            for path, text in (files or {f"{package}/__init__.py": ""}).items()
        }
        members[f"{info}/METADATA"] = "\n".join(
            [
                "Metadata-Version: 2.1",
                f"Name: {name}",
                f"Version: {version}",
                *fields,
                *(f"Requires-Dist: {requirement}" for requirement in requires),
                "",
            ]
        ).encode()
        members[f"{info}/WHEEL"] = (
            f"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: {tag}\n".encode()
        )
        lines = []
        for path, data in members.items():
            digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
            lines.append(f"{path},sha256={digest},{len(data)}")
        members[f"{info}/RECORD"] = "\n".join([*lines, f"{info}/RECORD,,", ""]).encode()
        folder = tmp_path / "wheels" / hashlib.sha256(repr(members).encode()).hexdigest()[:8]
        folder.mkdir(parents=True, exist_ok=True)
        wheel = folder / f"{package}-{version}-{tag}.whl"
        with zipfile.ZipFile(wheel, "w") as archive:
            for path, data in members.items():
                archive.writestr(zipfile.ZipInfo(path, (1980, 1, 1, 0, 0, 0)), data)
        return wheel

    return make


@pytest.fixture
def metadata() -> ProviderPackage:
    """What a build knows of a provider before its wheels have a place."""
    return ProviderPackage(
        name="acme-echo",
        version="1.0.0",
        vendor="Acme",
        description="Says it again",
        maintainer=None,
        package_name="acme_echo",
        provider_type="remote::acme-echo",
        api="inference",
        wheel_path="",
    )


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
                files={"acme_echo/__init__.py": "", "acme_echo/provider.py": SPEC},
                requires=["dep>=1", "llama-stack-api"],
            ),
            dependencies=[make_wheel("dep")] if dependencies is None else dependencies,
            target=BuildTarget("cp312", ("manylinux_2_28_x86_64",), "x86_64"),
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
    subprocess.run([interpreter.path, "-m", "venv", "--without-pip", folder], check=True)
    return load_distribution(f"python:{folder}")
