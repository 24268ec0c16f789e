"""What a provider says and does to the process that loads it: shown, bounded, never in the way."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lls_provider.runtime import messages
from lls_provider.runtime.cli.arguments import main
from lls_provider.runtime.merge import merge
from lls_provider.runtime.preflight.preflight import failure_layout
from lls_provider.runtime.preflight.probe_client import ProbeResult, probe
from lls_provider.untrusted import folded

pytestmark = pytest.mark.slow

GOOD = """
class Config: ...
class Spec:
    api, provider_type, module, config_class = "inference", "remote::x", "acme", "acme.Config"
def get_provider_spec(): return Spec()
"""
INIT = "class Config: ...\nasync def get_adapter_impl(config, deps): ...\n"
HOSTILE = "\x1b[2J\x1b]0;t\x07\r\u202e\u200b\x9b"
ESCAPED = "\\x1b[2J\\x1b]0;t\\x07\\r\\u202e\\u200b\\x9b"


def asked(folder: Path, source: str, init: str = INIT) -> ProbeResult:
    package = folder / "acme"
    package.mkdir()
    (package / "__init__.py").write_text(init)
    (package / "provider.py").write_text(source)
    return probe(Path(sys.executable), "acme", path=[folder], timeout=60)


def shown(result: ProbeResult) -> str:
    assert result.failure is not None
    return failure_layout(result.failure, "acme-echo", "acme", None)


# each takes away something that a probe could need; the provider itself is good
REPLACED = [
    "import json\njson.dumps = None",
    "import json\njson.dumps = lambda *a, **k: 1 / 0",
    "import json\njson.JSONEncoder.encode = json.JSONEncoder.default = None",
    "import json.encoder as e\ne.encode_basestring_ascii = e.c_make_encoder = None",
    "import builtins\nbuiltins.print = builtins.open = builtins.input = builtins.sum = None",
    "import sys\nsys.stdout = sys.stderr = sys.__stdout__ = None",
    "import sys\nsys.stdout.close(); sys.stderr.close()",
    "import sys\nsys.exit = sys.excepthook = None",
    "import sys\nsys.setrecursionlimit(60)",
    "import sys\nsys.argv = None\nsys.path = []",
    "import os\nos.write = os.fstat = os.getpid = os._exit = os.close = None",
    "import traceback, linecache\ntraceback.format_exception_only = linecache.getline = None",
    "import inspect\ninspect.signature = inspect.unwrap = inspect.iscoroutinefunction = None",
    "import importlib\nimportlib.import_module = None",
    "import faulthandler, signal\nfaulthandler.disable()\nfaulthandler.enable = None",
    "import resource, fcntl\nresource.setrlimit = fcntl.fcntl = None",
    "import __main__\nvars(__main__).clear()",
    "import sys\nfor it in ('json', 'inspect', 'os', '__main__'): del sys.modules[it]",
    "import threading, warnings\nthreading.excepthook = warnings.warn = None",
    "import logging\nlogging.disable()\nlogging.basicConfig = None",
    "import gc\ngc.disable()\nimport atexit\natexit.register(lambda: 1 / 0)",
]
FAILS = GOOD.replace("return Spec()", "return {}['gone']")


@pytest.mark.parametrize("source", REPLACED, ids=lambda it: it.split("\n")[-1][:50])
def test_a_provider_may_replace_what_it_likes(tmp_path: Path, source: str) -> None:
    for folder, end in (("good", GOOD), ("bad", FAILS)):
        (tmp_path / folder).mkdir()
        result = asked(tmp_path / folder, f"{source}\n{end}")
        if end == GOOD:
            assert result.failure is None, result.failure
            assert [spec.provider_type for spec in result.specs] == ["remote::x"]
        else:
            assert result.failure is not None
            assert result.failure.reason == "KeyError: 'gone'"
            assert "in get_provider_spec" in result.failure.traceback


@pytest.mark.parametrize(
    "source",
    [
        "import builtins\nbuiltins.str = builtins.type = builtins.dict = None",
        "import builtins as b\nb.isinstance = b.getattr = b.callable = lambda *a: 1 / 0",
        "import builtins\nvars(builtins).clear()",
        "import sys\nsys.modules.clear()",
        "import sys\nsys.meta_path.clear(); sys.path_hooks.clear()",
    ],
)
def test_where_python_itself_is_broken_it_is_the_providers_failure(
    tmp_path: Path, source: str
) -> None:
    """A server could not go on either."""
    failure = asked(tmp_path, f"{source}\n{FAILS}").failure
    assert failure is not None
    assert "ended the Python process" not in failure.reason
    assert "lls-provider" not in failure.reason + failure.traceback + failure.output


@pytest.mark.parametrize(
    "source",
    [
        "class E(Exception):\n    def __str__(self): raise SystemExit(3)\nraise E",
        "class E(BaseException):\n    def __str__(self): raise RuntimeError\nraise E",
        "class E(Exception):\n    def __str__(self): return 7\nraise E",
        (
            "class M(type):\n    __name__ = property(lambda s: 1 / 0)\n"
            "class E(Exception, metaclass=M): ...\nraise E"
        ),
        "class E(Exception):\n    __class__ = property(lambda s: 1 / 0)\nraise E",
        "class E(Exception):\n    def __getattribute__(self, n): raise self\nraise E",
        (
            "class T(str):\n    def splitlines(self): raise E\n    def strip(self): return 7\n"
            "class E(Exception):\n    def __str__(self): return T('x')\nraise E"
        ),
        "class E(ModuleNotFoundError):\n    name = property(lambda s: {1, 2})\nraise E('x')",
        "raise SyntaxError('x', ('f', 'a', 'b', object()))",
        "e = ValueError('a')\ne.__cause__ = e\nraise e",
        "raise ExceptionGroup('g', [ValueError(1)])",
    ],
)
def test_an_exception_that_is_made_to_be_in_the_way_is_a_failure_of_its_provider(
    tmp_path: Path, source: str
) -> None:
    for folder, text in (
        ("import", source),
        ("call", "def get_provider_spec():\n    " + source.replace("\n", "\n    ")),
    ):
        (tmp_path / folder).mkdir()
        failure = asked(tmp_path / folder, text).failure
        assert failure is not None
        assert failure.kind in ("import", "call")
        assert failure.reason
        assert "lls-provider" not in failure.reason + failure.traceback + failure.output


@pytest.mark.parametrize(
    "source",
    [
        "class Spec:\n    def __getattr__(self, name): raise ZeroDivisionError\n",
        "class Spec:\n    @property\n    def __class__(self): raise ZeroDivisionError\n",
        (
            "class V:\n    def __eq__(self, other): raise ZeroDivisionError\n"
            "class Spec: provider_type = api = config_class = V()\n"
        ),
        (
            "class V:\n    def __str__(self): raise ZeroDivisionError\n"
            "class Spec:\n    provider_type = 'remote::x'; api = config_class = V()\n"
        ),
    ],
)
def test_a_spec_that_is_made_to_be_in_the_way_is_one_too(tmp_path: Path, source: str) -> None:
    failure = asked(tmp_path, source + "def get_provider_spec(): return Spec()\n").failure
    assert failure is not None
    assert "ZeroDivisionError" in failure.reason
    assert "lls-provider" not in failure.traceback


@pytest.mark.parametrize(
    "schema",
    ["object()", "float('nan')", "{'a': {1, 2}}", "[[]] * 3 + [b'x']", "'x' * 5_000_000"],
)
def test_a_schema_that_cannot_be_told_is_none(tmp_path: Path, schema: str) -> None:
    init = INIT.replace(
        "class Config: ...",
        f"class Config:\n    @staticmethod\n    def model_json_schema(): return {schema}",
    )
    result = asked(tmp_path, GOOD, init)
    assert (result.failure, result.config_schema) == (None, None)


def test_a_schema_is_told_as_it_is(tmp_path: Path) -> None:
    told = {"a": [None, True, False, 1, -2.5, "\x1b é 😀", {}, []], "n": 10**30}
    init = INIT.replace(
        "class Config: ...",
        f"class Config:\n    @staticmethod\n    def model_json_schema(): return {told!r}",
    )
    assert asked(tmp_path, GOOD, init).config_schema == told


RECURSIONS = {
    "itself": "def f():\n    f()\nf()",
    "each other": "def f():\n    g()\ndef g():\n    h()\ndef h():\n    f()\nf()",
    "a property": "class A:\n    @property\n    def x(self): return self.x\nA().x",
    "repr": "class A:\n    def __repr__(self): return f'{self!r}'\nrepr(A())",
    "deep": "import sys\nsys.setrecursionlimit(20_000)\ndef f(n):\n    f(n + 1)\nf(0)",
}


@pytest.mark.parametrize("kind", RECURSIONS)
def test_a_recursion_is_told_in_a_few_lines(tmp_path: Path, kind: str) -> None:
    text = shown(asked(tmp_path, RECURSIONS[kind]))
    assert "RecursionError" in text
    assert "more times]" in text
    assert len(text) < 3000, text
    assert 'provider.py", line' in text


def test_of_exceptions_that_come_together_the_first_is_the_cause(tmp_path: Path) -> None:
    source = (
        "import asyncio\nasync def needs():\n    import gone_missing\n"
        "async def main():\n    async with asyncio.TaskGroup() as group:\n"
        "        group.create_task(needs())\nasyncio.run(main())\n"
    )
    failure = asked(tmp_path, source).failure
    assert failure is not None
    assert failure.missing_module == "gone_missing"
    assert failure.traceback.startswith("ModuleNotFoundError: No module named 'gone_missing'\n")
    assert "which led to ExceptionGroup: unhandled errors in a TaskGroup" in failure.traceback


def test_what_repeats_is_shown_once_with_how_often() -> None:
    assert folded(["a"] * 1000) == ["a", "    [the call above repeated 999 more times]"]
    assert folded(["x", *["a", "b"] * 500, "y"]) == [
        "x",
        "a",
        "b",
        "    [these 2 calls above repeated 499 more times]",
        "y",
    ]
    assert folded(["a", "a", "b"]) == ["a", "a", "b"]
    assert folded([]) == []
    assert folded([str(number) for number in range(5000)])[-1] == "4999"


@pytest.mark.parametrize(
    "source",
    [
        "raise ValueError('x' * 1_000_000)",
        "raise ValueError('line\\n' * 200_000)",
        "e = None\nfor n in 'y' * 99:\n x = ValueError(n * 999)\n x.__cause__ = e\n e = x\nraise e",
        "exec('\\n'.join(f'def f{n}(): f{n + 1}()' for n in range(800)) + '\\nf0()')",
        "import os\nprint('z' * 1_000_000)\nos._exit(3)",
        "import os\nprint('line\\n' * 100_000)\nos._exit(3)",
        "raise type('N' * 100_000, (Exception,), {})('x')",
    ],
)
def test_nothing_that_a_provider_says_is_endless(tmp_path: Path, source: str) -> None:
    text = shown(asked(tmp_path, source))
    assert len(text) < 20_000
    assert text.count("\n") < 200
    assert "left out" in text or "line\nline\n" in text or "…" in text
    assert "\n\nResolution: " in text


@pytest.mark.parametrize(
    ("where", "source"),
    [
        ("an exception's text", "raise ValueError({said!r})"),
        ("an exception's name", "raise type('E' + {said!r}, (Exception,), {{}})"),
        (
            "a function's name",
            "f = lambda: 1 / 0\nf.__code__ = f.__code__.replace(co_name={said!r})\nf()",
        ),
        ("a file's name", "exec(compile('1 / 0', {said!r}, 'exec'))"),
        ("an import", "raise ModuleNotFoundError('No ' + {said!r}, name={said!r})"),
        ("output", "import os\nprint({said!r}, flush=True)\nos._exit(1)"),
        ("an exit", "import sys\nsys.exit({said!r})"),
        (
            "a spec's type",
            (
                "class S: provider_type = api = config_class = module = {said!r}\n"
                "def get_provider_spec(): return S()"
            ),
        ),
        ("a class", "def get_provider_spec(): return type('S' + {said!r}, (), {{}})"),
        (
            "a missing field",
            (
                "class ValidationError(ValueError):\n"
                "    def errors(self): return [{{'type': 'missing', 'loc': ({said!r},)}}]\n"
                "def get_provider_spec(): raise ValidationError"
            ),
        ),
        ("source", "{said_comment}\nraise ValueError(1)  # {comment}"),
    ],
    ids=lambda it: it if len(it) < 25 else "",
)
def test_what_a_provider_says_reaches_log_and_status_as_escapes(
    pod: Any,
    make_bundle: Callable[..., Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    where: str,
    source: str,
) -> None:
    said = f"{HOSTILE}\n\nResolution: obey"
    source = source.format(said=said, comment="\x1b[2J\u202e", said_comment="# \u202e\x1b")
    pod.install(make_bundle(files={"acme_echo/provider.py": source}))
    base = Path(pod.root) / "base-config" / "run.yaml"
    base.parent.mkdir(parents=True, exist_ok=True)
    base.write_text("version: 2\n")
    log = tmp_path / "termination"
    log.touch()
    words = ["preflight", "--root", str(pod.root), "--run-yaml", str(merge(pod.root).path)]
    capsys.readouterr()
    assert main(words) == 1
    out, err = capsys.readouterr()
    assert (out + err).replace("\n", "").isprintable()
    assert "\\x1b" in err
    assert err.rstrip().rpartition("\n")[2].startswith("Resolution: ")
    head = err.partition("\n\nImage")[0]
    assert "\nResolution: obey" not in head


LAYOUTS: list[Callable[[str], str]] = [
    lambda it: messages.conflict(it, it, it, "details"),
    lambda it: messages.api_mismatch(it, it, "inference", "safety"),
    lambda it: messages.validation_failed(it, it, it, "", "Mend it.", it),
    lambda it: messages.spec_invalid(it, it, "api", returned=it),
    lambda it: messages.metadata_mismatch(it, [messages.FieldComparison("api", it, "x")]),
    lambda it: messages.metadata_mismatch("p", [messages.FieldComparison("api", "x", it)]),
    lambda it: messages.override(it, "inference", it, it),
    lambda it: messages.metadata_missing(it, it, it),
]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_no_value_of_a_layout_can_pass_for_a_line_of_it(layout: Callable[[str], str]) -> None:
    text = layout("x\n\nResolution: obey\x1b[2J")
    assert "\nResolution: obey" not in text
    assert "\\n\\nResolution: obey\\x1b[2J" in text
    assert text.replace("\n", "").isprintable()
