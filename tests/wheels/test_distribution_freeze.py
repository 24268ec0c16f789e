from __future__ import annotations

import contextlib
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lls_provider.errors import Code, SdkError
from lls_provider.wheels.distribution import freeze_pins, read_freeze, requirements_in

FILE = "server.txt"


def refused(text: str) -> SdkError:
    with pytest.raises(SdkError) as caught:
        freeze_pins(text, FILE)
    return caught.value


@pytest.mark.parametrize(
    ("line", "pin"),
    [
        ("helper==1.0", ("helper", "1.0")),
        ("Helper_Package == 01.0  # via ogx", ("helper-package", "1.0")),
        ("torch==2.6.0+cpu", ("torch", "2.6.0+cpu")),
        ("helper[extra]==1.0", ("helper", "1.0")),
        ("helper==1.0 --hash=sha256:00 --hash=sha256:11", ("helper", "1.0")),
        ("helper==1.0 \\\n    --hash=sha256:00 \\\n    --hash=sha256:11", ("helper", "1.0")),
        ("helper \\\n  ==1.0", ("helper", "1.0")),
        ("helper==1.0 --config-settings=x=y", ("helper", "1.0")),
        ("helper @ file:///tmp/w/helper-1.0-py3-none-any.whl", ("helper", "1.0")),
        (
            (
                "torch @ https://files.example/torch-2.6.0%2Bcpu-cp312-cp312-linux_x86_64.whl"
                "#sha256=00"
            ),
            ("torch", "2.6.0+cpu"),
        ),
        ("my-helper @ file:///tmp/my_helper-1.0.tar.gz", ("my-helper", "1.0")),
        ("helper @ https://h.example/helper-1.0.zip?token=x", ("helper", "1.0")),
        ("./wheels/helper-1.0-py3-none-any.whl", ("helper", "1.0")),
        ("/srv/wheels/helper-1.0-py3-none-any.whl", ("helper", "1.0")),
        ("https://files.example/helper-1.0-py3-none-any.whl", ("helper", "1.0")),
        (
            "# Editable install with no version control (helper==1.0)\n-e /home/acme/helper",
            ("helper", "1.0"),
        ),
        (
            "# Editable Git install with no remote (My_Helper==1.0.dev0)\n-e /home/acme/helper",
            ("my-helper", "1.0.dev0"),
        ),
    ],
)
@pytest.mark.parametrize("end", ["\n", "\r\n"], ids=["LF", "CRLF"])
def test_a_line_is_read_as_far_as_it_says_a_version(
    line: str, pin: tuple[str, str], end: str
) -> None:
    text = f"other==2.0\n{line}\n".replace("\n", end)
    assert freeze_pins(text, FILE) == {"other": "2.0", pin[0]: pin[1]}


@pytest.mark.parametrize(
    "line",
    [
        "",
        "   ",
        "# made by pip freeze",
        "    # via ogx",
        "-i https://index.example/simple",
        "--index-url https://user:secret@index.example/simple",
        "--index-url=https://index.example/simple",
        "--extra-index-url https://index.example/simple",
        "--no-index",
        "-f ./wheels",
        "--find-links=./wheels",
        "--trusted-host index.example",
        "--require-hashes",
        "    --hash=sha256:00",
    ],
)
def test_what_says_nothing_of_versions_is_passed_over(line: str) -> None:
    assert freeze_pins(f"{line}\nhelper==1.0\n", FILE) == {"helper": "1.0"}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("end", ["\n", "\r\n"], ids=["LF", "CRLF"])
def test_a_byte_order_mark_is_no_part_of_the_first_name(
    encoding: str, end: str, tmp_path: Path
) -> None:
    """PowerShell writes UTF-16 when `pip freeze` is redirected, Windows' editors UTF-8 with one."""
    path = tmp_path / FILE
    path.write_bytes(f"helper==1.0{end}caf\u00e9==2.0{end}".encode(encoding))
    assert read_freeze(path).split() == ["helper==1.0", "caf\u00e9==2.0"]
    path.write_bytes(f"helper==1.0{end}other==2.0{end}".encode(encoding))
    assert freeze_pins(read_freeze(path), FILE) == {"helper": "1.0", "other": "2.0"}


@pytest.mark.parametrize(
    ("line", "what", "instead"),
    [
        (
            "-e git+https://github.com/acme/helper.git@0123#egg=helper",
            "-e git+https://github.com/acme/helper.git@0123#egg=helper has no version",
            "helper==VERSION",
        ),
        ("--editable=./helper", "--editable=./helper has no version", "NAME==VERSION"),
        ("-e .", "-e . has no version", "NAME==VERSION"),
        (
            "helper @ git+https://github.com/acme/helper@v1.0",
            "helper @ git+https://github.com/acme/helper@v1.0 has no version",
            "helper==VERSION",
        ),
        (
            "My_Helper @ file:///home/conda/feedstock_root/build_artifacts/helper_17/work",
            (
                "My_Helper @ file:///home/conda/feedstock_root/build_artifacts/helper_17/work "
                "has no version"
            ),
            "my-helper==VERSION",
        ),
        ("./helper", "./helper has no version", "NAME==VERSION"),
        ("git+https://h.example/helper", "git+https://h.example/helper has no version", "NAME=="),
        (
            "helper @ file:///w/other-1.0-py3-none-any.whl",
            "helper @ file:///w/other-1.0-py3-none-any.whl: the file is one of other",
            "helper==VERSION",
        ),
        ("helper=1.0=py_0", "helper=1.0=py_0: ", "helper==1.0"),
        ("helper=1.0", "helper=1.0: ", "helper==1.0"),
        ("helper            1.0", "helper            1.0: ", "helper==1.0"),
        ("helper 1.0  pypi_0  pypi", "helper 1.0  pypi_0  pypi: ", "helper==1.0"),
        ("helper (1.0)", "helper (1.0): ", "helper==1.0"),
    ],
)
def test_a_line_without_a_version_is_named_with_what_to_write(
    line: str, what: str, instead: str
) -> None:
    text = f"other==2.0\n\n{line}\n"
    error = refused(text)
    assert error.code is Code.DISTRIBUTION_INVALID
    (problem,) = error.problems
    assert (problem.where.file, problem.where.line) == (FILE, 3)
    assert problem.what.startswith(what)
    assert problem.resolution.startswith(f"Write {instead}")
    assert f"- {FILE}:3: {what}" in error.render()
    told = re.search(r"Write (\S+) in its place", problem.resolution)
    assert told is not None
    written = told[1].replace("NAME", "helper").replace("VERSION", "1.0")
    mended = freeze_pins(text.replace(line, written), FILE)
    assert mended is not None
    assert list(mended.values()) == ["2.0", "1.0"]


@pytest.mark.parametrize("line", ["Package    Version", "what is this?", "=1.0", "==2"])
def test_what_nobody_can_read_is_not_guessed(line: str) -> None:
    (problem,) = refused(f"helper==1.0\n{line}\n").problems
    assert problem.what.startswith(line)
    assert problem.resolution == ""


def test_all_lines_are_told_at_once_in_their_order() -> None:
    error = refused("-e .\nhelper==1.0\nbad line\nx @ git+https://h.example/x\n")
    assert [it.where.line for it in error.problems] == [1, 3, 4]
    assert error.where.line == 1
    assert "pip list --format=freeze" in error.resolution


def test_a_login_in_a_line_is_not_shown() -> None:
    error = refused("helper==1.0\n-e git+https://me:secret@h.example/x.git#egg=x\n")
    assert "secret" not in error.render()
    assert "-e git+https://h.example/x.git#egg=x has no version" in error.render()


@pytest.mark.parametrize(
    "text",
    [
        "helper>=1\n",
        "helper==1.*\n",
        "helper===banana\n",
        "helper===1.0-what-is-this\n",
        "helper==1.0\nother\n-e .\n",
        "-r other.txt\nhelper==1.0\n",
        "-c other.txt\nhelper==1.0\n",
        "--pre\nhelper==1.0\n",
        "-e .\n",
        "helper @ git+https://h.example/helper\n",
    ],
)
def test_a_requirements_file_is_left_to_the_resolver(text: str) -> None:
    assert freeze_pins(text, FILE) is None


_PARTS = [
    *("helper", "==1.0", "==", " @ ", "file:///", "http://[", "/x-1.0.whl", "x-1.0.tar.gz", "%"),
    *("-e ", "--hash", "#", "\\", "\n", "\r\n", ";", "[", "]", "(", "git+", "\x00", "\u2028", "="),
]


@given(st.lists(st.sampled_from(_PARTS) | st.text(max_size=4), max_size=12).map("".join))
def test_any_text_is_read_or_refused(text: str) -> None:
    with contextlib.suppress(SdkError):
        freeze_pins(text, FILE)
    requirements_in(text)


def test_an_address_that_is_none_is_told() -> None:
    (problem,) = refused("helper==1.0\nother @ http://[::1/other-1.0.tar.gz\n").problems
    assert problem.what == "other @ http://[::1/other-1.0.tar.gz has no version"


def test_the_requirements_of_a_file_are_named() -> None:
    text = "# all\n-r other.txt\nHelper>=1  # why\nogx \\\n  ==1.5.*\n./place\n"
    assert requirements_in(text) == {"helper": "Helper>=1", "ogx": "ogx    ==1.5.*"}
