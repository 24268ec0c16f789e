"""What a distribution provides is provided, whatever an index knows (contract decision 12)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from tests.engines.serving import running

from lls_provider.errors import Code, SdkError

pytestmark = pytest.mark.slow

KINDS = [
    ("corp-sdk-internal", "1.4", ">=1"),
    ("torch", "2.6.0+cpu", ">=2.4"),
    ("pydantic", "2.14.4+vendor.1", ">=2,<3"),
    ("dep", "1!2.0.post1", ""),
    ("dep", "3.0.dev4", ">=3.0.dev1"),
]
OF_VERSIONS: dict[str, Any] = {"indexed": False, "requires": None}
WITH_METADATA: dict[str, Any] = {"indexed": False, "requires": {}}


@pytest.mark.parametrize("known", [OF_VERSIONS, WITH_METADATA], ids=["versions", "metadata"])
@pytest.mark.parametrize(("name", "version", "bound"), KINDS)
@pytest.mark.parametrize("index_has", ["nothing", "another version", "another package"])
def test_it_satisfies_by_name_and_version_and_stays_out(
    offer: Any,
    make_wheel: Any,
    gathered: Any,
    known: dict[str, Any],
    name: str,
    version: str,
    bound: str,
    index_has: str,
) -> None:
    offered = {
        "nothing": [],
        "another version": [make_wheel(name, "9999")],
        # of that name and version, by someone else
        "another package": [make_wheel(name, version, requires=["evil"]), make_wheel("evil")],
    }[index_has]
    offer(make_wheel("demo", requires=[f"{name}{bound}"]), *offered)
    found = gathered("demo", {name: version}, **known)
    assert [wheel.name.partition("-")[0] for wheel in found.wheels] == ["demo"]
    assert found.provided == {name: version}


@pytest.mark.parametrize("known", [OF_VERSIONS, WITH_METADATA], ids=["versions", "metadata"])
@pytest.mark.parametrize(
    ("name", "version", "bound"),
    [("corp-sdk-internal", "1.4", ">=2"), ("torch", "2.6.0+cpu", "<2"), ("dep", "2.0", "==2.1")],
)
def test_a_bound_that_it_does_not_meet_is_told_with_its_version(
    offer: Any,
    make_wheel: Any,
    gathered: Any,
    known: dict[str, Any],
    name: str,
    version: str,
    bound: str,
) -> None:
    offer(make_wheel("demo", requires=[f"{name}{bound}"]), make_wheel(name, "9999"))
    with pytest.raises(SdkError) as caught:
        gathered("demo", {name: version}, **known)
    assert caught.value.code is Code.RESOLUTION_FAILED
    assert f"server-0 provides {name}=={version}; what it provides is not replaced" in (
        caught.value.why
    )
    assert f"{name}{bound}" in caught.value.why
    assert "file://" not in caught.value.why
    assert f"--override '{name}=={version}'" in caught.value.resolution


def test_an_older_dependency_is_chosen_that_accepts_it(
    offer: Any, make_wheel: Any, gathered: Any
) -> None:
    offer(
        make_wheel("demo", requires=["middle"]),
        make_wheel("middle", "2.0", requires=["corp>=2"]),
        make_wheel("middle", "1.0", requires=["corp>=1"]),
    )
    found = gathered("demo", {"corp": "1.4"}, **OF_VERSIONS)
    assert [it.version for it in found.packages if it.name == "middle"] == ["1.0"]


def test_what_the_server_lacks_itself_is_not_asked_for(
    offer: Any, make_wheel: Any, gathered: Any
) -> None:
    """It runs without; a broken environment is not for an image to mend."""
    offer(make_wheel("demo", requires=["corp"]))
    requires = {"corp": ("nowhere>=1", "old<2", "bad requirement", "there")}
    pins = {"corp": "1.4", "old": "3.0", "there": "1.0"}
    found = gathered("demo", pins, indexed=False, requires=requires)
    assert found.provided == {"corp": "1.4", "there": "1.0"}


EXTRAS = {"corp": ("more>=1; extra == 'fast'", "there>=1; extra == 'fast'")}


def test_an_extra_brings_what_the_metadata_says(offer: Any, make_wheel: Any, gathered: Any) -> None:
    offer(make_wheel("demo", requires=["corp[fast]"]), make_wheel("more", "2.0"))
    pins = {"corp": "1.4", "there": "1.0"}
    found = gathered("demo", pins, indexed=False, requires=EXTRAS)
    assert [it.name for it in found.packages] == ["demo", "more"]
    assert found.provided == pins


@pytest.mark.parametrize(
    "place",
    [
        "https://nowhere.invalid/there-2.0-py3-none-any.whl",
        "git+ssh://git@nowhere.invalid/there.git",
    ],
)
@pytest.mark.parametrize("marker", ["", "; extra == 'fast'"])
def test_where_the_servers_packages_came_from_does_not_count(
    offer: Any, make_wheel: Any, gathered: Any, place: str, marker: str
) -> None:
    """What was installed from a URL is there, and nothing is fetched for it."""
    offer(make_wheel("demo", requires=["corp[fast]"]))
    requires = {"corp": (f"there @ {place} {marker}", "other; extra == 'fast'")}
    pins = {"corp": "1.4", "other": "2.0", "there": "1.0"}
    found = gathered("demo", pins, indexed=False, requires=requires)
    assert [it.name for it in found.packages] == ["demo"]
    assert found.provided == pins


BY_URL = pytest.mark.parametrize(
    "known", [OF_VERSIONS, WITH_METADATA, {}], ids=["versions", "metadata", "indexed"]
)


@BY_URL
def test_what_is_asked_for_by_its_url_is_provided_in_that_version(
    offer: Any, make_wheel: Any, gathered: Any, known: dict[str, Any]
) -> None:
    offer()
    corp = make_wheel("corp", "1.4")
    own = make_wheel("demo", requires=[f"corp @ {corp.as_uri()}"])
    found = gathered(f"demo @ {own.as_uri()}", {"corp": "1.4"}, **known)
    assert [it.name for it in found.packages] == ["demo"]
    assert found.provided == {"corp": "1.4"}


@BY_URL
@pytest.mark.parametrize("version", ["1.5", "1.4+vendor.2"])
def test_what_is_asked_for_by_its_url_in_another_version_is_a_conflict(
    offer: Any, make_wheel: Any, gathered: Any, known: dict[str, Any], version: str
) -> None:
    offer()
    corp = make_wheel("corp", version)
    own = make_wheel("demo", requires=[f"corp @ {corp.as_uri()}"])
    with pytest.raises(SdkError) as caught:
        gathered(f"demo @ {own.as_uri()}", {"corp": "1.4+vendor.1"}, **known)
    assert caught.value.code is Code.RESOLUTION_FAILED
    assert "server-0 provides corp==1.4+vendor.1" in caught.value.why


def test_an_extra_of_a_version_alone_is_looked_up_where_an_index_has_that_version(
    offer: Any, make_wheel: Any, gathered: Any
) -> None:
    offer(
        make_wheel("demo", requires=["corp[fast]"]),
        make_wheel("corp", "1.4", requires=EXTRAS["corp"], fields=["Provides-Extra: fast"]),
        make_wheel("more", "2.0"),
    )
    found = gathered("demo", {"corp": "1.4", "there": "1.0"}, **OF_VERSIONS)
    assert [it.name for it in found.packages] == ["demo", "more"]


@pytest.mark.parametrize("version", ["1.4", "1.4+vendor.1"])
@pytest.mark.parametrize("index_has", [None, "9999"])
def test_an_extra_of_which_nobody_knows_what_it_needs_is_told(
    offer: Any, make_wheel: Any, gathered: Any, version: str, index_has: str | None
) -> None:
    offered = [make_wheel("corp", index_has)] if index_has else []
    offer(make_wheel("demo", requires=["corp[fast]"]), *offered)
    with pytest.raises(SdkError) as caught:
        gathered("demo", {"corp": version}, **OF_VERSIONS)
    error = caught.value
    assert error.what == "server-0 does not say what corp[fast] needs"
    assert f"corp {version} by name and version only" in error.why
    assert "python:PATH" in error.resolution


class _Recording(SimpleHTTPRequestHandler):
    asked: list[str]

    def log_message(self, *_args: Any) -> None: ...

    def end_headers(self) -> None:
        self.send_header("Cache-Control", "no-cache")  # a change is seen at once
        super().end_headers()

    def do_GET(self) -> None:
        self.server.asked.append(self.path)  # type: ignore[attr-defined]
        super().do_GET()


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., list[str]]]:
    """Serves wheels as an index; returns the paths that were requested."""
    root = tmp_path / "index"
    root.mkdir()
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Recording, directory=str(root)))
    server.asked = []  # type: ignore[attr-defined]
    monkeypatch.setenv("UV_DEFAULT_INDEX", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setenv("LLS_PROVIDER_CACHE", str(tmp_path / "cache"))

    def serve(*wheels: Path) -> list[str]:
        for wheel in wheels:
            folder = root / wheel.name.partition("-")[0].replace("_", "-")
            folder.mkdir(exist_ok=True)
            (folder / wheel.name).write_bytes(wheel.read_bytes())
            links = "".join(f'<a href="{it.name}">{it.name}</a>' for it in folder.glob("*.whl"))
            (folder / "index.html").write_text(f"<html><body>{links}</body></html>")
        asked: list[str] = server.asked  # type: ignore[attr-defined]
        return asked

    with running(server):
        yield serve


def test_no_index_is_asked_for_what_is_provided(index: Any, make_wheel: Any, gathered: Any) -> None:
    asked = index(
        make_wheel("demo", requires=["corp>=1", "corp-two", "middle"]),
        make_wheel("middle", requires=["corp<9"]),
        make_wheel("corp", "9999"),
    )
    found = gathered("demo", {"corp": "1.4", "corp-two": "1.0"}, **OF_VERSIONS)
    assert found.provided == {"corp": "1.4", "corp-two": "1.0"}
    packages = {path.strip("/").partition("/")[0] for path in asked}
    assert packages == {"demo", "middle"}


def test_a_file_that_is_not_the_one_its_index_lists_is_told_as_that(
    index: Any, make_wheel: Any, gathered: Any, tmp_path: Path
) -> None:
    """Nothing was locked: the index itself says one thing and serves another."""
    wheel = make_wheel("demo")
    index(wheel)
    page = tmp_path / "index" / "demo" / "index.html"
    right = page.read_text()
    wrong = f"{wheel.name}#sha256={'0' * 64}"
    page.write_text(right.replace(f'"{wheel.name}"', f'"{wrong}"'))
    with pytest.raises(SdkError) as caught:
        gathered("demo")
    error = caught.value
    assert error.code is Code.HASH_MISMATCH
    assert error.what == f"{wheel.name} is not the file that its index lists"
    assert "lock" not in error.render()
    assert error.resolution.startswith("Run the command again, after some minutes")
    page.write_text(right)
    assert [it.name for it in gathered("demo").packages] == ["demo"]
