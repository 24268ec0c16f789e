"""Draw the diagrams of the documentation: ``python tools/draw_diagrams.py``.

Each is an SVG with colours that can be read on a light and on a dark page. A test compares the
files with what this script draws.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from html import escape
from pathlib import Path

ASSETS = Path(__file__).parents[1] / "docs" / "assets"

BLUE, GREEN, AMBER, RED, GREY = "#3f6fd8", "#27804f", "#a8660f", "#c0392b", "#6b7280"
LINE = "#757f90"
FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif"
Shape = str


def svg(title: str, width: int, height: int, shapes: Iterable[Shape]) -> str:
    """A picture with its description."""
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" '
        f'font-family="{FONT}">\n<title>{escape(title)}</title>\n'
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" '
        f'markerHeight="7" orient="auto"><path d="M0 0L8 4L0 8z" fill="{LINE}"/></marker></defs>\n'
        + "\n".join(shapes)
        + "\n</svg>\n"
    )


def box(
    x: int, y: int, width: int, height: int, colour: str, lines: Iterable[str], *, size: int = 15
) -> Shape:
    """A filled box; its first line is bold."""
    text = list(lines)
    step = size + 5
    top = y + (height - step * len(text)) / 2 + size
    rows = [f'<rect x="{x}" y="{y}" width="{width}" height="{height}" rx="8" fill="{colour}"/>']
    for place, line in enumerate(text):
        style = f'font-size="{size}" font-weight="600"' if place == 0 else f'font-size="{size - 2}"'
        rows.append(
            f'<text x="{x + width / 2:g}" y="{top + step * place:g}" text-anchor="middle" '
            f'fill="#fff" {style}>{escape(line)}</text>'
        )
    return "".join(rows)


def label(x: float, y: float, text: str, *, anchor: str = "middle", size: int = 13) -> Shape:
    """Text on the page itself, in a grey that light and dark pages both show."""
    return (
        f'<text x="{x:g}" y="{y:g}" text-anchor="{anchor}" fill="{LINE}" '
        f'font-size="{size}">{escape(text)}</text>'
    )


def _frame(x: int, y: int, width: int, height: int) -> Shape:
    return (
        f'<rect x="{x}" y="{y}" width="{width}" height="{height}" rx="8" fill="none" '
        f'stroke="{LINE}" stroke-dasharray="4 4"/>'
    )


def arrow(x1: float, y1: float, x2: float, y2: float) -> Shape:
    """A line with a tip."""
    return (
        f'<path d="M{x1:g} {y1:g}L{x2:g} {y2:g}" stroke="{LINE}" stroke-width="2" fill="none" '
        'marker-end="url(#tip)"/>'
    )


PHASES = (
    ("1  install", "once for each provider image", ("python-packages/", "metadata/")),
    ("2  extract", "in the distribution's image", ("base-config/run.yaml",)),
    ("3  merge", "adds your providers", ("config/run.yaml", "merge-log.txt")),
    ("4  preflight", "loads every provider once", ("reads packages and run.yaml",)),
    ("5  server", "starts with all of them", ("reads packages and run.yaml",)),
)


def five_phases() -> str:
    """The phases from top to bottom, and what each has on the volume."""
    shapes = [
        label(150, 22, "containers of the Pod, in their order", size=14),
        label(430, 22, "the shared volume", size=14),
    ]
    for place, (name, about, files) in enumerate(PHASES):
        y = 38 + place * 92
        last = place == len(PHASES) - 1
        colour = GREEN if last else AMBER if place == 3 else BLUE
        shapes.append(box(20, y, 260, 62, colour, (name, about), size=17))
        if not last:
            shapes.append(arrow(150, y + 64, 150, y + 90))
        writes = place < 3
        start, end = (284, 318) if writes else (318, 284)
        shapes.append(arrow(start, y + 31, end, y + 31))
        shapes += [
            _frame(322, y, 218, 62),
            *(
                label(431, y + 36 - 10 * (len(files) - 1) + 20 * row, text)
                for row, text in enumerate(files)
            ),
        ]
    return svg("The five phases of a Pod's start", 560, 478, shapes)


Content = tuple[str, tuple[str, str]]
"""The colour of a box, and its lines."""


def _conflict(
    title: str,
    providers: tuple[Content, Content],
    versions: tuple[Content, Content],
    arrows: Iterable[Shape],
) -> str:
    """Two providers, and below them the installed version and that of the second image."""
    shapes = [
        box(20 + 300 * column, y, 220, 58, colour, lines)
        for y, row in ((20, providers), (132, versions))
        for column, (colour, lines) in enumerate(row)
    ]
    return svg(title, 560, 210, (*shapes, *arrows))


def conflict_keep() -> str:
    """Two providers that are satisfied by one version."""
    return _conflict(
        "The installed version satisfies everyone: it is kept",
        (
            (BLUE, ("acme-alpha", "needs requests>=2.28")),
            (BLUE, ("acme-beta", "needs requests>=2.30")),
        ),
        (
            (GREEN, ("requests 2.31.0", "installed, and kept")),
            (GREY, ("requests 2.32.0", "in the second image, left out")),
        ),
        (arrow(130, 80, 130, 128), arrow(320, 62, 236, 128)),
    )


def conflict_replace() -> str:
    """The second image's version satisfies both."""
    return _conflict(
        "The new version satisfies everyone: it replaces the installed one",
        (
            (BLUE, ("acme-alpha", "needs requests>=2.28")),
            (BLUE, ("acme-beta", "needs requests>=2.32")),
        ),
        (
            (GREY, ("requests 2.31.0", "installed, replaced")),
            (GREEN, ("requests 2.32.0", "new, satisfies both")),
        ),
        (arrow(240, 62, 324, 128), arrow(430, 80, 430, 128)),
    )


def conflict_refuse() -> str:
    """No version satisfies both."""
    return _conflict(
        "Neither version satisfies everyone: the second provider is refused",
        (
            (BLUE, ("acme-alpha", "needs requests==2.28.0")),
            (RED, ("acme-beta", "needs requests==2.31.0")),
        ),
        (
            (GREEN, ("requests 2.28.0", "installed, stays as it is")),
            (GREY, ("requests 2.31.0", "in the second image, not written")),
        ),
        (arrow(130, 80, 130, 128), arrow(430, 80, 430, 128)),
    )


def what_is_checked() -> str:
    """Where what is untrusted enters, and what stands in front of it."""
    outside = (
        ("package index", "wheels, metadata"),
        ("registry", "images, logins"),
        ("project", "pyproject.toml, source"),
        ("provider image", "wheels, YAML"),
    )
    build = ("build, push", "hash of each file", "digest of each layer", "a login to its host")
    shapes = [box(20, 20 + 80 * place, 170, 56, RED, lines) for place, lines in enumerate(outside)]
    shapes += [
        box(232, 20, 146, 216, AMBER, (*build, "names, sizes, limits"), size=14),
        box(232, 260, 146, 56, AMBER, ("install", "RECORD of each file"), size=14),
        box(420, 20, 120, 216, GREEN, ("an image", "equal input,", "equal digest")),
        box(420, 260, 120, 56, GREEN, ("the volume", "or no change")),
        *(arrow(192, y, 228, y) for y in (48, 128, 208, 288)),
        *(arrow(380, y, 416, y) for y in (128, 288)),
    ]
    return svg("What enters from outside, and where it is checked", 560, 336, shapes)


DIAGRAMS: dict[str, Callable[[], str]] = {
    "five-phases.svg": five_phases,
    "conflict-keep.svg": conflict_keep,
    "conflict-replace.svg": conflict_replace,
    "conflict-refuse.svg": conflict_refuse,
    "what-is-checked.svg": what_is_checked,
}


def main() -> None:
    """Write all diagrams."""
    for name, draw in DIAGRAMS.items():
        (ASSETS / name).write_text(draw(), "utf-8")


if __name__ == "__main__":
    main()
