"""Everything at once for a while, over a server of which 2 % of the answers are bad.

``SOAK_SECONDS=600 python -m matrix.soak`` fails if anything goes wrong, or if memory, descriptors,
threads or tasks become more and more.
"""

from __future__ import annotations

import asyncio
import logging
import multiprocessing
import os
import random
import shutil
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from faulty import Store

from aioobs.config import Config
from aioobs.s3.client import Client
from aioobs.session import session
from aioobs.testing import LocalServer, forget_other_stores
from matrix import RIGHT, descriptors, outcome, tasks, threads
from matrix.faults import FAULTS, NOTHING
from matrix.proxy import Proxy, Tampering, serve
from matrix.verbs import SIZES, VERBS, Place

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

    from faulty import Received

SHARE = 0.02
AT_ONCE = 4  # trials
WITH_ONE_CLIENT = 60  # trials, after which there is a new client
MOST_GROWTH = 24 << 20  # bytes, and this many of everything else:
MOST_MORE = 24
PASSING = [
    fault
    for fault in FAULTS.values()
    # What is given up after few attempts, or cannot be noticed, would sooner or later be met.
    if fault.in_a_row > 1 and not (fault.early or fault.lies or fault.unnoticed)
    if fault.name != "not HTTP"
]


class Rain(Proxy):
    """Has one request in fifty meet a fault, whichever."""

    chance = random.Random(0)

    def of(self, received: Received) -> Tampering:
        """Return what is done to a request."""
        bad = self.chance.random() < SHARE
        return Tampering(self.chance.choice(PASSING) if bad else NOTHING, "always", "")


def rain(endpoint: str, access_key: str, secret_key: str, control: Connection) -> None:
    """Serve in a process of its own until told to end."""
    with serve(Rain(Store(endpoint), access_key, secret_key)) as server:
        control.send(server.endpoint)
        while not control.poll(0.5):
            server.requests.clear()


class Sample(NamedTuple):
    """What there is of everything at a moment."""

    memory: int
    descriptors: int
    threads: int
    tasks: int

    @classmethod
    def taken(cls) -> Sample:
        """Return what there is now."""
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        counts = (found.total() for found in (descriptors(), threads(), tasks()))
        return cls(pages * os.sysconf("SC_PAGE_SIZE"), *counts)


class Soak:
    """Trials of all verbs, some at a time, for so many seconds."""

    def __init__(self, bucket: str, folder: Path, seconds: float) -> None:
        self.bucket = bucket
        self.folder = folder
        self.begun = time.monotonic()
        self.seconds = seconds
        self.done = 0
        self.samples: list[Sample] = []

    async def work(self, direct: Client, options: dict[str, object]) -> None:
        """Try one verb after the other, in an order of chance, until the time is over."""
        chance = random.Random(self.done)
        while time.monotonic() - self.begun < self.seconds:
            self.done += 1
            if self.done % WITH_ONE_CLIENT == 1:
                session.set(options)
            verb = chance.choice(list(VERBS))
            place = Place(self.bucket, f"{verb}-{self.done}", self.folder / str(self.done), direct)
            place.local.mkdir()
            trial = await VERBS[verb](place)
            verdict, result = await outcome(trial)
            assert verdict == RIGHT, f"{verb}: {verdict}"
            await trial.check(result)
            shutil.rmtree(place.local)
            self.samples.append(Sample.taken())

    def check(self) -> None:
        """Compare the least that there was early with the least that there was late.

        Raises:
            AssertionError: it has become more.
        """
        third = len(self.samples) // 3
        early, late = (
            Sample(*map(min, zip(*samples, strict=True)))
            for samples in (self.samples[third : 2 * third], self.samples[2 * third :])
        )
        print(f"{self.done} trials; then {early}, in the end {late}")
        assert late.memory <= early.memory + MOST_GROWTH
        for name in ("descriptors", "threads", "tasks"):
            assert getattr(late, name) <= getattr(early, name) + MOST_MORE, name


async def soak(server: LocalServer, bucket: str, folder: Path, seconds: float) -> None:
    """Try everything for so many seconds, and check that it can go on for ever."""
    spawn = multiprocessing.get_context("spawn")
    control, other = spawn.Pipe()
    keys = server.access_key, server.secret_key
    child = spawn.Process(target=rain, args=(server.endpoint, *keys, other))
    child.start()
    other.close()  # so that its end is noticed
    try:
        options = {"endpoint": control.recv(), "retry_wait": 0.01, "idle_timeout": 2.0, **SIZES}
        running = Soak(bucket, folder, seconds)
        async with Client(Config(endpoint=server.endpoint)) as direct:
            async with asyncio.TaskGroup() as group:
                for _ in range(AT_ONCE):
                    group.create_task(running.work(direct, options))
            await session.client().aclose()
        running.check()
    finally:
        control.send("end")
        child.join()


def main() -> None:
    """Do as the environment says."""
    seconds = float(os.environ.get("SOAK_SECONDS") or "600")
    forget_other_stores()
    with LocalServer() as server, tempfile.TemporaryDirectory() as folder:
        os.environ.update(server.environment)
        server.create_bucket("soak")
        asyncio.run(soak(server, "soak", Path(folder), seconds))


if __name__ == "__main__":
    logging.disable()
    main()
