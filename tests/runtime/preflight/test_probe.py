"""The modules of the probe's script, run as modules: they say what the script says.

`probing` runs them as one text in a process that ends as soon as it has answered. Here the same
modules run in a process of their own, to its end, where it can be seen what they do.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from tests.runtime.imported import without_texts

from lls_provider.runtime.preflight import probe as module
from lls_provider.runtime.preflight.probe_client import (
    ProbeRequest,
    ProbeResult,
    _result,
    probe_all,
)
from lls_provider.runtime.preflight.probe_spec import CLOSED

RUN = f"from {module.__name__} import main; main()"
SPEC = """\
class Spec:
    api, provider_type, module, config_class = "inference", "remote::x", "adapter", "adapter.Config"
    def __init__(self, **more): vars(self).update(more)
def get_provider_spec(): return Spec()
"""
ADAPTER = """\
import dataclasses
async def get_adapter_impl(config, deps): ...
class Config: ...
class Takes:
    def __init__(self, a): assert a == 1
class Schema:
    @classmethod
    def model_json_schema(cls):
        return {"a": [None, True, False, 1, 2.5, "x", ("y",)], 3: {}, None: "z"}
class NotANumber:
    @classmethod
    def model_json_schema(cls):
        return {"a": float("nan")}
class Large:
    @classmethod
    def model_json_schema(cls):
        return {"a": "x" * (4 * 1024 * 1024)}
class Once(dict):
    def items(self):
        self.read = getattr(self, "read", 0) + 1
        return {"a": 1}.items() if self.read == 1 else 1 / 0
class Changes:
    @classmethod
    def model_json_schema(cls):
        return Once()
@dataclasses.dataclass
class Data:
    a: int = 1
"""
RAISES = {
    "a cause": "try:\n    import gone\nexcept ImportError as it:\n    raise ValueError from it\n",
    "a translation": "try:\n    import gone\nexcept ImportError:\n    raise ValueError('no')\n",
    "a second import": "try:\n    import gone\nexcept ImportError:\n    import gone_too\n",
    "no cause": "try:\n    import gone\nexcept ImportError:\n    raise OSError('no') from None\n",
    "a group": "raise ExceptionGroup('both', [KeyError('x'), KeyError('y')])\n",
    "itself": "error = ValueError('x')\nerror.__cause__ = error\nraise error\n",
    "an empty import error": "raise ImportError\n",
    "its end": "import sys\nsys.exit(3)\n",
    "nothing to say": "raise KeyError\n",
    "what cannot be shown": "class E(Exception):\n    def __str__(self): 1 / 0\nraise E\n",
    "what is in the way": (
        "class E(Exception):\n    __cause__ = property(lambda self: 1 / 0)\nraise E\n"
    ),
    "a mistake of syntax": "def f(:\n",
    "a recursion": "def f(n): f(n + 1)\nf(0)\n",
    "a recursion of two": "def f(n): g(n)\ndef g(n): f(n)\nf(0)\n",
    "a long chain": (
        "def f(n):\n    try:\n        if n: f(n - 1)\n        else: raise KeyError(n)\n"
        "    except Exception as error:\n        raise ValueError(n) from error\nf(20)\n"
    ),
    "a deep recursion": (
        "import sys\nsys.setrecursionlimit(30_000)\ndef f(n): f(n - 1) if n else 1 / 0\nf(25_000)\n"
    ),
    "code of no file": "exec(compile('1 / 0', '<made>', 'exec'))\n",
    "code of a strange file": (
        "exec(compile('1 / 0', 'x', 'exec').replace(co_filename='a\\0b'))\n"
    ),
}
FIELDS = {
    "missing": "[{'type': 'missing', 'loc': ('config_class',)}]",
    "another": "[{'type': 'other', 'loc': ('config_class',)}, {'type': 'missing', 'loc': ()}]",
    "strange": "1 / 0",
}
SOURCES = {
    "fine": SPEC,
    "a class": "import adapter\n" + SPEC + "Spec.config_class = adapter.Config\n",
    "takes": SPEC + "Spec.config_class = 'adapter.Takes'\n",
    "schema": SPEC + "Spec.config_class = 'adapter.Schema'\n",
    "no number": SPEC + "Spec.config_class = 'adapter.NotANumber'\n",
    "large": SPEC + "Spec.config_class = 'adapter.Large'\n",
    "changes": SPEC + "Spec.config_class = 'adapter.Changes'\n",
    "data": SPEC + "Spec.config_class = 'adapter.Data'\n",
    "gone class": SPEC + "Spec.config_class = 'adapter.Gone'\n",
    "no module of a class": SPEC + "Spec.config_class = 'Gone'\n",
    "gone module": SPEC + "Spec.module = 'gone'\n",
    "no module": SPEC + "Spec.module = None\n",
    "a property": SPEC + "Spec.api_dependencies = property(lambda self: 1 / 0)\n",
    "needs": SPEC + "Spec.api_dependencies = ['files', 'batches']\n",
    "list": SPEC.replace("return Spec()", "return [Spec(provider_type='remote::y'), Spec()]"),
    "other list": SPEC.replace("return Spec()", "return [Spec(provider_type='remote::y')]"),
    "depth": "import sys\nsys.setrecursionlimit(300)\n" + SPEC,
    **{f"raises {name}": text for name, text in RAISES.items()},
    "raises when called": "def get_provider_spec(): return {}['x']\n",
    **{
        f"field {name}": (
            f"class ValidationError(ValueError):\n    def errors(self): return {errors}\n"
            "def get_provider_spec(): raise ValidationError('x')\n"
        )
        for name, errors in FIELDS.items()
    },
}


def _write(folder: Path, sources: dict[str, str]) -> list[ProbeRequest]:
    (folder / "adapter.py").write_text(ADAPTER)
    (folder / "lacks.py").write_text("import gone_from_there\n")
    for number, text in enumerate(sources.values()):
        package = folder / f"p{number}"
        package.mkdir()
        (package / "__init__.py").touch()
        (package / "provider.py").write_text(text)
    return [
        ProbeRequest(f"p{number}==1.0", "remote::x", imports=True, schema=True)
        for number in range(len(sources))
    ]


def _run(
    told: object, *, folder: Path | None = None, order: object = None
) -> tuple[int, list[ProbeResult], str]:
    """The exit status of the modules' process, what it answered, and what it given of its end."""
    pipes = [os.pipe() for _ in range(3)]
    (answers, to_answers), (faults, to_faults), (orders, to_orders) = pipes
    if isinstance(told, dict):
        told = {**told, "from": orders}
    words = [sys.executable, "-c", RUN, str(to_answers), str(to_faults), json.dumps(told)]
    os.write(to_orders, json.dumps(order).encode())
    os.close(to_orders)
    path = {"PYTHONPATH": str(folder)} if folder is not None else {}
    with subprocess.Popen(
        words,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1", **path},
        pass_fds=(to_answers, to_faults, orders),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        for descriptor in (to_answers, to_faults, orders):
            os.close(descriptor)
        with os.fdopen(answers, "rb") as stream:
            found = [_result(line) for line in stream]
        with os.fdopen(faults, "rb") as stream:
            dumped = stream.read().decode()
        return process.wait(), found, dumped


def _told(requests: list[ProbeRequest]) -> list[dict[str, Any]]:
    return [asdict(request) for request in requests]


def test_they_say_of_any_provider_what_the_script_says(tmp_path: Path) -> None:
    requests = _write(tmp_path, SOURCES)
    requests += [
        ProbeRequest("p0", imports=False, schema=True),
        ProbeRequest("p0", imports=True, schema=False),
        ProbeRequest("p2", config={"a": 1}),
        ProbeRequest("p2", config={"a": 2}),
    ]
    status, found, dumped = _run(_told(requests), folder=tmp_path)
    script = [*probe_all(Path(sys.executable), requests, path=[tmp_path], timeout=60)]
    names = [*SOURCES, "without imports", "without schema", "right", "wrong"]
    for name, one, other in zip(names, found, script, strict=True):
        assert without_texts(one) == without_texts(other), name
    assert (status, dumped) == (0, "")
    told = dict(zip(names, script, strict=True))
    assert told["schema"].config_schema == {
        "a": [None, True, False, 1, 2.5, "x", ["y"]],
        "3": {},
        "null": "z",
    }
    assert (told["right"].takes_config, told["wrong"].takes_config) == (True, False)
    fails = {name: it.failure.reason for name, it in told.items() if it.failure is not None}
    assert {*told} - {*fails} == {
        *("fine", "a class", "schema", "no number", "large", "data", "needs", "list", "depth"),
        *("without imports", "without schema", "takes", "right", "wrong"),
    }
    assert fails["changes"] == "what it says of itself changes while it is read"
    assert fails["raises a cause"] == fails["raises a translation"] == "No module named 'gone'"
    assert fails["raises a second import"] == "No module named 'gone_too'"
    assert fails["raises no cause"] == "OSError: no"
    assert fails["raises a group"] == "KeyError: 'x'"
    assert fails["raises an empty import error"] == "ImportError"
    assert fails["raises its end"] == "the module ended the process: SystemExit(3)"
    assert fails["raises nothing to say"] == "KeyError"
    assert fails["raises what cannot be shown"] == "E: (its text cannot be shown)"
    assert fails["raises what is in the way"].endswith("which cannot be shown")
    text = {name: it.failure.traceback for name, it in told.items() if it.failure is not None}
    assert "[the call above repeated" in text["raises a recursion"]
    assert "[these 2 calls above repeated" in text["raises a recursion of two"]
    assert "exceptions between left out" in text["raises a long chain"]


def test_a_process_that_waits_imports_first_and_answers_to_an_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONSAFEPATH", "1")
    requests = _write(tmp_path, {"fine": SPEC})
    told = {"first": ["json", "no_such_module", "lacks"], "keep": False}
    order = {"path": [str(tmp_path)], "names": ["p0", "adapter"], "requests": _told(requests)}
    status, found, _ = _run(told, order=order)
    assert (status, [it.failure for it in found]) == (0, [None])
    taken = {**order, "names": ["p0", "json"]}
    assert _run(told, order=taken)[:2] == (0, [])


@pytest.mark.parametrize(
    ("source", "status", "answers", "dumped"),
    [
        ("import os\nos._exit(7)\n", 7, 0, "provider.py"),
        # what a process of the provider does is its own business
        ("import os\nif not os.fork(): os._exit(7)\nos.wait()\n" + SPEC, 0, 1, ""),
        ("import os\nos.closerange(3, 100_000)\n" + SPEC, CLOSED, 0, ""),
        (
            "import os, signal\nos.kill(os.getpid(), signal.SIGABRT)\n",
            -signal.SIGABRT,
            0,
            "Aborted",
        ),
    ],
)
def test_how_it_ends_is_told(
    tmp_path: Path, source: str, status: int, answers: int, dumped: str
) -> None:
    requests = _write(tmp_path, {"it": source})
    ended, found, text = _run(_told(requests), folder=tmp_path)
    assert (ended, len(found)) == (status, answers)
    assert dumped in text


def test_who_closes_the_descriptor_that_was_given_is_told_although_it_could_answer(
    tmp_path: Path,
) -> None:
    requests = _write(
        tmp_path, {"closes": "import os\nos.closerange(3, 1024)\n" + SPEC, "next": SPEC}
    )
    status, found, _ = _run(_told(requests), folder=tmp_path)
    assert status == 0
    failures = [it.failure.reason if it.failure else None for it in found]
    assert failures == ["loading it closed file descriptors that it did not open", None]


def test_who_puts_another_file_in_the_place_of_ours_gets_no_answer_into_it(tmp_path: Path) -> None:
    source = (
        "import os\nother = os.open('/dev/null', os.O_WRONLY)\n"
        "for name in os.listdir('/proc/self/fd'):\n"
        "    if int(name) > 1000: os.dup2(other, int(name))\n"
    )
    requests = _write(tmp_path, {"replaces": source + SPEC})
    assert _run(_told(requests), folder=tmp_path)[:2] == (CLOSED, [])


def test_nobody_listens() -> None:
    answers, to_answers = os.pipe()
    os.close(answers)
    words = [sys.executable, "-c", RUN, str(to_answers), str(to_answers)]
    request = asdict(ProbeRequest("no_such_module"))
    copy = os.dup(to_answers)
    words[-1] = str(copy)
    done = subprocess.run([*words, json.dumps([request])], pass_fds=(to_answers, copy))
    os.close(to_answers)
    os.close(copy)
    assert done.returncode == CLOSED


def test_with_few_files_a_descriptor_keeps_a_low_number() -> None:
    code = (
        f"import os, resource\nfrom {module.__name__} import _moved\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (15, 15))\n"
        "moved = _moved(1)\nassert 1 < moved < 15\nos.write(moved, b'written')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert done.stdout == b"written"
