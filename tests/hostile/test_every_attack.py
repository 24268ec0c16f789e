"""Every kind of attack that the installer has to refuse, and the cases that carry it out.

The list is complete by intention: what a stranger's image, or whoever runs it, can try. Each
kind names its cases in the tables beside this file, and the codes that they are refused under.
"""

from __future__ import annotations

import pytest
from tests.hostile import test_bundles, test_documents, test_volume, test_wheels

from lls_provider.errors import Code

WHEELS = {name: code for name, code, _, _ in test_wheels.CASES}
METADATA = {f"metadata that {name}": code for name, code, _, _ in test_documents.DOCUMENTS}
FIELDS = {f"{field}: {text}": Code.FIELD_VALUE for field, text in test_documents.FIELDS}
MANIFESTS = {f"manifest that {name}": code for name, code, _, _ in test_documents.VALUES}
MANIFESTS |= {f"manifest that {name}": code for name, code, _, _ in test_documents.TEXTS}
CORPUS = WHEELS | METADATA | FIELDS | MANIFESTS

UNSAFE, KIND = Code.WHEEL_PATH_UNSAFE, Code.WHEEL_ENTRY_TYPE
ARCHIVE, HEADER, CUT = Code.WHEEL_ARCHIVE_INVALID, Code.WHEEL_HEADER_MISMATCH, Code.WHEEL_TRUNCATED
LIMIT, SIZE = Code.WHEEL_LIMIT, Code.WHEEL_SIZE_MISMATCH
SCRIPT, META = Code.WHEEL_ENTRY_POINT_INVALID, Code.WHEEL_METADATA_INVALID

ATTACKS: dict[str, dict[Code, tuple[str, ...]]] = {
    "a path that leaves, in the archive": {
        UNSAFE: ("name that leaves by ..", "name that leaves from inside", "name that has a dot")
    },
    "an absolute path, in the archive": {
        UNSAFE: ("name that is absolute", "name that is of a drive", "name that has backslashes")
    },
    "a path that leaves, in RECORD": {UNSAFE: ("name that in RECORD leaves",)},
    "an absolute path, in RECORD": {UNSAFE: ("name that in RECORD is absolute",)},
    "a path that leaves, in .data": {
        UNSAFE: ("name that of data leaves",),
        Code.WHEEL_DATA_INVALID: ("metadata with data of no kind",),
        Code.WHEEL_DIST_INFO_INVALID: ("metadata of an installed package",),
    },
    "an absolute path, in .data": {UNSAFE: ("name that of data is absolute",)},
    "a path that leaves, in entry points": {
        SCRIPT: ("metadata with a command that leaves", "metadata with a command of dots")
    },
    "an absolute path, in entry points": {SCRIPT: ("metadata with an absolute command",)},
    "a path that leaves, in metadata": {
        UNSAFE: ("name that of dist-info leaves",),
        Code.WHEEL_NAME_MISMATCH: ("metadata with a path as name",),
        Code.FIELD_VALUE: (
            "wheelPath: /lls-provider/../../etc/evil.whl",
            "packageName: ../evil",
            "name: ../../evil",
            "manifest that lists a path that leaves",
        ),
    },
    "an absolute path, in metadata": {
        Code.FIELD_VALUE: ("wheelPath: /etc/evil.whl", "manifest that lists an absolute path")
    },
    "a symlink": {KIND: ("name that is a link", "name that is a link as a directory")},
    "a device": {KIND: ("name that is a device", "name that is a disk", "name that is a pipe")},
    "an entry twice": {
        Code.WHEEL_DUPLICATE_ENTRY: ("name that appears twice", "name that is written twice"),
        Code.WHEEL_OVERLAP: ("archive with one member twice",),
    },
    "names that differ in case": {
        Code.WHEEL_CASE_COLLISION: (
            "name that differs in case",
            "name that differs in case in another alphabet",
        )
    },
    "RECORD that is missing": {Code.WHEEL_RECORD_MISSING: ("RECORD missing",)},
    "RECORD that is wrong": {
        Code.WHEEL_HASH_MISMATCH: (
            "RECORD with a wrong hash",
            "RECORD with a wrong hash of a script",
        ),
        Code.WHEEL_HASH_WEAK: ("RECORD with md5", "RECORD without a hash"),
        Code.WHEEL_RECORD_INVALID: ("RECORD that says twice", "RECORD in UTF-16"),
        SIZE: ("RECORD with a wrong size",),
    },
    "RECORD that is incomplete": {
        Code.WHEEL_RECORD_INCOMPLETE: ("RECORD incomplete", "RECORD empty"),
        Code.WHEEL_FILE_MISSING: ("RECORD of more than is there",),
    },
    "a size that lies": {
        SIZE: ("archive that says too little", "archive that says too much"),
        HEADER: ("archive with two sizes",),
        ARCHIVE: ("archive with a zip64 count that is", "archive that counts too few"),
        Code.BUNDLE_INVALID: ("manifest that lies about a size",),
    },
    "a bomb by ratio": {LIMIT: ("archive a bomb by ratio",)},
    "a bomb by count": {
        LIMIT: (
            "archive a bomb by count",
            "archive a bomb by announced count",
            "archive a bomb by commands",
        )
    },
    "two contents for two readers": {
        ARCHIVE: ("archive with two ends", "archive behind data, places kept"),
        HEADER: ("archive with two names", "archive with another name in a field"),
        Code.WHEEL_OVERLAP: ("archive with members that overlap",),
    },
    "an encrypted archive": {
        Code.WHEEL_ENCRYPTED: ("archive encrypted", "archive encrypted strongly")
    },
    "a truncated archive": {
        CUT: ("archive with a directory too far", "archive followed by data"),
        SIZE: ("archive of half a member",),
    },
    "no zip archive": {
        Code.WHEEL_NOT_ZIP: ("archive empty", "archive a page", "archive a tar"),
        Code.WHEEL_COMPRESSION: ("archive packed by zstandard",),
    },
    "METADATA that is malformed": {
        META: ("metadata that is none", "metadata in UTF-16", "metadata with a nested requirement"),
        Code.WHEEL_DIST_INFO_INVALID: ("metadata missing", "metadata of two"),
    },
    "WHEEL that is malformed": {
        META: ("metadata with WHEEL of words", "metadata with WHEEL of no version"),
        Code.WHEEL_DIST_INFO_INVALID: ("metadata without WHEEL",),
        Code.WHEEL_VERSION_UNSUPPORTED: ("metadata with WHEEL 2.0",),
    },
    "another name than the file's": {
        Code.WHEEL_NAME_MISMATCH: ("metadata of another name", "metadata of another wheel")
    },
    "another version than the file's": {Code.WHEEL_NAME_MISMATCH: ("metadata of another version",)},
    "a YAML bomb": {
        Code.YAML_LIMIT: (
            "metadata that laughs a billion times",
            "metadata that is deep in brackets",
            "metadata that is large",
        )
    },
    "a YAML tag": {
        Code.YAML_INVALID: ("metadata that runs a command", "metadata that has a tag of its own")
    },
    "a key twice": {
        Code.DUPLICATE_KEY: ("metadata that has a key twice", "manifest that has a key twice")
    },
    "a wrong encoding": {
        Code.YAML_INVALID: ("metadata that is in UTF-16", "metadata that is in Latin-1")
    },
    "metadata that tries to be a shell": {
        Code.FIELD_VALUE: (
            "packageName: $(touch evil)",
            "providerType: remote::$(touch evil)",
            "name: acme echo; rm -rf /",
            "version: 1.0; evil",
        )
    },
}

TESTS = {
    "a bomb by total": (
        test_wheels.test_many_small_bombs_are_one,
        test_bundles.test_bombs_of_many_wheels_and_links_are_found_when_the_bundle_is_checked,
    ),
    "a bomb at build": (test_bundles.test_bombs_are_not_built_into_a_bundle,),
    "a limit that is raised or lowered": (
        test_bundles.test_a_limit_can_be_raised,
        test_bundles.test_a_limit_can_be_lowered,
    ),
    "an archive cut anywhere": (test_wheels.test_a_wheel_cut_anywhere_is_refused,),
    "a file name of another wheel": (test_wheels.test_a_file_name_of_another_wheel_is_refused,),
    "a provider ID that tries to be a path or a shell": (
        test_documents.test_an_argument_that_tries_to_be_a_path_or_a_shell_is_refused,
    ),
    "a configuration that tries to be a path or a shell": (
        test_documents.test_a_configuration_that_attacks_is_refused,
        test_documents.test_a_configuration_of_shell_and_paths_is_only_text,
    ),
    "a link or a device in the image": (
        test_bundles.test_a_wheel_that_is_no_file_is_refused_at_once,
    ),
    "a link on the volume": (test_volume.test_a_link_in_place_of_a_folder_of_ours_is_refused,),
}
"""Kinds whose cases are tests of their own; that they exist is what naming them here says."""


@pytest.mark.parametrize("kind", ATTACKS)
def test_each_kind_of_attack_has_its_cases_and_their_codes(kind: str) -> None:
    for code, cases in ATTACKS[kind].items():
        assert {case: CORPUS.get(case) for case in cases} == dict.fromkeys(cases, code)


def test_the_corpus_is_as_wide_as_it_should_be() -> None:
    assert len(CORPUS) >= 200
    assert len(set(CORPUS.values())) >= 28
    assert len(ATTACKS) + len(TESTS) >= 40
