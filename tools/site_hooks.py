"""Hooks of mkdocs: the pages and files outside of docs/ that the documentation links to.

The repository's own pages (CHANGELOG.md, contract/ and others) become pages of the site. Any other
file that a page links to is copied beside them as text, so that the site needs no forge. Links are
rewritten from the repository's paths to the site's; mkdocs then checks them.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File

DOCS = "docs/"
PAGES = {
    "CHANGELOG.md": "project/changelog.md",
    "CONTRIBUTING.md": "project/contributing.md",
    "SECURITY.md": "project/security.md",
    "README.md": "index.md",  # what the repository shows first, as the site does
    "docs/README.md": "index.md",  # the list of pages: the site has its navigation
}
FOLDERS = ("contract", "samples")
"""Directories whose Markdown files are pages."""
FENCE = re.compile(r"^( *)(```+)[^\n]*\n.*?^\1\2 *$|`[^`\n]+`", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"(\]\(<?)([^)\s>#]+)")
ABSOLUTE = re.compile(r"[a-z][a-z0-9+.-]*:")


def site_path(path: str) -> str:
    """Where a file of the repository is in the site's sources."""
    if path in PAGES:
        return PAGES[path]
    if path.startswith(DOCS):
        return path.removeprefix(DOCS)
    folder = path.partition("/")[0]
    if path.endswith(".md") and folder not in FOLDERS:
        raise PluginError(f"{path} is linked to, and is not a page of the site")
    if path.endswith(".md"):
        return path
    # a server shows .txt and offers other types as downloads; mkdocs leaves hidden files out
    return f"files/{path.replace('/.', '/').lstrip('.')}.txt"


def outside(text: str) -> str:
    """A page's text without its code, in which brackets are no links."""
    return FENCE.sub("", text)


def targets(text: str, page: str) -> Iterator[str]:
    """The files of the repository that a page links to by a relative path."""
    for _, link in LINK.findall(outside(text)):
        if not ABSOLUTE.match(link):
            yield posixpath.normpath(posixpath.join(posixpath.dirname(page), link))


def rewritten(text: str, page: str) -> str:
    """The text of a page of the repository with the links that it has in the site."""
    here = posixpath.dirname(site_path(page)) or "."

    def link(found: re.Match[str]) -> str:
        before, target = found.groups()
        if ABSOLUTE.match(target):
            return found[0]
        path = posixpath.normpath(posixpath.join(posixpath.dirname(page), target))
        return before + posixpath.relpath(site_path(path), here)

    return _outside_of_code(text, lambda part: LINK.sub(link, part))


def _outside_of_code(text: str, change: Callable[[str], str]) -> str:
    parts, place = [], 0
    for code in FENCE.finditer(text):
        parts += [change(text[place : code.start()]), code[0]]
        place = code.end()
    return "".join([*parts, change(text[place:])])


def repository_pages(root: Path) -> dict[str, str]:
    """The pages outside of docs/: their place in the site by their path in the repository."""
    found = {name: place for name, place in PAGES.items() if place != "index.md"}
    for folder in FOLDERS:
        for path in sorted((root / folder).rglob("*.md")):
            name = path.relative_to(root).as_posix()
            if "/." not in name:  # what tools leave, such as .pytest_cache
                found[name] = site_path(name)
    return found


def linked_files(root: Path, pages: Iterator[str]) -> dict[str, str]:
    """Files that are no pages and that pages link to: their place by their path."""
    found = {}
    for page in pages:
        for path in targets((root / page).read_text("utf-8"), page):
            if path.endswith(".md") or path.startswith(DOCS):
                continue
            if path.startswith("../") or not (root / path).is_file():
                raise PluginError(f"{page} links to {path}, which is no file of the repository")
            found[path] = site_path(path)
    return found


def on_files(files: Any, *, config: Any) -> Any:
    """Add what lies outside of docs/ to the files of the site."""
    root = _root(config)
    pages = repository_pages(root)
    inside = (it.relative_to(root).as_posix() for it in (root / DOCS).rglob("*.md"))
    for path, place in (pages | linked_files(root, iter([*pages, *inside]))).items():
        files.append(File.generated(config, place, abs_src_path=str(root / path)))
    return files


def on_page_markdown(markdown: str, *, page: Any, config: Any, **_others: Any) -> str:
    """Rewrite the links of a page; the landing page is alone in its tab, and needs no menu."""
    if page.file.src_uri == "index.md":
        page.meta["hide"] = ["navigation"]
    source = Path(page.file.abs_src_path).relative_to(_root(config)).as_posix()
    return rewritten(markdown, source)


def _root(config: Any) -> Path:
    return Path(config.config_file_path).parent
