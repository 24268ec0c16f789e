"""Files that settings name: they lie below the project."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from lls_provider.contract.schema import shown
from lls_provider.errors import Code

if TYPE_CHECKING:
    from lls_provider.project.pyproject import TableReader


def named_file(root: Path, section: TableReader, name: str, *steps: str) -> Path | None:
    """Return a file below the project, by its relative path; links may lead anywhere.

    Another name is reported at ``steps`` of the section, and None is returned.
    """
    file = root / name
    top = root.absolute()
    inside = Path(os.path.normpath(top / name)).is_relative_to(os.path.normpath(top))
    if inside and file.is_file():
        return file
    section.report(
        Code.FILE_MISSING if inside else Code.FIELD_VALUE,
        f"there is no file {shown(name)} in the project"
        if inside
        else f"the file {shown(name)} is outside the project",
        "Name a file below the directory of pyproject.toml.",
        *steps,
    )
    return None
