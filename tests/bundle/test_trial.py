"""Loading a provider beside a distribution before its image is made."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tests.factories.environments import make_environment, put_package

from lls_provider.bundle.assemble import assemble
from lls_provider.bundle.checks.bundle import check_bundle
from lls_provider.bundle.compat import compat_server, compatibility
from lls_provider.bundle.trial import Trial, TrialResult, load_resolution, probe_pool, try_provider
from lls_provider.contract.models import BuildTarget, ProviderPackage
from lls_provider.errors import Code, SdkError
from lls_provider.runtime.preflight.probe_client import ProbeFailure
from lls_provider.wheels.distribution import Distribution
from lls_provider.wheels.loading import load_distribution
from lls_provider.wheels.servers import LINES, line_named

if TYPE_CHECKING:
    from lls_provider.wheels.interpreter import Interpreter

pytestmark = pytest.mark.slow

HERE = os.uname().machine
PROVIDER = """\
import os
class Config:
    @classmethod
    def model_json_schema(cls):
        return {"type": "object", "properties": {
            "url": {"type": "string", "default": os.environ.get("ACME_URL", "none")},
            "db": {"type": "string", "default": os.path.expanduser("~/acme.db")}}}
class Spec:
    provider_type, api, module, config_class = "remote::acme-echo", "inference", "acme_echo", Config
def get_provider_spec():
    return Spec()
"""
MODULE = "async def get_adapter_impl(config, deps): ...\n"


@pytest.fixture
def provider(make_wheel: Any) -> Callable[..., Path]:
    def make(source: str = PROVIDER, init: str = MODULE, requires: Any = ()) -> Path:
        files = {"acme_echo/__init__.py": init, "acme_echo/provider.py": source}
        wheel: Path = make_wheel("acme-echo", files=files, requires=requires)
        return wheel

    return make


@pytest.fixture
def tried(
    server: Distribution, metadata: ProviderPackage, recorder: Any
) -> Callable[..., TrialResult]:
    def make(
        *wheels: Path,
        trial: Trial = Trial(),  # noqa: B008 - frozen
        beside: Distribution = server,
        machine: str = HERE,
        said: ProviderPackage = metadata,
    ) -> TrialResult:
        return try_provider([beside], wheels, said, trial, machine=machine, progress=recorder)

    return make


def test_the_schema_is_the_same_whatever_stands_in_the_environment(
    tried: Any, provider: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ACME_URL", "https://user:secret@example.com")
    schema = tried(provider()).schema
    assert schema["properties"]["url"]["default"] == "none"
    assert schema["properties"]["db"]["default"] == "~/acme.db"
    told = tried(provider(), trial=Trial(environment={"ACME_URL": "told"})).schema
    assert told["properties"]["url"]["default"] == "told"


def test_a_process_started_before_the_provider_is_built_tells_the_same(
    tried: Any, provider: Any, server: Distribution
) -> None:
    of_a_line = replace(server, line=LINES[0])
    told = Trial(environment={"ACME_URL": "told"})
    with probe_pool([of_a_line], told, [HERE]) as trial:
        assert trial is not None
        assert list(trial.waiting) == [server.label]
        found = tried(provider(), trial=trial, beside=of_a_line)
    assert found == tried(provider(), trial=told)
    assert found.schema["properties"]["db"]["default"] == "~/acme.db"


def test_no_process_waits_where_nothing_can_be_tried(server: Distribution) -> None:
    of_a_line = replace(server, line=LINES[0])
    not_made = replace(of_a_line, environment=None, pins={"never-made": "1"})
    for beside, trial, machines in (
        (of_a_line, None, [HERE]),
        (of_a_line, Trial(), ["riscv64"]),
        (server, Trial(), [HERE]),
        (not_made, Trial(), [HERE]),
    ):
        with probe_pool([beside], trial, machines) as given:
            assert given is None or not given.waiting


def test_a_provider_that_does_not_load_is_told_with_its_true_cause(
    tried: Any, provider: Any
) -> None:
    with pytest.raises(SdkError) as caught:
        tried(
            provider("try:\n    import tqdm_of_nobody\nexcept ImportError:\n    raise KeyError\n")
        )
    error = caught.value
    assert error.code is Code.VALIDATION_FAILED
    assert error.why.startswith("No module named 'tqdm_of_nobody'")
    assert "'tqdm_of_nobody'" in error.resolution
    assert "--allow-failure" in error.resolution


@pytest.mark.parametrize(
    ("published", "way"), [(True, "after --package"), (False, "`lls-provider new` writes it")]
)
def test_a_module_of_another_server_is_known_as_that(
    server: Distribution, published: bool, way: str
) -> None:
    failure = ProbeFailure("import", "gone", missing_module="llama_stack_api")
    beside = replace(server, label="ogx==1.5.0", pins={"ogx": "1.5.0"}, line=line_named("ogx"))
    told = load_resolution(failure, "acme", beside, [], published=published)
    assert told.startswith(
        "The provider imports llama_stack_api, and ogx==1.5.0 is not a llama-stack"
    )
    assert "Name a llama-stack that has it with --distribution, or" in told
    assert told.endswith(f"{way}.")
    old = replace(beside, label="old", pins={"llama-stack": "0.2"}, line=line_named("llama-stack"))
    assert "and old does not have that." in load_resolution(
        failure, "acme", old, [], published=published
    )


def test_a_bundled_package_without_the_module_is_named_with_its_version(
    tried: Any, provider: Any, make_wheel: Any
) -> None:
    with pytest.raises(SdkError) as caught:
        tried(provider("import acme_dep.lost\n", requires=["acme-dep"]), make_wheel("acme-dep"))
    assert caught.value.resolution.startswith("acme-dep 1.0.0, which goes into the image, has no")
    assert "in the provider's dependencies or with --override" in caught.value.resolution


def test_a_module_that_the_provider_itself_lacks_is_an_import_to_correct(
    tried: Any, provider: Any
) -> None:
    with pytest.raises(SdkError) as caught:
        tried(provider("import acme_echo.lost\n"))
    assert "or correct the import" in caught.value.resolution


def test_what_the_server_imports_next_has_to_be_there_too(tried: Any, provider: Any) -> None:
    with pytest.raises(SdkError, match="does not load") as caught:
        tried(provider(PROVIDER.replace('"acme_echo"', '"kft_adapter"')))
    assert "kft_adapter" in caught.value.why


@pytest.mark.parametrize(
    ("source", "init", "reason", "way"),
    [
        (
            PROVIDER.replace("def get", "async def get"),
            MODULE,
            "get_provider_spec() returned a coroutine, not a spec",
            "Remove `async` from `async def get_provider_spec()`: the server does not await it.",
        ),
        (
            PROVIDER.replace("Spec()", "(Spec(), Spec())"),
            MODULE,
            "get_provider_spec() returned a tuple, not a spec",
            "Return a list, such as `[first, second]`: only a list holds several specs.",
        ),
        (
            PROVIDER.replace("Spec()", "vars(Spec)"),
            MODULE,
            "get_provider_spec() returned a mappingproxy, not a spec",
            (
                "Return a spec in its place, made with RemoteProviderSpec(...) or "
                "InlineProviderSpec(...)."
            ),
        ),
        (
            PROVIDER,
            MODULE.removeprefix("async "),
            "get_adapter_impl in module 'acme_echo' is not async",
            (
                "Define `async def get_adapter_impl(config, deps)` in acme_echo/__init__.py: the "
                "server awaits it to get the implementation of a remote provider."
            ),
        ),
        (
            "import os\nprint('last words', flush=True)\nos._exit(0)\n",
            MODULE,
            "loading it ended the Python process with exit status 0",
            (
                "Raise an exception in place of ending the process: look for os._exit(), "
                "os.exec*() and native code that calls exit() in what is imported."
            ),
        ),
        (
            "import os\nos.closerange(3, 100_000)\n" + PROVIDER,
            MODULE,
            "loading it closed file descriptors that it did not open",
            (
                "Close only what the provider opened: os.closerange() and os.close() of other "
                "numbers take the server's connections and files."
            ),
        ),
    ],
)
@pytest.mark.parametrize("published", [False, True])
def test_what_a_spec_or_factory_is_not_is_told_with_what_to_change(
    server: Distribution,
    metadata: ProviderPackage,
    recorder: Any,
    provider: Any,
    source: str,
    init: str,
    reason: str,
    way: str,
    published: bool,
) -> None:
    wheel = provider(source, init)
    with pytest.raises(SdkError, match="does not load") as caught:
        try_provider(
            *([server], [wheel], metadata, Trial()),
            machine=HERE,
            published=published,
            progress=recorder,
        )
    error = caught.value
    assert error.why.startswith(reason)
    if "_exit" in source:
        assert (
            'File "acme_echo/provider.py", line 3, in <module>\nIt printed:\nlast words'
            in error.why
        )
    stays = " To build the image all the same, use --allow-failure REASON."
    if published:
        assert error.resolution.endswith(f"after --package. For its author: {way}{stays}") or (
            error.resolution.endswith(f"another --distribution. For its author: {way}{stays}")
        )
    else:
        assert error.resolution == way + stays


def test_a_trial_waits_as_long_as_it_is_told(
    tried: Any, provider: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LLS_PREFLIGHT_TIMEOUT", "3")
    with pytest.raises(SdkError) as caught:
        tried(provider("import time\ntime.sleep(600)\n"))
    assert caught.value.why.startswith("loading it did not end within 3 seconds")
    assert 'File "acme_echo/provider.py", line 2, in <module>' in caught.value.why
    assert "LLS_PREFLIGHT_TIMEOUT=SECONDS" in caught.value.resolution


def test_metadata_that_says_something_else_is_refused(
    tried: Any, provider: Any, metadata: ProviderPackage
) -> None:
    with pytest.raises(SdkError, match="does not match its metadata") as caught:
        tried(provider(), said=replace(metadata, api="safety"))
    assert "api is 'safety' in the metadata, but 'inference'" in caught.value.why


def test_a_requirement_that_nobody_satisfies_is_refused(tried: Any, provider: Any) -> None:
    with pytest.raises(SdkError) as caught:
        tried(provider(requires=["missing>=1"]))
    assert caught.value.code is Code.DEPENDENCY_CONFLICT
    assert "missing" in caught.value.why


def test_what_the_server_itself_cannot_run_with_is_refused_with_who_needs_what(
    tried: Any, provider: Any, make_wheel: Any, server: Distribution, recorder: Any
) -> None:
    beside = replace(
        server,
        pins={"shared": "2.0", "core": "7", "plugin": "1", "broken": "1"},
        requires={
            "core": ("shared>=2", "plugin[fast]", "a b c"),
            "plugin": ("shared!=1.0; extra == 'fast'", "shared>1; extra == 'slow'"),
            "broken": ("shared>=3",),  # which was so before
        },
    )
    wheels = provider(requires=["shared<2"]), make_wheel("shared", "1.0")
    with pytest.raises(SdkError) as caught:
        tried(*wheels, beside=beside)
    assert caught.value.code is Code.DEPENDENCY_CONFLICT
    assert caught.value.why.splitlines()[0] == (
        "shared 1.0 would hide its 2.0, but core 7 needs shared>=2; plugin 1 needs shared!=1.0"
    )
    assert "every other provider in the Pod" in caught.value.why
    assert "--allow-failure" in caught.value.resolution
    with pytest.raises(SdkError, match="itself cannot run"):  # whatever machine it is for
        tried(*wheels, beside=beside, machine="s390x")
    told = tried(*wheels, beside=beside, trial=Trial("it works, seen"))
    assert told.not_loaded == "it works, seen"
    assert "core 7 needs shared>=2" in recorder.warnings[0]
    accepted = replace(beside, requires={"core": ("shared>=1",), "shared": ("gone",)})
    assert tried(*wheels, beside=accepted).not_loaded is None


def test_an_override_counts_for_the_server_too(
    provider: Any, make_wheel: Any, server: Distribution, metadata: ProviderPackage
) -> None:
    beside = replace(server, pins={"shared": "2", "a": "7"}, requires={"a": ("shared>=2",)})
    outcome = try_provider(
        [beside],
        [provider(), make_wheel("shared", "1.0")],
        metadata,
        Trial(),
        machine=HERE,
        overrides=["shared==1.0"],
    )
    assert outcome.not_loaded is None


def test_what_nothing_tells_is_not_refused_but_said(
    tried: Any, provider: Any, offer: Any, make_wheel: Any, interpreter: Interpreter, recorder: Any
) -> None:
    offer(make_wheel("other"))
    local = Distribution("freeze.txt", {"local-build": "1", "shared": "2"}, interpreter, None)
    tried(provider(), make_wheel("shared", "1.0"), beside=local)
    assert recorder.warnings[0].startswith(
        "not known: whether the packages of freeze.txt accept what goes into the image, "
        "shared 1.0 in front of its 2"
    )


def test_a_reason_passes_over_a_failure_and_stands_in_the_bundle(
    tried: Any, provider: Any, recorder: Any, metadata: ProviderPackage, tmp_path: Path
) -> None:
    wheel = provider("raise RuntimeError('no GPU')")
    outcome = tried(wheel, trial=Trial("needs a GPU"))
    assert outcome == TrialResult(None, "needs a GPU")
    assert "RuntimeError: no GPU" in recorder.warnings[0]
    bundle = assemble(
        tmp_path / "out",
        metadata=metadata,
        own_wheel=wheel,
        dependencies=[],
        target=BuildTarget("cp312", (f"manylinux_2_28_{HERE}",), HERE),
        provided={},
        outcome=outcome,
    )
    assert bundle.manifest is not None
    assert bundle.manifest.not_loaded == "needs a GPU"
    assert not bundle.tree.config_schema.exists()
    (told,) = [it for it in check_bundle(bundle.root, label="x").warnings if it.rule == "loads"]
    assert "needs a GPU" in told.what


def test_a_reason_that_was_not_needed_changes_nothing(tried: Any, provider: Any) -> None:
    outcome = tried(provider(), trial=Trial("whatever"))
    assert outcome == tried(provider())
    assert outcome.not_loaded is None


def test_wheels_for_another_machine_are_not_tried(tried: Any, provider: Any, recorder: Any) -> None:
    assert tried(provider("raise Exception"), machine="s390x") == TrialResult()
    assert "s390x cannot be loaded on this" in recorder.warnings[0]


def test_packages_that_no_index_has_are_told_and_nothing_is_tried(
    tried: Any, provider: Any, offer: Any, make_wheel: Any, interpreter: Interpreter, recorder: Any
) -> None:
    offer(make_wheel("other"))
    local = Distribution("oci:server", {"local-build": "1.0+here"}, interpreter, None)
    assert tried(provider("raise Exception"), beside=local) == TrialResult()
    assert "cannot all be installed here" in recorder.warnings[0]
    assert "local-build" in recorder.warnings[0]


def test_the_schema_is_stored_with_equal_bytes_and_checked(
    provider: Any, metadata: ProviderPackage, tmp_path: Path
) -> None:
    def made(name: str, schema: dict[str, Any]) -> Any:
        return assemble(
            tmp_path / name,
            metadata=metadata,
            own_wheel=provider(),
            dependencies=[],
            target=BuildTarget("cp312", (f"manylinux_2_28_{HERE}",), HERE),
            provided={},
            outcome=TrialResult(schema),
        )

    bundle = made("one", {"type": "object", "title": "Ä"})
    data = bundle.tree.config_schema.read_bytes()
    assert data == made("two", {"title": "Ä", "type": "object"}).tree.config_schema.read_bytes()
    assert json.loads(data) == {"type": "object", "title": "Ä"}
    assert bundle.manifest.files["config-schema.json"].size == len(data)
    rules = {it.rule: it.level for it in check_bundle(bundle.root, label="x").findings}
    assert rules["config-schema"] == "ok"
    wrong = check_bundle(made("wrong", {"type": "objekt"}).root, label="x")
    (finding,) = [it for it in wrong.errors if it.rule == "config-schema"]
    assert "$.type" in finding.what


@pytest.fixture
def with_yaml(server: Distribution, tmp_path: Path) -> Distribution:
    """An environment with PyYAML, by its files alone."""
    assert server.environment is not None
    folder = tmp_path / "venv"
    packages = make_environment(server.interpreter.path, folder)
    put_package(
        packages, "PyYAML", "6.0", record=["yaml/__init__.py", "PyYAML-6.0.dist-info/RECORD"]
    )
    (packages / "yaml").mkdir()
    (packages / "yaml" / "__init__.py").touch()
    return load_distribution(f"python:{folder}")


HIDES = "acme-echo 1.0.0 puts 'yaml' in front of that of the server's pyyaml 6.0"


def test_a_provider_that_hides_a_module_of_the_environment_is_no_image(
    tried: Any, make_wheel: Any, with_yaml: Distribution
) -> None:
    files = {"yaml/__init__.py": MODULE, "yaml/provider.py": PROVIDER.replace("acme_echo", "yaml")}
    wheel = make_wheel("acme-echo", files=files)
    with pytest.raises(SdkError) as caught:
        tried(wheel, beside=with_yaml)
    error = caught.value
    assert error.code is Code.MODULE_HIDDEN
    assert error.what == f"A module of the provider would hide one of {with_yaml.label}"
    assert error.why == HIDES
    assert error.resolution.startswith("Rename the module, or leave the package out")
    assert (
        tried(wheel, beside=with_yaml, trial=Trial(allow_failure="a test")).not_loaded == "a test"
    )


def test_who_renames_the_module_has_an_image(
    tried: Any, provider: Any, with_yaml: Distribution
) -> None:
    assert tried(provider(), beside=with_yaml).not_loaded is None


def test_compat_tells_it_by_the_same_sentence(
    with_yaml: Distribution, make_bundle: Any, make_wheel: Any
) -> None:
    own = make_wheel("acme-echo", files={"yaml/__init__.py": "", "yaml/provider.py": ""})
    bundle = make_bundle(own=own, dependencies=[], provided={})
    (verdict,) = compatibility([("image", bundle.root)], compat_server([with_yaml])).verdicts
    assert verdict.error is not None
    assert verdict.error.code is Code.MODULE_HIDDEN
    assert verdict.error.why == HIDES
    assert compatibility([("image", bundle.root)]).verdicts[0].error is None
