from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from lls_provider.contract.limits import DEFAULT
from lls_provider.runtime.install.up_to_date import (
    DIRECTORY_MTIME_NS,
    DOCUMENT_BYTES,
    _opened,
    arguments_fingerprint,
    bundle_fingerprint,
    content_fingerprint,
    is_up_to_date,
)
from lls_provider.runtime.wheelfile.unpack import MTIME_NS

if TYPE_CHECKING:
    MakeBundle = Callable[..., Path]
    MakeWheel = Callable[..., Path]
    Pod = Any


@pytest.mark.parametrize("manifest", [True, False])
def test_equal_bundles_have_equal_fingerprints(make_bundle: MakeBundle, manifest: bool) -> None:
    first, second = (str(make_bundle(manifest=manifest)) for _ in range(2))
    assert bundle_fingerprint(first, "cp312") == bundle_fingerprint(second, "cp312")
    assert bundle_fingerprint(first, "cp312") != bundle_fingerprint(first, None)


@pytest.mark.parametrize("manifest", [True, False])
def test_another_wheel_or_metadata_is_another_fingerprint(
    make_bundle: MakeBundle, make_wheel: MakeWheel, manifest: bool
) -> None:
    source = make_bundle(manifest=manifest)
    before = bundle_fingerprint(str(source), None)
    added = make_wheel("more", folder=source / "packages")
    with_more = bundle_fingerprint(str(source), None)
    assert with_more != before
    added.unlink()
    assert bundle_fingerprint(str(source), None) == before
    with (source / "lls-provider-spec.yaml").open("a") as stream:
        stream.write("# changed\n")
    assert bundle_fingerprint(str(source), None) != before


def test_without_a_manifest_the_content_of_wheels_counts(make_bundle: MakeBundle) -> None:
    source = make_bundle(manifest=False)
    before = bundle_fingerprint(str(source), None)
    wheel = next((source / "packages").iterdir())
    data = bytearray(wheel.read_bytes())
    data[50] ^= 1
    wheel.write_bytes(data)
    assert bundle_fingerprint(str(source), None) != before


def test_arguments_do_not_run_into_each_other() -> None:
    assert arguments_fingerprint(["a", "b"]) != arguments_fingerprint(["ab", ""])
    assert arguments_fingerprint(["None"]) != arguments_fingerprint([None])


def _installed(pod: Pod, make_bundle: MakeBundle) -> tuple[str, str]:
    source = make_bundle()
    pod.install(source, arguments="told")
    return str(pod.root), bundle_fingerprint(str(source), None)


def test_a_complete_installation_has_nothing_to_do(pod: Pod, make_bundle: MakeBundle) -> None:
    root, bundle = _installed(pod, make_bundle)
    assert is_up_to_date(root, "acme-echo", bundle, "told")
    assert not is_up_to_date(root, "acme-echo", bundle, "other")
    assert not is_up_to_date(root, "acme-echo", "other", "told")
    assert not is_up_to_date(root, "acme-guard", bundle, "told")


@pytest.mark.parametrize("lost", ["python-packages", "installed-packages.txt", "metadata"])
def test_what_is_lost_is_installed_again(pod: Pod, make_bundle: MakeBundle, lost: str) -> None:
    root, bundle = _installed(pod, make_bundle)
    (pod.external / lost).rename(pod.root / "lost")
    assert not is_up_to_date(root, "acme-echo", bundle, "told")


def test_the_rest_of_an_interrupted_run_is_cleaned_first(pod: Pod, make_bundle: MakeBundle) -> None:
    root, bundle = _installed(pod, make_bundle)
    (pod.external / ".staging").mkdir()
    assert not is_up_to_date(root, "acme-echo", bundle, "told")


def test_a_run_that_ended_before_its_last_step_is_done_again(
    pod: Pod, make_bundle: MakeBundle
) -> None:
    root, bundle = _installed(pod, make_bundle)
    os.utime(pod.external)
    assert not is_up_to_date(root, "acme-echo", bundle, "told")
    assert DIRECTORY_MTIME_NS == MTIME_NS
    assert DEFAULT.size == DOCUMENT_BYTES


@pytest.mark.parametrize("provider_id", ["", "..", "../x", "/etc", "."])
def test_an_id_that_is_a_path_is_not_looked_up(tmp_path: Path, provider_id: str) -> None:
    assert not is_up_to_date(str(tmp_path), provider_id, "b", "a")


def test_a_damaged_record_is_no_record(pod: Pod, make_bundle: MakeBundle) -> None:
    root, bundle = _installed(pod, make_bundle)
    (pod.external / "metadata" / "acme-echo" / "installed.json").write_text("{")
    assert not is_up_to_date(root, "acme-echo", bundle, "told")


def test_a_document_that_is_larger_than_usual_counts_to_its_end(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    seen = set()
    for tail in (b"", b"1", b"2", b"22"):
        path.write_bytes(b"x" * (DOCUMENT_BYTES + 1) + tail)
        seen.add(content_fingerprint(str(path)))
    assert len(seen) == 4


def test_what_is_no_file_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", tmp_path):
        with pytest.raises(OSError, match="not a regular file"):
            _opened(str(path))
