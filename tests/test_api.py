"""The public Python API: light to import, typed, documented, and without a trace in the process."""

from __future__ import annotations

import json
import locale
import os
import re
import shutil
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.recorder import Recorder

import lls_provider
from lls_provider import Indexes, SdkError

pytestmark = pytest.mark.slow

Cli = Callable[..., "subprocess.CompletedProcess[str]"]

ROOT = Path(__file__).parents[1]
SAMPLE = ROOT / "samples" / "echo-inference"
PAGE = ROOT / "docs" / "reference" / "python-api.md"
EXAMPLES = re.findall(r"^```python\n(.*?)^```", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL)
POD = ROOT / "tests" / "deploy" / "pods" / "ready.json"
PROFILE = "profile:llama-stack-0.7.3"


def run(script: str, *words: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", script, *map(str, words)],
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def samples(tmp_path: Path) -> Path:
    """A directory that has the samples as the checkout has them."""
    shutil.copytree(SAMPLE, tmp_path / "samples" / "echo-inference")
    return tmp_path


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sample's image, built through the API."""
    layout = tmp_path_factory.mktemp("api") / "image"
    lls_provider.build(SAMPLE, outputs=f"oci:{layout}", base="scratch", distributions=PROFILE)
    return layout


# --- the import


def test_the_import_loads_no_other_module(tmp_path: Path) -> None:
    done = run(
        "import sys; before = set(sys.modules); import lls_provider; "
        "print(*sorted(set(sys.modules) - before)); print(*sorted(lls_provider.__all__))",
        cwd=tmp_path,
    )
    loaded, public = done.stdout.splitlines()
    assert loaded.split() == ["lls_provider"], done.stderr
    assert public.split() == sorted(lls_provider.__all__)


def test_a_value_is_loaded_without_what_the_operations_need(tmp_path: Path) -> None:
    done = run(
        "import sys, lls_provider; lls_provider.Indexes(), lls_provider.SdkError, "
        "lls_provider.build, lls_provider.check, lls_provider.push; print(*sys.modules)",
        cwd=tmp_path,
    )
    loaded = set(done.stdout.split())
    assert "lls_provider.operations.build" in loaded, done.stderr
    heavy = {"click", "requests", "yaml", "rich", "jsonschema", "packaging", "uv"}
    assert heavy & loaded == set()


def test_every_public_name_is_there_and_listed() -> None:
    assert lls_provider.__all__ == sorted(set(lls_provider.__all__))
    for name in lls_provider.__all__:
        assert getattr(lls_provider, name) is not None
        assert name in dir(lls_provider)


def test_another_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'lls_provider' has no attribute 'bild'"):
        getattr(lls_provider, "bild")  # noqa: B009 - a type checker would refuse it


USES = {
    "reveal_type(lls_provider.build('x').images[0].digest)": r'"(builtins\.)?str"',
    "reveal_type(lls_provider.check('x'))": r"checks\.report\.Report",
    "with lls_provider.up('x') as server: reveal_type(server)": r"local\.up\.RunningServer",
    "lls_provider.bild('x')": r'has no attribute "bild"',
    "lls_provider.build('x', outputs=1)": r'has incompatible type "int"',
}


def test_a_type_checker_sees_the_real_types(tmp_path: Path) -> None:
    script = tmp_path / "uses.py"
    script.write_text("\n".join(["import lls_provider", *USES]))
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--config-file=", str(script)],
        cwd=ROOT,
        env={**os.environ, "MYPYPATH": str(ROOT / "sdk"), "MYPY_CACHE_DIR": str(tmp_path / "mypy")},
        capture_output=True,
        text=True,
        check=False,
    )
    for line, said in enumerate(USES.values(), 2):
        assert re.search(rf"uses\.py:{line}: .*{said}", done.stdout), done.stdout + done.stderr


# --- the documentation


def test_the_page_names_what_is_public() -> None:
    rows = re.findall(r"^\| `(\w+)` \|", PAGE.read_text("utf-8"), re.MULTILINE)
    assert sorted(rows) == lls_provider.__all__


def test_the_example_of_the_page_runs(samples: Path) -> None:
    done = run(EXAMPLES[0], cwd=samples)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    built, written, compared, inspected = done.stdout.splitlines()
    assert built.startswith("echo-inference linux/")
    digest = built.split()[-1]
    assert written == f"oci:build/image {digest}"
    assert compared == "accepted"
    assert inspected.startswith(f"{digest} ")


@pytest.mark.server
def test_the_example_of_a_server_runs(samples: Path) -> None:
    done = run(EXAMPLES[1], cwd=samples)
    assert done.returncode == 0, done.stderr
    assert "'echo-inference'" in done.stdout
    assert done.stderr == ""


# --- the operations


def test_one_import_and_one_call_build_the_sample(samples: Path) -> None:
    done = run(
        "import lls_provider; lls_provider.build('samples/echo-inference', "
        f"outputs='oci:image', base='scratch', distributions='{PROFILE}')",
        cwd=samples,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert (samples / "image" / "oci-layout").is_file()


def test_the_results_are_what_the_command_line_prints_as_json(
    cli: Cli, tmp_path: Path, image: Path
) -> None:
    def printed(*words: str | Path) -> Any:
        done = cli(*words, "--format", "json", cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        document = json.loads(done.stdout)
        assert document.pop("schema").startswith(f"lls-provider/{words[0]}/")
        return document

    name = f"oci:{image}"
    built = lls_provider.build(SAMPLE, outputs=name, base="scratch", distributions=PROFILE)
    words = ("--base", "scratch", "--distribution", PROFILE)
    assert built.to_document() == printed("build", SAMPLE, "--output", name, *words)
    assert {"reports": [lls_provider.check(name).to_document()]} == printed("check", name)
    assert lls_provider.compat([name]).to_document() == printed("compat", name)
    assert lls_provider.inspect(name).to_document() == printed("inspect", name)
    assert {"externalProviders": lls_provider.diagnose(POD).to_document()} == printed(
        "diagnose", POD
    )


def test_paths_and_lone_texts_are_taken(image: Path) -> None:
    assert lls_provider.check(image).ok
    found = lls_provider.inspect(image)
    assert found.is_provider
    assert found.images[0].digest == found.digest
    assert [it.target for it in lls_provider.compat(image).verdicts] == [str(image)]


def test_progress_is_injected(tmp_path: Path, recorder: Recorder) -> None:
    class Steps(Recorder):
        steps: list[str]

        def step(self, text: str, /) -> None:
            self.steps.append(text)

    steps = Steps()
    steps.steps = []
    lls_provider.build(
        SAMPLE,
        outputs=[f"oci:{tmp_path / 'image'}"],
        base="scratch",
        distributions=[PROFILE],
        progress=steps,
    )
    assert f"writing oci:{tmp_path / 'image'}" in steps.steps


def test_a_failure_is_the_error_of_the_command_line(cli: Cli, tmp_path: Path) -> None:
    with pytest.raises(SdkError) as caught:
        lls_provider.build(tmp_path / "none", outputs="oci:x")
    done = cli("build", tmp_path / "none", "--output", "oci:x", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (caught.value.status, f"{caught.value.render()}\n")


# --- the process


def state() -> dict[str, object]:
    """What a process has that a library must leave alone."""
    mask = os.umask(0)
    os.umask(mask)
    return {
        "environment": dict(os.environ),
        "umask": mask,
        "signals": {number: signal.getsignal(number) for number in signal.valid_signals()},
        "wakeup": signal.set_wakeup_fd(signal.set_wakeup_fd(-1)),
        "mask": signal.pthread_sigmask(signal.SIG_BLOCK, []),
        "folder": Path.cwd(),
        "locale": locale.setlocale(locale.LC_ALL),
        "hooks": (sys.excepthook, sys.unraisablehook, sys.stdout, sys.stderr),
    }


@contextmanager
def unchanged() -> Iterator[None]:
    before = state()
    try:
        yield
    finally:
        assert state() == before


class Watching(Recorder):
    """Compares the process at each step, while a call works."""

    def __init__(self) -> None:
        super().__init__()
        self.before, self.steps = state(), 0

    def step(self, text: str, /) -> None:
        self.steps += 1
        assert state() == self.before


HOUSE = Indexes(find_links=(SAMPLE,))  # a directory that exists, without wheels
OFFLINE = Indexes(find_links=(SAMPLE,), offline=True)


def test_no_call_leaves_a_trace_in_the_process(
    image: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    watching = Watching()
    with unchanged():
        lls_provider.build(
            SAMPLE,
            outputs=f"oci:{tmp_path / 'image'}",
            base="scratch",
            distributions=PROFILE,
            indexes=HOUSE,
            progress=watching,
        )
        lls_provider.check(image, indexes=HOUSE, progress=watching)
        lls_provider.check(SAMPLE, distributions=PROFILE, indexes=HOUSE, progress=watching)
        lls_provider.compat([image], indexes=HOUSE, progress=watching)
        lls_provider.inspect(image, progress=watching)
        lls_provider.diagnose(POD)
    assert watching.steps
    assert capfd.readouterr() == ("", "")


def test_push_leaves_no_trace_in_the_process(image: Path, registry: str) -> None:
    target = f"{registry}/acme/echo:api"
    with unchanged():
        pushed = lls_provider.push(image, target, insecure=True, progress=Watching())
        (found,) = lls_provider.inspect(f"docker://{target}", insecure=True).images
        again = lls_provider.push(found, [f"{registry}/acme/echo:more"], insecure=True)
    assert pushed.to_document() == {
        "dry_run": False,
        "outputs": [{"output": f"docker://{target}", "digest": found.digest}],
    }
    assert again.outputs[0].digest == found.digest


FAILING: dict[str, Callable[[], object]] = {
    "build": lambda: lls_provider.build("none", outputs="oci:x", indexes=HOUSE),
    "build-late": lambda: lls_provider.build(
        SAMPLE, outputs="oci:x", base="scratch", distributions="no-such==1", indexes=OFFLINE
    ),
    "build-index": lambda: lls_provider.build(outputs="oci:x", indexes=Indexes(index=("no",))),
    "check": lambda: lls_provider.check("none", indexes=HOUSE),
    "compat": lambda: lls_provider.compat("none", indexes=HOUSE),
    "compat-late": lambda: lls_provider.compat(SAMPLE, distributions="no-such==1", indexes=OFFLINE),
    "push": lambda: lls_provider.push("oci:none", "registry.example.com/x:1"),
    "inspect": lambda: lls_provider.inspect("oci:none"),
    "diagnose": lambda: lls_provider.diagnose("none"),
    "diagnose-kubectl": lambda: lls_provider.diagnose("pod/none", timeout=5),
    "up": lambda: lls_provider.up("none", indexes=HOUSE).__enter__(),
    "up-late": lambda: lls_provider.up(SAMPLE, server="no-such==1", indexes=OFFLINE).__enter__(),
}


@pytest.mark.parametrize("name", FAILING)
def test_a_failure_leaves_no_trace_either(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with unchanged(), pytest.raises(SdkError):
        FAILING[name]()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.server
def test_up_stops_its_server_and_leaves_no_trace_in_the_process() -> None:
    with unchanged(), lls_provider.up(SAMPLE, progress=Watching()) as server:
        with urllib.request.urlopen(f"{server.url}/v1/providers") as reply:
            listed = [item["provider_id"] for item in json.load(reply)["data"]]
        assert "echo-inference" in listed
        assert server.log.is_file()
        assert server.to_document()["call"]["status"] == 200
    assert not server.log.exists()
    with pytest.raises(OSError, match="refused"):
        urllib.request.urlopen(f"{server.url}/v1/providers")


@pytest.mark.server
def test_up_stops_its_server_when_the_block_fails() -> None:
    with unchanged(), pytest.raises(ZeroDivisionError), lls_provider.up(SAMPLE) as server:
        raise ZeroDivisionError
    assert not server.log.exists()
    with pytest.raises(OSError, match="refused"):
        urllib.request.urlopen(f"{server.url}/v1/providers")
