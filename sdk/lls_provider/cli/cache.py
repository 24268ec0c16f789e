"""``lls-provider cache``: what is cached on this machine, and how it is freed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from lls_provider.cli.boundary import EXIT_STATUSES, console, show_result
from lls_provider.cli.command_group import SuggestingGroup
from lls_provider.cli.options import completed_by, dry_run_option, output_options
from lls_provider.progress import counted, shown_size

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lls_provider.system.cache_sections import CacheSection


@click.group(
    "cache",
    cls=SuggestingGroup,
    epilog="Example: lls-provider cache prune --dry-run\n\n" + EXIT_STATUSES,
)
def command() -> None:
    """Show what is cached on this machine, and free it.

    The cache is $LLS_PROVIDER_CACHE, else lls-provider in the user's cache directory. All that is
    in it is made or fetched again when it is needed.
    """


@command.command("dir", epilog="Example: lls-provider cache dir\n\n" + EXIT_STATUSES)
@output_options()
def directory() -> None:
    """Show where the cache is."""
    from lls_provider.system.cache import cache_root

    path = str(cache_root())
    show_result("cache-dir/1", lambda: {"path": path}, lambda: path)


@command.command("list", epilog="Example: lls-provider cache list\n\n" + EXIT_STATUSES)
@output_options()
def list_sections() -> None:
    """List the sections of the cache, with their sizes.

    uv's own cache is listed when it is below ours; else `uv cache dir` shows it, and `uv cache
    prune` frees it.
    """
    from lls_provider.system.cache import cache_root
    from lls_provider.system.cache_sections import cache_sections

    console("reading the cache")
    found = cache_sections()
    path = str(cache_root())
    show_result(
        "cache-list/1",
        lambda: {"path": path, "size": _total(found), "sections": _documents(found)},
        lambda: _listing(path, found),
    )


@command.command("prune", epilog="Example: lls-provider cache prune files\n\n" + EXIT_STATUSES)
@click.argument(
    "sections", nargs=-1, metavar="[SECTION]...", shell_complete=completed_by("sections")
)
@dry_run_option("Show what would be removed, and remove nothing.")
@output_options()
def prune_sections(sections: tuple[str, ...], *, dry_run: bool) -> None:
    """Remove the SECTIONs of the cache (default: all).

    Nothing is removed while another run of lls-provider uses the cache.
    """
    from lls_provider.system.cache import cache_root
    from lls_provider.system.cache_sections import prune

    progress = console("reading the cache")
    found = prune(sections, dry_run=dry_run, progress=progress)
    path = str(cache_root())
    show_result(
        "cache-prune/1",
        lambda: {
            "path": path,
            "dry_run": dry_run,
            "freed": _total(found),
            "removed": _documents(found),
        },
        lambda: _removed(path, found, dry_run=dry_run),
    )


def _total(sections: Sequence[CacheSection]) -> int:
    return sum(it.size for it in sections)


def _documents(sections: Sequence[CacheSection]) -> list[dict[str, object]]:
    return [{"name": it.name, "entries": it.entries, "size": it.size} for it in sections]


def _listing(path: str, sections: Sequence[CacheSection]) -> str:
    width = max((len(it.name) for it in sections), default=0)
    lines = [f"{path}: {shown_size(_total(sections))}"]
    lines += [f"  {it.name:{width}}  {shown_size(it.size):>9}  {it.about}" for it in sections]
    return "\n".join(lines)


def _removed(path: str, sections: Sequence[CacheSection], *, dry_run: bool) -> str:
    done = "Would free" if dry_run else "Freed"
    named = ", ".join(it.name for it in sections)
    what = f" ({named})" if named else ""
    count = counted(len(sections), "section")
    return f"{done} {shown_size(_total(sections))} in {path}: {count}{what}"
