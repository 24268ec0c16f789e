"""Three versions of a small template, and a committed project that was made from one of them."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path

from tools.record_template import record

from lls_provider.project.template import Template, TemplateVersions, render

LINES = 40
ANSWERS = {
    "name": "acme-echo",
    "api": "inference",
    "kind": "remote",
    "vendor": "Acme",
    "description": "Echoes.",
    "maintainer": "",
}
FIRST_ANSWERS = {**ANSWERS, "license": "Apache-2.0", "sdk": "lls-provider-sdk~=0.1"}
"""Answers to what the first version of the shipped template asks for."""
PYPROJECT = """\
[project]
name = "{{ cookiecutter.name }}"
version = "0.1.0"
description = "{{ cookiecutter.description }}"

[tool.lls-provider.template]
version = {{ cookiecutter._version }}

[tool.lls-provider.template.answers]
{%- for key, text in cookiecutter.items() if not key.startswith("_") %}
{{ key }} = "{{ text }}"
{%- endfor %}
"""
# the lines of the README that each version changes
CHANGED = {1: (), 2: (5, 20), 3: (5, 30)}
NAMES = {1: "old_name.py", 2: "old_name.py", 3: "new_name.py"}
CODE = "".join(f"def function_{number}() -> int:\n    return {number}\n" for number in range(20))


def readme(version: int) -> list[str]:
    """The lines of README.md in a version."""
    lines = [f"line {number}" for number in range(LINES)]
    for later in range(1, version + 1):
        for number in CHANGED[later]:
            lines[number] = f"line {number} of version {later}"
    return lines


def write_version(directory: Path, version: int) -> None:
    """Write one version of the template into a directory."""
    project = directory / "{{cookiecutter.name}}"
    (project / "data").mkdir(parents=True)
    context: dict[str, object] = {**ANSWERS, "_version": version}
    files = {
        "pyproject.toml": PYPROJECT.encode(),
        "README.md": "".join(f"{line}\n" for line in readme(version)).encode(),
        "tool.sh": b"#!/bin/sh\n",
        "data/logo.bin": bytes(range(256)) * 4 + bytes([version]),
        "data/equal.bin": bytes(range(256)),
        NAMES[version]: CODE.replace("return 3\n", f"return {version}00\n").encode(),
        "equal.txt": b"the same in each version\n",
    }
    if version == 1:
        files["gone.txt"] = b"until version 2\n"
    if version > 1:
        context["sdk"] = "lls-provider-sdk"
    if version == 3:
        context["license"] = ["Apache-2.0", "none"]
        files["added/LICENSE"] = b"{{ cookiecutter.license }}\n"
    for name, data in files.items():
        path = project / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(data)
    (project / "tool.sh").chmod(0o755 if version > 1 else 0o644)
    (directory / "cookiecutter.json").write_text(json.dumps(context))


def write_versions(directory: Path) -> TemplateVersions:
    """Record three versions below a directory, the last one being the current template too."""
    for version in NAMES:
        write_version(directory / str(version), version)
        record(TemplateVersions(directory / str(version), directory / "recorded"))
    return TemplateVersions(directory / "3", directory / "recorded")


def git(directory: Path, *arguments: str) -> str:
    """Run git as an author would."""
    command = ["git", "-c", "user.name=a", "-c", "user.email=a@b.example"]
    command += ["-c", "commit.gpgSign=false", "-c", "init.defaultBranch=main", *arguments]
    done = subprocess.run(command, cwd=directory, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def commit(directory: Path) -> None:
    """Commit all that there is below a directory, in a repository that may have to be made."""
    git(directory, "init", "--quiet")
    git(directory, "add", "--all")
    git(directory, "commit", "--quiet", "--allow-empty", "--message", "A change")


def make_project(
    versions: TemplateVersions,
    version: int,
    directory: Path,
    answers: Mapping[str, str] = ANSWERS,
) -> Path:
    """Make and commit a project from a version of the template, below ``directory``."""
    with versions.opened(version) as template:
        assert isinstance(template, Template)
        directory.mkdir(parents=True, exist_ok=True)
        made = render(template, answers, directory)
    commit(made)
    return made


def make_first_project(directory: Path) -> Path:
    """Make and commit a project of the first version of the shipped template."""
    return make_project(TemplateVersions.shipped(), 1, directory, FIRST_ANSWERS)


def commit_conflict(project: Path) -> None:
    """Change a line that later versions of the shipped template change too, and commit that."""
    file = project / "pyproject.toml"
    file.write_text(file.read_text().replace("template]\nversion = 1\n", "template]\nversion=1\n"))
    commit(project)


def tree(root: Path) -> dict[str, tuple[int, bytes]]:
    """Each file of a project, with its mode; the repository is left out."""
    return {
        str(path.relative_to(root)): (
            path.lstat().st_mode,
            bytes(str(path.readlink()), "utf-8") if path.is_symlink() else path.read_bytes(),
        )
        for path in sorted(root.rglob("*"))
        if (path.is_file() or path.is_symlink()) and ".git" not in path.relative_to(root).parts[:1]
    }
