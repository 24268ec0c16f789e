from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest

from lls_provider.errors import Code, SdkError
from lls_provider.runtime.preflight import probe_process
from lls_provider.runtime.preflight.probe_client import (
    ProbeFailure,
    ProbeRequest,
    ProbeResult,
    pooled_probe,
    probe,
    probe_all,
)

pytestmark = pytest.mark.slow

GOOD = """\
import enum, sys
print("noise on stdout"); print("noise on stderr", file=sys.stderr)
class Api(enum.Enum):
    inference = "inference"
class Config:
    @classmethod
    def model_json_schema(cls):
        return {"type": "object"}
class Spec:
    api = Api.inference
    provider_type = "remote::good"
    module = "good.adapter"
    config_class = "good.provider.Config"
def get_provider_spec():
    return Spec()
"""
ADAPTER = "async def get_adapter_impl(config, deps): pass\n"


def _package(folder: Path, name: str, provider: str, **modules: str) -> Path:
    package = folder / name
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "provider.py").write_text(provider)
    for module, text in modules.items():
        (package / f"{module}.py").write_text(text)
    return folder


def _probe(path: Path, module: str, **more: object) -> ProbeResult:
    return probe(Path(sys.executable), module, path=[path], timeout=20, **more)  # type: ignore[arg-type]


def _failure(path: Path, module: str, **more: object) -> ProbeFailure:
    failure = _probe(path, module, **more).failure
    assert failure is not None
    return failure


def test_a_good_provider_tells_its_spec_and_schema_despite_its_noise(tmp_path: Path) -> None:
    path = _package(tmp_path, "good", GOOD, adapter=ADAPTER)
    result = _probe(path, "good==1.0")
    assert result.failure is None
    spec = result.spec("remote::whatever")  # a single spec fits any type, as for the servers
    assert spec is not None
    assert (spec.provider_type, spec.api) == ("remote::good", "inference")
    assert (spec.module, spec.config_class) == ("good.adapter", "good.provider.Config")
    assert not spec.is_list
    assert result.config_schema == {"type": "object"}
    assert not list(path.rglob("*.pyc"))


def test_a_list_yields_all_and_the_type_chooses(tmp_path: Path) -> None:
    text = GOOD.replace("return Spec()", "return [Spec(), Other()]")
    text += "class Other(Spec):\n    provider_type = 'remote::other'\n"
    path = _package(tmp_path, "good", text, adapter=ADAPTER)
    result = _probe(path, "good", provider_type="remote::other")
    assert result.failure is None
    assert [spec.provider_type for spec in result.specs] == ["remote::good", "remote::other"]
    chosen = result.spec("remote::other")
    assert chosen is not None
    assert chosen.provider_type == "remote::other"
    failure = _failure(path, "good", provider_type="remote::none")
    assert failure.kind == "invalid"
    assert "remote::good, remote::other" in failure.reason


def test_a_missing_dependency_is_the_true_cause(tmp_path: Path) -> None:
    text = (
        "try:\n    import tqdm_missing.auto\n"
        "except ImportError as error:\n"
        "    raise ValueError('get_provider_spec not found') from error\n"
    )
    failure = _failure(_package(tmp_path, "bad", text), "bad")
    assert failure.kind == "import"
    assert failure.reason == "No module named 'tqdm_missing'"
    assert failure.missing_module == "tqdm_missing"
    lines = failure.traceback.splitlines()
    assert lines[0] == "ModuleNotFoundError: No module named 'tqdm_missing'"
    assert lines[1].endswith('provider.py", line 2, in <module>')
    assert "which led to ValueError: get_provider_spec not found" in failure.traceback


def test_of_two_imports_that_fail_the_second_is_the_cause(tmp_path: Path) -> None:
    text = "try:\n    import ogx_missing\nexcept ImportError:\n    import llama_missing\n"
    failure = _failure(_package(tmp_path, "bad", text), "bad")
    assert failure.missing_module == "llama_missing"
    assert "while handling ModuleNotFoundError: No module named 'ogx_missing'" in failure.traceback


def test_an_import_error_behind_another_error_is_the_cause(tmp_path: Path) -> None:
    text = "try:\n    import gone_missing\nexcept ImportError:\n    raise RuntimeError('no')\n"
    assert _failure(_package(tmp_path, "bad", text), "bad").missing_module == "gone_missing"


@pytest.mark.parametrize(
    ("text", "kind", "reason"),
    [
        ("x = 1\n", "no-get-provider-spec", "module 'bad.provider' has no function"),
        ("def get_provider_spec(): return 1/0\n", "call", "ZeroDivisionError: division by zero"),
        ("import sys; sys.exit(3)\n", "import", "the module ended the process: SystemExit(3)"),
        ("import os; os._exit(7)\n", "import", "exit status 7"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)\n", "import", "SIGSEGV"),
        ("def f(:\n", "import", "SyntaxError"),
        ("def get_provider_spec(): return None\n", "invalid", "returned None, not a spec"),
        ("def get_provider_spec(): return []\n", "invalid", "an empty list"),
        ("raise KeyError('x')\n", "import", "KeyError: 'x'"),
        (
            "class E(Exception):\n    def __str__(self): raise ValueError\nraise E\n",
            "import",
            "E: (its text cannot be shown)",
        ),
    ],
)
def test_each_failure_has_its_kind_and_reason(
    tmp_path: Path, text: str, kind: str, reason: str
) -> None:
    failure = _failure(_package(tmp_path, "bad", text), "bad")
    assert failure.kind == kind
    assert reason in failure.reason


@pytest.mark.parametrize("field", ["provider_type", "api", "config_class"])
def test_a_field_that_lacks_is_named(tmp_path: Path, field: str) -> None:
    text = GOOD.replace("def get_provider_spec", f"Spec.{field} = None\ndef get_provider_spec")
    failure = _failure(_package(tmp_path, "good", text), "good")
    assert (failure.kind, failure.field) == ("invalid", field)


def test_a_field_that_pydantic_missed_is_named(tmp_path: Path) -> None:
    text = (
        "class ValidationError(ValueError):\n"
        "    def errors(self): return [{'type': 'missing', 'loc': ('config_class',)}]\n"
        "def get_provider_spec(): raise ValidationError('1 validation error')\n"
    )
    failure = _failure(_package(tmp_path, "bad", text), "bad")
    assert (failure.kind, failure.field) == ("invalid", "config_class")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (('module = "good.adapter"', 'module = "gone"'), "No module named 'gone'"),
        (('module = "good.adapter"', 'module = "good"'), "has no function get_adapter_impl"),
        (("remote::good", "inline::good"), "has no function get_provider_impl"),
        (("good.provider.Config", "good.provider.Gone"), "'good.provider.Gone' does not exist"),
        (("good.provider.Config", "gone.Config"), "No module named 'gone'"),
    ],
)
def test_what_the_server_would_import_next_is_tried_and_the_spec_still_told(
    tmp_path: Path, change: tuple[str, str], reason: str
) -> None:
    path = _package(tmp_path, "good", GOOD.replace(*change), adapter=ADAPTER)
    result = _probe(path, "good")
    assert result.failure is not None
    assert reason in result.failure.reason
    assert len(result.specs) == 1
    assert _probe(path, "good", imports=False).failure is None


def test_a_provider_that_hangs_is_given_up(tmp_path: Path) -> None:
    text = "import time\nwhile True: time.sleep(1); print('still here')\n"
    path = _package(tmp_path, "bad", text)
    failure = probe(Path(sys.executable), "bad", path=[path], timeout=1.5).failure
    assert failure is not None
    assert failure.reason == "loading it did not end within 1.5 seconds"


def test_what_a_dying_provider_printed_is_kept(tmp_path: Path) -> None:
    text = "import os; print('famous last words', flush=True); os._exit(1)\n"
    assert "famous last words" in _failure(_package(tmp_path, "bad", text), "bad").output


def test_several_are_asked_in_one_process_until_one_kills_it(tmp_path: Path) -> None:
    _package(tmp_path, "good", GOOD, adapter=ADAPTER)
    _package(tmp_path, "raises", "raise ValueError('x')\n")
    _package(tmp_path, "dies", "import os; os._exit(1)\n")
    requests = [ProbeRequest(name) for name in ("good", "raises", "good", "dies", "good")]
    results = list(probe_all(Path(sys.executable), requests, path=[tmp_path], timeout=20))
    assert [result.failure is None for result in results] == [True, False, True, False]


def test_the_child_sees_the_path_in_front_but_not_our_folder(tmp_path: Path) -> None:
    text = (
        "import sys\n"
        "raise ValueError(repr([p for p in sys.path if p in ('', '/') or p.endswith('front')]))\n"
    )
    path = _package(tmp_path / "front", "bad", text)
    assert _failure(path, "bad").reason == f"ValueError: [{str(path)!r}]"


def test_relative_paths_are_those_of_the_caller(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _package(tmp_path, "good", GOOD, adapter=ADAPTER)
    (tmp_path / "python").symlink_to(sys.executable)
    monkeypatch.chdir(tmp_path)
    assert probe(Path("python"), "good", path=[Path()], env={}).failure is None
    inherited = {"PYTHONPATH": os.pathsep.join((".", ""))}
    assert probe(Path("python"), "good", env=inherited).failure is None


def test_nothing_to_ask_starts_nothing() -> None:
    assert list(probe_all(Path("/nowhere"), [])) == []


def test_a_python_that_is_not_there_is_our_error() -> None:
    with pytest.raises(SdkError) as caught:
        probe(Path("/nowhere/python"), "x")
    assert caught.value.code is Code.PYTHON_MISSING


def test_the_script_fits_every_locale() -> None:
    assert probe_process._script().isascii()


def _asked_while_waiting(
    path: Path, module: str, server: Path, *first: str, **more: bool
) -> list[ProbeResult] | None:
    """What a process says that had the server's modules ``first`` before it heard of ``path``."""
    env = {"PYTHONPATH": str(server), "PATH": os.environ["PATH"]}
    with pooled_probe(Path(sys.executable), first, env=env, **more) as waiting:
        return waiting.ask([ProbeRequest(module, schema=True)], path, timeout=20)


@pytest.fixture
def server(tmp_path: Path) -> Path:
    """What a server has: an API that prints when it is imported, and a module of its own."""
    folder = tmp_path / "server"
    folder.mkdir()
    (folder / "api.py").write_text("import other\nprint('the API')\n")
    (folder / "other.py").write_text("VALUE = 'server'\n")
    return folder


def test_a_process_that_waited_says_what_a_new_one_says(tmp_path: Path, server: Path) -> None:
    packages = tmp_path / "packages"
    _package(packages, "good", "import os, sys, api, other\n" + GOOD, adapter=ADAPTER)
    _package(packages, "bad", "import api\nraise ZeroDivisionError('oh')\n")
    _package(packages, "gone", "import api, nowhere\n")
    _package(packages, "ends", "import os\nos._exit(3)\n")
    for module in ("good", "bad", "gone", "ends"):
        env = {"PYTHONPATH": str(server), "PATH": os.environ["PATH"]}
        new = probe(Path(sys.executable), module, path=[packages], env=env, timeout=20)
        assert _asked_while_waiting(packages, module, server, "api") == [new], module


def test_the_providers_processes_find_its_packages_and_the_servers(
    tmp_path: Path, server: Path
) -> None:
    source = (
        "import subprocess, sys\n"
        "subprocess.run([sys.executable, '-c', 'import good.adapter, api'], check=True)\n"
    )
    packages = _package(tmp_path / "packages", "good", source + GOOD, adapter=ADAPTER)
    (found,) = _asked_while_waiting(packages, "good", server, "api") or []
    assert found.failure is None


@pytest.mark.parametrize("name", ["other.py", "other/__init__.py", "sitecustomize.py"])
def test_who_has_imported_what_packages_replace_leaves_the_answer_to_a_new_process(
    tmp_path: Path, server: Path, name: str
) -> None:
    packages = _package(tmp_path / "packages", "good", GOOD, adapter=ADAPTER)
    (packages / name).parent.mkdir(exist_ok=True)
    (packages / name).write_text("VALUE = 'provider'\n")
    assert _asked_while_waiting(packages, "good", server, "api") is None


def test_it_waits_although_the_server_lacks_the_module_and_answers_once(tmp_path: Path) -> None:
    packages = _package(tmp_path / "packages", "good", GOOD, adapter=ADAPTER)
    with pooled_probe(Path(sys.executable), ["no_such_api"], env={}) as waiting:
        (first,) = waiting.ask([ProbeRequest("good")], packages, timeout=20) or []
        assert first.failure is None
        assert waiting.ask([ProbeRequest("good")], packages, timeout=20) is None


@pytest.mark.parametrize("keep", [True, False])
def test_bytecode_is_written_for_the_server_alone_and_only_if_told(
    tmp_path: Path, server: Path, keep: bool
) -> None:
    packages = _package(tmp_path / "packages", "good", "import api\n" + GOOD, adapter=ADAPTER)
    assert _asked_while_waiting(packages, "good", server, "api", keep_bytecode=keep)
    assert bool(list(server.rglob("*.pyc"))) is keep
    assert not list(packages.rglob("*.pyc"))


def test_a_process_that_nobody_asked_ends_with_the_block(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "begun")
    (tmp_path / "api.py").write_text(
        f"import os, time\n"
        f"with open({str(tmp_path / 'begun')!r}, 'w') as begun: begun.write(str(os.getpid()))\n"
        f"time.sleep(600)\n"
    )
    with pooled_probe(Path(sys.executable), ["api"], env={"PYTHONPATH": str(tmp_path)}):
        process = (tmp_path / "begun").read_text()
    assert not Path(f"/proc/{process}").exists()


TAKING = """\
import os, sys
class Config:
    def __init__(self, **config):
        {does}
class Spec:
    provider_type, api, module, config_class = "remote::x", "inference", "it", {name}
def get_provider_spec():
    return [Spec()]
"""
_CONFIGS: list[tuple[str, str, bool | None]] = [
    ("pass", "Config", True),
    ("pass", "'it.provider.Config'", True),
    ("if config != {'a': ['s3cret']}: raise ValueError", "Config", True),
    ("raise ValueError", "Config", False),
    ("raise SystemExit(0)", "Config", None),
    ("os._exit(0)", "Config", None),
    ("pass", "'it.provider.Absent'", None),
    ("assert 's3cret' not in open('/proc/self/cmdline').read()", "Config", True),
    ("assert 's3cret' not in str(dict(os.environ))", "Config", True),
    ("assert sys.argv == ['-c']", "Config", True),
]


@pytest.mark.parametrize(("does", "name", "expected"), _CONFIGS, ids=range(len(_CONFIGS)))
def test_the_config_class_is_asked_whether_it_takes_a_config(
    tmp_path: Path, does: str, name: str, expected: bool | None
) -> None:
    source = TAKING.replace("{does}", does).replace("{name}", name)
    _package(tmp_path, "it", source, __init__=ADAPTER)
    result = _probe(tmp_path, "it", config={"a": ["s3cret"]})
    assert result.takes_config is expected
    assert (result.failure is None) is (expected is not None)
    assert _probe(tmp_path, "it").takes_config is None


def test_a_large_config_reaches_the_class(tmp_path: Path) -> None:
    source = TAKING.format(does="assert len(config['a']) == 1 << 20", name="Config")
    _package(tmp_path, "it", source, __init__=ADAPTER)
    assert _probe(tmp_path, "it", config={"a": "x" * (1 << 20)}).takes_config is True


def test_a_provider_that_closes_what_it_did_not_open_is_told(tmp_path: Path) -> None:
    path = _package(tmp_path, "bad", "import os; os.closerange(3, 100_000)\n")
    failure = _failure(path, "bad")
    assert failure.reason == "loading it closed file descriptors that it did not open"


def test_a_signal_without_a_name_is_told_by_its_number(tmp_path: Path) -> None:
    number = signal.SIGRTMIN + 1
    text = f"import os; os.kill(os.getpid(), {number})\n"
    reason = _failure(_package(tmp_path, "bad", text), "bad").reason
    assert reason == f"loading it killed the Python process: signal {number}"


def test_who_has_no_spec_gives_none() -> None:
    assert ProbeResult().spec() is None
    assert ProbeResult().spec("remote::x") is None
