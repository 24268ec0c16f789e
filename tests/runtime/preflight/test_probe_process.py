"""What faulthandler writes, in the forms of the Pythons that a server may run on."""

from __future__ import annotations

import pytest

from lls_provider.runtime.preflight.probe_process import fault_traceback

OURS = """\
  File "<frozen importlib._bootstrap>", line 1387 in _gcd_import
  File "/usr/lib/python3.12/importlib/__init__.py", line 90 in import_module
  File "<lls-provider>", line 250 in _import
  File "<string>", line 6 in <module>
"""
SHOWN = """\
  File "/p/acme/provider.py", line 4, in inner
  File "/p/acme/provider.py", line 2, in outer"""
FRAMES = SHOWN.replace(", in ", " in ") + "\n" + OURS


def test_a_crash_of_python_3_12() -> None:
    text = (
        "Fatal Python error: Segmentation fault\n\n"
        f"Current thread 0x00007fcb75c16740 (most recent call first):\n{FRAMES}\n"
        "Extension modules: numpy.core, _cffi_backend (total: 2)\n"
    )
    assert fault_traceback(text) == f"Fatal Python error: Segmentation fault\n{SHOWN}"
    assert fault_traceback(text, headline=False) == SHOWN


def test_a_crash_of_python_3_14_without_its_stack_in_c() -> None:
    text = (
        "Fatal Python error: Segmentation fault\n\n"
        f"Current thread 0x00007fcb75c16740 [python3] (most recent call first):\n{FRAMES}\n"
        "Current thread's C stack trace (most recent call first):\n"
        '  Binary file "/usr/bin/python3", at _Py_DumpStack+0x40 [0x5f2c8a]\n'
        '  Binary file "/usr/bin/python3" [0x601b3e]\n'
    )
    assert fault_traceback(text) == f"Fatal Python error: Segmentation fault\n{SHOWN}"


def test_threads_stand_behind_the_main_one_and_idle_ones_are_left_out() -> None:
    text = (
        "Fatal Python error: Aborted\n\n"
        'Thread 0x00007f25ff2a86c0 (most recent call first):\n  File "/p/w.py", line 7 in wait\n\n'
        "Thread 0x00007f25ff2a86c1 (most recent call first):\n  <no Python frame>\n\n"
        f"Thread 0x00007f25ff2a86c2 (most recent call first):\n{OURS}\n"
        f"Current thread 0x00007f25ff2a86c3 (most recent call first):\n{FRAMES}"
    )
    shown = fault_traceback(text, headline=False)
    assert shown.startswith(f"main thread:\n{SHOWN}\n")
    assert shown.endswith('thread 2:\n  File "/p/w.py", line 7, in wait')


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Fatal Python error: Aborted\n\n<no Python frame>\n",
        f"Fatal Python error: Aborted\n\nCurrent thread 0x1 (most recent call first):\n{OURS}",
        "  File without a thread\n",
        "\x00\x01 (most recent call first):\n",
    ],
)
def test_where_nobody_elses_code_ran_there_is_nothing_to_show(text: str) -> None:
    assert fault_traceback(text) == ""


def test_what_is_cut_says_so_and_what_repeats_is_told_once() -> None:
    frames = '  File "/p/a.py", line 1 in f\n' * 99 + "  ...\n"
    text = f"Fatal Python error: X\n\nCurrent thread 0x1 (most recent call first):\n{frames}"
    assert fault_traceback(text).splitlines()[1:] == [
        '  File "/p/a.py", line 1, in f',
        "    [the call above repeated 98 more times]",
        "  ...",
    ]
