"""Try the faults with other clients: ``python -m matrix.peers [--record] [WORD …]``.

Words choose among clients, operations, faults and times.  What came of each is shown, and with
``--record`` kept beside what is recorded of the others.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from aioobs.config import Config
from aioobs.s3.client import Client
from aioobs.testing import LocalServer, forget_other_stores
from benchmarks.peers import installed
from matrix.faults import FAULTS
from matrix.peers.operations import OPERATIONS
from matrix.peers.record import SCHEDULES, TRIED, load, note, save
from matrix.peers.trial import PEERS, PROCESSES, Bench

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Iterator

    from matrix.peers.trial import Seen

    Cell = tuple[str, str, str]
    """A time, a client and an operation."""

AT_ONCE, WAITING = 12, 32
"""Trials at once: of faults that take next to no time, and of those that have everybody wait."""

LOADED = ["boto3", "s3fs", "obstore", "opendal", "aioobs.sync.file", "matrix.peers.trial"]
"""What is imported once for all processes."""


def chosen(words: list[str], names: Iterable[str]) -> list[str]:
    """Return those of the names that are among the words, or all."""
    names = list(names)
    return [name for name in names if name in words] or names


@contextlib.asynccontextmanager
async def bench() -> AsyncIterator[Bench]:
    """Start a store, and have nothing in the environment that leads elsewhere."""
    forget_other_stores()
    PROCESSES.set_forkserver_preload(LOADED)
    with (
        LocalServer() as server,
        tempfile.TemporaryDirectory() as folder,
        ThreadPoolExecutor(WAITING) as threads,
    ):
        server.create_bucket("matrix")
        config = Config(
            endpoint=server.endpoint,
            access_key=server.access_key,
            secret_key=server.secret_key,
        )
        async with Client(config) as direct:
            yield Bench(server, "matrix", Path(folder), direct, threads)


async def row(place: Bench, fault: str, cells: Iterable[Cell]) -> Iterator[tuple[Cell, Seen]]:
    """Try a fault in all of the cells that there are."""
    cells = list(cells)
    slots = asyncio.Semaphore(WAITING if FAULTS[fault].waits else AT_ONCE)

    async def one(schedule: str, peer: str, operation: str) -> Seen | None:
        async with slots:
            return await place.verdict(peer, operation, FAULTS[fault], schedule)

    found = await asyncio.gather(*itertools.starmap(one, cells))
    return ((cell, seen) for cell, seen in zip(cells, found, strict=True) if seen)


async def main(words: list[str]) -> None:
    """Try what the words choose."""
    versions = {name: text for name, text in installed().items() if name in PEERS}
    peers, schedules = chosen(words, versions), chosen(words, SCHEDULES)
    cells = list(itertools.product(schedules, peers, chosen(words, OPERATIONS)))
    record = load()
    record["versions"] = {**record["versions"], **{name: versions[name] for name in peers}}
    async with bench() as place:
        for fault in chosen(words, TRIED):
            begun = time.monotonic()
            for cell, seen in await row(place, fault, cells):
                note(record, fault, cell, seen)
                print(" | ".join((fault, *cell, *filter(None, seen))))
            print(f"{fault}: {time.monotonic() - begun:.1f} s", flush=True)
            if "--record" in words:
                save(record)


if __name__ == "__main__":
    logging.disable()
    asyncio.run(main(sys.argv[1:]))
