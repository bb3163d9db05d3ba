"""completion: scripts that let a shell complete commands, options and local paths."""

from __future__ import annotations

import sys
from argparse import ArgumentParser, _SubParsersAction
from typing import TYPE_CHECKING

from aioobs.cli.parser import build

if TYPE_CHECKING:
    import argparse

__all__ = ["completion"]

BASH = """\
_aioobs() {{
    local word=${{COMP_WORDS[COMP_CWORD]}} command= given
    for given in "${{COMP_WORDS[@]:1:$((COMP_CWORD - 1))}}"; do
        case " {commands} " in *" $given "*) command=$given; break;; esac
    done
    local words="{options}"
    case "$command" in
{cases}
        "") words="{commands} $words";;
    esac
    COMPREPLY=()
    if [[ -z $command || $word == -* ]]; then
        COMPREPLY=($(compgen -W "$words" -- "$word"))
    fi
}}
complete -o bashdefault -o default -F _aioobs aioobs
"""
ZSH = """\
(( $+functions[compdef] )) || { autoload -U compinit && compinit; }
autoload -U +X bashcompinit && bashcompinit
"""


def completion(given: argparse.Namespace) -> int:
    """Print the script for a shell, to be evaluated when the shell starts."""
    parser = build()
    commands = commands_of(parser)
    if given.shell == "fish":
        sys.stdout.write(fish(parser, commands))
        return 0
    cases = "\n".join(
        f'        {name}) words="{" ".join(options_of(command))}";;'
        for name, command in commands.items()
    )
    script = BASH.format(
        commands=" ".join(commands), options=" ".join(options_of(parser)), cases=cases
    )
    sys.stdout.write(script if given.shell == "bash" else ZSH + script)
    return 0


def commands_of(parser: ArgumentParser) -> dict[str, ArgumentParser]:
    """Return the parser of each command."""
    for action in parser._actions:  # noqa: SLF001 - argparse has no other way to ask
        if isinstance(action, _SubParsersAction):
            return dict(action.choices)
    return {}


def options_of(parser: ArgumentParser) -> list[str]:
    """Return the options of a parser."""
    return sorted(parser._option_string_actions)  # noqa: SLF001


def fish(parser: ArgumentParser, commands: dict[str, ArgumentParser]) -> str:
    """Return the script for fish, one line for each word."""
    lines = [f"complete -c aioobs -n __fish_use_subcommand -a {name}" for name in commands]
    for name, command in {"": parser, **commands}.items():
        seen = f"-n '__fish_seen_subcommand_from {name}' " if name else ""
        for option in options_of(command):
            kind = f"-l {option[2:]}" if option.startswith("--") else f"-s {option[1:]}"
            lines.append(f"complete -c aioobs {seen}{kind}")
    return "\n".join(lines) + "\n"
