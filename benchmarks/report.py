"""Everything measured in one go: as JSON, as a page with tables, and as charts."""

from __future__ import annotations

import json
import shutil
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks import command, counts, page, peers, stores
from benchmarks.endpoint import obstacle
from benchmarks.results import as_json, from_json
from benchmarks.sections import wanted

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Sequence

    from benchmarks.page import Table
    from benchmarks.results import Document
    from benchmarks.sections import Section

NAME = "report"
HELP = "run everything, and write docs/benchmarks.md with its charts and numbers"
DOCS = Path(__file__).parent.parent / "docs"
NUMBERS = "benchmarks.json"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this command."""
    parser.add_argument("--scale", type=float, default=1.0, help="0.01: a hundredth of the work")
    parser.add_argument("--rounds", type=int, default=3, help="how often (%(default)s)")
    parser.add_argument(
        "--patience",
        type=float,
        default=3.0,
        help="ask a client once that takes so many times as long as the fastest (%(default)s)",
    )
    parser.add_argument("--peers", help="these clients alone, such as aioobs.sync,obstore")
    parser.add_argument("--only", default="", help="sections with this in their title alone")
    parser.add_argument("--into", type=Path, default=DOCS, help="a folder (%(default)s)")
    parser.add_argument("--redraw", action="store_true", help="write the page from the numbers")
    stores.add_endpoint(parser)


def main(options: argparse.Namespace) -> int:
    """Measure and write; return 1 if a measurement failed, 130 after Ctrl-C.

    Then nothing is written.

    Raises:
        ValueError: there is nothing to measure, or it is not for the folder.
    """
    if options.endpoint and options.into == DOCS:
        raise ValueError(f"{DOCS} is for local servers: name a folder with --into")
    if not options.redraw:
        begun = time.monotonic()
        runs: list[Document] = []
        for found, complete in measured(options):
            if not complete:
                return 130
            runs.append(found)
        if not runs:
            raise ValueError(f"no section with {options.only!r} in its title is for these clients")
        tables = counted(options)
        write(options.into, runs, tables, time.monotonic() - begun)
    runs, tables, seconds = read(options.into)
    pages = page.written(runs, tables, seconds)
    shutil.rmtree(options.into / page.IMAGES, ignore_errors=True)
    for name, text in pages.items():
        target = options.into / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")
    print(f"{options.into / page.PAGE}: {len(runs)} sections, {seconds:.0f} s of measuring")
    return int(command.tell_failures([record for found in runs for record in found.records]))


def measured(options: argparse.Namespace) -> Iterator[tuple[Document, bool]]:
    """Run each section; yield what was measured, and whether that came to its end."""
    there = list(peers.installed())
    asked = command.chosen(options.peers, dict.fromkeys(there, ""))
    for section in wanted(options):
        clients = [name for name in asked if not section.clients or name in section.clients]
        if clients:
            found, complete = command.run(command.read(arguments(section, clients, options)))
            yield replace(found, title=section.title, about=section.about), complete


def arguments(section: Section, clients: Sequence[str], options: argparse.Namespace) -> list[str]:
    """Return the command line of a section's benchmark."""
    rounds = section.rounds or options.rounds
    return [
        *section.command(options),
        *("--peers", ",".join(clients), "--rounds", str(rounds)),
        *("--scale", str(options.scale), "--patience", str(options.patience)),
    ]


def counted(options: argparse.Namespace) -> list[Table]:
    """Count what each object takes, where the fast endpoint is."""
    if obstacle() or options.only or options.endpoint:
        return []
    asked = options.peers.split(",") if options.peers else list(peers.installed())
    clients = [name for name in asked if name in counts.SOME]
    return list(counts.told(clients, max(round(counts.OBJECTS * min(options.scale, 1)), 20)))


def write(into: Path, runs: Sequence[Document], tables: Sequence[Table], seconds: float) -> None:
    """Keep the numbers."""
    into.mkdir(parents=True, exist_ok=True)
    text = ",\n".join(map(as_json, runs))
    (into / NUMBERS).write_text(
        f'{{"seconds": {seconds:.0f},\n"counts": {json.dumps(tables)},\n"runs": [\n{text}\n]}}\n',
        encoding="utf-8",
    )


def read(folder: Path) -> tuple[list[Document], list[Table], float]:
    """Return the numbers that were kept."""
    found = json.loads((folder / NUMBERS).read_text(encoding="utf-8"))
    tables = [(title, lines) for title, lines in found["counts"]]
    return [from_json(run) for run in found["runs"]], tables, found["seconds"]
