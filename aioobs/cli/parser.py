"""The parser of the command line, and the options that every command has."""

from __future__ import annotations

import argparse
import re
import sys
from importlib import import_module
from itertools import pairwise, takewhile
from typing import TYPE_CHECKING, Any, NoReturn, get_args

from aioobs.cli.commands import COMMANDS
from aioobs.cli.elsewhere import instead_of_command, instead_of_option
from aioobs.cli.failures import program
from aioobs.cli.usage import Formatter, followed, plainly
from aioobs.config import Addressing, Signature

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["build", "parse"]

DESCRIPTION = """\
Files and folders in object stores and on this machine: s3://bucket/key, obs://bucket/key and
local paths alike.  Put patterns (* ? [...] **) in quotes; they match objects, too.
"""
EPILOG = """\
S3_ENDPOINT or --endpoint says where the store is.  Access keys come from the environment
(ACCESS_KEY_ID and SECRET_ACCESS_KEY), from credential files or a metadata service, never from
options, which everybody on the machine could read.  `aioobs doctor` checks all of it.

exit status: 0 done, 1 some files failed, 2 usage or configuration, 3 not found, 4 refused,
5 no connection or no answer in time, 130 Ctrl-C
"""
WITH_SIZES = ("ls", "du")  # where -h is for those that are easy to read
STORE_HINT = "Options for reaching the store, such as --endpoint: see aioobs --help."


class Parser(argparse.ArgumentParser):
    """Says in one line what is wrong with the arguments."""

    def error(self, message: str) -> NoReturn:
        """Exit with the status 2."""
        if unknown := re.match("argument COMMAND: invalid choice: '([^']*)'", message):
            message = f"there is no command {unknown[1]}{instead_of_command(unknown[1], COMMANDS)}"
        elif (
            unknown := re.match("argument .*: ignored explicit argument '([^']+)'", message)
        ) and not any(word.endswith(f"={unknown[1]}") for word in sys.argv):
            self.unknown(f"-{unknown[1]}")  # older versions of argparse say so of the f of -rf
        said = followed(plainly(message), f"see: {self.prog} --help")
        self.exit(2, f"{program()}: {said}\n")

    def check_beginning(self, words: Sequence[str]) -> None:
        """Refuse an unknown option at the very beginning; its value is not the command."""
        for word in takewhile(is_option, words):
            if word.partition("=")[0] not in self._option_string_actions:
                self.unknown(word)

    def unknown(self, *words: str) -> NoReturn:
        """Exit with the status 2, for words that mean nothing; tell what the first of them may."""
        advice = ""
        if is_option(words[0]):
            command = self.prog.removeprefix(program()).strip()
            advice = instead_of_option(words[0], command, self._option_string_actions)
        self.error(f"unrecognized arguments: {' '.join(words)}{advice}")


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Return what the arguments say; those that make no sense end the program."""
    parser = build()
    words = sys.argv[1:] if arguments is None else list(arguments)
    if not words:
        parser.print_help(sys.stderr)
        parser.exit(2)
    parser.check_beginning(words)
    # As head has it everywhere, where argparse sees a path.
    words = [
        f"--lines={word[1:]}" if command == "head" and re.fullmatch(r"-\d+", word) else word
        for command, word in pairwise(["", *words])
    ]
    given, others = parser.parse_known_args(words)
    # argparse ends a list of paths at the first option that follows one.
    wrong = [text for text in others if is_option(text)]
    if wrong or (others and not isinstance(getattr(given, "paths", None), list)):
        given.parser.unknown(*(wrong or others))
    if others:
        given.paths += others
    return given


def is_option(word: str) -> bool:
    """Tell whether a word is meant as an option: `-` alone is a stream."""
    return word.startswith("-") and word.strip("-") != ""


def add_store_options(parser: Parser, *, hidden: bool = False) -> None:
    """Add the options that every command has; only the help of the program shows them."""
    group = parser.add_argument_group("how to reach the store (before or after the command)")
    options: dict[str, dict[str, Any]] = {
        "--endpoint": {"help": "where the store is, instead of S3_ENDPOINT", "metavar": "URL"},
        "--region": {"help": "the region to sign for", "metavar": "NAME"},
        "--addressing": {
            "help": "where the bucket goes: into the host name or the path",
            **one_of(get_args(Addressing)[1:]),
        },
        "--signature": {
            "help": "how requests are signed (default: v4)",
            **one_of(get_args(Signature)),
        },
        "--anonymous": {
            "help": "send unsigned requests, for public data",
            "action": "store_true",
        },
        "--attempts": {
            "help": "how often to try a request (default: 10)",
            "type": int,
            "metavar": "N",
        },
        "--debug": {"help": "log requests, and show tracebacks", "action": "store_true"},
    }
    # Without defaults a command does not undo what stands before it.
    others = {"help": argparse.SUPPRESS, "default": argparse.SUPPRESS} if hidden else {}
    for name, option in options.items():
        group.add_argument(name, **{**option, **others})


def one_of(choices: Sequence[str]) -> dict[str, Any]:
    """Return what makes an option one of several words."""
    return {"choices": choices, "metavar": "|".join(choices)}


def build() -> Parser:
    """Return the parser of the command line."""
    version = import_module("aioobs").__version__
    parser = Parser(
        prog=program(),
        usage=f"{program()} [OPTION...] COMMAND ...",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
        add_help=False,
    )
    commands = parser.add_subparsers(
        title="commands", dest="command", required=True, metavar="COMMAND", prog=program()
    )
    parser.add_argument("-h", "--help", action="help", help="show this help, or that of a command")
    parser.add_argument(
        "--version", action="version", version=f"aioobs {version}", help="show the version"
    )
    add_store_options(parser)
    for name, command in COMMANDS.items():
        added = commands.add_parser(
            name,
            help=command.summary,
            description=f"{command.summary[0].upper()}{command.summary[1:]}.",
            formatter_class=Formatter,
            allow_abbrev=False,
            add_help=False,
        )
        flags = ["--help"] if name in WITH_SIZES else ["-h", "--help"]
        added.add_argument(*flags, action="help", help="show this help")
        added.set_defaults(module=command.module, blocking=command.blocking, parser=added)
        command.add_arguments(added)
        notes = [added.epilog] if added.epilog else []
        if not command.blocking:
            add_store_options(added, hidden=True)
            notes.append(STORE_HINT)
        examples = "".join(f"\n  {program()} {name} {one}" for one in command.examples)
        added.epilog = " ".join(notes) + (examples and f"\n\nexamples:{examples}")
    return parser
