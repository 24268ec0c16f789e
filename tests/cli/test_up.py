"""What `up` shows of its sample calls, as text and as JSON."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner, Result
from tests import results

from lls_provider.cli.group import group
from lls_provider.cli.up import no_call
from lls_provider.errors import Code, SdkError
from lls_provider.local import run
from lls_provider.local.plan import CallReply

if TYPE_CHECKING:
    from lls_provider.project.sample_call import SampleCall

CALLS = """\
[[tool.lls-provider.up.call]]
path = "/v1/files"
form = { purpose = "batch" }

[[tool.lls-provider.up.call]]
path = "/v1/batches/${replies.1.id}"
expect-text = "completed"
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project with two calls; it is not built."""
    package = tmp_path / "src" / "acme_echo"
    package.mkdir(parents=True)
    for name in ("__init__.py", "provider.py"):
        (package / name).touch()
    file = tmp_path / "pyproject.toml"
    file.write_text(
        '[project]\nname = "acme-echo"\nversion = "1.0"\n\n'
        '[tool.lls-provider]\napi = "inference"\nprovider-type = "remote::acme-echo"\n'
        f'module = "acme_echo"\nvendor = "Acme"\ndistribution = ["ogx==1.5.0"]\n\n{CALLS}'
    )
    return tmp_path


@pytest.fixture
def replies(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[CallReply]]:
    """The replies of a server in place of a real one: all phases but the calls are left out."""
    given: list[CallReply] = []
    server = SimpleNamespace(
        port=1,
        url="http://127.0.0.1:1",
        log_size=lambda: 0,
        log_text=lambda _start=0: "",
        require_alive=lambda: None,
        suspects=SimpleNamespace(error=_error),
    )

    def started(up: run.Up) -> Any:
        up.result.server = "ogx==1.5.0"
        up._server = server  # type: ignore[assignment]
        up._called()
        return up.result

    def send(_call: SampleCall, _port: int, *, timeout: float) -> CallReply:
        return given.pop(0)

    monkeypatch.setattr(run.Up, "run", started)
    monkeypatch.setattr(run.Up, "stay", lambda _up: None)
    monkeypatch.setattr("lls_provider.local.sample_calls.send", send)
    yield given
    assert given == [], "a call was not made"


def _error(code: Code, what: str, _log: str, *, why: str, **_more: object) -> SdkError:
    return SdkError(code, what, why=why, resolution="Look.")


def up(project: Path, *words: str) -> Result:
    return CliRunner().invoke(group, ["up", str(project), *words])


FILE = CallReply(200, {"id": "file-1"})
DONE = CallReply(200, {"status": "completed"})


def test_text_has_each_call_with_its_reply(project: Path, replies: list[CallReply]) -> None:
    replies += [FILE, DONE]
    done = up(project, "--check")

    assert done.exit_code == 0, done.stderr
    assert done.stdout.splitlines()[1:] == [
        "POST /v1/files -> 200",
        '  {"id": "file-1"}',
        "GET /v1/batches/file-1 -> 200",
        '  {"status": "completed"}',
    ]


def test_nothing_called_is_said_and_the_advice_works(
    project: Path, replies: list[CallReply]
) -> None:
    said = "so nothing was called. Name one with --call 'METHOD PATH [JSON]', or with [tool."
    file = project / "pyproject.toml"
    with_calls = file.read_text()
    file.write_text(with_calls.replace(CALLS, ""))
    done = up(project, "--check")
    assert done.exit_code == 0
    assert said in done.stderr
    assert "nothing was called" not in up(project, "--check", "--format", "json").stdout
    assert "nothing was called" not in up(project).stderr  # there is a curl line to copy

    replies += [FILE]
    assert "nothing was called" not in up(project, "--check", "--call", "GET /v1/files").stderr
    file.write_text(with_calls)
    replies += [FILE, DONE]
    assert "nothing was called" not in up(project, "--check").stderr


def test_an_image_has_no_settings_for_a_call() -> None:
    assert no_call(has_project=False).endswith("Name one with --call 'METHOD PATH [JSON]'.")


def test_json_has_the_last_reply_and_all(project: Path, replies: list[CallReply]) -> None:
    replies += [FILE, DONE]
    (document,) = results.check(up(project, "--check", "--format", "json").stdout)

    assert document["call"] == {"status": 200, "body": DONE.body}
    assert [it["call"] for it in document["calls"]] == ["POST /v1/files", "GET /v1/batches/file-1"]
    assert [it["name"] for it in document["phases"]] == ["call"]


def test_json_of_one_call_is_as_it_was(project: Path, replies: list[CallReply]) -> None:
    replies += [FILE]
    shown = up(project, "--check", "--format", "json", "--call", "GET /v1/${replies.1.id}").stdout
    (document,) = results.check(shown)

    assert list(document) == ["schema", "server", "phases", "providers", "call", "error"]
    assert document["call"] == {"status": 200, "body": FILE.body}


def test_a_failure_has_the_replies_until_then(project: Path, replies: list[CallReply]) -> None:
    replies += [FILE, CallReply(200, {"status": "failed"})]
    done = up(project, "--check", "--format", "json")

    assert done.exit_code == 1
    (document,) = results.check(done.stdout)
    assert document["call"]["body"] == {"status": "failed"}
    assert len(document["calls"]) == 2
    assert document["error"]["what"] == (
        "GET /v1/batches/file-1 did not return the text 'completed'"
    )


def test_a_reply_field_is_told_with_its_line_and_the_advice_works(
    project: Path, replies: list[CallReply]
) -> None:
    file = project / "pyproject.toml"
    file.write_text(file.read_text().replace("replies.1.id", "replies.1.ids"))
    replies += [FILE]
    done = up(project, "--check")

    assert isinstance(done.exception, SdkError)
    told = done.exception.render()
    line = file.read_text().splitlines().index('path = "/v1/batches/${replies.1.ids}"') + 1
    assert f"pyproject.toml:{line}:8" in told
    assert "Resolution: Write ${replies.1.id}." in told
    file.write_text(file.read_text().replace("${replies.1.ids}", "${replies.1.id}"))
    replies += [FILE, DONE]
    assert up(project, "--check").exit_code == 0


def test_the_example_for_a_user_is_the_last_call_as_it_was_sent(
    project: Path, replies: list[CallReply]
) -> None:
    replies += [FILE, DONE]
    done = up(project)

    assert "Call it: curl -X GET http://127.0.0.1:1/v1/batches/file-1\n" in done.stderr
