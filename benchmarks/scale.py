"""A million keys and a hundred thousand objects: the run that the scale model rests on."""

from __future__ import annotations

import tempfile
from typing import TYPE_CHECKING

from benchmarks import copy_parallel, listing
from benchmarks.measure import Record, interleaved
from benchmarks.stores import places
from benchmarks.trees import sizes_of

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Sequence

    from benchmarks.results import Setting

NAME = "scale"
HELP = "1,000,000 keys listed and 100,000 objects copied, and a tenth of it to compare"
KEYS = 1_000_000
TREES = (("small", 20.0), ("big", 1.0))  # a tree, and how often it is taken
STEPS = (0.1, 1.0)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add nothing."""


def settings(options: argparse.Namespace) -> dict[str, Setting]:
    """Return nothing."""
    return {}


def run(clients: Sequence[str], options: argparse.Namespace) -> Iterator[Record]:
    """Measure a tenth and the whole: keys listed, files up and down, one big file."""
    with tempfile.TemporaryDirectory(prefix="aioobs-bench-") as scratch, places(options) as at:
        cases = []
        for step in STEPS:
            share = step * options.scale
            keys, *_ = amounts(share)
            cases.append(listing.case(at, keys, options.concurrency))
            trees = [copy_parallel.written(scratch, name, each * share) for name, each in TREES]
            cases += [
                copy_parallel.case(at, tree, leg, options.concurrency)
                for tree in trees
                for leg in ("up", "down")
            ]
        yield from interleaved(cases, clients, rounds=options.rounds, patience=0)


def amounts(share: float) -> list[int]:
    """Return how much there is in each case of such a share: keys, files twice, bytes twice."""
    many, big = (sizes_of(name, each * share) for name, each in TREES)
    files, size = len(many), sum(big.values())
    return [max(round(KEYS * share), 1), files, files, size, size]
