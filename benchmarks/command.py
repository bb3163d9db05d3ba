"""Running one benchmark as its command line says."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from aioobs.testing import forget_other_stores
from benchmarks import (
    copy_parallel,
    growth,
    imports,
    latency,
    listing,
    memory,
    peers,
    scale,
    signer,
    stores,
    workers,
)
from benchmarks.results import document

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.measure import Record
    from benchmarks.results import Document

MODULES = (copy_parallel, listing, latency, memory, imports, signer, growth, scale, workers)
MEMORY = Path("/dev/shm")  # noqa: S108 - what is made there has names of its own
ROOM = 8 << 30
BENCHMARKS = {module.NAME: module for module in MODULES}


def add_benchmarks(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add a command for each benchmark."""
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--rounds", type=int, default=5, help="how often (%(default)s)")
    common.add_argument(
        "--concurrency", type=int, default=32, help="requests at a time (%(default)s)"
    )
    common.add_argument(
        "--patience",
        type=float,
        default=4.0,
        help="ask a client once that takes so many times as long as the fastest; 0: always",
    )
    common.add_argument("--peers", help="these clients alone, such as aioobs.sync,obstore")
    common.add_argument(
        "--scale", type=float, default=1.0, help="0.01: a hundredth of the work, to try it out"
    )
    common.add_argument("--json", type=Path, help="a file for all that was measured")
    stores.add_arguments(common)
    for name, module in BENCHMARKS.items():
        module.add_arguments(commands.add_parser(name, help=module.HELP, parents=[common]))


def read(arguments: Sequence[str]) -> argparse.Namespace:
    """Return the options of a benchmark that are given as on the command line."""
    top = argparse.ArgumentParser(prog="python -m benchmarks")
    add_benchmarks(top.add_subparsers(dest="benchmark", required=True))
    return top.parse_args(arguments)


def use_memory() -> str:
    """Have temporary files in memory if there is room and TMPDIR is not set; return where they are.

    What is compared is clients, not the disk.
    """
    if "TMPDIR" not in os.environ and MEMORY.is_dir() and shutil.disk_usage(MEMORY).free > ROOM:
        os.environ["TMPDIR"] = str(MEMORY)
        tempfile.tempdir = None  # it is to look again
    return tempfile.gettempdir()


def chosen(wanted: str | None, versions: dict[str, str]) -> list[str]:
    """Return the clients to compare.

    Raises:
        ValueError: one that is wanted is not there.
    """
    names = wanted.split(",") if wanted else list(versions)
    if missing := [name for name in names if name not in versions]:
        raise ValueError(f"not installed: {', '.join(missing)}; there are {', '.join(versions)}")
    return names


def run(options: argparse.Namespace) -> tuple[Document, bool]:
    """Run a benchmark; return what was measured, and whether it came to its end.

    Raises:
        ValueError: an option is not valid.
    """
    benchmark = BENCHMARKS[options.benchmark]
    versions = peers.installed()
    clients = chosen(options.peers, versions)
    if options.rounds < 1 or options.concurrency < 1:
        raise ValueError("rounds and requests at a time have to be at least 1")
    if options.scale <= 0 or options.patience < 0:
        raise ValueError("the scale has to be more than 0, the patience not less")
    stores.check(options)
    if not options.endpoint:
        forget_other_stores()
    settings = {
        "rounds": options.rounds,
        "concurrency": options.concurrency,
        "patience": options.patience,
        "scale": options.scale,
        "clients": clients,
        "store": stores.name_of(options),
        "files": use_memory(),
        **benchmark.settings(options),
    }
    records: list[Record] = []
    complete = False
    try:
        for record in benchmark.run(clients, options):
            records.append(record)
            tell(record, options.rounds)
        complete = True
    except KeyboardInterrupt:
        print("Interrupted.", file=sys.stderr)
    used = {name: versions[name] for name in clients}
    return document(benchmark.NAME, used, settings, records), complete


def tell(record: Record, rounds: int) -> None:
    """Say on standard error how far the benchmark is."""
    outcome = record.outcome
    result = "failed" if outcome.error else f"{outcome.wall:.2f} s" if outcome.offered else "–"
    print(f"{said(record)} of {rounds}: {result}", file=sys.stderr, flush=True)


def said(record: Record) -> str:
    """Return what a record is one of."""
    return f"{record.workload} {record.operation}, {record.client}, round {record.round + 1}"


def tell_failures(records: Sequence[Record]) -> bool:
    """Say on standard error what failed, and return whether anything did."""
    failed = [record for record in records if record.outcome.error]
    for record in failed:
        print(f"\n{said(record)} failed:\n{record.outcome.error}", file=sys.stderr)
    return bool(failed)
