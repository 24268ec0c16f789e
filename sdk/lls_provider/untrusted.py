"""Makes text from untrusted sources safe to show: providers, registries, wheels, images, users.

Such text may hold sequences that a terminal obeys, characters that change the order of a line,
and any number of lines. Everything that shows text to people passes it through this module.
"""

from __future__ import annotations

LINES_LIMIT = 400
"""Lines of one message."""
CHARACTERS_LIMIT = 32_000
"""Characters of one message."""
ONE_LINE_LIMIT = 1_000
"""Characters of a value inside a line."""
_PERIOD = 12  # calls that repeat together
_TIMES = 3  # repetitions from which on they are folded


def escaped(text: str) -> str:
    r"""The text with every character that is not visible replaced by an escape, such as ``\x1b``.

    Lines and tabs stay; a line may end in CR LF.
    """
    if text.replace("\n", "").isprintable():
        return text
    return "".join(
        it if it.isprintable() or it in "\n\t" else _escape(it) for it in text.replace("\r\n", "\n")
    )


def one_line(text: str, limit: int = ONE_LINE_LIMIT) -> str:
    r"""The same for a value inside a line: line ends become ``\n``; a long text is cut."""
    if len(text) > limit:
        text = f"{text[: limit - 1]}…"
    if text.isprintable():
        return text
    return "".join(it if it.isprintable() else _escape(it) for it in text)


def bounded(text: str, *, lines: int = LINES_LIMIT, characters: int = CHARACTERS_LIMIT) -> str:
    """The beginning and the end of a long text, with a line in between about what was left out."""
    found = text.split("\n")
    if len(found) <= lines and len(text) <= characters:
        return text
    head, used = _fitting(found, lines - lines // 3, characters - characters // 3)
    rest = found[len(head) :]
    tail, _ = _fitting(rest[::-1], lines - len(head), characters - used)
    left = len(rest) - len(tail)
    if left:
        size = sum(len(line) + 1 for line in rest[:left])
        counted = "1 line" if left == 1 else f"{left:,} lines"
        head.append(f"[… {counted} left out, {size:,} characters …]")
    return "\n".join([*head, *tail[::-1]])


def folded(calls: list[str]) -> list[str]:
    """The calls of a stack; those that a recursion repeats are shown once."""
    shown: list[str] = []
    at = 0
    while at < len(calls):
        for period in range(1, _PERIOD + 1):
            times = 1
            first = calls[at : at + period]
            while calls[at + times * period : at + (times + 1) * period] == first:
                times += 1
            if times >= _TIMES and len(first) == period:
                shown += first
                what = "the call" if period == 1 else f"these {period} calls"
                shown.append(f"    [{what} above repeated {times - 1:,} more times]")
                at += times * period
                break
        else:
            shown.append(calls[at])
            at += 1
    return shown


def _fitting(lines: list[str], count: int, characters: int) -> tuple[list[str], int]:
    """The first lines that fit, and their length; a single line that is too long is cut."""
    fitting: list[str] = []
    used = 0
    for line in lines[:count]:
        room = characters - used
        if len(line) + 1 > room:
            if not fitting and room > 0:
                fitting.append(f"{line[:room]}[… {len(line) - room:,} characters left out]")
                used = characters
            break
        fitting.append(line)
        used += len(line) + 1
    return fitting, used


def _escape(character: str) -> str:
    if "\udc80" <= character <= "\udcff":  # a byte of a file name that is not UTF-8
        return f"\\x{ord(character) - 0xDC00:02x}"
    return character.encode("unicode_escape").decode("ascii")
