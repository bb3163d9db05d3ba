"""How help is laid out, and what is said of arguments that are wrong."""

from __future__ import annotations

import argparse
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["Formatter", "excluded", "followed", "plainly", "suggestion"]

# By the function that reads a value: what it takes.
KINDS = {
    "age": "a time, as 90s, 12h or 7d",
    "at_least_one": "a number from 1 on",
    "count": "a number from 0 on",
    "int": "a whole number",
    "size_of": "a size, as 10, 64K or 1.5G",
}


class Formatter(argparse.HelpFormatter):
    """Fills the lines of a paragraph, and leaves the examples after it as they are."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        prose, end, examples = text.partition("\n\n")
        return super()._fill_text(prose, width, indent) + end + examples

    def _format_args(self, action: argparse.Action, default_metavar: str) -> str:
        if isinstance(action.metavar, str) and "..." in action.metavar:
            return action.metavar  # says by itself that it can be repeated
        return super()._format_args(action, default_metavar)


def excluded(pattern: str) -> str:
    """Return a pattern of names that are left out.

    Raises:
        argparse.ArgumentTypeError: it is every name, which others allow to be taken back.
    """
    if pattern and not pattern.strip("*"):
        raise argparse.ArgumentTypeError(
            f"{pattern!r} leaves out all: --include alone takes only what matches"
        )
    return pattern


def suggestion(word: str, words: Iterable[str]) -> str:
    """Return a question for the one of *words* that *word* is most like, if it is like any."""
    from difflib import get_close_matches  # slow to import

    near = get_close_matches(word, words, 1)
    return f", did you mean {near[0]}?" if near else ""


def followed(text: str, step: str) -> str:
    """Return what is wrong, and behind it what to do next."""
    return f"{text}{' ' if text.endswith('?') else '; '}{step}"


def plainly(message: str) -> str:
    """Return what argparse says of a value, without the name of a function in it."""
    found = re.fullmatch(r"argument (.*): invalid (\w+) value: (.*)", message)
    if found is None or found[2] not in KINDS:
        return message
    return f"{found[1]}: {found[3]} is not {KINDS[found[2]]}"
