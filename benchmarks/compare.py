"""A change that makes this library slower than it was, found by the ratio to another client."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks import command, peers, stores
from benchmarks.report import DOCS, NUMBERS, read
from benchmarks.results import cases_of, plain, rows_of, title
from benchmarks.sections import wanted

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from benchmarks.results import Document
    from benchmarks.sections import Section

NAME = "compare"
HELP = "fail if a figure fell behind the recorded ratio to a reference client"
OURS = "aioobs.sync"
REFERENCE = "obstore"
ALLOWED = 0.15
LEAST_CPU = 0.01  # seconds: below that the ratio is one of roundings


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this command."""
    parser.add_argument("--against", type=Path, default=DOCS, help="recorded in (%(default)s)")
    parser.add_argument("--reference", default=REFERENCE, help="whom (%(default)s)")
    parser.add_argument("--rounds", type=int, default=5, help="how often (%(default)s)")
    parser.add_argument(
        "--allowed", type=float, default=ALLOWED, help="the share to fall behind (%(default)s)"
    )
    parser.add_argument("--only", default="", help="sections with this in their title alone")
    stores.add_endpoint(parser)


def main(options: argparse.Namespace) -> int:
    """Measure again what is recorded, print both, and return 1 if a figure fell behind.

    Raises:
        ValueError: there is nothing to compare.
    """
    command.chosen(f"{OURS},{options.reference}", peers.installed())
    recorded, *_ = read(options.against)
    lines, behind = [["", "recorded", "now", ""]], False
    sections = {section.title: section for section in wanted(options)}
    for run in recorded:
        if run.title not in sections or not at_the_same_place(run, options.endpoint):
            continue
        before = dict(ratios(run, options.reference, LEAST_CPU))
        if not before:
            continue
        again, complete = command.run(command.read(arguments(sections[run.title], run, options)))
        if not complete:
            return 130
        failed = command.tell_failures(again.records)
        now = dict(ratios(again, options.reference))
        for case, ratio in before.items():
            bad = case not in now or fell_behind(ratio, now[case], options.allowed)
            behind = behind or bad or failed
            told = f"{now[case]:.2f}" if case in now else "–"
            lines.append([f"{run.title}: {case}", f"{ratio:.2f}", told, "BEHIND" if bad else ""])
    if len(lines) == 1:
        chosen = f" with {options.only!r} in their title" if options.only else ""
        chosen += f" at {options.endpoint}" if options.endpoint else ""
        raise ValueError(
            f"nothing to compare: {options.against / NUMBERS} has no sections{chosen} in which "
            f"both {OURS} and {options.reference} took part"
        )
    print(f"The time of {options.reference}, and its CPU time, divided by those of {OURS}:")
    print(*plain(lines), sep="\n")
    return int(behind)


def fell_behind(recorded: float, now: float, allowed: float) -> bool:
    """Tell whether the lead of this library is by more than that share smaller than it was."""
    return now < recorded * (1 - allowed)


def ratios(run: Document, reference: str, least_cpu: float = 0.0) -> Iterator[tuple[str, float]]:
    """Yield each case, and each with its CPU time, with how many times as much the reference takes.

    The CPU time is compared as well because no waiting is in it: who takes more of it but is not
    slower here is slower where the machine has other work.
    """
    for case, records in cases_of(run.records).items():
        row = next((row for row in rows_of(records) if row.client == reference), None)
        if row is None or row.ratio is None:
            continue
        yield title(*case), row.ratio
        if row.cpu_ratio is not None and row.cpu >= least_cpu:
            yield f"{title(*case)}, CPU", row.cpu_ratio


def at_the_same_place(run: Document, endpoint: str | None) -> bool:
    """Tell whether a run was at that endpoint, if there is one, or without any."""
    store = str(run.settings["store"])
    return store in ("", endpoint) if endpoint else "://" not in store


def arguments(section: Section, run: Document, options: argparse.Namespace) -> list[str]:
    """Return the command line that measures the same with the two clients alone."""
    return [
        *section.command(options),
        *("--peers", f"{OURS},{options.reference}", "--rounds", str(options.rounds)),
        *("--scale", str(run.settings["scale"])),
    ]
