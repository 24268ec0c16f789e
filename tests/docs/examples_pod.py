"""Examples of errors in the Pod: provider images and volumes that the runtime refuses."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from unittest import mock

from tests.docs.examples import Example, Examples, Finding, example
from tests.factories.providers import provider_document, provider_source, write_bundle
from tests.factories.wheels import module_of, write_wheel
from tests.hostile import archives, metadatas, names, records
from tests.hostile.crafted import WHEEL

from lls_provider.bundle.server_constraints import hiding_error
from lls_provider.errors import Code, Where
from lls_provider.runtime.install.install import InstallRequest, install
from lls_provider.runtime.install.shadowing import (
    HiddenModule,
    ServerModuleNames,
    ShadowingModules,
)
from lls_provider.runtime.merge import merge
from lls_provider.runtime.preflight.preflight import preflight

EXAMPLES: Examples = {}
pod = partial(example, EXAMPLES)
INSTALL = "`lls-provider.pyz install` prints:"


def bundle(
    name: str = "acme-echo",
    *,
    requires: Sequence[str] = (),
    files: Mapping[str, str] | None = None,
    tag: str = "py3-none-any",
) -> Path:
    """A provider image's tree in a directory of the provider's name."""
    module = module_of(name)
    own = files or {f"{module}/__init__.py": "", f"{module}/provider.py": provider_source(name)}
    packages = Path(name) / "lls-provider" / "packages"
    wheel = write_wheel(packages, name, files=own, requires=requires, tag=tag)
    return write_bundle(packages.parent, [wheel], provider_document(name, wheel=wheel.name))


def installed(
    name: str = "acme-echo", api: str = "inference", order: int = 0, provider_id: str = ""
) -> object:
    """Install as an init container of the provider's name would, onto ``volume``."""
    return install(
        InstallRequest(
            provider_id=provider_id or name,
            api=api,
            image=f"registry.example.com/{name.replace('-', '/')}:1.0",
            container=f"install-provider-{name}",
            source=Path(name) / "lls-provider",
            root=Path("volume"),
            order=order,
            python_tag="cp312",
        ),
        workers=1,
    )


@pod(Code.METADATA_MISSING, f"The image was made by hand, without metadata. {INSTALL}")
def _(_folder: Path) -> object:
    (bundle() / "lls-provider-spec.yaml").unlink()
    return installed()


@pod(Code.API_MISMATCH, f"A provider of inference is placed under safety. {INSTALL}")
def _(_folder: Path) -> object:
    bundle()
    return installed(api="safety")


@pod(Code.PROVIDER_DUPLICATE, f"Two init containers install one provider ID. {INSTALL}")
def _(_folder: Path) -> object:
    bundle()
    bundle("acme-other")
    installed()
    return installed("acme-other", order=1, provider_id="acme-echo")


@pod(Code.DEPENDENCY_CONFLICT, f"Two providers pin different versions of `requests`. {INSTALL}")
def _(_folder: Path) -> object:
    for name, version in (("acme-alpha", "2.28.0"), ("acme-beta", "2.31.0")):
        root = bundle(name, requires=[f"requests=={version}"])
        write_wheel(root / "packages", "requests", version)
    installed("acme-alpha")
    return installed("acme-beta", order=1)


@pod(Code.WHEEL_NAME_INVALID, f"A wheel was renamed. {INSTALL}")
def _(_folder: Path) -> object:
    packages = bundle() / "packages"
    write_wheel(packages, "dep").rename(packages / "dep.whl")
    return installed()


@pod(Code.WHEEL_NOT_FILE, f"A wheel is a link to a file outside of the image's tree. {INSTALL}")
def _(folder: Path) -> object:
    packages = bundle() / "packages"
    (packages / WHEEL).symlink_to(write_wheel(folder / "elsewhere", "dep"))
    return installed()


@pod(
    Code.WHEEL_INCOMPATIBLE, f"The wheel was built for Python 3.11, the server has 3.12. {INSTALL}"
)
def _(_folder: Path) -> object:
    bundle(tag="cp311-cp311-manylinux_2_28_x86_64")
    return installed()


@pod(Code.VOLUME_UNSAFE, f"A link is on the volume where a directory belongs. {INSTALL}")
def _(folder: Path) -> object:
    bundle()
    (folder / "elsewhere").mkdir()
    (folder / "volume/external-providers").mkdir(parents=True)
    (folder / "volume/external-providers/python-packages").symlink_to(folder / "elsewhere")
    return installed()


@pod(Code.VOLUME_UNWRITABLE, f"A file is where the volume should be mounted. {INSTALL}")
def _(folder: Path) -> object:
    bundle()
    (folder / "volume").touch()
    user = f"uid {os.getuid()}, gid {os.getgid()}"
    return Finding.renamed(installed, user, "uid 1001, gid 0")


@pod(Code.NO_SPACE, f"The volume has 8 KiB left. {INSTALL}")
def _(_folder: Path) -> object:
    bundle(files={"acme_echo/__init__.py": "", "acme_echo/provider.py": "x = 1\n" * 9999})
    real = os.statvfs
    with mock.patch("os.statvfs", lambda path: _nearly_full(real(path))):
        return installed()


def _nearly_full(state: os.statvfs_result) -> os.statvfs_result:
    fields = list(state)
    fields[:8] = [4096, 4096, 1000, 2, 2, 0, 0, 0]  # no limit on the number of files
    return os.statvfs_result(fields)


@pod(
    Code.VALIDATION_FAILED,
    "The provider imports a package that no image brings. `lls-provider.pyz preflight` prints:",
)
def _(folder: Path) -> object:
    source = f"import tqdm_of_acme\n\n{provider_source()}"
    bundle(files={"acme_echo/__init__.py": "", "acme_echo/provider.py": source})
    installed()
    (folder / "volume/base-config").mkdir()
    (folder / "volume/base-config/run.yaml").write_text("version: 2\nproviders: {}\n")
    return preflight(merge(Path("volume")).path, root=Path("volume"))


@pod(
    Code.MODULE_HIDDEN,
    "A dependency of the provider has a module `pydantic`. `lls-provider build` prints:",
)
def _(_folder: Path) -> object:
    front = ShadowingModules("acme-models", "1.0", (), lambda _: b"")
    hidden = HiddenModule(front, "pydantic", ServerModuleNames("pydantic", "2.14.4"))
    return hiding_error("llama-stack==0.7.3", [hidden], Where(file="acme-echo/pyproject.toml"))


def _wheel(build: Callable[[], bytes], _folder: Path) -> object:
    (bundle() / "packages" / WHEEL).write_bytes(build())
    return installed()


for name, code, _why, build in (
    *names.CASES,
    *records.CASES,
    *archives.CASES,
    *metadatas.CASES,
):
    if code.slug.startswith("wheel-") and code not in EXAMPLES:
        EXAMPLES[code] = Example(
            f"The case of the tests: {name}. {INSTALL}", partial(_wheel, build)
        )
