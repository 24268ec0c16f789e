"""The page with a section for each error code: cause, fix, and an example that happens here.

Causes and fixes are those of the tables in ``docs/reference/errors.md``. Each example is brought
about by real code. ``python -m tests.docs.error_examples`` writes the page again.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator
from contextlib import chdir
from pathlib import Path

from tests.docs import examples_author, examples_documents, examples_pod
from tests.docs.examples import Examples, Finding

from lls_provider.errors import Code

REFERENCE = Path(__file__).parents[2] / "docs" / "reference"
PAGE = REFERENCE / "error-examples.md"
EXAMPLES: Examples = {
    **examples_documents.EXAMPLES,
    **examples_pod.EXAMPLES,
    **examples_author.EXAMPLES,
}
INTRODUCTION = """\
# Errors, one by one

A section for each code of the [errors](errors.md): its cause, what you do about it, and an example.
The examples are what is printed in a small case. `…` and `VERSIONS` stand for what differs between
machines.
"""
ROW = re.compile(r"^\| `([a-z-]+)` \| (\d+) \| (.+) \| (.+) \|$", re.MULTILINE)
VARYING = (
    (re.compile(r"\b[0-9a-f]{64}\b"), "…"),  # digests of wheels, which depend on zlib
    (re.compile(r"lls-provider \d\S+, Python \d\S+"), "VERSIONS"),
    (re.compile(r"(?<= its )[\d,]+(?= bytes unpack)"), "…"),
    (re.compile(r"(?<=unset PYTHONPATH \(it is )[^)]+"), "…"),
)


def told() -> dict[str, tuple[str, str, str]]:
    """Exit status, cause and fix of each code, from the tables."""
    text = (REFERENCE / "errors.md").read_text("utf-8")
    return {slug: (status, cause, fix) for slug, status, cause, fix in ROW.findall(text)}


def happened(code: Code) -> Finding:
    """What the example of a code leads to, without what differs between machines."""
    with tempfile.TemporaryDirectory() as folder, chdir(folder):
        found = EXAMPLES[code].finding(Path(folder))
    text = found.text
    for pattern, shown in VARYING:
        text = pattern.sub(shown, text)
    return Finding(found.code, text)


def section(code: Code, status: str, cause: str, fix: str, text: str) -> str:
    return (
        f"\n## {code.slug}\n\nExit status {status}. {cause}\n\n**Fix:** {fix}\n\n"
        f"**Example:** {EXAMPLES[code].about}\n\n```text\n{text}\n```\n"
    )


def sections() -> Iterator[str]:
    rows = told()
    for code in Code:
        yield section(code, *rows[code.slug], happened(code).text)


def page() -> str:
    """The whole page."""
    return INTRODUCTION + "".join(sections())


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
