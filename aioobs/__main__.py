"""The command line: `python -m aioobs`."""

from __future__ import annotations

import argparse
import os
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["main"]


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    version = import_module("aioobs").__version__
    found = argparse.ArgumentParser(prog="python -m aioobs", allow_abbrev=False)
    found.add_argument("--version", action="version", version=f"aioobs {version}")
    commands = found.add_subparsers(dest="command", required=True)
    run = commands.add_parser(
        "run",
        help="run a script that was written for moxing",
        description="Run a script as Python does, with aioobs in the place of moxing.",
        allow_abbrev=False,
    )
    run.add_argument("--replace", action="store_true", help="go before another moxing")
    run.add_argument("-m", dest="module", action="store_true", help="PROGRAM is a module's name")
    run.add_argument("program", metavar="PROGRAM", help="the script")
    run.add_argument("arguments", metavar="...", nargs=argparse.REMAINDER, help="its arguments")
    return found


def main(arguments: Sequence[str] | None = None) -> None:
    """Do what the command line says."""
    from aioobs.sync.moxing import prepare, run_module, run_script

    given = parser().parse_args(arguments)
    if not given.module and not os.path.isfile(given.program):
        parser().exit(2, f"python -m aioobs: there is no file {given.program!r}\n")
    try:
        prepare(given.program, given.arguments, module=given.module, replace=given.replace)
    except ImportError as exc:
        parser().exit(1, f"python -m aioobs: {exc}\n")
    if given.module:
        run_module(given.program)
    else:
        run_script(given.program)


if __name__ == "__main__":
    main()
