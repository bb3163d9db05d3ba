"""Keys listed, all of them below one prefix."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from benchmarks.measure import Case, Job, Outcome, Record, counted, interleaved, measure
from benchmarks.stores import places

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator, Sequence

    from benchmarks.results import Setting
    from benchmarks.stores import Places

NAME = "listing"
HELP = "keys listed, all of them below one prefix"
KEYS = 100_000
SIZE = 1000
PREFIX = "listed/"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options that only this benchmark has."""
    parser.add_argument("--keys", type=int, default=KEYS, help="how many keys (%(default)s)")


def settings(options: argparse.Namespace) -> dict[str, Setting]:
    """Return the values of these options."""
    return {"keys": options.keys}


def run(clients: Sequence[str], options: argparse.Namespace) -> Iterator[Record]:
    """Measure a listing of all keys."""
    with places(options) as at:
        cases = [case(at, max(round(options.keys * options.scale), 1), options.concurrency)]
        yield from interleaved(cases, clients, rounds=options.rounds, patience=options.patience)


def case(at: Places, keys: int, concurrency: int) -> Case:
    """Return the case of one listing."""

    @contextlib.contextmanager
    def prepared() -> Iterator[Callable[[str], Outcome]]:
        with at.place() as (store, prefix):
            where = f"{prefix}{PREFIX}"
            at.fill(store, where, keys, SIZE)
            yield lambda client: counted(
                measure(Job(client, "list_all", [[where]], store, concurrency)), keys
            )

    return Case(f"{keys:,} keys", "list_all", prepared)
