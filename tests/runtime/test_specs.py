"""What get_provider_spec() may return, and which factory is behind it, as servers read it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.runtime.imported import answered, without_texts

from lls_provider.errors import SdkError
from lls_provider.runtime.merge import merge
from lls_provider.runtime.preflight.preflight import failure_layout, preflight
from lls_provider.runtime.preflight.probe_client import ProbeFailure, ProbeResult, probe

pytestmark = pytest.mark.slow

SPEC = """\
class Spec:
    def __init__(self, kind="remote::x", **more):
        self.api, self.provider_type, self.module = "inference", kind, "acme.adapter"
        self.config_class = "acme.adapter.Config"
        vars(self).update(more)
"""
ADAPTER = "class Config: ...\nasync def get_adapter_impl(config, deps): ...\n"
ASYNC = "async def get_provider_spec(): return Spec()\n"
CONTRACT = "Provider implementation must return ProviderSpec with provider_type field."


def asked(
    folder: Path, source: str, adapter: str = ADAPTER, provider_type: str | None = None
) -> ProbeResult:
    package = folder / "acme"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "provider.py").write_text(SPEC + source)
    (package / "adapter.py").write_text(adapter)
    result = probe(
        Path(sys.executable), "acme", provider_type=provider_type, path=[folder], timeout=60
    )
    assert without_texts(result) == without_texts(answered(folder, "acme", provider_type))
    return result


def refused(folder: Path, source: str, adapter: str = ADAPTER) -> tuple[ProbeFailure, str, str]:
    failure = asked(folder, source, adapter).failure
    assert failure is not None
    text = failure_layout(failure, "acme-echo", "acme", None)
    return failure, text, text.rpartition("\n\nResolution: ")[2]


def returning(expression: str) -> str:
    return f"def get_provider_spec(): return {expression}\n"


NO_SPEC = [
    (returning("vars(Spec())"), "a dict", "Return a spec in its place"),
    (returning("{}"), "an empty dict", "Return a spec in its place"),
    (ASYNC, "a coroutine", "Remove `async` from `async def get_provider_spec()`"),
    (
        "async def get_provider_spec(): yield Spec()\n",
        "an async generator",
        "Remove `async`, and `return` the spec",
    ),
    ("def get_provider_spec(): yield Spec()\n", "a generator", "`return` the spec"),
    ("def get_provider_spec(): Spec()\n", "None", "with `return` and a spec"),
    ("get_provider_spec = dict\n", "an empty dict", "Return a spec in its place"),
    (returning("[]"), "an empty list", "Put at least one spec into the list."),
    (returning("(Spec(), Spec('remote::y'))"), "a tuple", "Return a list, such as"),
    (returning("(Spec(),)"), "a tuple", "a comma behind it makes a tuple"),
    (returning("{Spec(), Spec()}"), "a set", "Return a list, such as"),
    (returning("{1: Spec()}.values()"), "a dict_values", "Return a list, such as"),
    (returning("map(Spec, ['remote::x'])"), "a map", "Return a list, such as"),
    (returning("Spec"), "the class Spec", "Return an instance, `Spec(...)`, not the class."),
    (
        "class S:\n  api = provider_type = config_class = 'x'\n" + returning("S"),
        "the class S",
        "Return an instance, `S(...)`",
    ),
    (returning("get_provider_spec"), "the function get_provider_spec", "Call that function"),
    (returning("'remote::x'"), "text", "Return a spec in its place"),
    (returning("b'remote::x'"), "a bytes", "Return a spec in its place"),
    (returning("True"), "a bool", "Return a spec in its place"),
    (returning("7"), "an int", "Return a spec in its place"),
    (returning("__import__('sys')"), "the module sys", "Return a spec in its place"),
    (returning("[vars(Spec())]"), "a list whose item 1 is a dict", "Put specs into the list"),
    (returning("[Spec(), None]"), "a list whose item 2 is None", "Put specs into the list"),
    (returning("[Spec(), Spec]"), "a list whose item 2 is the class Spec", "Put specs into"),
    (returning("[[Spec()]]"), "a list whose item 1 is a list", "Put specs into the list"),
    (returning("['remote::x']"), "a list whose item 1 is text", "Put specs into the list"),
]


@pytest.mark.parametrize(("source", "returned", "way"), NO_SPEC, ids=lambda it: it[:40])
def test_what_is_no_spec_is_named_in_the_contracts_layout_with_what_to_change(
    tmp_path: Path, source: str, returned: str, way: str
) -> None:
    failure, text, resolution = refused(tmp_path, source)
    assert failure.kind == "invalid"
    assert failure.reason == f"get_provider_spec() returned {returned}, not a spec"
    assert text.startswith(
        "ERROR: Provider spec validation failed\n\nProvider: acme-echo\nModule: acme\n"
        "Reason: get_provider_spec() returned invalid data\n\n"
        f"Missing required field: provider_type\nReturned: {returned}\n\nResolution: {CONTRACT} "
    )
    assert way in resolution
    assert "never awaited" not in text


@pytest.mark.parametrize(
    ("source", "mended"),
    [
        (ASYNC, ASYNC.replace("async ", "")),
        (returning("(Spec(), Spec('remote::y'))"), returning("[Spec(), Spec('remote::y')]")),
        (returning("Spec(),"), returning("Spec()")),
        (returning("Spec"), returning("Spec()")),
        ("def get_provider_spec(): yield Spec()\n", returning("Spec()")),
        (returning("[]"), returning("[Spec()]")),
    ],
)
def test_who_does_what_the_resolution_says_passes(tmp_path: Path, source: str, mended: str) -> None:
    (tmp_path / "before").mkdir()
    (tmp_path / "after").mkdir()
    assert asked(tmp_path / "before", source).failure is not None
    assert asked(tmp_path / "after", mended, provider_type="remote::x").failure is None


@pytest.mark.parametrize(
    "source",
    [
        returning("Spec()"),
        returning("[Spec(), Spec('remote::y')]"),
        "class Specs(list): ...\n" + returning("Specs([Spec()])"),
        "class get_provider_spec(Spec): ...\n",
        "get_provider_spec = lambda: Spec()\n",
        "get_provider_spec = Spec\n",
        "def get_provider_spec(kind='remote::x', *args, **kwargs): return Spec(kind)\n",
        "import functools\nget_provider_spec = functools.partial(Spec, 'remote::x')\n",
    ],
)
def test_whatever_gives_a_spec_or_a_list_is_fine(tmp_path: Path, source: str) -> None:
    assert asked(tmp_path, source, provider_type="remote::x").failure is None


@pytest.mark.parametrize("field", ["provider_type", "api", "config_class"])
def test_a_spec_that_lacks_one_field_has_the_layout_to_the_letter(
    tmp_path: Path, field: str
) -> None:
    _, text, _ = refused(tmp_path, returning(f"Spec(**{{'{field}': None}})"))
    assert text == (
        "ERROR: Provider spec validation failed\n\nProvider: acme-echo\nModule: acme\n"
        f"Reason: get_provider_spec() returned invalid data\n\nMissing required field: {field}\n\n"
        f"Resolution: Provider implementation must return ProviderSpec with {field} field."
    )


def test_a_type_that_is_no_text_is_named(tmp_path: Path) -> None:
    failure, _, resolution = refused(tmp_path, returning("Spec(7)"))
    assert failure.reason == "get_provider_spec() returned a Spec whose provider_type is an int"
    assert resolution == "Set provider_type to text, such as 'remote::acme-echo'."


@pytest.mark.parametrize(
    ("source", "reason", "way"),
    [
        (
            "x = 1\n",
            "module 'acme.provider' has no function get_provider_spec()",
            "Define get_provider_spec() in {file}: it takes no arguments and returns a spec",
        ),
        (
            "get_provider_spec = {'api': 'inference'}\n",
            "get_provider_spec in module 'acme.provider' is a dict, no function",
            "Make it a function in {file}",
        ),
        (
            "get_provider_spec = Spec()\n",
            "get_provider_spec in module 'acme.provider' is a Spec, no function",
            "Make it a function in {file}",
        ),
        (
            "def get_provider_spec(config): return Spec()\n",
            (
                "get_provider_spec() cannot be called without arguments: "
                "missing a required argument: 'config'"
            ),
            "Remove the arguments of get_provider_spec() in {file}, or give each a default",
        ),
        (
            "def get_provider_spec(*, config): return Spec()\n",
            (
                "get_provider_spec() cannot be called without arguments: "
                "missing a required argument: 'config'"
            ),
            "Remove the arguments of get_provider_spec() in {file}",
        ),
    ],
)
def test_a_function_that_a_server_cannot_call_is_told_with_its_file(
    tmp_path: Path, source: str, reason: str, way: str
) -> None:
    failure, text, resolution = refused(tmp_path, source)
    assert failure.reason == reason
    assert text.startswith("ERROR: Provider validation failed\n\nProvider: acme-echo\n")
    assert way.format(file=tmp_path / "acme" / "provider.py") in resolution


def test_one_that_raises_keeps_its_traceback(tmp_path: Path) -> None:
    failure, text, resolution = refused(
        tmp_path, "def get_provider_spec():\n    return {}['api']\n"
    )
    assert (failure.kind, failure.reason) == ("call", "KeyError: 'api'")
    assert "return {}['api']" in text
    assert "where the traceback points to" in resolution


@pytest.mark.parametrize(
    "source",
    [
        'raise ImportError("x needs the safety API, which this server (ogx_api) does not have.")',
        "class Api: pass\ndef get_provider_spec():\n    return Api.safety\n",
    ],
)
def test_an_api_that_the_server_lacks_is_no_fault_of_the_provider(
    tmp_path: Path, source: str
) -> None:
    _, _, resolution = refused(tmp_path, source)
    assert resolution == "Run the provider on another server, one that has the safety API."


REMOTE = "async def get_adapter_impl(config, deps)"
INLINE = "async def get_provider_impl(config, deps)"


@pytest.mark.parametrize(
    ("adapter", "reason"),
    [
        ("", "module 'acme.adapter' has no function {name}(config, deps)"),
        ("{name} = None\n", "module 'acme.adapter' has no function {name}(config, deps)"),
        ("{name} = 'x'\n", "{name} in module 'acme.adapter' is text, no function"),
        ("class {name}: ...\n", "{name} in module 'acme.adapter' is a class, no async function"),
        (
            "def {name}(config, deps): return Config()\n",
            "{name} in module 'acme.adapter' is not async",
        ),
        ("def {name}(config, deps): ...\n", "{name} in module 'acme.adapter' is not async"),
        (
            "{name} = lambda config, deps: Config()\n",
            "{name} in module 'acme.adapter' is not async",
        ),
        (
            (
                "def {name}(config, deps):\n    from .impl import Impl\n    impl = Impl(config)\n"
                "    return impl\n"
            ),
            "{name} in module 'acme.adapter' is not async",
        ),
        (
            "def {name}(config, deps):\n    if deps:\n        return Config()\n    return None\n",
            "{name} in module 'acme.adapter' is not async",
        ),
        (
            "async def {name}(config, deps): yield Config()\n",
            "{name} in module 'acme.adapter' yields, which cannot be awaited",
        ),
        (
            "def {name}(config, deps): yield Config()\n",
            "{name} in module 'acme.adapter' yields, which cannot be awaited",
        ),
        (
            "def {name}(config, deps):\n    it: object = Config()\n    return it\n",
            "{name} in module 'acme.adapter' is not async",
        ),
        (
            "def {name}(config, deps):\n    def inner(): return make(1)\n    return Config()\n",
            "{name} in module 'acme.adapter' is not async",
        ),
        # what gives something to await, or may do so
        ("{name} = getattr\n", None),
        ("def {name}(config, deps): ...\n{name}.__wrapped__ = {name}\n", None),
        ("exec('def {name}(config, deps): return 1')\n", None),
        ("made = {'it': lambda config, deps: Config()}\n{name} = made['it']\n", None),
        (
            (
                "async def make(c): ...\ndef {name}(config, deps):\n    try:\n        x = 1\n"
                "    except ValueError:\n        return make(config)\n    return None\n"
            ),
            None,
        ),
        ("async def {name}(config, deps): ...\n", None),
        ("async def make(c): ...\ndef {name}(config, deps): return make(config)\n", None),
        (
            "async def make(c): ...\ndef {name}(config, deps):\n    it = make(1)\n    return it\n",
            None,
        ),
        ("def {name}(config, deps):\n    from .impl import make\n    return make(config)\n", None),
        ("def {name}(config, deps):\n    return config.build()\n", None),
        (
            "class {name}:\n    def __init__(self, *_): ...\n    def __await__(self): ...\n",
            None,
        ),
        (
            (
                "import functools\nasync def make(a, config, deps): ...\n"
                "{name} = functools.partial(make, 1)\n"
            ),
            None,
        ),
        (
            (
                "import functools\ndef logged(f):\n    @functools.wraps(f)\n"
                "    def inner(*a): return f(*a)\n    return inner\n"
                "@logged\nasync def {name}(config, deps): ...\n"
            ),
            None,
        ),
        (
            (
                "def logged(f):\n    def inner(*a): return f(*a)\n    return inner\n"
                "@logged\nasync def {name}(config, deps): ...\n"
            ),
            None,
        ),
        (
            "class Maker:\n    async def __call__(self, config, deps): ...\n{name} = Maker()\n",
            None,
        ),
        (
            "import types\n@types.coroutine\ndef {name}(config, deps): yield\n",
            None,
        ),
    ],
)
@pytest.mark.parametrize(
    ("kind", "name", "signature"),
    [("remote", "get_adapter_impl", REMOTE), ("inline", "get_provider_impl", INLINE)],
)
def test_a_factory_is_one_that_a_server_can_await(
    tmp_path: Path, adapter: str, reason: str | None, kind: str, name: str, signature: str
) -> None:
    source = "class Config: ...\n" + adapter.replace("{name}", name)
    failure = asked(tmp_path, returning(f"Spec('{kind}::x')"), source).failure
    if reason is None:
        assert failure is None
        return
    assert failure is not None
    assert failure.reason == reason.replace("{name}", name)
    way = failure_layout(failure, "p", "acme", None).rpartition("\n\nResolution: ")[2]
    file = tmp_path / "acme" / "adapter.py"
    who = {"remote": "a remote provider", "inline": "an inline provider"}[kind]
    assert way == (
        f"Define `{signature}` in {file}: the server awaits it to get the implementation of {who}."
    )


@pytest.mark.parametrize(
    ("field", "value", "way"),
    [
        (
            "module",
            "kft_adapter",
            (
                "Correct `module` of the spec: it names the module 'kft_adapter', and neither "
                "the provider's packages nor the server's have 'kft_adapter'."
            ),
        ),
        (
            "module",
            "acme.gone.deep",
            (
                "Correct `module` of the spec: it names the module 'acme.gone.deep', and neither "
                "the provider's packages nor the server's have 'acme.gone'."
            ),
        ),
        (
            "config_class",
            "acme.config.Config",
            (
                "Correct `config_class` of the spec: it names the module 'acme.config', and "
                "neither the provider's packages nor the server's have 'acme.config'."
            ),
        ),
        (
            "config_class",
            "acme.adapter.Gone",
            "Correct `config_class` of the spec: module 'acme.adapter' has no 'Gone'.",
        ),
    ],
)
def test_a_name_in_the_spec_that_leads_nowhere_is_told_with_its_field(
    tmp_path: Path, field: str, value: str, way: str
) -> None:
    _, text, resolution = refused(tmp_path, returning(f"Spec({field}={value!r})"))
    assert text.startswith("ERROR: Provider validation failed\n")
    assert resolution == way


def test_what_the_module_of_a_spec_lacks_is_a_dependency(tmp_path: Path) -> None:
    _, _, resolution = refused(tmp_path, returning("Spec()"), "import gone_missing\n" + ADAPTER)
    assert resolution.startswith("Add 'gone_missing' to the dependencies of the provider")


@pytest.mark.parametrize("module", ["None", "''"])
def test_a_spec_that_names_no_module_is_refused_as_by_every_server(
    tmp_path: Path, module: str
) -> None:
    failure, _, way = refused(tmp_path, returning(f"Spec(module={module})"))
    assert failure.reason == "the spec names no module for the server to import"
    assert (
        way == "Set `module` of the spec to the name of the module that defines get_adapter_impl()."
    )


@pytest.mark.parametrize(
    ("kind", "there"), [("remote", "get_provider_impl"), ("inline", "get_adapter_impl")]
)
def test_the_factory_of_the_other_kind_is_noticed(tmp_path: Path, kind: str, there: str) -> None:
    adapter = f"class Config: ...\nasync def {there}(config, deps): ...\n"
    _, _, way = refused(tmp_path, returning(f"Spec('{kind}::x')"), adapter)
    assert f"The {there} that exists is for" in way
    assert "rename it, or correct the provider type" in way


def test_a_class_of_the_servers_decides_which_factory_is_called(tmp_path: Path) -> None:
    """As the resolver of every server line: isinstance(spec, RemoteProviderSpec)."""
    source = "class InlineProviderSpec(Spec): ...\n" + returning("InlineProviderSpec('remote::x')")
    failure, _, _ = refused(tmp_path, source)
    assert "get_provider_impl" in failure.reason


def test_a_class_of_the_servers_decides_for_a_remote_provider_too(tmp_path: Path) -> None:
    source = "class RemoteProviderSpec(Spec): ...\n" + returning("RemoteProviderSpec('inline::x')")
    assert asked(tmp_path, source).failure is None


@pytest.mark.parametrize(
    ("version", "reads"), [("0.2.23", False), ("0.3.0", True), ("1.0rc1", True)]
)
def test_a_server_that_reads_no_list_is_told(tmp_path: Path, version: str, reads: bool) -> None:
    info = tmp_path / f"llama_stack-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: llama-stack\nVersion: {version}\n"
    )
    failure = asked(tmp_path, returning("[Spec()]"), provider_type="remote::x").failure
    assert (failure is None) is reads
    if failure is not None:
        assert failure.returned == f"a list, which llama-stack {version} does not read"
        assert "Return one spec, or use llama-stack 0.3.0 or later." in failure.way


@pytest.mark.parametrize(
    ("kind", "arguments", "why"),
    [
        ("remote", "config, deps, registry", "missing a required argument: 'registry'"),
        ("inline", "config, deps, registry", "missing a required argument: 'registry'"),
        ("remote", "config, deps, policy, registry", "missing a required argument: 'registry'"),
        ("remote", "config, deps, route_policy", "missing a required argument: 'route_policy'"),
        ("inline", "config, deps, *, policy", "too many positional arguments"),
        ("remote", "config, deps, *, name", "missing a required"),
        ("remote", "config", "too many positional arguments"),
        ("inline", "", "too many positional arguments"),
        ("remote", "config, deps, policy", None),
        ("remote", "config, deps, policy=None, registry=None", None),
        ("inline", "config, deps, policy", None),
        ("inline", "config, deps, route_policy", None),
        ("inline", "config, deps, policy, route_policy", None),
        ("inline", "config, deps, registry=None", None),
        ("inline", "settings, apis", None),
        ("remote", "*args, **kwargs", None),
    ],
)
def test_a_factory_takes_what_servers_pass_and_nothing_else(
    tmp_path: Path, kind: str, arguments: str, why: str | None
) -> None:
    name = {"remote": "get_adapter_impl", "inline": "get_provider_impl"}[kind]
    adapter = f"class Config: ...\nasync def {name}({arguments}): ...\n"
    failure = asked(tmp_path, returning(f"Spec('{kind}::x')"), adapter).failure
    if why is None:
        assert failure is None
        return
    assert failure is not None
    assert f"{name} in module 'acme.adapter' cannot be called as the server does" in failure.reason
    assert why in failure.reason
    passed = "`policy`" if kind == "remote" else "`policy` and `route_policy`"
    assert failure_layout(failure, "p", "acme", None).endswith(
        f"Resolution: Define `async def {name}(config, deps)` in {tmp_path}/acme/adapter.py, and "
        f"give other arguments a default: besides the two the server passes only {passed}, by "
        "position."
    )


@pytest.mark.parametrize(
    ("version", "kind", "arguments", "loads"),
    [
        ("0.2.22", "remote", "config, deps, policy", False),
        ("0.2.22", "inline", "config, deps, policy", True),
        ("0.6.1", "remote", "config, deps, policy", True),
        ("0.7.3", "inline", "config, deps, policy, route_policy", False),
        ("0.7.3", "inline", "config, deps, policy, route_policy=None", True),
    ],
)
def test_what_a_server_line_does_not_pass_is_missed(
    tmp_path: Path, version: str, kind: str, arguments: str, loads: bool
) -> None:
    folder = tmp_path / f"llama_stack-{version}.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text(f"Name: llama-stack\nVersion: {version}\n")
    name = {"remote": "get_adapter_impl", "inline": "get_provider_impl"}[kind]
    adapter = f"class Config: ...\nasync def {name}({arguments}): ...\n"
    failure = asked(tmp_path, returning(f"Spec('{kind}::x')"), adapter).failure
    assert (failure is None) == loads


@pytest.mark.parametrize("mode", ["inline", "worker"])
def test_a_spec_may_say_where_its_provider_runs(tmp_path: Path, mode: str) -> None:
    adapter = "class Config: ...\nasync def get_provider_impl(config, deps): ...\n"
    source = returning(f"Spec('inline::x', execution_mode={mode!r})")
    assert asked(tmp_path, source, adapter).failure is None


def test_preflight_shows_it(pod: Any, make_bundle: Callable[..., Path]) -> None:
    pod.install(make_bundle(files={"acme_echo/provider.py": SPEC + ASYNC}))
    base = Path(pod.root) / "base-config" / "run.yaml"
    base.parent.mkdir(parents=True)
    base.write_text("version: 2\n")
    with pytest.raises(SdkError) as caught:
        preflight(merge(pod.root).path, root=pod.root)
    assert "Returned: a coroutine\n" in caught.value.render()
    assert caught.value.resolution.endswith(
        "Remove `async` from `async def get_provider_spec()`: the server does not await it."
    )
