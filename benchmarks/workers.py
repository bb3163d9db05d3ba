"""A tree copied by more and more workers, which is what an executor is for."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING

from benchmarks.copy_parallel import LEGS, SOURCE, Bench, Tree, tried, written
from benchmarks.measure import Case, Outcome, Record, interleaved
from benchmarks.peers.ours import auth
from benchmarks.stores import places

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator, Sequence
    from concurrent.futures import Executor

    from benchmarks.results import Setting
    from benchmarks.stores import Places, Store

NAME = "workers"
HELP = "a tree of small files copied by more and more workers of an executor"
COUNTS = ("1", "2", "3", "4")
EXECUTORS = ("processes", "dask")
SCALE = 4.0  # of the small tree


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options that only this benchmark has."""
    parser.add_argument("--executor", choices=EXECUTORS, default=EXECUTORS[0], help="of which kind")
    parser.add_argument("--workers", default=",".join(COUNTS), help="how many (%(default)s)")


def settings(options: argparse.Namespace) -> dict[str, Setting]:
    """Return the values of these options.

    Raises:
        ValueError: one is not valid.
    """
    counts = options.workers.split(",")
    if wrong := [count for count in counts if not (count.isdecimal() and int(count))]:
        raise ValueError(f"no such number of workers: {', '.join(wrong)}")
    return {"executor": options.executor, "workers": counts}


def run(clients: Sequence[str], options: argparse.Namespace) -> Iterator[Record]:
    """Measure each leg with each number of workers, which take the place of the clients."""
    with tempfile.TemporaryDirectory(prefix="aioobs-bench-") as scratch, places(options) as at:
        tree = written(scratch, "small", SCALE * options.scale)
        cases = [case(at, tree, leg, options) for leg in LEGS]
        yield from interleaved(cases, options.workers.split(","), rounds=options.rounds, patience=0)


def case(at: Places, tree: Tree, leg: str, options: argparse.Namespace) -> Case:
    """Return the case of one leg."""

    @contextlib.contextmanager
    def prepared() -> Iterator[Callable[[str], Outcome]]:
        with at.place() as (store, prefix):
            Bench(store, prefix, tree, options.concurrency).seed()

            def measured(count: str) -> Outcome:
                source, target = f"{prefix}{SOURCE}", f"{prefix}copy-{count}/"
                with executor_of(options.executor, int(count)) as executor:
                    copy = partial(copied, executor, store, leg, options.concurrency)
                    return tried(store, tree, leg, source, target, copy)

            yield measured

    return Case(tree.title(), leg, prepared)


def copied(
    executor: Executor, store: Store, leg: str, concurrency: int, source: str, target: str
) -> Outcome:
    """Copy a tree with the workers of an executor."""
    from aioobs.sync import file

    root = f"s3://{store.bucket}"
    begin = source if leg == "up" else f"{root}/{source}"
    end = target if leg == "down" else f"{root}/{target}"
    file.set_auth(**auth(store))
    begun = time.perf_counter()
    file.copy_parallel(begin, end, threads=concurrency, executor=executor)
    return Outcome(round(time.perf_counter() - begun, 4))


@contextlib.contextmanager
def executor_of(kind: str, count: int) -> Iterator[Executor]:
    """Give an executor whose workers have all started, and imported what they need."""
    if kind == "dask":
        from distributed import Client, LocalCluster

        with (
            LocalCluster(  # type: ignore[no-untyped-call]
                n_workers=count, threads_per_worker=1, dashboard_address=None
            ) as cluster,
            Client(cluster) as client,  # type: ignore[no-untyped-call]
        ):
            client.run(ready)
            yield client.get_executor(pure=False)
        return
    context = multiprocessing.get_context("spawn")
    all_there = context.Barrier(count)
    with ProcessPoolExecutor(
        count, mp_context=context, initializer=ready, initargs=(all_there,)
    ) as executor:
        list(executor.map(abs, range(count)))
        yield executor


def ready(all_there: object = None) -> None:
    """Import and start what a first copy starts, and wait for the other workers."""
    from aioobs.sync import file

    for module in (
        "aioobs.s3.http.session_transport",
        "aioobs.s3.http.round_trip",
        "aioobs.transfer.processes.batches",
    ):
        import_module(module)
    file.exists(os.curdir)
    if all_there is not None:
        all_there.wait()  # type: ignore[attr-defined]
