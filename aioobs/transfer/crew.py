"""The scheduler of a copy: workers that share one line of work."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterable

    Task = Callable[[], Awaitable[None]]

__all__ = ["Crew"]

READ_AHEAD = 2000


class Crew:
    """So many workers do the files of a job in order, and the parts of big files before new files.

    A task handles its own failures; one that raises ends the whole run.
    """

    def __init__(self, workers: int) -> None:
        self._workers = max(workers, 1)
        self._files: deque[Task] = deque()
        self._parts: deque[Task] = deque()
        self._unfinished = 0
        self._all_known = False
        self._idle: deque[asyncio.Future[None]] = deque()
        self._room = asyncio.Event()

    async def run(self, files: AsyncIterator[Task]) -> None:
        """Do all of *files*, which are asked for some way ahead of the work."""
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(self._workers):
                    group.create_task(self._work())
                await self._feed(files)
        except BaseExceptionGroup as errors:
            error = first_of(errors)
            raise error from error.__cause__

    async def share(self, parts: Iterable[Task]) -> None:
        """Have the whole crew do the parts of a file, and return when the last one is done.

        Called within a task.  When a part fails, those that have not begun are dropped, and its
        error is raised as soon as the others have ended.
        """
        batch = Batch(parts)
        share = batch.take
        for _ in range(min(len(batch.waiting), self._workers)):
            self._add(self._parts, share)
        try:
            while batch.waiting:
                await batch.take()
        finally:
            batch.waiting.clear()
            await batch.ended()
        batch.check()

    async def _feed(self, files: AsyncIterator[Task]) -> None:
        async for task in files:
            while len(self._files) >= READ_AHEAD:
                self._room.clear()
                await self._room.wait()
            self._add(self._files, task)
        self._all_known = True
        self._end_if_done()

    def _add(self, line: deque[Task], task: Task) -> None:
        line.append(task)
        self._unfinished += 1
        self._wake()

    def _wake(self) -> None:
        while self._idle:
            waiter = self._idle.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return

    def _end_if_done(self) -> None:
        if self._all_known and not self._unfinished:
            while self._idle:
                self._wake()

    async def _work(self) -> None:
        while task := await self._next():
            await task()
            self._unfinished -= 1
            self._end_if_done()

    async def _next(self) -> Task | None:
        while True:
            if self._parts:
                return self._parts.popleft()
            if self._files:
                if len(self._files) <= READ_AHEAD // 2:
                    self._room.set()
                return self._files.popleft()
            if self._all_known and not self._unfinished:
                return None
            waiter = asyncio.get_running_loop().create_future()
            self._idle.append(waiter)
            await waiter


class Batch:
    """The parts of one file."""

    def __init__(self, parts: Iterable[Task]) -> None:
        self.waiting = deque(parts)
        self._running = 0
        self._error: Exception | None = None
        self._all_ended: asyncio.Future[None] | None = None

    async def take(self) -> None:
        """Do parts until none waits."""
        while self.waiting:
            part = self.waiting.popleft()
            self._running += 1
            try:
                await part()
            except Exception as error:  # noqa: BLE001 - raised by check(), in the file's own task
                self._error = self._error or error
                self.waiting.clear()
            finally:
                self._running -= 1
                if not self._running and self._all_ended and not self._all_ended.done():
                    self._all_ended.set_result(None)

    async def ended(self) -> None:
        """Return when no part is under way any more."""
        while self._running:
            self._all_ended = asyncio.get_running_loop().create_future()
            await self._all_ended

    def check(self) -> None:
        """Raise the error of the first part that failed."""
        if self._error is not None:
            raise self._error


def first_of(errors: BaseExceptionGroup[BaseException]) -> BaseException:
    """Return the first error that is not itself a group."""
    error: BaseException = errors
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
