"""Every page: its links lead somewhere, and the commands that it shows exist."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

import click
import pytest

from lls_provider.cli.group import _RUNTIME_COMMANDS, COMMANDS, group
from lls_provider.runtime.cli.arguments import BadUsageError, make_parser

ROOT = Path(__file__).parents[2]
FOLDERS = ("docs", "contract", "samples", "tests")
PAGES = sorted(
    {*ROOT.glob("*.md"), *(it for name in FOLDERS for it in (ROOT / name).rglob("*.md"))}
)

FENCE = re.compile(r"^( *)(```+)(\w*)[^\n]*\n(.*?)^\1\2 *$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[[^\]]*\]\(<?([^)\s>]+)>?(?: \"[^\"]*\")?\)")
ABSOLUTE = re.compile(r"[a-z][a-z0-9+.-]*:")
ZIPAPP = "lls-provider.pyz"


def label(path: Path) -> str:
    return str(path.relative_to(ROOT))


def prose(path: Path) -> str:
    """A page without its fenced blocks and code spans."""
    return re.sub(r"`[^`\n]*`", lambda span: "`" * len(span[0]), FENCE.sub("", path.read_text()))


def anchors(path: Path) -> set[str]:
    """What the headings of a page can be linked by, as GitHub makes it."""
    found: dict[str, int] = {}
    for heading in re.findall(
        r"^#{1,6} +(.+?) *#*$", FENCE.sub("", path.read_text()), re.MULTILINE
    ):
        text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()
        anchor = re.sub(r"[^\w\- ]", "", text).replace(" ", "-")
        found[anchor] = found.get(anchor, -1) + 1
    return {
        anchor + (f"-{n}" if n else "") for anchor, last in found.items() for n in range(last + 1)
    }


def broken(path: Path) -> Iterator[str]:
    """The links of a page that lead nowhere."""
    for link in LINK.findall(prose(path)):
        if ABSOLUTE.match(link):
            continue
        name, _, anchor = unquote(link).partition("#")
        target = (path.parent / name).resolve() if name else path
        if not target.is_relative_to(ROOT) or not target.exists():
            yield f"{link}: no such file"
        elif anchor and (target.suffix != ".md" or anchor not in anchors(target)):
            yield f"{link}: no such heading"


def command_lines(text: str) -> Iterator[list[str]]:
    """The words of each command of ours in the fenced blocks of a page."""
    for _, _, _, block in FENCE.findall(text):
        lines = re.sub(r"\\\n\s*", " ", block).splitlines()
        if any(line.lstrip().startswith("$ ") for line in lines):  # the others are output
            lines = [line.lstrip()[2:] for line in lines if line.lstrip().startswith("$ ")]
        for line in lines:
            if "lls-provider" in line:
                yield from commands_in(re.sub(r"^\s*(?:- )?(?:run: )?", "", line))


def commands_in(line: str) -> Iterator[list[str]]:
    """The commands of ours among those that a line of shell chains."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars="&|;")
    lexer.whitespace_split = True
    words: list[str] = []
    try:
        for word in [*lexer, ";"]:
            if not set(word) <= set("&|;"):
                words.append(word)
                continue
            yield from ours(words)
            words = []
    except ValueError:  # a quote that is not closed: prose
        return


def ours(words: list[str]) -> Iterator[list[str]]:
    while words and re.match(r"[A-Z_]+=", words[0]):
        words = words[1:]
    if words and words[0] == "lls-provider":
        yield words
    for place, word in enumerate(words):
        if word.endswith(".py"):  # a script, for which the zipapp is an argument
            return
        if Path(word).name == ZIPAPP and (not place or words[0].startswith(("python", "unshare"))):
            yield [ZIPAPP, *words[place + 1 :]]


def parse(words: list[str]) -> None:
    """Have the command's own parser read the words; nothing is run."""
    program, *arguments = words
    # the options of the runtime's commands are argparse's
    if program == ZIPAPP or (arguments and arguments[0] in _RUNTIME_COMMANDS):
        try:
            make_parser().parse_args(arguments)
        except BadUsageError as error:
            pytest.fail(str(error))
        except SystemExit as stop:
            assert not stop.code
        return
    context = click.Context(group)
    name = arguments[0] if arguments else ""
    command = group if name.startswith("-") else group.get_command(context, name)
    assert isinstance(command, click.Command), f"there is no command {name!r}"
    try:
        given = arguments[0 if command is group else 1 :]
        context = command.make_context(name, [*given], parent=context)
        if isinstance(command, click.Group) and command is not group:
            inner = command.commands.get(given[0])
            assert inner is not None, f"there is no command {name} {given[0]!r}"
            inner.make_context(given[0], given[1:], parent=context)
    except click.exceptions.Exit:  # --help and --version show themselves
        return


@pytest.mark.parametrize("path", PAGES, ids=label)
def test_every_link_leads_to_a_file_and_a_heading(path: Path) -> None:
    assert list(broken(path)) == []


@pytest.mark.parametrize("path", PAGES, ids=label)
def test_every_command_line_is_understood(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wrong = []
    for words in command_lines(path.read_text("utf-8")):
        try:
            parse(words)
        except (click.UsageError, AssertionError) as error:
            wrong.append(f"{shlex.join(words)}: {error}{capsys.readouterr().err}")
    assert wrong == []


def test_the_readers_of_this_test_find_what_is_wrong(tmp_path: Path) -> None:
    page = (
        "```console\n$ A=1 lls-provider up x --no-such && lls-provider fly\nlls-provider z\n```\n"
    )
    first, second = command_lines(page)
    assert first == ["lls-provider", "up", "x", "--no-such"]
    with pytest.raises(click.NoSuchOption):
        parse(first)
    with pytest.raises(AssertionError, match="no command 'fly'"):
        parse(second)
    with pytest.raises(click.NoSuchOption):
        parse(["lls-provider", "conformance", "run", "--no-such"])
    with pytest.raises(AssertionError, match="no command conformance 'fly'"):
        parse(["lls-provider", "conformance", "fly"])
    (zipapp,) = command_lines("```sh\nunshare -n python3 -I x/lls-provider.pyz merge --no\n```\n")
    with pytest.raises(pytest.fail.Exception, match="--no"):
        parse(zipapp)


@pytest.mark.parametrize("name", ["README.md", "docs/index.md", "docs/tutorial.md"])
def test_what_the_machine_needs_comes_before_the_first_command(name: str) -> None:
    text = (ROOT / name).read_text("utf-8")
    first, second = list(command_lines(text))[:2]
    assert first[1] == "doctor"
    before, _, _ = text.partition(f"lls-provider {second[1]} {second[2]}")
    assert "\nuv python install 3.12\n" in before
    assert "#when-pip-works-and-uv-does-not" in before


def test_every_command_is_shown_in_use() -> None:
    used = {
        words[1]
        for path in PAGES
        for words in command_lines(path.read_text("utf-8"))
        if len(words) > 1
    }
    assert set(COMMANDS) <= used
