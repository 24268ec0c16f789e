"""The site: built in strict mode, complete, without anything from another host."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from mkdocs.exceptions import PluginError
from tests.docs.site import ALIAS, ROOT, VERSION, deploy
from tools import draw_diagrams, record_terminal, site_hooks

Engine = Callable[[str], str]

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("site")]

LOADING = {"img": "src", "script": "src", "link": "href", "iframe": "src", "source": "src"}
LINK = re.compile(r"\]\(<?((?:https?|mailto):[^)\s>]*)>?")
ADDRESS = re.compile(r"https://[a-z0-9.-]+\.[a-z]{2,}(?:/[^\s]*)?")


class Loaded(HTMLParser):
    """What a page loads, as it is written there."""

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.urls: list[str] = []
        self.feed(page.read_text("utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        if tag == "link" and found.get("rel") in ("canonical", "prev", "next", "alternate"):
            return
        if found.get(LOADING.get(tag, "")):
            self.urls.append(str(found[LOADING[tag]]))


def test_a_version_and_its_alias_are_published(site: Path) -> None:
    (listed,) = json.loads((site / "versions.json").read_text())
    assert listed == {"version": VERSION, "title": VERSION, "aliases": [ALIAS]}
    for name in (VERSION, ALIAS):
        assert (site / name / "index.html").is_file()


def test_every_page_of_the_documentation_is_a_page_of_the_site(site: Path) -> None:
    pages = [it.relative_to(ROOT).as_posix() for it in (ROOT / "docs").rglob("*.md")]
    places = {site_hooks.site_path(it) for it in pages}
    places |= set(site_hooks.repository_pages(ROOT).values())
    assert len(places) > 40
    for place in places:
        address = re.sub(r"(^|/)(index|README)\.md$", r"\1", place).removesuffix(".md")
        assert (site / VERSION / address / "index.html").is_file(), place


def test_every_page_is_listed_for_the_readers_of_the_repository() -> None:
    text = (ROOT / "docs" / "README.md").read_text("utf-8")
    pages = [it.relative_to(ROOT / "docs") for it in (ROOT / "docs").rglob("*.md")]
    hidden = {"README.md", "index.md"}
    assert [str(it) for it in pages if f"]({it})" not in text and str(it) not in hidden] == []


def test_every_page_is_in_the_navigation(site: Path) -> None:
    text = (site / VERSION / "index.html").read_text("utf-8")
    linked = set(re.findall(r'<a href="([^"#]+)" class="md-nav__link', text))
    pages = {
        it.parent.relative_to(site / VERSION).as_posix() + "/"
        for it in (site / VERSION).rglob("index.html")
    } - {"./"}
    assert pages <= linked


def test_the_search_index_has_every_page(site: Path) -> None:
    found = json.loads((site / VERSION / "search" / "search_index.json").read_text())
    located = {it["location"].partition("#")[0] for it in found["docs"]}
    pages = {it.parent for it in (site / VERSION).rglob("index.html")}
    assert len(located) == len(pages)


def test_no_page_loads_anything_from_another_host(site: Path) -> None:
    pages = sorted((site / VERSION).rglob("*.html"))
    assert pages
    for page in pages:
        urls = [urlsplit(it) for it in Loaded(page).urls]
        assert urls
        assert [it.geturl() for it in urls if it.netloc or it.scheme] == [], page
        for url in urls:
            base = site / VERSION if url.path.startswith("/") else page.parent
            assert (base / url.path.lstrip("/")).is_file(), f"{page}: {url.path}"


def test_links_that_lead_nowhere_fail_the_build(engine: Engine, tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "tools").mkdir(parents=True)
    shutil.copyfile(ROOT / "tools/site_hooks.py", root / "tools/site_hooks.py")
    settings = (ROOT / "mkdocs.yml").read_text("utf-8")
    (root / "mkdocs.yml").write_text(settings.replace("!ENV", "").replace('[SITE_URL, ""]', '""'))
    for name in site_hooks.PAGES:
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_text("# A page\n")
    (root / "docs/assets").mkdir()
    (root / "docs/assets/site.css").touch()
    (root / "docs/.nav.yml").write_text("nav:\n  - index.md\n  - project\n")
    (root / "docs/index.md").write_text("# Home\n\n[a](nowhere.md) [b](left-out.md#nowhere)\n")
    (root / "docs/left-out.md").write_text("# Left out\n")
    done = deploy(engine("git"), tmp_path / "repository", root / "mkdocs.yml")
    assert done.returncode
    told = done.stdout + done.stderr
    assert "'nowhere.md'" in told
    assert "'left-out.md#nowhere'" in told
    assert "- left-out.md" in told


@pytest.mark.parametrize(
    ("link", "message"),
    [
        ("../no-such-file.py", "no-such-file.py, which is no file of the repository"),
        ("../../elsewhere.py", "../elsewhere.py, which is no file of the repository"),
        ("../samples", "samples, which is no file of the repository"),
    ],
)
def test_a_link_to_no_file_of_the_repository_fails(tmp_path: Path, link: str, message: str) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "samples").mkdir()
    (tmp_path / "docs/page.md").write_text(f"`[a](not-a-link.py)` [here]({link})\n")
    with pytest.raises(PluginError, match=re.escape(message)):
        site_hooks.linked_files(tmp_path, iter(["docs/page.md"]))


def test_links_are_rewritten_outside_of_code_alone() -> None:
    text = "[a](../CHANGELOG.md#x) `[b](../b.py)` [c](../.ci/run) [d](https://e.org) [f](#g)\n"
    assert site_hooks.rewritten(text, "docs/page.md") == (
        "[a](project/changelog.md#x) `[b](../b.py)` [c](files/ci/run.txt) "
        "[d](https://e.org) [f](#g)\n"
    )
    assert site_hooks.rewritten("[a](docs/x/y.md)", "SECURITY.md") == "[a](../x/y.md)"


def test_addresses_of_others_are_whole_and_encrypted() -> None:
    """CI has no network: whether these pages exist is not asked here."""
    pages = [ROOT / it for it in site_hooks.PAGES]
    pages += [*(ROOT / "docs").rglob("*.md"), *(ROOT / "contract").rglob("*.md")]
    found = {url for page in pages for url in LINK.findall(site_hooks.outside(page.read_text()))}
    assert len(found) > 10
    assert [url for url in found if not ADDRESS.fullmatch(url)] == []


def test_the_diagrams_are_what_the_script_draws() -> None:
    for name, draw in draw_diagrams.DIAGRAMS.items():
        text = (draw_diagrams.ASSETS / name).read_text("utf-8")
        assert text == draw(), "draw them again: python tools/draw_diagrams.py"


def test_the_picture_of_the_terminal_is_made_of_the_recording() -> None:
    for path, text in record_terminal.render(record_terminal.CAST.read_text("utf-8")).items():
        assert path.read_text("utf-8") == text, "python tools/record_terminal.py --render"
