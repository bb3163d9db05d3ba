"""One object into memory, and what that takes beyond its own size."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from benchmarks.measure import Case, Job, Outcome, Record, counted, interleaved, measure
from benchmarks.stores import places
from benchmarks.trees import GIB

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator, Sequence

    from benchmarks.results import Setting
    from benchmarks.stores import Places

NAME = "memory"
HELP = "one object into memory"
MB = 1_000_000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options that only this benchmark has."""
    parser.add_argument("--size", type=int, default=GIB, help="bytes of the object (%(default)s)")


def settings(options: argparse.Namespace) -> dict[str, Setting]:
    """Return the values of these options."""
    return {"size": options.size}


def run(clients: Sequence[str], options: argparse.Namespace) -> Iterator[Record]:
    """Measure the one case."""
    with places(options) as at:
        cases = [case(at, max(round(options.size * options.scale), 1), options.concurrency)]
        yield from interleaved(cases, clients, rounds=options.rounds, patience=options.patience)


def case(at: Places, size: int, concurrency: int) -> Case:
    """Return the case of one size."""

    @contextlib.contextmanager
    def prepared() -> Iterator[Callable[[str], Outcome]]:
        with at.place() as (store, prefix):
            at.fill(store, prefix, 1, size)
            yield lambda client: counted(
                measure(Job(client, "load", [[f"{prefix}{0:08}"]], store, concurrency)), size
            )

    return Case(f"{size / MB:,.1f} MB", "load", prepared)
