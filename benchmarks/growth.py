"""Ten times the objects, and ten times the size: what that does to time and memory."""

from __future__ import annotations

import tempfile
from typing import TYPE_CHECKING

from benchmarks.copy_parallel import case, written
from benchmarks.measure import Record, interleaved
from benchmarks.stores import places

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Sequence

    from benchmarks.results import Setting

NAME = "growth"
HELP = "ten times the objects, and ten times the size"
# The tree, and two scales of it: 2,000 and 20,000 objects, 128 and 1,280 MiB.
STEPS = (("small", 0.4), ("small", 4.0), ("big", 0.125), ("big", 1.25))
LEGS = ("up", "down")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add nothing."""


def settings(options: argparse.Namespace) -> dict[str, Setting]:
    """Return nothing."""
    return {}


def run(clients: Sequence[str], options: argparse.Namespace) -> Iterator[Record]:
    """Measure each step up and down."""
    with tempfile.TemporaryDirectory(prefix="aioobs-bench-") as scratch, places(options) as at:
        trees = [written(scratch, name, scale * options.scale) for name, scale in STEPS]
        cases = [case(at, tree, leg, options.concurrency) for leg in LEGS for tree in trees]
        yield from interleaved(cases, clients, rounds=options.rounds, patience=options.patience)
