"""What an import takes, in a process that has done nothing else."""

from __future__ import annotations

import contextlib
import sys
from typing import TYPE_CHECKING

from benchmarks.measure import Case, Outcome, Record, interleaved, outcome_of

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator, Sequence

    from benchmarks.results import Setting

NAME = "imports"
HELP = "what an import takes"
STATEMENTS = {
    "aioobs.sync": "import aioobs.sync",
    "aioobs": "import aioobs",
    "obstore": "import obstore.store",
    "opendal": "import opendal",
    "s3fs": "import s3fs",
    "boto3": "import boto3",
    "miniopy-async": "import miniopy_async",
    "fast-s3": "import fast_s3",
}
PROGRAM = """
import time
cpu, begun = time.process_time(), time.perf_counter()
{statement}
wall, cpu = time.perf_counter() - begun, time.process_time() - cpu
import json
from benchmarks.measure import peak_rss
print(json.dumps({{"wall": round(wall, 5), "cpu": round(cpu, 5), "peak_rss": peak_rss()}}))
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add nothing."""


def settings(options: argparse.Namespace) -> dict[str, Setting]:
    """Return nothing."""
    return {}


def run(clients: Sequence[str], options: argparse.Namespace) -> Iterator[Record]:
    """Measure the imports, once more beforehand so that their bytecode is there."""
    for client in clients:
        measure_import(client)
    yield from interleaved([case()], clients, rounds=options.rounds, patience=0)


def case() -> Case:
    """Return the one case there is."""

    @contextlib.contextmanager
    def prepared() -> Iterator[Callable[[str], Outcome]]:
        yield measure_import

    return Case("a fresh process", "import", prepared)


def measure_import(client: str) -> Outcome:
    """Measure the import of a client, if it is a module."""
    if client not in STATEMENTS:
        return Outcome(offered=False)
    return outcome_of([sys.executable, "-c", PROGRAM.format(statement=STATEMENTS[client])])
