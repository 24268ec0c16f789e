"""Finds the files that ship beside the code: schemas, golden messages, the template.

They live at the repository's top in a checkout (and in an editable install), under
``lls_provider/_data`` in an installed wheel and inside the zipapp. Only this module knows where.
"""

from __future__ import annotations

import pkgutil
from pathlib import Path

_PACKAGE = Path(__file__).parent


def checkout() -> Path | None:
    """The repository's root when the code runs from a checkout, else None."""
    root = _PACKAGE.parent.parent
    if (root / "contract" / "schemas").is_dir() and (root / "hatch_build.py").is_file():
        return root
    return None


def read_data(name: str) -> bytes:
    """The bytes of a shipped file, ``contract/schemas/provider-package.json`` for example.

    Raises FileNotFoundError if it was not shipped, which is an error in our packaging.
    """
    root = checkout()
    if root is not None:
        return (root / name).read_bytes()
    data = pkgutil.get_data("lls_provider", f"_data/{name}")
    if data is None:
        raise FileNotFoundError(name)
    return data


def data_path(name: str) -> Path:
    """The path of a shipped file or directory. Not available inside the zipapp."""
    root = checkout()
    return root / name if root is not None else _PACKAGE / "_data" / name
