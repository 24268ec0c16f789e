"""`up` on the real servers: what it finds, how it fails, what it leaves (nothing)."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.recorder import Recorder

from lls_provider.bundle.bundle import Bundle
from lls_provider.bundle.config_schema import dump_schema
from lls_provider.errors import Code, ExitStatus, SdkError
from lls_provider.image.bundle_image import compose
from lls_provider.image.transports.layout import write_layout
from lls_provider.local.call import HOST, free_port, group_lives, parse_call
from lls_provider.local.plan import CallReply, ServedProvider, UpOptions, UpResult
from lls_provider.local.run import Up
from lls_provider.operations.targets import resolve_source
from lls_provider.progress import Silent
from lls_provider.project.sample_call import SampleCall

MakeProvider = Callable[..., Bundle]

SAMPLES = Path(__file__).parents[2] / "samples"
SERVERS = ("llama-stack==0.7.3", "ogx==1.5.0")
ON_BOTH = pytest.mark.parametrize("server", SERVERS)
PHASES = ["environment", "unpack", "install", "extract", "merge", "preflight", "server"]

MODEL = ("models", {"model_id": "tiny", "provider_id": "acme-echo", "model_type": "llm"})
CHAT = parse_call(
    'POST /v1/chat/completions {"model": "acme-echo/tiny", '
    '"messages": [{"role": "user", "content": "hello"}]}'
)


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A temporary directory of the test's own: what lies there at its end was left behind."""
    folder = tmp_path / "tmp"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr(tempfile, "tempdir", None)
    return folder


def run(
    targets: list[Bundle | str], options: UpOptions, progress: Silent | None = None
) -> UpResult:
    """A whole run, after which nothing may be there any more."""
    texts = [item if isinstance(item, str) else str(item.root) for item in targets]
    up = Up([resolve_source(text) for text in texts], options, progress or Silent())
    try:
        with up:
            up.run()
            port = int(up.url.rpartition(":")[2])
        with pytest.raises(ConnectionRefusedError), socket.create_connection((HOST, port), 5):
            pass
    except SdkError as error:
        error.add_note(json.dumps([phase.name for phase in up.result.phases if not phase.ok]))
        raise
    finally:
        assert list(Path(tempfile.gettempdir()).iterdir()) == []
    return up.result


def failing(targets: list[Bundle | str], options: UpOptions) -> tuple[SdkError, list[str]]:
    """The error of a run and the phases that failed."""
    with pytest.raises(SdkError) as caught:
        run(targets, options)
    return caught.value, json.loads(caught.value.__notes__[0])


@pytest.mark.server
@ON_BOTH
def test_a_bundle_is_installed_served_and_called(make_provider: MakeProvider, server: str) -> None:
    options = UpOptions(
        server=server,
        call=CHAT,
        resources=(MODEL,),
        configs=((None, {"prefix": "you said: "}),),
    )
    result = run([make_provider()], options)
    assert result.server == server
    assert [phase.name for phase in result.phases] == [*PHASES, "providers", "call"]
    assert all(phase.ok for phase in result.phases)
    assert result.providers == (ServedProvider("acme-echo", "inference", "remote::acme-echo"),)
    assert isinstance(result.call, CallReply)
    assert result.call.status == 200
    assert result.call.body["choices"][0]["message"]["content"] == "you said: hello"


@pytest.mark.server
@ON_BOTH
def test_an_image_and_a_bundle_run_together_and_a_file_can_be_sent(
    make_provider: MakeProvider, tmp_path: Path, server: str
) -> None:
    write_layout(compose(make_provider()), tmp_path / "oci")
    reader = make_provider("acme-reader", "file_processors")
    sample = tmp_path / "sample.txt"
    sample.write_text("some text")
    call = SampleCall("POST", "/v1alpha/file-processors/process", files={"file": sample})
    result = run([str(reader.root), f"oci:{tmp_path / 'oci'}"], UpOptions(server=server, call=call))
    assert set(result.providers) == {
        ServedProvider("acme-echo", "inference", "remote::acme-echo"),
        ServedProvider("acme-reader", "file_processors", "inline::acme-reader"),
    }
    assert result.call is not None
    assert result.call.body["chunks"][0]["content"] == "some text"
    assert result.call.body["metadata"]["name"] == "sample.txt"


@pytest.mark.server
@ON_BOTH
def test_a_provider_that_fails_in_the_server_is_told_with_its_true_cause(
    make_provider: MakeProvider, server: str
) -> None:
    # preflight does not call get_adapter_impl(): only the server finds this
    late = "async def get_adapter_impl(config, deps):\n    import absent_dependency\n"
    bundle = make_provider(files={"__init__.py": late})
    error, failed = failing([bundle], UpOptions(server=server))
    assert failed == ["server"]
    assert error.code is Code.SERVER_FAILED
    assert error.where.provider == "acme-echo"
    assert error.why.startswith("ModuleNotFoundError: No module named 'absent_dependency'")
    assert "'absent_dependency'" in error.resolution


@pytest.mark.server
@ON_BOTH
def test_a_failing_call_shows_the_reply_and_the_servers_cause(
    make_provider: MakeProvider, server: str
) -> None:
    broken = {"adapter.py": _BROKEN_ADAPTER}
    options = UpOptions(server=server, call=CHAT, resources=(MODEL,))
    error, failed = failing([make_provider(files=broken)], options)
    assert failed == ["call"]
    assert error.code is Code.CALL_FAILED
    assert "returned status 500, not 200" in error.what
    assert "Internal server error" in error.why
    assert "RuntimeError: no answer today" in error.why
    assert error.where.provider == "acme-echo"


_BROKEN_ADAPTER = textwrap.dedent(
    """
    class Adapter:
        def __init__(self, config):
            pass

        async def initialize(self):
            pass

        async def shutdown(self):
            pass

        async def should_refresh_models(self):
            return False

        async def list_models(self):
            return []

        async def register_model(self, model):
            return model

        async def unregister_model(self, model_id):
            pass

        async def openai_chat_completion(self, params):
            raise RuntimeError("no answer today")
    """
)


SAMPLES = Path(__file__).parents[2] / "samples"


@pytest.mark.server
@ON_BOTH
def test_two_projects_are_built_for_the_server_and_served_together(server: str) -> None:
    targets = [str(SAMPLES / "text-file-processor"), str(SAMPLES / "echo-inference")]
    result = run(list(targets), UpOptions(server=server))
    assert [phase.name for phase in result.phases] == [
        "environment",
        "build",
        *PHASES[1:],
        "providers",
        "call",
    ]
    assert {item.api for item in result.providers} == {"inference", "file_processors"}
    assert result.call is not None
    assert result.call.status == 200
    assert result.call.body["chunks"]  # the call of the first target that has one


@pytest.mark.server
def test_a_full_disk_is_told_and_nothing_stays(
    make_provider: MakeProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_arguments: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("lls_provider.local.base_config.write_base", full)
    error, failed = failing([make_provider()], UpOptions(server=SERVERS[0]))
    assert error.code is Code.NO_SPACE
    assert error.status is ExitStatus.ENVIRONMENT
    assert failed == ["extract"]


@pytest.mark.server
def test_a_missing_import_is_found_by_preflight_before_the_server(
    make_provider: MakeProvider,
) -> None:
    bundle = make_provider(files={"provider.py": "import absent_dependency\n"})
    error, failed = failing([bundle], UpOptions(server=SERVERS[0]))
    assert failed == ["preflight"]
    assert error.code is Code.VALIDATION_FAILED
    message = error.render()
    assert message.startswith("ERROR: Provider validation failed\n\nProvider: acme-echo\n")
    assert "absent_dependency" in message
    assert "Resolution: " in message


@pytest.mark.server
def test_a_config_that_a_stored_schema_forbids_is_told_before_the_server(
    make_provider: MakeProvider,
) -> None:
    bundle = make_provider()
    schema = {"properties": {"prefix": {"type": "string"}}}
    bundle.tree.config_schema.write_bytes(dump_schema(schema))
    error, failed = failing(
        [bundle], UpOptions(server=SERVERS[1], configs=((None, {"prefix": ["not", "text"]}),))
    )
    assert failed == ["preflight"]
    assert error.code is Code.USAGE
    assert error.where.provider == "acme-echo"
    assert [it.what for it in error.problems] == ["$.prefix must be of type string, not array"]


@pytest.mark.server
def test_the_key_of_a_projects_config_that_its_class_refuses_is_why_its_server_ended(
    tmp_path: Path,
) -> None:
    project = tmp_path / "project"
    shutil.copytree(SAMPLES / "echo-inference", project)
    settings = project / "pyproject.toml"
    text = settings.read_text()
    settings.write_text(text.replace('prefix = "You said: "', "prefix = 3"))
    error, failed = failing([str(project)], UpOptions(server=SERVERS[0]))
    assert failed == ["server"]
    assert error.code is Code.SETTINGS_INVALID
    (problem,) = error.problems
    assert problem.what == "$.prefix must be of type string, not integer"
    assert problem.where.line == text[: text.index("prefix = ")].count("\n") + 1


@pytest.mark.server
def test_a_key_that_a_project_does_not_give_is_why_its_server_ended(tmp_path: Path) -> None:
    project = tmp_path / "project"
    shutil.copytree(SAMPLES / "echo-inference", project)
    source = project / "src" / "echo_inference" / "config.py"
    source.write_text(source.read_text().replace('Field(default="", ', "Field("))
    settings = project / "pyproject.toml"
    text = settings.read_text()
    settings.write_text(text.replace('[tool.lls-provider.up.config]\nprefix = "You said: "\n', ""))
    error, failed = failing([str(project)], UpOptions(server=SERVERS[0]))
    assert failed == ["server"]
    assert [it.what for it in error.problems] == ["$.prefix is missing, and required"]
    assert error.resolution == (
        "Give the keys in [tool.lls-provider.up.config], or with --config 'echo-inference=JSON'."
    )
    # the advice, followed
    settings.write_text(text)
    run([str(project)], UpOptions(server=SERVERS[0]))


@pytest.mark.server
def test_a_config_that_does_not_fit_is_told_by_the_server_without_a_schema(
    make_provider: MakeProvider,
) -> None:
    options = UpOptions(server=SERVERS[1], configs=(("acme-echo", {"prefix": ["not", "text"]}),))
    error, failed = failing([make_provider()], options)
    assert failed == ["server"]
    assert "Input should be a valid string" in error.why
    assert "--config" in error.resolution


@pytest.mark.server
def test_a_base_configuration_of_the_users_is_extended(
    make_provider: MakeProvider, tmp_path: Path
) -> None:
    base = tmp_path / "run.yaml"
    base.write_text(
        "version: 2\ndistro_name: mine\napis: []\nproviders:\n  inference:\n"
        "  - provider_id: acme-echo\n    provider_type: remote::ollama\n"
        "server:\n  host: 0.0.0.0\n  tls_certfile: /absent\n  tls_keyfile: /absent\n"
    )
    progress = Recorder()
    result = run([make_provider()], UpOptions(server=SERVERS[1], base_config=base), progress)
    assert result.providers == (ServedProvider("acme-echo", "inference", "remote::acme-echo"),)
    assert any("overrides base provider in API 'inference'" in text for text in progress.warnings)


@pytest.mark.server
def test_every_phase_is_told_with_its_seconds(make_provider: MakeProvider) -> None:
    progress = Recorder()
    run([make_provider()], UpOptions(server=SERVERS[0]), progress)
    told = [note.split()[0] for note in progress.notes if " done in " in note]
    assert told == [*PHASES, "providers"]


def test_a_taken_port_is_told_before_anything_runs(make_provider: MakeProvider) -> None:
    with socket.create_server((HOST, 0)) as server:
        port = server.getsockname()[1]
        error, failed = failing([make_provider()], UpOptions(server=SERVERS[0], port=port))
    assert error.code is Code.PORT_TAKEN
    assert error.status is ExitStatus.ENVIRONMENT
    assert failed == []
    assert str(port) in error.what


def test_a_bundle_that_names_no_server_asks_for_one(make_provider: MakeProvider) -> None:
    bundle = make_provider()
    bundle.tree.manifest.unlink()
    error, failed = failing([bundle], UpOptions())
    assert error.code is Code.USAGE
    assert failed == []
    assert "--server" in error.resolution


@pytest.mark.server
def test_an_environment_without_a_server_is_refused(make_provider: MakeProvider) -> None:
    error, failed = failing([make_provider()], UpOptions(server=f"python:{sys.executable}"))
    assert error.code is Code.USAGE
    assert failed == ["environment"]
    assert "--server" in error.resolution


# `up` that stays, as a program that reports its URL and the server's process group
STAYING = textwrap.dedent(
    """
    import sys
    from lls_provider.local.plan import UpOptions
    from lls_provider.operations.targets import resolve_source
    from lls_provider.local.run import Up
    from lls_provider.runtime.process.signals import StoppedBySignal, stop_signals

    options = UpOptions(server=sys.argv[2], port=int(sys.argv[3]))
    try:
        with stop_signals(), Up([resolve_source(sys.argv[1])], options) as up:
            up.run()
            print(up.log.parent, up.server_group, flush=True)
            up.stay()
    except StoppedBySignal as stopped:
        sys.exit(stopped.status)
    """
)


@pytest.mark.server
@pytest.mark.parametrize(
    ("number", "status"),
    [
        (signal.SIGKILL, -signal.SIGKILL),
        (signal.SIGTERM, 143),
        (signal.SIGINT, 130),
    ],
    ids=["kill", "term", "int"],
)
def test_a_real_server_never_outlives_its_up(
    make_provider: MakeProvider, number: signal.Signals, status: int
) -> None:
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-c", STAYING, str(make_provider().root), SERVERS[0], str(port)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    words = process.stdout.readline().split()
    assert words, process.communicate()[1]
    root, group = Path(words[0]), int(words[1])
    assert group_lives(group)
    process.send_signal(number)
    process.communicate(timeout=60)
    assert process.returncode == status
    deadline = time.monotonic() + 30
    while (group_lives(group) or root.exists()) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not group_lives(group)
    assert not root.exists()
    with socket.create_server((HOST, port)):
        pass


@pytest.mark.server
def test_a_server_that_ends_while_up_stays_is_told(make_provider: MakeProvider) -> None:
    up = Up([resolve_source(str(make_provider().root))], UpOptions(server=SERVERS[0]))
    with up:
        up.run()
        os.killpg(up.server_group, signal.SIGKILL)
        with pytest.raises(SdkError) as caught:
            up.stay()
    assert caught.value.code is Code.SERVER_FAILED
    assert "killed by SIGKILL" in caught.value.what
