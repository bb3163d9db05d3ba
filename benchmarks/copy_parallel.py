"""Trees up, within the store and down, against the other clients."""

from __future__ import annotations

import contextlib
import tempfile
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.measure import Case, Job, Outcome, Record, interleaved, measure
from benchmarks.stores import places
from benchmarks.trees import TREES, Content, content_of, sizes_of, write_tree

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator, Sequence

    from benchmarks.results import Setting
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
    parser.add_argument("--legs", default=",".join(LEGS), help="which ways (%(default)s)")


def settings(options: argparse.Namespace) -> dict[str, Setting]:
    """Return the values of these options.

    Raises:
        ValueError: one is not valid.
    """
    trees, legs = options.trees.split(","), options.legs.split(",")
    for kind, names, known in (("tree", trees, TREES), ("leg", legs, tuple(LEGS))):
        if unknown := sorted(set(names) - set(known)):
            raise ValueError(f"no such {kind}: {', '.join(unknown)}; there are {', '.join(known)}")
    return {"trees": trees, "legs": legs}


def run(clients: Sequence[str], options: argparse.Namespace) -> Iterator[Record]:
    """Measure every tree and leg."""
    with tempfile.TemporaryDirectory(prefix="aioobs-bench-") as scratch, places(options) as at:
        trees = [written(scratch, name, options.scale) for name in options.trees.split(",")]
        cases = [
            case(at, tree, leg, options.concurrency)
            for tree in trees
            for leg in options.legs.split(",")
        ]
        yield from interleaved(cases, clients, rounds=options.rounds, patience=options.patience)


def written(scratch: str, name: str, scale: float) -> Tree:
    """Write a tree into a folder of its own."""
    folder = Path(scratch, f"{name}-{scale:g}")
    write_tree(folder, sizes_of(name, scale))
    return Tree(name, folder, content_of(folder))


def case(at: Places, tree: Tree, leg: str, concurrency: int) -> Case:
    """Return the case of one tree on one leg."""

    @contextlib.contextmanager
    def prepared() -> Iterator[Callable[[str], Outcome]]:
        with at.place() as (store, prefix):
            bench = Bench(store, prefix, tree, concurrency)
            bench.seed()
            yield lambda client: bench.measure(client, leg)

    return Case(tree.title(), leg, prepared)


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
        copy = partial(self._measure, client, leg)
        return tried(self._store, self._tree, leg, self._source, f"{self._prefix}{client}/", copy)

    def _measure(self, client: str, leg: str, source: str, target: str) -> Outcome:
        return measure(Job(client, leg, [[source, target]], self._store, self._concurrency))


def tried(
    store: Store,
    tree: Tree,
    leg: str,
    source: str,
    target: str,
    copy: Callable[[str, str], Outcome],
) -> Outcome:
    """Have a tree copied between two prefixes, or one and this machine; see whether all is there.

    *copy* is given where the tree is, and where it is to be.
    """
    if leg == "down":
        with tempfile.TemporaryDirectory(prefix="aioobs-bench-") as folder:
            return checked(copy(source, folder), tree.content, content_of(Path(folder)))
    outcome = copy(str(tree.folder) if leg == "up" else source, target)
    return checked(outcome, tree.content, store.content_of(target))


def checked(outcome: Outcome, wanted: Content, found: Content) -> Outcome:
    """Return the outcome, or a failure if what was copied is not all."""
    if outcome.error or not outcome.offered or found == wanted:
        return outcome
    wrong = " of ".join(f"{files:,} files with {size:,} bytes" for files, size in (found, wanted))
    return replace(outcome, error=f"not what was to be copied: {wrong}")
