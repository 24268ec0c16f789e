"""Which line of a .gitignore hides a file of a project, as build backends read them."""

from __future__ import annotations

import subprocess
from pathlib import Path

from lls_provider.wheels.build import scratch


def hidden_by(root: Path, path: str) -> str | None:
    """``.gitignore:LINE: PATTERN`` of what hides ``path`` below ``root``.

    None when nothing does, or git is not there to say so. The project need not be a repository:
    hatchling reads its .gitignore in any folder. Raises what `scratch` raises.
    """
    with scratch("git") as folder:
        git = ["git", f"--git-dir={folder}", f"--work-tree={root.absolute()}"]
        try:
            subprocess.run([*git, "init", "--quiet"], capture_output=True, check=True, timeout=60)
            done = subprocess.run(
                [*git, "check-ignore", "--no-index", "--verbose", "-z", "--stdin"],
                input=path.encode(),
                cwd=root,
                capture_output=True,
                check=True,
                timeout=60,
            )
        except (OSError, subprocess.SubprocessError):
            return None
    source, line, pattern, _, *_ = done.stdout.decode(errors="replace").split("\0")
    return f"{source}:{line}: {pattern}"
