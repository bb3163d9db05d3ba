"""Trees up, within the store and down, against the other clients."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.measure import Job, Outcome, Record, measure, rotated
from benchmarks.report import comparison
from benchmarks.trees import TREES, Content, content_of, sizes_of, write_tree

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Sequence

    from benchmarks.report import Setting
    from benchmarks.stores import Places, Store

NAME = "copy_parallel"
HELP = "trees of files up, within the store, and down"
LEGS = {"up": "up", "copy": "within the store", "down": "down"}
SOURCE = "source/"
MB = 1_000_000


@dataclass(frozen=True)
class Tree:
    """A tree on this machine."""

    name: str
    folder: Path
    content: Content

    def title(self) -> str:
        """Return the name with what is in it."""
        files, size = self.content
        return f"{self.name} ({files:,} {'file' if files == 1 else 'files'}, {size / MB:,.1f} MB)"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options that only this benchmark has."""
    parser.add_argument(
        "--trees", default=",".join(TREES), help="which trees to copy (%(default)s)"
    )
    parser.add_argument(
        "--scale",
        type=float,
        default=1.0,
        help="below 1: smaller trees, such as 0.01 to try it out (%(default)s)",
    )


def settings(options: argparse.Namespace) -> dict[str, Setting]:
    """Return the values of these options.

    Raises:
        ValueError: one is not valid.
    """
    names = options.trees.split(",")
    if unknown := set(names) - set(TREES):
        raise ValueError(
            f"no such tree: {', '.join(sorted(unknown))}; there are {', '.join(TREES)}"
        )
    if options.scale <= 0:
        raise ValueError("the scale has to be more than 0")
    return {"trees": names, "scale": options.scale}


def run(places: Places, clients: Sequence[str], options: argparse.Namespace) -> Iterator[Record]:
    """Measure, round by round; each round has every client once, on every tree and leg."""
    with tempfile.TemporaryDirectory(prefix="aioobs-bench-") as scratch:
        trees = []
        for name in options.trees.split(","):
            folder = Path(scratch, name)
            write_tree(folder, sizes_of(name, options.scale))
            trees.append(Tree(name, folder, content_of(folder)))
        for number in range(options.rounds):
            for tree in trees:
                for leg in LEGS:
                    with places.place() as (store, prefix):
                        bench = Bench(store, prefix, tree, options.concurrency)
                        bench.seed()
                        for client in rotated(clients, number):
                            outcome = bench.measure(client, leg)
                            yield Record(tree.title(), leg, client, number, outcome)


class Bench:
    """A place in a store to which one tree is copied, or from which."""

    def __init__(self, store: Store, prefix: str, tree: Tree, concurrency: int) -> None:
        self._store, self._prefix, self._tree = store, prefix, tree
        self._concurrency = concurrency

    def seed(self) -> None:
        """Put the tree where it is copied from; a server then has its files open for all.

        Raises:
            RuntimeError: that failed.
        """
        outcome = self._measure("aioobs", "up", str(self._tree.folder), self._source)
        if outcome.error:
            raise RuntimeError(f"cannot copy the tree {self._tree.name} up: {outcome.error}")

    @property
    def _source(self) -> str:
        return f"{self._prefix}{SOURCE}"

    def measure(self, client: str, leg: str) -> Outcome:
        """Let a client copy the tree, and see whether all of it is there."""
        target = f"{self._prefix}{client}/"
        if leg == "down":
            with tempfile.TemporaryDirectory(prefix="aioobs-bench-") as folder:
                outcome = self._measure(client, leg, self._source, folder)
                return checked(outcome, self._tree.content, content_of(Path(folder)))
        source = str(self._tree.folder) if leg == "up" else self._source
        outcome = self._measure(client, leg, source, target)
        return checked(outcome, self._tree.content, self._store.content_of(target))

    def _measure(self, client: str, leg: str, source: str, target: str) -> Outcome:
        return measure(Job(client, leg, [source, target], self._store, self._concurrency))


def checked(outcome: Outcome, wanted: Content, found: Content) -> Outcome:
    """Return the outcome, or a failure if what was copied is not all."""
    if outcome.error or not outcome.offered or found == wanted:
        return outcome
    wrong = " of ".join(f"{files:,} files with {size:,} bytes" for files, size in (found, wanted))
    return replace(outcome, error=f"not what was to be copied: {wrong}")


def tables(records: Sequence[Record]) -> Iterator[str]:
    """Yield the tables, line by line, one for each tree and leg."""
    kinds = dict.fromkeys((record.workload, record.operation) for record in records)
    for workload, leg in kinds:
        yield f"{workload}, {LEGS[leg]}"
        lines = comparison(
            [record for record in records if (record.workload, record.operation) == (workload, leg)]
        )
        yield from (f"  {line}" for line in lines)
        yield ""
