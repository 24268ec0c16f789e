"""Checks a release before it is published: ``python tools/check_release.py TAG DIST``.

The tag, the code, the changelog and the built files have to name one version, and the template has
to be recorded for `new --update`.
"""

from __future__ import annotations

import argparse
import ast
import json
import re
import sys
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
RELEASE = re.compile(r"^## \[([^\]]+)\](?: - (\d{4}-\d{2}-\d{2}))?$", re.MULTILINE)
UNRELEASED = "Unreleased"


def code_version(root: Path = ROOT) -> str:
    """The version that `lls_provider` has, read without an import."""
    tree = ast.parse((root / "sdk" / "lls_provider" / "__init__.py").read_text("utf-8"))
    for node in tree.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__version__":
            return str(ast.literal_eval(node.value))
    raise LookupError("__version__")


def faults(tag: str, dist: Path, root: Path = ROOT) -> Iterator[str]:
    """Each fault as one line; none if the release may be published."""
    version = code_version(root)
    if tag != f"v{version}":
        yield f"the tag is {tag}, the version of the code {version}: the tag has to be v{version}"
    yield from _changelog_faults((root / "CHANGELOG.md").read_text("utf-8"), version)
    yield from _template_faults(root / "templates")
    expected = {
        f"lls_provider_sdk-{version}-py3-none-any.whl",
        f"lls_provider_sdk-{version}.tar.gz",
    }
    found = {path.name for path in dist.iterdir()} if dist.is_dir() else set()
    if found != expected:
        yield f"{dist} holds {sorted(found)}, not {sorted(expected)}"


def _changelog_faults(text: str, version: str) -> Iterator[str]:
    sections = list(RELEASE.finditer(text))
    if not sections or sections[0][1] != UNRELEASED:
        yield f"CHANGELOG.md does not begin with the section [{UNRELEASED}]"
        return
    if len(sections) < 2 or sections[1][1] != version:
        top = sections[1][1] if len(sections) > 1 else "none"
        yield f"the latest release of CHANGELOG.md is {top}, not {version}"
        return
    if sections[1][2] is None:
        yield f"CHANGELOG.md has no date for {version}"
    if text[sections[0].end() : sections[1].start()].strip():
        yield f"CHANGELOG.md has changes under [{UNRELEASED}]: move them to [{version}]"


def _template_faults(templates: Path) -> Iterator[str]:
    current = templates / "provider"
    number = json.loads((current / "cookiecutter.json").read_bytes())["_version"]
    archive = templates / "recorded" / f"{number}.zip"
    if not archive.exists():
        yield f"version {number} of the template is not recorded: run tools/record_template.py"
        return
    with zipfile.ZipFile(archive) as recorded:
        before = {name: recorded.read(name) for name in recorded.namelist()}
    files = (it for it in current.rglob("*") if it.is_file() and "__pycache__" not in it.parts)
    if before != {str(it.relative_to(current)): it.read_bytes() for it in files}:
        yield f"the template has changed since version {number} was recorded: raise its _version"


def main(argv: Sequence[str] | None = None) -> int:
    """Print each fault; the exit status is 1 if there is one."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("tag")
    parser.add_argument("dist", type=Path)
    arguments = parser.parse_args(argv)
    found = list(faults(arguments.tag, arguments.dist))
    for fault in found:
        print(f"ERROR: {fault}", file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
