"""From a real server's log to an error that says whose fault it is and what to change."""

from __future__ import annotations

from pathlib import Path

import pytest

from lls_provider.errors import Code, ExitStatus, SdkError
from lls_provider.local.log_diagnosis import LogDiagnosis

LOGS = Path(__file__).parent / "logs"
OVERLAY = Path("/opt/llama-stack/external-providers/python-packages")
BOTH = pytest.mark.parametrize("server", ["ls", "ogx"])


def error_of(name: str, server: str, modules: dict[str, str] | None = None) -> SdkError:
    log = (LOGS / f"{name}.{server}.log").read_text("utf-8")
    suspects = LogDiagnosis(
        OVERLAY, modules if modules is not None else {name: "acme", "b": "other"}
    )
    return suspects.error(Code.SERVER_FAILED, "The server ended", log)


@BOTH
def test_a_missing_module_names_the_provider_and_the_module_first(server: str) -> None:
    error = error_of("bad_import", server)
    assert error.code is Code.SERVER_FAILED
    assert error.where.provider == "acme"
    assert error.why.startswith("ModuleNotFoundError: No module named 'absent_dependency'\n")
    assert "'absent_dependency'" in error.resolution
    assert "dependencies of provider 'acme'" in error.resolution
    rendered = error.render()
    assert rendered.index("absent_dependency") < rendered.index("get_provider_spec not found")


@BOTH
def test_a_config_that_does_not_fit_points_at_the_config(server: str) -> None:
    error = error_of("bad_config", server)
    assert "Input should be a valid string" in error.why
    assert "--config" in error.resolution


@BOTH
def test_a_provider_that_raises_is_named_with_its_place(server: str) -> None:
    error = error_of("bad_call", server)
    assert error.where.provider == "acme"
    assert f"{OVERLAY}/bad_call/provider.py, line 2" in error.why
    assert error.resolution == "Correct provider 'acme' at bad_call/provider.py, line 2."


def test_the_place_is_the_providers_own_and_not_that_of_a_library_that_it_calls() -> None:
    log = f"""\
Traceback (most recent call last):
  File "/opt/server/lib/resolver.py", line 9, in instantiate
    return await method(config, deps)
  File "{OVERLAY}/my_guard/safety.py", line 15, in get_provider_impl
    return Guard(config.blockd)
  File "{OVERLAY}/pydantic/main.py", line 1110, in __getattr__
    raise AttributeError(name)
AttributeError: 'Config' object has no attribute 'blockd'
"""
    suspects = LogDiagnosis(OVERLAY, {"my_guard": "my-guard", "other": "other"})
    error = suspects.error(Code.SERVER_FAILED, "The server ended", log)
    assert error.where.provider == "my-guard"
    assert error.why.startswith(
        "AttributeError: 'Config' object has no attribute 'blockd'\n"
        f"  at {OVERLAY}/my_guard/safety.py, line 15, in get_provider_impl\n"
        f"  raised at {OVERLAY}/pydantic/main.py, line 1110, in __getattr__\n"
    )
    assert error.resolution == "Correct provider 'my-guard' at my_guard/safety.py, line 15."


def test_without_a_frame_of_its_own_the_providers_package_is_what_fails() -> None:
    log = f"""\
Traceback (most recent call last):
  File "{OVERLAY}/helper/loop.py", line 3, in run
    raise ValueError("no")
ValueError: no
"""
    error = LogDiagnosis(OVERLAY, {"acme": "acme"}).error(Code.SERVER_FAILED, "It ended", log)
    assert f"at {OVERLAY}/helper/loop.py, line 3" in error.why
    assert "a package that it brings fails at the place shown" in error.resolution


@BOTH
def test_a_dependencys_fault_is_laid_at_no_providers_door_when_there_are_several(
    server: str,
) -> None:
    assert error_of("bad_call", server, {"a": "one", "b": "two"}).where.provider is None
    assert error_of("bad_call", server, {"a": "one"}).where.provider == "one"


def test_a_log_without_an_error_says_what_that_means() -> None:
    error = error_of("bad_exit", "ls")
    assert "sys.exit()" in error.why
    assert "  | INFO" in error.why


def test_an_empty_log_is_told() -> None:
    error = LogDiagnosis(OVERLAY, {}).error(Code.SERVER_FAILED, "The server ended", "")
    assert error.why == "The server wrote nothing to its log."


def test_a_full_disk_is_the_machines_fault() -> None:
    log = """\
Traceback (most recent call last):
  File "/opt/server/lib/x.py", line 1, in write
    stream.write(data)
OSError: [Errno 28] No space left on device
"""
    error = LogDiagnosis(OVERLAY, {}).error(Code.SERVER_FAILED, "The server ended", log)
    assert error.code is Code.NO_SPACE
    assert error.status is ExitStatus.ENVIRONMENT


@pytest.mark.parametrize(
    ("place", "is_ours"),
    [("/opt/app/ogx/core/resolver.py", True), (f"{OVERLAY}/acme_echo/config.py", False)],
)
@pytest.mark.parametrize(
    "reason",
    [
        "pydantic_core._pydantic_core.ValidationError: 1 validation error for LocalfsConfig",
        "ValueError: unknown backend",
        "ModuleNotFoundError: No module named 'aiosqlite'",
    ],
)
def test_what_up_added_is_told_beside_a_cause_of_the_server(
    place: str, is_ours: bool, reason: str
) -> None:
    log = f'Traceback (most recent call last):\n  File "{place}", line 2, in f\n    f()\n{reason}\n'
    told = {
        supplied: LogDiagnosis(OVERLAY, {"acme_echo": "acme"}, own_base=True, supplied=supplied)
        .error(Code.SERVER_FAILED, "The server ended", log)
        .resolution
        for supplied in ((), ("files", "batches"))
    }
    assert "lls-provider added" not in told[()]
    ours = (
        " If it is about a provider of files or batches: lls-provider added it because the spec "
        "needs that API; give one of your own with --base-config FILE."
    )
    assert told["files", "batches"] == told[()] + (ours if is_ours else "")


REFUSED = """\
Traceback (most recent call last):
  File "/opt/server/lib/pydantic/main.py", line 280, in __init__
    validated_self = self.__pydantic_validator__.validate_python(data, self_instance=self)
pydantic_core._pydantic_core.ValidationError: 1 validation error for {model}
{place}    For further information visit https://errors.pydantic.dev/2.14/v/missing
"""
NAMELESS = "  Value error, Either 'distro_name' or 'image_name' must be provided\n"


@pytest.mark.parametrize(
    ("model", "place", "is_ours"),
    [
        ("StackRunConfig", "image_name\n  Field required [type=missing]\n", True),
        ("StackConfig", "server.port\n  Input should be a valid integer\n", True),
        # what judges the whole model has no place: its name, and the backend of a store
        ("StackConfig", NAMELESS, True),
        ("StackRunConfig", "  Value error, storage.stores.metadata needs a backend\n", True),
        ("StackConfig", "providers.inference.0.provider_id\n  Field required\n", False),
        ("StackConfig", "registered_resources.models.0\n  Field required\n", False),
        ("StackRunConfig", "models.0.model_id\n  Field required\n", False),
        ("EchoConfig", "  Value error, give a prefix or a suffix\n", False),
    ],
)
def test_what_a_server_refuses_of_our_own_base_is_not_the_users(
    model: str, place: str, is_ours: bool
) -> None:
    log = REFUSED.format(model=model, place=place)
    ours, users = (
        LogDiagnosis(OVERLAY, {"acme_echo": "acme"}, own_base=own)
        .error(Code.SERVER_FAILED, "The server ended", log)
        .resolution
        for own in (True, False)
    )
    assert users.startswith("Correct the configuration that it is about: --config")
    assert ("please report it" in ours) is is_ours
    assert is_ours or ours == users
