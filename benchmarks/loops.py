"""Event loops as whoever cares for speed uses them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterable

T = TypeVar("T")


def new_event_loop() -> asyncio.AbstractEventLoop:
    """Return uvloop's loop if it is installed, else asyncio's own."""
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()


class Work:
    """A loop that lasts, and in which so many things are done at a time."""

    def __init__(self, concurrency: int) -> None:
        self._runner = asyncio.Runner(loop_factory=new_event_loop)
        self._slots = asyncio.Semaphore(concurrency)

    def run(self, coroutine: Coroutine[None, None, T]) -> T:
        """Return what *coroutine* returns."""
        return self._runner.run(coroutine)

    async def gather(self, jobs: Iterable[Coroutine[None, None, None]]) -> None:
        """Do all *jobs*; the first one that fails ends the others."""
        async with asyncio.TaskGroup() as group:
            for job in jobs:
                group.create_task(self._do(job))

    async def _do(self, job: Coroutine[None, None, None]) -> None:
        async with self._slots:
            await job
