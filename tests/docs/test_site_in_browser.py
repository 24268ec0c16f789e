"""The site in a real browser, on a telephone and on a desk, light and dark: it fits, it is whole.

The screenshots are kept where ``SITE_SCREENSHOTS`` names a directory, for eyes.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import pytest
from tests.docs.site import VERSION, served

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

Engine = Callable[[str], str]
Scheme = Literal["light", "dark"]

PAGES = {
    "landing": "",
    "how-to": "how-to/override-a-provider/",
    "errors": "reference/errors/",
    "error-examples": "reference/error-examples/",
    "conflict-rule": "explanation/conflict-rule/",
}
PICTURES = {"landing": 2, "conflict-rule": 3}
WIDTHS = (390, 1280)
BACKGROUND = {"light": "rgb(255, 255, 255)", "dark": "rgb(30, 33, 41)"}

TOO_WIDE = """() => {
    const width = document.documentElement.clientWidth;
    const scrolls = (it) => it.closest('pre, .wide, .md-typeset__scrollwrap, .md-tabs, .md-sidebar')
    return [...document.querySelectorAll('.md-content *')]
        .filter((it) => it.getBoundingClientRect().right > width + 1 && !scrolls(it))
        .map((it) => it.tagName + ': ' + it.textContent.slice(0, 60));
}"""
BROKEN = """() => [...document.images]
    .filter((it) => !it.complete || !it.naturalWidth).map((it) => it.src)"""
OVERFLOWING_TEXT = """() => [...document.querySelectorAll('rect')].length
    && [...document.querySelectorAll('text')]
    .filter((it) => {
        const text = it.getBBox();
        const frame = document.documentElement.viewBox.baseVal;
        return text.x < 0 || text.x + text.width > frame.width
            || [...document.querySelectorAll('rect')].some((rect) => {
                const box = rect.getBBox();
                const middle = text.x + text.width / 2, line = text.y + text.height / 2;
                return middle > box.x && middle < box.x + box.width
                    && line > box.y && line < box.y + box.height
                    && (text.x < box.x || text.x + text.width > box.x + box.width);
            });
    })
    .map((it) => it.textContent)"""

pytestmark = [pytest.mark.engine, pytest.mark.slow, pytest.mark.xdist_group("site")]


@pytest.fixture(scope="module")
def address(site: Path) -> Iterator[str]:
    with served(site) as url:
        yield f"{url}/{VERSION}/"


@pytest.fixture(scope="module")
def browser(engine: Engine) -> Iterator[Browser]:
    from playwright.sync_api import sync_playwright  # slow to import, in every worker

    # root, as in a container, has no sandbox; what is shown is ours
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(
            executable_path=engine("chromium"), args=["--no-sandbox"]
        )
        try:
            yield started
        finally:
            started.close()


class Visit:
    """A page that was opened, with what the browser complained of."""

    def __init__(self, browser: Browser, address: str, width: int, scheme: Scheme) -> None:
        self.page: Page = browser.new_page(
            viewport={"width": width, "height": 900}, color_scheme=scheme, reduced_motion="reduce"
        )
        self.complaints: list[str] = []
        self.page.on("console", self._console)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("requestfailed", lambda it: self._failed(it.url, it.failure))
        self.page.on("request", lambda it: self._request(it.url, address))
        self.page.goto(address, wait_until="networkidle")

    def _failed(self, url: str, reason: str | None) -> None:
        if reason != "net::ERR_ABORTED":  # the test has gone to the next page meanwhile
            self.complaints.append(f"failed: {url} {reason}")

    def _console(self, message: object) -> None:
        if getattr(message, "type", "") in ("error", "warning"):
            self.complaints.append(getattr(message, "text", ""))

    def _request(self, url: str, address: str) -> None:
        host = address.split("/")[2]
        if not url.startswith((f"http://{host}/", "data:", "blob:")):
            self.complaints.append(f"another host: {url}")


@pytest.fixture
def visit(browser: Browser) -> Iterator[Callable[..., Visit]]:
    opened: list[Visit] = []

    def open_page(address: str, width: int = 1280, scheme: Scheme = "light") -> Visit:
        opened.append(Visit(browser, address, width, scheme))
        return opened[-1]

    yield open_page
    for it in opened:
        it.page.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", PAGES)
def test_a_page_fits_and_is_whole(
    address: str,
    visit: Callable[..., Visit],
    tmp_path: Path,
    name: str,
    width: int,
    scheme: Scheme,
) -> None:
    shown = visit(address + PAGES[name], width, scheme)
    kept = Path(os.environ.get("SITE_SCREENSHOTS") or tmp_path) / f"{name}-{width}-{scheme}.png"
    taken = shown.page.screenshot(path=kept, full_page=name == "landing")
    assert taken.startswith(b"\x89PNG")
    assert shown.page.evaluate("document.documentElement.scrollWidth") <= width
    assert shown.page.evaluate(TOO_WIDE) == []
    assert shown.page.evaluate(BROKEN) == []
    assert "![" not in shown.page.locator(".md-content").inner_text()
    assert shown.page.locator(".md-content img").count() == PICTURES.get(name, 0)
    colour = shown.page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert colour == BACKGROUND[scheme]
    assert shown.complaints == []


def test_every_page_fits_on_a_telephone(
    address: str, site: Path, visit: Callable[..., Visit]
) -> None:
    shown = visit(address, min(WIDTHS))
    pages = sorted((site / VERSION).rglob("index.html"))
    assert len(pages) > 40
    wrong = []
    for page in pages:
        name = page.parent.relative_to(site / VERSION).as_posix()
        shown.page.goto(f"{address}{name}/", wait_until="load")
        wide = shown.page.evaluate("document.documentElement.scrollWidth") > min(WIDTHS)
        found = [*shown.page.evaluate(TOO_WIDE), *shown.page.evaluate(BROKEN)]
        wrong += [f"{name}: {it}" for it in (["too wide"] if wide else []) + found]
    assert wrong == []
    assert shown.complaints == []


def test_a_word_is_found_and_leads_to_its_page(address: str, visit: Callable[..., Visit]) -> None:
    shown = visit(address)
    shown.page.keyboard.press("/")
    shown.page.keyboard.type("neither satisfies everyone")
    result = shown.page.locator(".md-search-result__link").first
    result.wait_for(state="visible", timeout=20_000)
    result.click()
    shown.page.wait_for_url(re.compile(r"/explanation/conflict-rule/\?h="))
    assert shown.complaints == []


def test_the_version_can_be_chosen(address: str, visit: Callable[..., Visit]) -> None:
    shown = visit(address)
    chooser = shown.page.locator(".md-version")
    chooser.wait_for(timeout=20_000)
    assert chooser.locator(".md-version__current").inner_text().strip() == VERSION
    link = chooser.locator(".md-version__link").first
    assert str(link.get_attribute("href")).endswith(f"/{VERSION}/")
    assert shown.complaints == []


@pytest.mark.parametrize("name", ["five-phases", "conflict-refuse", "what-is-checked"])
def test_the_words_of_a_diagram_fit_into_their_boxes(
    address: str, visit: Callable[..., Visit], name: str
) -> None:
    shown = visit(f"{address}assets/{name}.svg")
    assert shown.page.evaluate(OVERFLOWING_TEXT) == []


def test_the_recording_plays(address: str, visit: Callable[..., Visit]) -> None:
    shown = visit(f"{address}assets/first-provider.svg")
    assert shown.page.locator("text").count() > 30
    shown.page.emulate_media(reduced_motion="no-preference")
    running = shown.page.evaluate("document.getAnimations().length")
    assert running > 30
