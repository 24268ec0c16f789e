"""The lines of shell and pip that the operator's specification puts into its init container."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.engines.containers import Engine as Container

Cli = Callable[..., "subprocess.CompletedProcess[str]"]

SAMPLE = Path(__file__).parents[2] / "samples" / "echo-inference"
NAME = "localhost/pip-lines/echo:1"
ROOT = "/opt/llama-stack/external-providers"
LINES = f"""set -e
pip install /lls-provider/packages/*.whl --target {ROOT}/python-packages \\
    --no-index --find-links /lls-provider/packages
mkdir -p {ROOT}/metadata/echo-inference
cp /lls-provider/lls-provider-spec.yaml {ROOT}/metadata/echo-inference/
export PYTHONPATH={ROOT}/python-packages
python3 -c 'import echo_inference, pydantic_core; print(pydantic_core.__file__)'
"""

pytestmark = [pytest.mark.network, pytest.mark.engine, pytest.mark.xdist_group("pip-lines")]


@pytest.fixture(scope="module")
def archive(cli: Cli, python_base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sample's image with its full closure, no distribution is reported."""
    folder = tmp_path_factory.mktemp("pip-lines")
    project = Path(shutil.copytree(SAMPLE, folder / "project"))
    file = project / "pyproject.toml"
    lines = file.read_text().splitlines(keepends=True)
    file.write_text("".join(it for it in lines if not it.startswith("distribution =")))
    done = cli(
        *("build", project, "--base", f"oci:{python_base}"),
        *("--output", f"docker-archive:{folder}/image.tar:{NAME}"),
    )
    assert done.returncode == 0, done.stderr
    return folder / "image.tar"


@pytest.mark.parametrize("name", ["podman", "docker"])
def test_pip_installs_the_full_closure_offline(
    request: pytest.FixtureRequest, archive: Path, tmp_path: Path, name: str
) -> None:
    engine: Container = request.getfixturevalue(name)
    engine.run("load", "--quiet", "--input", archive)
    tmp_path.chmod(0o777)  # as an emptyDir is
    done = engine.run(
        *("run", "--rm", "--network", "none", "--read-only", "--tmpfs", "/tmp"),
        *("--cap-drop", "ALL", "--security-opt", "no-new-privileges"),
        *("--volume", f"{tmp_path}:/opt/llama-stack", "--entrypoint", "/bin/sh"),
        *(NAME, "-c", LINES),
    )
    engine.run("rmi", "--force", NAME)
    assert f"{ROOT}/python-packages/pydantic_core/" in done.stdout
    assert "Successfully installed" in done.stdout
    there = tmp_path / "external-providers"
    assert (there / "metadata" / "echo-inference" / "lls-provider-spec.yaml").is_file()
    assert list(there.glob("python-packages/echo_inference-*.dist-info"))
