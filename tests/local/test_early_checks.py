"""What cannot work is refused before anything is built."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from lls_provider.errors import Code, SdkError
from lls_provider.local.early_checks import require_apis, require_distinct, require_known_ids
from lls_provider.local.plan import InspectedSource, UpOptions, inspect_source
from lls_provider.operations.targets import ProviderSource, SourceKind, resolve_source
from lls_provider.wheels.servers import line_named

if TYPE_CHECKING:
    from lls_provider.wheels.environment import Environment


def project(path: Path, name: str = "my-guard", api: str = "safety") -> ProviderSource:
    package = path / "src" / "my_guard"
    package.mkdir(parents=True)
    (package / "provider.py").touch()
    (path / "pyproject.toml").write_text(
        f'[project]\nname = "{name}"\nversion = "1"\n[tool.lls-provider]\napi = "{api}"\n'
        f'provider-type = "inline::{name}"\nmodule = "my_guard"\nvendor = "Acme"\n'
        'distribution = ["llama-stack==0.7.3"]\n'
    )
    return resolve_source(str(path))


def inspected(target: ProviderSource) -> InspectedSource:
    return inspect_source(target, UpOptions())


def test_the_same_project_by_two_names_is_told_and_once_is_fine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = project(tmp_path / "my-guard")
    monkeypatch.chdir(tmp_path)
    relative = resolve_source("my-guard")
    with pytest.raises(SdkError) as caught:
        require_distinct([relative, target])
    assert caught.value.code is Code.USAGE
    assert caught.value.what == f"my-guard is named twice, also as {target.text}"
    with pytest.raises(SdkError, match=r"^my-guard is named twice$"):
        require_distinct([relative, relative])
    require_distinct([relative])


def test_the_same_image_twice_is_told_unless_a_provider_file_gives_it_two_ids() -> None:
    image = ProviderSource("docker://quay.io/acme/echo", SourceKind.IMAGE)
    with pytest.raises(SdkError, match="named twice"):
        require_distinct([image, image])
    entry = cast("Any", SimpleNamespace(image="quay.io/acme/echo"))
    listed = ProviderSource(image.text, SourceKind.IMAGE, entry=entry)
    require_distinct([listed, listed])


def test_two_targets_of_one_id_are_told(tmp_path: Path) -> None:
    one, two = (inspected(project(tmp_path / it)) for it in ("one", "two"))
    with pytest.raises(SdkError) as caught:
        require_known_ids([one, two], UpOptions())
    assert "same provider ID 'my-guard'" in caught.value.what
    require_known_ids([one], UpOptions())
    other = inspected(project(tmp_path / "three", "other"))
    require_known_ids([one, other], UpOptions())


def test_a_config_for_an_unknown_id_is_told_with_the_one_that_was_meant(tmp_path: Path) -> None:
    source = inspected(project(tmp_path / "my-guard"))
    with pytest.raises(SdkError) as caught:
        require_known_ids([source], UpOptions(configs=(("my-gard", {}),)))
    assert caught.value.what.endswith("no target has: my-gard; did you mean 'my-guard'?")
    require_known_ids([source], UpOptions(configs=(("my-guard", {}),)))


def test_an_id_that_is_not_known_yet_is_left_to_later(tmp_path: Path) -> None:
    source = inspected(project(tmp_path / "my-guard"))
    image = InspectedSource(ProviderSource("oci:x", SourceKind.IMAGE))
    require_known_ids([source, image], UpOptions(configs=(("x", {}),)))


GIVEN = UpOptions(server="ogx==1.0")


def server(path: Path, name: str, *apis: str) -> Environment:
    line = line_named(name)
    assert line is not None
    package = path / "lib/python3.12/site-packages" / line.api_package
    package.mkdir(parents=True)
    body = "".join(f'    {api} = "{api}"\n' for api in apis)
    (package / "datatypes.py").write_text(f'class Api(Enum):\n    """Those."""\n{body}')
    distribution = SimpleNamespace(line=line, label=f"{name}==1.0")
    return cast(
        "Environment", SimpleNamespace(python=path / "bin/python", distribution=distribution)
    )


def test_an_api_that_the_server_lacks_is_told_with_the_servers_that_have_it(
    tmp_path: Path,
) -> None:
    source = inspected(project(tmp_path / "my-guard"))
    ogx = server(tmp_path / "ogx", "ogx", "inference", "files")
    with pytest.raises(SdkError) as caught:
        require_apis([source], ogx, GIVEN)
    error = caught.value
    assert error.code is Code.USAGE
    assert error.what.endswith("needs the API 'safety', which ogx==1.0 does not have")
    assert (error.where.file, error.where.line) == (str(tmp_path / "my-guard/pyproject.toml"), 5)
    assert error.resolution == (
        "Run it on a server that has this API: --server 'llama-stack==0.7.3'."
    )
    require_apis([source], server(tmp_path / "ls", "llama-stack", "safety"), GIVEN)


def test_a_server_whose_apis_cannot_be_read_is_left_to_preflight(tmp_path: Path) -> None:
    source = inspected(project(tmp_path / "my-guard"))
    require_apis([source], server(tmp_path / "none", "ogx"), GIVEN)
    broken = server(tmp_path / "broken", "ogx", "x")
    next((tmp_path / "broken").rglob("datatypes.py")).write_text("class Api(:\n")
    require_apis([source], broken, GIVEN)
