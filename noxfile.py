"""The project's tasks: ``nox -s lint``, ``fast``, ``tests``, ``docs`` or ``bench``.

Arguments after ``--`` go to the command of the session: ``nox -s fast -- -k merge``.
"""

from __future__ import annotations

import nox

nox.needs_version = ">=2025.2"
nox.options.default_venv_backend = "uv|virtualenv"
nox.options.reuse_venv = "yes"
nox.options.sessions = ["lint", "fast"]

PYTHONS = ["3.11", "3.12", "3.13", "3.14"]

# what needs neither a package index, nor a server, nor an engine, and is not a long search
FAST = "not network and not server and not engine and not slow"
BENCHMARKS = [
    "install",
    "bytecompile",
    "pod",
    "watch",
    "memory",
    "scaling",
    "rerun",
    "images",
    "tricks",
    "help",
]


@nox.session
def lint(session: nox.Session) -> None:
    """Check style, types and imports."""
    install(session)
    session.run("ruff", "check")
    session.run("ruff", "format", "--check")
    session.run("mypy")
    session.run("lint-imports")


@nox.session(python=PYTHONS)
def tests(session: nox.Session) -> None:
    """Run every test; what needs an engine is skipped without it, and fails in CI."""
    install(session)
    session.run("pytest", *session.posargs)


@nox.session
def fast(session: nox.Session) -> None:
    """Run the tests that need no network, server or engine, without the slow ones."""
    install(session)
    few = {"HYPOTHESIS_PROFILE": "fast"}  # examples of each property
    session.run("pytest", "-q", "-m", FAST, "-n", "auto", *session.posargs, env=few)


@nox.session
def docs(session: nox.Session) -> None:
    """Build the site and compare the documentation with the code, without engines."""
    install(session)
    session.run("pytest", "-q", "tests/docs", "-m", "not engine", *session.posargs)


@nox.session
def bench(session: nox.Session) -> None:
    """Run benchmarks: those named after ``--``, else all (docs/benchmarks.md)."""
    install(session)
    for name in session.posargs or BENCHMARKS:
        session.run("python", "-m", f"benchmarks.{name}")


def install(session: nox.Session) -> None:
    """Install the project with everything that its tests import."""
    session.install("--editable", ".[test]")
