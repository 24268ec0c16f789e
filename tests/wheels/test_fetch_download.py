from __future__ import annotations

import hashlib
import random
from pathlib import Path
from typing import Any

import pytest

from lls_provider.errors import Code, SdkError
from lls_provider.system.http import new_session, request_timeouts
from lls_provider.wheels.fetch import download
from lls_provider.wheels.uv_settings import local_path

PIECE = 256 * 1024
PIECES = 4


class Trip:
    """A download into a directory, with what it given and how long it would have waited."""

    def __init__(self, folder: Path) -> None:
        self.target = folder / "demo-1.0-py3-none-any.whl"
        self.waits: list[float] = []
        self.told = 0
        self.patience = 60.0

    def __call__(self, url: str, sha256: str, size: int | None = None) -> bytes:
        def advance(amount: int) -> None:
            self.told += amount

        with new_session() as session:
            session.trust_env = False  # loopback is reached without a proxy
            download(
                url,
                self.target,
                sha256=sha256,
                session=session,
                advance=advance,
                size=size,
                timeout=(10, self.patience),
                sleep=self.waits.append,
            )
        return self.target.read_bytes()

    @property
    def left(self) -> list[str]:
        return sorted(it.name for it in self.target.parent.iterdir() if it.suffix != ".lock")


@pytest.fixture
def trip(tmp_path: Path) -> Trip:
    folder = tmp_path / "cache"
    folder.mkdir()
    return Trip(folder)


@pytest.fixture
def served(index: Any, make_wheel: Any) -> tuple[str, str, bytes]:
    """The URL, hash and bytes of a wheel on the index."""
    wheel = make_wheel("demo")
    # several pieces long
    wheel.write_bytes(wheel.read_bytes() + random.Random(1).randbytes(PIECES * PIECE))
    data = wheel.read_bytes()
    return index.serve(wheel), hashlib.sha256(data).hexdigest(), data


def test_the_file_arrives_and_each_byte_is_told_once(
    trip: Trip, served: tuple[str, str, bytes]
) -> None:
    url, digest, data = served
    assert trip(url, digest) == data
    assert trip.told == len(data)
    assert trip.left == [trip.target.name]


def test_what_is_there_is_not_loaded_again(
    trip: Trip, served: tuple[str, str, bytes], index: Any
) -> None:
    url, digest, _ = served
    trip(url, digest)
    trip(url, digest)
    assert len(index.requests) == 1


def test_a_cut_connection_is_resumed_where_it_broke(
    trip: Trip, served: tuple[str, str, bytes], index: Any
) -> None:
    url, digest, data = served
    path = f"/{trip.target.name}"
    index.faults[path] = ["cut"]
    assert trip(url, digest) == data
    assert index.requests == [(path, ""), (path, f"bytes={len(data) // 2}-")]
    assert trip.told == len(data)
    assert len(trip.waits) == 1


@pytest.mark.parametrize("place", [0, 1, PIECE - 1, PIECE, PIECE + 1, 3 * PIECE, -1])
@pytest.mark.parametrize("ranges", [True, False])
def test_a_connection_may_end_at_any_byte(
    trip: Trip, served: tuple[str, str, bytes], index: Any, place: int, ranges: bool
) -> None:
    url, digest, data = served
    index.ranges = ranges
    index.faults[f"/{trip.target.name}"] = [f"cut@{place % len(data)}"] * 2
    assert trip(url, digest) == data
    assert trip.told == len(data)
    assert trip.left == [trip.target.name]


@pytest.mark.slow
def test_a_download_that_stalls_is_resumed_where_it_stood(
    trip: Trip, served: tuple[str, str, bytes], index: Any
) -> None:
    url, digest, data = served
    path = f"/{trip.target.name}"
    index.faults[path] = ["stall"]
    trip.patience = 1.0
    assert trip(url, digest) == data
    assert index.requests == [(path, ""), (path, f"bytes={len(data) // 2}-")]
    assert trip.told == len(data)


@pytest.mark.slow
def test_a_download_that_keeps_stalling_is_given_up(
    trip: Trip, served: tuple[str, str, bytes], index: Any
) -> None:
    url, digest, data = served
    index.faults[f"/{trip.target.name}"] = ["stall"] * 4
    trip.patience = 0.5
    with pytest.raises(SdkError) as caught:
        trip(url, digest)
    assert caught.value.code is Code.NETWORK
    assert caught.value.why == (
        f"nothing was received for 0.5 seconds (4 attempts)\nFrom http://127.0.0.1/{trip.target.name}"
    )
    assert "UV_HTTP_TIMEOUT" in caught.value.resolution
    assert len(index.requests) == 4
    assert trip.left == [f"{trip.target.name}.partial"]
    trip.patience = 60.0
    assert trip(url, digest) == data


def test_a_server_without_ranges_sends_it_whole_again(
    trip: Trip, served: tuple[str, str, bytes], index: Any
) -> None:
    url, digest, data = served
    index.ranges = False
    index.faults[f"/{trip.target.name}"] = ["cut"]
    assert trip(url, digest) == data
    assert trip.told == len(data)


def test_a_server_that_is_busy_is_asked_again(
    trip: Trip, served: tuple[str, str, bytes], index: Any
) -> None:
    url, digest, data = served
    index.faults[f"/{trip.target.name}"] = ["503", "503"]
    assert trip(url, digest) == data
    assert trip.waits == [0.5, 1.0]


def test_a_server_that_stays_busy_is_given_up(
    trip: Trip, served: tuple[str, str, bytes], index: Any
) -> None:
    url, digest, _ = served
    index.faults[f"/{trip.target.name}"] = ["503"] * 9
    with pytest.raises(SdkError) as caught:
        trip(url, digest)
    assert caught.value.code is Code.NETWORK
    assert "503" in caught.value.why
    assert len(index.requests) == 4
    assert trip.left == []


def test_what_arrived_before_giving_up_is_kept_for_the_next_run(
    trip: Trip, served: tuple[str, str, bytes], index: Any
) -> None:
    url, digest, data = served
    path = f"/{trip.target.name}"
    index.faults[path] = ["cut", "500", "500", "500"]
    with pytest.raises(SdkError):
        trip(url, digest)
    assert trip.left == [f"{trip.target.name}.partial"]
    index.requests.clear()
    assert trip(url, digest) == data
    assert index.requests == [(path, f"bytes={len(data) // 2}-")]


def test_other_content_is_refused_and_not_kept(
    trip: Trip, served: tuple[str, str, bytes], index: Any
) -> None:
    url, digest, data = served
    index.faults[f"/{trip.target.name}"] = ["wrong"]
    with pytest.raises(SdkError) as caught:
        trip(url, digest)
    assert caught.value.code is Code.HASH_MISMATCH
    assert digest in caught.value.why
    assert hashlib.sha256(bytes(len(data))).hexdigest() in caught.value.why
    assert trip.left == []


def test_a_partial_file_longer_than_the_real_one_does_not_stay_for_ever(
    trip: Trip, served: tuple[str, str, bytes], index: Any
) -> None:
    url, digest, data = served
    trip.target.with_name(trip.target.name + ".partial").write_bytes(data + b"surplus")
    index.faults[f"/{trip.target.name}"] = ["416"]
    assert trip(url, digest) == data


def test_a_missing_file_is_told_at_once(trip: Trip, index: Any) -> None:
    with pytest.raises(SdkError) as caught:
        trip(f"{index.url}/gone.whl?token=secret", "0" * 64)
    assert caught.value.code is Code.NETWORK
    assert "404" in caught.value.why
    assert trip.waits == []


def test_no_secret_of_the_url_is_told(trip: Trip, index: Any) -> None:
    url = index.url.replace("//", "//user:hunter2@") + "/gone.whl?token=secret"
    with pytest.raises(SdkError) as caught:
        trip(url, "0" * 64)
    assert "hunter2" not in caught.value.render()
    assert "secret" not in caught.value.render()


def test_more_than_was_told_is_not_loaded_to_its_end(
    trip: Trip, served: tuple[str, str, bytes]
) -> None:
    url, digest, data = served
    with pytest.raises(SdkError) as caught:
        trip(url, digest, PIECE)
    assert caught.value.code is Code.HASH_MISMATCH
    assert f"more than {PIECE:,} bytes" in caught.value.why
    assert trip.told <= PIECE < len(data)
    assert trip.left == []
    assert trip(url, digest, len(data)) == data


def test_a_refused_connection_names_its_cause(trip: Trip, index: Any) -> None:
    port = index.url.rpartition(":")[2]
    with pytest.raises(SdkError) as caught:
        trip(f"http://127.0.0.2:{port}/demo.whl", "0" * 64)
    assert caught.value.code is Code.NETWORK
    assert "refused" in caught.value.why
    assert "object at 0x" not in caught.value.why


def test_only_file_urls_are_local() -> None:
    assert local_path("file:///wheels/a%20b.whl") == Path("/wheels/a b.whl")
    assert local_path("https://example.com/a.whl") is None


@pytest.mark.parametrize(("told", "seconds"), [("90", 90), ("", 60), ("0", 60), ("soon", 60)])
def test_uv_is_told_how_long_to_wait(told: str, seconds: float) -> None:
    assert request_timeouts({"UV_HTTP_TIMEOUT": told})[1] == seconds
