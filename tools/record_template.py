"""Records the current template for `new --update`: ``python tools/record_template.py``.

A release has to have its template recorded; ``tools/check_release.py`` says so. A version that is
recorded never changes: projects were made from it.
"""

from __future__ import annotations

import sys
import zipfile
from pathlib import Path

from lls_provider.project.template import TemplateVersions

# the same bytes whenever and wherever it is recorded, as far as zlib allows
_DATE = (1980, 1, 1, 0, 0, 0)


def contents(directory: Path) -> dict[str, tuple[int, bytes]]:
    """Return the mode and the bytes of each file of the template, by its path."""
    files = (it for it in sorted(directory.rglob("*")) if it.is_file())
    return {
        str(path.relative_to(directory)): (
            0o755 if path.stat().st_mode & 0o100 else 0o644,
            path.read_bytes(),
        )
        for path in files
        if "__pycache__" not in path.parts
    }


def record(versions: TemplateVersions) -> Path | None:
    """Write the archive of the current version; None if that version is recorded already."""
    current = versions.current
    archive = versions.recorded_directory / f"{current.version}.zip"
    if archive.exists():
        return None
    versions.recorded_directory.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as file:
        for name, (mode, data) in contents(current.directory).items():
            member = zipfile.ZipInfo(name, _DATE)
            member.external_attr = (0o100000 | mode) << 16
            member.compress_type = zipfile.ZIP_DEFLATED
            file.writestr(member, data)
    return archive


def main() -> int:
    """Record the current template."""
    versions = TemplateVersions.shipped()
    made = record(versions)
    if made is None:
        print(
            f"ERROR: version {versions.current.version} is recorded already; raise _version in "
            "templates/provider/cookiecutter.json if the template has changed since",
            file=sys.stderr,
        )
        return 1
    print(made)
    return 0


if __name__ == "__main__":
    sys.exit(main())
