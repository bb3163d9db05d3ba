"""Blocking calls, one after the other, as a script makes them."""

from __future__ import annotations

import contextlib
import random
from typing import TYPE_CHECKING

from benchmarks.measure import Case, Job, Outcome, Record, counted, interleaved, measure
from benchmarks.stores import places
from benchmarks.trees import KIB, MIB, SEED

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator, Sequence

    from benchmarks.measure import Argument
    from benchmarks.results import Setting
    from benchmarks.stores import Places

NAME = "latency"
HELP = "blocking calls, one after the other: HEAD, small GET, random reads"
CALLS = 1000
OBJECTS, SIZE = 200, 4 * KIB
BIG, PIECE = 256 * MIB, 64 * KIB
OPERATIONS = ("head", "get", "read_range")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options that only this benchmark has."""
    parser.add_argument("--calls", type=int, default=CALLS, help="how many calls (%(default)s)")


def settings(options: argparse.Namespace) -> dict[str, Setting]:
    """Return the values of these options."""
    return {"calls": options.calls}


def run(clients: Sequence[str], options: argparse.Namespace) -> Iterator[Record]:
    """Measure each kind of call."""
    calls = max(round(options.calls * options.scale), 2)
    with places(options) as at:
        big = max(round(BIG * options.scale), 2 * PIECE)
        cases = [case(at, operation, calls, big) for operation in OPERATIONS]
        yield from interleaved(cases, clients, rounds=options.rounds, patience=options.patience)


def case(at: Places, operation: str, calls: int, big: int) -> Case:
    """Return the case of one kind of call."""

    @contextlib.contextmanager
    def prepared() -> Iterator[Callable[[str], Outcome]]:
        with at.place() as (store, prefix):
            if operation == "read_range":
                at.fill(store, prefix, 1, big)
            else:
                at.fill(store, prefix, OBJECTS, SIZE)
            wanted = arguments(operation, prefix, calls, big)
            size = PIECE if operation == "read_range" else SIZE
            yield lambda client: counted(
                measure(Job(client, operation, wanted, store, 1)), size * calls
            )

    return Case(f"{calls:,} calls", operation, prepared)


def arguments(operation: str, prefix: str, calls: int, big: int) -> list[list[Argument]]:
    """Return what each call is given."""
    if operation != "read_range":
        return [[f"{prefix}{number % OBJECTS:08}"] for number in range(calls)]
    chance = random.Random(SEED)  # noqa: S311 - always the same ones
    starts = [chance.randrange(big - PIECE) for _ in range(calls)]
    return [[f"{prefix}{0:08}", start, PIECE] for start in starts]
