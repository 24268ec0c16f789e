"""The pages about deploying: their files are written and their commands run, with real images."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.docs.test_pages import FENCE, ROOT, ours
from tests.engines import distribution

from lls_provider.runtime.messages import override

Cli = Callable[..., "subprocess.CompletedProcess[str]"]
Engine = Callable[[str], str]
HOW_TO = ROOT / "docs" / "how-to"
PAGES = (
    "deploy-without-an-operator.md",
    "deploy-with-the-released-operator.md",
    "deploy-several-providers.md",
    "update-a-provider.md",
    "override-a-provider.md",
    "from-a-distribution-image.md",
    "deploy-without-internet-access.md",
)
SAMPLES = {"acme/echo:1.0": "echo-inference", "acme/guard:1.0": "guard-safety"}
HOST = "registry.example.com"


@pytest.fixture(scope="module")
def host(
    cli: Cli,
    engine: Engine,
    registry: str,
    python_base: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> str:
    """A registry with the images that the pages name."""
    skopeo = [engine("skopeo"), "copy", "--quiet"]
    insecure = ["--src-tls-verify=false", "--dest-tls-verify=false"]

    def copy(source: str, name: str) -> None:
        subprocess.run([*skopeo, *insecure, source, f"docker://{registry}/{name}"], check=True)

    layout = tmp_path_factory.mktemp("distribution") / "oci"
    distribution.write_distribution(layout, python_base, distribution.LLAMA_STACK)
    copy(f"oci:{layout}", "distribution:1.0")
    shutil.rmtree(layout)
    for name, sample in SAMPLES.items():
        done = cli(
            *("build", ROOT / "samples" / sample, "--base", f"oci:{python_base}"),
            *("--output", f"docker://{registry}/{name}"),
        )
        assert done.returncode == 0, done.stderr
    copy(f"docker://{registry}/acme/echo:1.0", "acme/echo:1.1")
    return registry


def blocks(text: str) -> Iterator[tuple[str, str]]:
    """The fenced blocks of a page: their language and content, without the page's indentation."""
    for _, _, language, content in FENCE.findall(text):
        yield language, textwrap.dedent(content)


@pytest.mark.network
@pytest.mark.engine
@pytest.mark.server
@pytest.mark.xdist_group("deploy-pages")
@pytest.mark.parametrize("page", PAGES)
def test_the_commands_of_a_page_work_in_its_order(
    cli: Cli, host: str, python_base: Path, tmp_path: Path, page: str
) -> None:
    shutil.copytree(ROOT / "samples" / "echo-inference", tmp_path / "acme-echo")
    settings = tmp_path / "acme-echo" / "pyproject.toml"
    text = settings.read_text("utf-8")
    base = re.sub(r"^base = .*$", f'base = "oci:{python_base}"', text, flags=re.MULTILINE)
    assert base != text
    settings.write_text(base, "utf-8")
    ran = 0
    for language, block in blocks((HOW_TO / page).read_text("utf-8")):
        content = block.replace(HOST, host)
        named = re.match(r"# (\S+\.yaml)\n", content)
        if language == "yaml" and named:
            (tmp_path / named[1]).write_text(content, "utf-8")
        if language != "sh":
            continue
        for line in content.splitlines():
            for _, *words in ours(shlex.split(line)):
                done = cli(*words, cwd=tmp_path)
                assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
                ran += 1
    assert ran


def test_the_warning_of_an_override_is_what_merge_logs() -> None:
    text = (HOW_TO / "override-a-provider.md").read_text("utf-8")
    assert override("local", "inference", "remote::vllm", "remote::echo-inference") in text
