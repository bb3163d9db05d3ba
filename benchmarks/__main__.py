"""Compare this library with other clients: `python -m benchmarks [NAME] [options]`.

Each measurement is a process of its own, and in each round every client has its turn.  Read the
ratios: the times belong to the machine.  TMPDIR says where files and the local server's data go;
without it, that is memory if there is room.
"""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from benchmarks import command, compare, copy_parallel, counts, curve, report
from benchmarks.results import as_json, tables

if TYPE_CHECKING:
    from collections.abc import Sequence

OTHERS = {module.NAME: module for module in (report, compare, counts, curve)}


def parser() -> argparse.ArgumentParser:
    """Return what reads the command line."""
    top = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    commands = top.add_subparsers(dest="benchmark", required=True)
    command.add_benchmarks(commands)
    for name, module in OTHERS.items():
        module.add_arguments(commands.add_parser(name, help=module.HELP))
    return top


def run(options: argparse.Namespace) -> int:
    """Run one benchmark, print its tables, and return 1 if a measurement failed.

    After Ctrl-C there are tables of what was measured until then, and it returns 130.
    """
    found, complete = command.run(options)
    print(*tables(found.records), sep="\n")
    print(", ".join(f"{name} {version}" for name, version in found.versions.items()))
    if options.json:
        options.json.write_text(f"{as_json(found)}\n")
    failed = command.tell_failures(found.records)
    return int(failed) if complete else 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit status."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    options = parser().parse_args(given or [copy_parallel.NAME])
    other = OTHERS.get(options.benchmark)
    try:
        return other.main(options) if other else run(options)
    except (OSError, RuntimeError, ImportError, ValueError) as error:
        print(f"The benchmark failed: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
