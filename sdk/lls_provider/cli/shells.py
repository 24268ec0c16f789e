"""Completion in bash, zsh and fish: the scripts, and the answers to what they ask.

The protocol and most of fish's script are click's. In bash and zsh the names of images need more:
bash splits words at a colon and an equals sign, and neither may put a space behind ``oci:`` or
``api=``.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

import click
from click.shell_completion import (
    BashComplete,
    FishComplete,
    ShellComplete,
    ZshComplete,
    split_arg_string,
)

PROGRAM = "lls-provider"
VARIABLE = "_LLS_PROVIDER_COMPLETE"
"""The variable in which a script tells the command what it asks: ``SHELL_complete``."""

_BASH = """\
%(complete_func)s() {
    local answer type value word full cut
    full="${COMP_LINE:0:COMP_POINT}"
    answer=$(env COMP_LINE="$full" %(complete_var)s=bash_complete "$1") || return
    # bash replaces the part behind the last separator only: what stands before it is cut off
    full="${full##*[[:space:]]}"
    word="${COMP_WORDS[COMP_CWORD]}"
    case "$word" in :|=|::) word="" ;; esac
    cut="${full%%"$word"}"
    while IFS=, read -r type value; do
        case "$type" in
            dir) compopt -o dirnames ;;
            file) compopt -o default ;;
            plain)
                case "$value" in *[/:=]) compopt -o nospace ;; esac
                value="${value#"$cut"}"
                COMPREPLY+=("$(printf %%q "$value")")
                ;;
        esac
    done <<< "$answer"
}

complete -o nosort -F %(complete_func)s %(prog_name)s
"""

_ZSH = """\
#compdef %(prog_name)s

%(complete_func)s() {
    local -a plain open described response
    local type key descr
    (( ! $+commands[%(prog_name)s] )) && return 1

    response=("${(@f)$(env COMP_WORDS="${words[*]}" COMP_CWORD=$((CURRENT-1)) \
%(complete_var)s=zsh_complete %(prog_name)s)}")

    for type key descr in ${response}; do
        if [[ "$type" == dir ]]; then
            _path_files -/
        elif [[ "$type" == file ]]; then
            _path_files -f
        elif [[ "$descr" != "_" ]]; then
            described+=("$key":"$descr")
        elif [[ "$key" == *[/:=] ]]; then
            open+=("$key")
        else
            plain+=("$key")
        fi
    done

    (( $#described )) && _describe -V unsorted described -U
    (( $#open )) && compadd -U -S '' -V unsorted -a open
    (( $#plain )) && compadd -U -V unsorted -a plain
}

if [[ $zsh_eval_context[-1] == loadautofunc ]]; then
    # autoload from fpath: call the function
    %(complete_func)s "$@"
else
    # eval or source: register it
    compdef %(complete_func)s %(prog_name)s
fi
"""


class _Bash(BashComplete):
    """Reads the line instead of bash's words, which are split at colons."""

    source_template = _BASH

    def get_completion_args(self) -> tuple[list[str], str]:
        line = os.environ.get("COMP_LINE", "")
        words = split_arg_string(line)
        incomplete = words.pop() if words and not line[-1:].isspace() else ""
        return words[1:], incomplete


class _Zsh(ZshComplete):
    source_template = _ZSH


class _Fish(FishComplete):
    # click's script would cut a description at its first comma
    source_template = FishComplete.source_template.replace("split ", "split -m 1 ")


SHELLS: Mapping[str, type[ShellComplete]] = {"bash": _Bash, "zsh": _Zsh, "fish": _Fish}


def script(shell: str) -> str:
    """The script that has ``shell`` complete the command."""
    made = SHELLS[shell](click.Group(), {}, PROGRAM, VARIABLE)
    # BashComplete.source would look for the bash on PATH, which need not be the one that reads it
    return ShellComplete.source(made)


def answer(command: click.Command, question: str) -> int:
    """Write the candidates for what a script asks with ``question``; returns the exit status."""
    shell, _, _what = question.partition("_")
    if shell not in SHELLS:
        return 1
    text = SHELLS[shell](command, {}, PROGRAM, VARIABLE).complete()
    click.echo(text.encode("utf-8", "surrogateescape"))
    return 0
