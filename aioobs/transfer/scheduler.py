"""The scheduler of a copy: workers that take their work from the same queues."""

from __future__ import annotations

import asyncio
import logging
import os
import resource
import sys
import time
from collections import deque
from typing import TYPE_CHECKING

from aioobs.calling_thread import on_loop
from aioobs.s3.client import exchange_of
from aioobs.s3.request_queue import send_queued
from aioobs.tasks import ungrouped
from aioobs.transfer.shared_parts import SharedParts
from aioobs.transfer.width import Width

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Sequence

    from aioobs.s3.client import Client
    from aioobs.s3.parts import Part
    from aioobs.s3.request_queue import QueueConnection, QueuedRequest
    from aioobs.transfer.shared_parts import Lending, Loan

    Task = Callable[[], Awaitable[None]]

__all__ = ["Scheduler"]

log: logging.Logger = logging.getLogger("aioobs.transfer")

CORES = os.cpu_count() or 1  # which takes longer to find out than a worker to start
MOST_STREAMS = 64
OTHERS = 64  # one connection in so many is for listings, and for what else there is to do
SHARE = 4  # of the descriptors that this process may have, one in so many is for a copy
STREAM = 4  # descriptors: a connection, a file, and the two ends of a pipe
AHEAD = 4  # files for each worker that are known and not done: more would only take memory
FEWEST = 100
IDLE = 0.01  # seconds for which a connection is kept without a request, about


class Scheduler:
    """So many workers do parts of big files first, then files by themselves, then short requests.

    If it *adapts*, there are more of them for as long as that makes the copy faster.

    A task handles its own failures; one that raises ends the whole run.  Requests follow one
    another on the connection of a worker, and whoever made them tells when each one has ended.
    """

    def __init__(self, client: Client, workers: int, *, adapts: bool = False) -> None:
        self._exchange = exchange_of(client)
        connections = client.config.connections
        connections -= connections // OTHERS
        first = most = most_streams = max(min(workers, connections), 1)
        if adapts:
            spare = most_descriptors() // SHARE
            most = max(min(connections, spare), first)
            most_streams = max(min(connections, spare // STREAM, MOST_STREAMS), first)
        # The event loop sees to the requests, and worker threads to the streams.
        self._requests_at_once = Width(first, most, time.thread_time, 0.9)
        self._streams = Width(first, most_streams, time.process_time, CORES / 2)
        self._workers = 0
        self._wanted = 0  # of them
        self._busy = 0  # of them, with a part or a file
        self._most = 0  # that is known and not done
        self._parts: deque[Task] = deque()
        self._files: deque[Task] = deque()
        self._requests: deque[QueuedRequest] = deque()
        self._unfinished = 0
        self._all_known = False
        self._idle_workers: deque[asyncio.Future[None]] = deque()
        self._idle_connections: list[QueueConnection] = []
        self._idle_timer: asyncio.TimerHandle | None = None
        self._shared: list[SharedParts] = []
        self._lends_all = False
        self._lendable = asyncio.Event()
        self._refusal = ""
        self._room = asyncio.Event()
        self._news = asyncio.Event()
        self._error: BaseException | None = None

    @property
    def requests_at_once(self) -> int:
        """How many short requests are under way at most, as far as is found out."""
        return self._requests_at_once.value

    async def run(self, feed: Awaitable[None], *beside: Coroutine[object, object, None]) -> None:
        """Do all that *feed* adds, and all that follows from that.

        What runs *beside* that is cancelled when all is done, or at once when this fails.
        """
        await on_loop()
        self._adapt()
        with ungrouped():
            async with asyncio.TaskGroup() as group:
                others = [group.create_task(one) for one in beside]
                group.create_task(self._lead(group, others))
                await feed
                self._all_known = True
                self._end_if_done()

    async def _lead(self, group: asyncio.TaskGroup, others: list[asyncio.Task[None]]) -> None:
        """Start workers while there is work for more; those that are too many end by themselves."""
        while self._error is None and not self._is_done():
            waiting = len(self._parts) + len(self._files) + len(self._requests)
            for _ in range(min(waiting, self._wanted - self._workers)):
                self._workers += 1
                group.create_task(self._work())
            self._news.clear()
            await self._news.wait()
        if self._error is not None:
            raise self._error
        for other in others:
            other.cancel()

    def _adapt(self) -> None:
        requests, streams = self._requests_at_once.value, self._streams.value
        log.debug("%d short requests and %d streams at the same time", requests, streams)
        self._wanted = max(requests, streams)
        self._most = max(AHEAD * self._wanted, FEWEST)
        self._news.set()
        self._room.set()
        self._wake_all()

    def fail(self, error: BaseException) -> None:
        """End the run with *error*."""
        self._error = self._error or error
        self._news.set()

    @property
    def is_full(self) -> bool:
        """Whether so much is unfinished that more has to wait."""
        return self._unfinished >= self._most

    async def wait_for_room(self) -> None:
        """Wait until more can be added."""
        while self.is_full:
            self._room.clear()
            await self._room.wait()

    def add(self, task: Task) -> None:
        """Queue the task for a file."""
        self.begin()
        self._files.append(task)
        if self._has_stream():
            self._wake()

    def add_request(self, request: QueuedRequest) -> None:
        """Queue a short request, which has been counted with `begin`."""
        self._requests.append(request)
        if self._idle_connections or self._idle_workers or self._workers < self._wanted:
            self._wake()

    def begin(self) -> None:
        """Count something that the end has to wait for."""
        self._unfinished += 1

    def end(self) -> None:
        """Count the end of that."""
        self._unfinished -= 1
        if self._unfinished <= self._most // 2:
            self._room.set()
        self._end_if_done()

    async def share(
        self,
        parts: Sequence[Part],
        move: Callable[[Part], Awaitable[None]],
        lending: Lending | None = None,
    ) -> None:
        """Have all workers *move* the parts of a file, and return when the last one is done.

        With *lending* other processes take some of them.  Called within a task.  When a part fails,
        those that have not begun are dropped, and its error is raised as soon as the others have
        ended.
        """
        shared = SharedParts(parts, move, lending)
        self._shared.append(shared)
        self._lendable.set()
        try:
            if lending is None or not self._lends_all:
                await self._move_here(shared)
            elif self._refusal:
                shared.refuse(self._refusal)
            await shared.ended()
        finally:
            shared.waiting.clear()
            await shared.ended()
            self._shared.remove(shared)
        shared.check()

    async def _move_here(self, shared: SharedParts) -> None:
        for _ in shared.waiting:
            self._parts.append(shared.take)
            if self._has_stream():
                self._wake()
        while shared.waiting:
            await shared.take()
            self._count_stream()

    def lend_all(self) -> None:
        """Leave all parts that other processes can move to them."""
        self._lends_all = True

    async def loan(self, takers: int) -> Loan | None:
        """Wait for parts that another process, one of so many, can move; `None`: all is done."""
        while not self._is_done() and not self._refusal:
            for shared in self._shared:
                if loan := shared.lend(takers):
                    return loan
            self._lendable.clear()
            await self._lendable.wait()
        return None

    def refuse_loans(self, reason: str) -> None:
        """Lend nothing more; what was left to other processes is lost, for that *reason*."""
        self._refusal = reason
        self._lendable.set()
        if self._lends_all:
            for shared in self._shared:
                shared.refuse(reason)

    def _wake(self) -> None:
        while self._idle_connections:
            if self._idle_connections.pop().resume():
                return
        while self._idle_workers:
            waiter = self._idle_workers.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return
        if self._workers < self._wanted:
            self._news.set()

    def _wake_all(self) -> None:
        while self._idle_connections or self._idle_workers:
            self._wake()

    def _is_done(self) -> bool:
        return self._all_known and not self._unfinished

    def _end_if_done(self) -> None:
        if self._is_done():
            self._wake_all()
            self._news.set()
            self._lendable.set()

    async def _work(self) -> None:
        try:
            while not self._is_done() and self._workers <= self._wanted:
                if self._has_stream():
                    self._busy += 1
                    await self._take_stream()
                    self._busy -= 1
                    self._count_stream()
                elif self._requests:
                    await send_queued(self._exchange, self)
                else:
                    waiter = asyncio.get_running_loop().create_future()
                    self._idle_workers.append(waiter)
                    await waiter
        finally:
            self._workers -= 1

    async def _take_stream(self) -> None:
        if self._parts:
            await self._parts.popleft()()
        else:
            await self._files.popleft()()
            self.end()

    def _has_stream(self) -> bool:
        return bool(self._parts or self._files) and self._busy < self._streams.value

    def _count_stream(self) -> None:
        if not (self._parts or self._files):
            self._streams.restart()
        elif self._streams.count():
            self._adapt()

    # The queue of short requests: see `RequestQueue`

    def next(self) -> QueuedRequest | None:
        """Return a short request, if there is nothing else to do first."""
        if not self._requests:
            self._requests_at_once.restart()
            return None
        if self._has_stream() or self._workers > self._wanted:
            return None
        request = self._requests.popleft()
        if self._requests_at_once.count():
            self._adapt()
        return request

    def add_idle(self, connection: QueueConnection) -> None:
        """Keep a connection for which there is none, if its worker has to wait for work."""
        if self._has_stream() or self._is_done() or self._workers > self._wanted:
            connection.resume()
            return
        self._idle_connections.append(connection)
        if self._idle_timer is None:
            self._idle_timer = asyncio.get_running_loop().call_later(IDLE, self._resume_idle)

    def _resume_idle(self) -> None:
        self._idle_timer = None
        while self._idle_connections:
            self._idle_connections.pop().resume()


def most_descriptors() -> int:
    """Return how many descriptors this process may have."""
    most, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return sys.maxsize if most == resource.RLIM_INFINITY else most
