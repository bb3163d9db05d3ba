"""Short requests that follow one another on a connection, without a task for each of them.

What is taken here is the answer that nearly always comes: status 200, of a length that is
announced and expected, and nothing around it.  At the first sign of anything else the request
goes on as any other one does, with the bytes that have come: see `Exchange.call`.
"""

from __future__ import annotations

import asyncio
import time
from abc import ABC, abstractmethod
from contextvars import copy_context
from typing import TYPE_CHECKING, Protocol

from aioobs.errors import ObsError
from aioobs.s3.body import FilePart, size_of
from aioobs.s3.http.connection_errors import stalled
from aioobs.s3.http.idle_timeout import ENOUGH, Stopwatch
from aioobs.s3.http.response_head import LONGEST_HEAD, parse_head

if TYPE_CHECKING:
    from aioobs.s3.call_in_progress import Begun
    from aioobs.s3.exchange import Exchange
    from aioobs.s3.http.concurrency import ConcurrencyLimit
    from aioobs.s3.http.connection_pool import PooledConnection
    from aioobs.s3.http.lean_transport import LeanTransport
    from aioobs.s3.http.response_head import Head
    from aioobs.s3.http.round_trip import RoundTrip
    from aioobs.s3.request import Request, Sign

    Stopped = tuple["QueuedRequest", Begun | None]

__all__ = ["QueueConnection", "QueuedRequest", "RequestQueue", "send_queued"]

GOOD_STATUS = b"HTTP/1.1 200"
LONGEST_RUN = 0.5  # seconds, after which credentials are asked for again
SHARED_RUN = 0.01  # seconds, after which others get a turn that wait for one, as a listing may
CHECKS = 4  # of what has been sent, in the time in which there has to be progress


class QueuedRequest(ABC):
    """A short request that may be sent twice, and what becomes of its answer."""

    __slots__ = ("request",)

    def __init__(self, request: Request) -> None:
        self.request: Request = request

    @abstractmethod
    def expects(self, head: Head) -> bool:
        """Tell whether the head is that of the expected answer."""

    @abstractmethod
    def take(self, head: Head, body: list[memoryview]) -> bool:
        """Use the whole answer; return whether it was the expected one."""

    @abstractmethod
    async def perform(self, exchange: Exchange, begun: Begun | None) -> None:
        """Do it by `Exchange.call`, with retries, from what has *begun* of it on."""


class RequestQueue(Protocol):
    """Where requests come from."""

    def next(self) -> QueuedRequest | None:
        """Return a request; `None`: there is none, or something else to do first."""
        ...

    def add_idle(self, connection: QueueConnection) -> None:
        """Keep a connection for which there is none, to `resume` it when there is, or soon."""
        ...


async def send_queued(exchange: Exchange, queue: RequestQueue) -> None:
    """Send the requests of a queue, one after the other on one connection, until there is none.

    What the methods of a request raise ends it.
    """
    while (queued := queue.next()) is not None:
        begun: Begun | None = None
        lean = await exchange.lean(queued.request)
        if lean is not None:
            stopped = await send_in_a_row(exchange, lean, queued, queue)
            if stopped is None:
                continue
            queued, begun = stopped
        try:
            await queued.perform(exchange, begun)
        finally:
            if begun is not None and not isinstance(begun, ObsError):
                begun.close()


async def send_in_a_row(
    exchange: Exchange, lean: LeanTransport, queued: QueuedRequest, queue: RequestQueue
) -> Stopped | None:
    """Send requests until there is none, or one that cannot be done here: return that."""
    connections = await exchange.connections.get()
    async with connections.slots:
        try:
            sign = await exchange.access.signing()
            pooled = await lean.pool.borrow(exchange.access.origin(queued.request.bucket))
        except ObsError as error:
            return queued, error
        if pooled is None:
            return queued, None
        slots = connections.slots
        return await QueueConnection(exchange, lean, pooled, queue, sign, slots).run(queued)


class QueueConnection:
    """One connection, on which the requests of a queue are sent one after the other."""

    __slots__ = (
        "_began",
        "_body",
        "_context",
        "_counters",
        "_head",
        "_head_data",
        "_is_idle",
        "_is_let_go",
        "_lean",
        "_loop",
        "_missing",
        "_observer",
        "_pooled",
        "_queue",
        "_queued",
        "_sign",
        "_slots",
        "_stopped",
        "_stopwatch",
        "_timer",
        "_unsent",
    )

    _head: Head
    _queued: QueuedRequest
    _timer: asyncio.TimerHandle

    def __init__(
        self,
        exchange: Exchange,
        lean: LeanTransport,
        pooled: PooledConnection,
        queue: RequestQueue,
        sign: Sign,
        slots: ConcurrencyLimit,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._observer = exchange.observer
        self._counters = exchange.observer.counters
        # What a connection tells comes in the context of whoever opened it.
        self._context = copy_context() if exchange.observer.has_listeners() else None
        self._lean = lean
        self._pooled = pooled
        self._queue = queue
        self._is_idle = False
        self._is_let_go = False  # the connection, which may be another's by now
        self._sign = sign
        self._stopwatch = Stopwatch(exchange.config.idle_timeout)
        self._head_data = b""  # of the head, or what has come of it
        self._body: list[memoryview] = []
        self._missing = -1  # bytes of the body; -1: the head has not come as a whole
        self._stopped: asyncio.Future[Stopped | None] = self._loop.create_future()
        self._unsent = 0  # bytes of a request when that was last checked
        self._slots = slots
        self._began = time.monotonic()

    async def run(self, queued: QueuedRequest) -> Stopped | None:
        """Send requests, *queued* first, until there is none, or one that cannot be done here."""
        self._timer = self._loop.call_later(self._stopwatch.seconds / CHECKS, self._check)
        self._pooled.user = self
        try:
            self._send(queued)
            return await self._stopped
        except BaseException:
            if not self._is_let_go:
                self._pooled.close()
            raise
        finally:
            self._timer.cancel()

    def _send(self, queued: QueuedRequest) -> None:
        self._queued = queued
        self._stopwatch.restart()
        try:
            signed = self._sign(queued.request)
        except ObsError:  # whoever does it now finds that as well, and tells it
            signed = None
        if signed is None or signed.origin != self._pooled.origin:
            self._finish((queued, None))
            return
        head, body = signed.head, signed.body
        assert not isinstance(body, FilePart)
        self._unsent = len(body)
        self._lean.pool.send_soon(self._pooled, *((head, body) if body else (head,)))

    def _finish(self, stopped: Stopped | None) -> None:
        """Give the connection back: no answer is outstanding on it."""
        if self._pooled.is_good():
            self._is_let_go = True
            self._lean.pool.give_back(self._pooled)
            self._stopped.set_result(stopped)
        else:
            self._close(stopped)

    def _close(self, stopped: Stopped | None) -> None:
        """Close the connection."""
        self._is_let_go = True
        self._pooled.close()
        self._stopped.set_result(stopped)

    def _next(self, now: float) -> None:
        self._head_data, self._body, self._missing = b"", [], -1
        if now - self._began >= (SHARED_RUN if self._slots.is_wanted else LONGEST_RUN):
            self._finish(None)
        elif queued := self._queue.next():
            self._send_if_safe(queued)
        else:
            self._is_idle = True
            self._queue.add_idle(self)

    def resume(self) -> bool:
        """Send the next request, or finish if there is none; tell whether it was idle still."""
        if self._stopped.done():
            return False
        self._is_idle = False
        if queued := self._queue.next():
            self._send_if_safe(queued)
        else:
            self._finish(None)
        return True

    def _send_if_safe(self, queued: QueuedRequest) -> None:
        if queued.request.method != "GET" and not self._pooled.is_good():
            # Of two answers to one write the second must not be taken for that to the next one.
            self._finish((queued, None))
        else:
            self._send(queued)

    def _check(self) -> None:
        """Give the request up if neither it nor its answer makes progress."""
        if self._stopped.done():
            return
        stopwatch, unsent = self._stopwatch, self._pooled.transport.get_write_buffer_size()
        if self._is_idle:
            stopwatch.restart()
        else:
            stopwatch.progress(self._unsent - unsent)
        self._unsent = unsent
        left = stopwatch.left()
        if left > 0:
            pause = min(left, stopwatch.seconds / CHECKS)
            self._timer = self._loop.call_later(pause, self._check)
        else:
            self._close((self._queued, stalled(stopwatch.seconds)))

    def _hand_over(self) -> RoundTrip:
        """Leave the answer, and what has come of it, to `Exchange.call`."""
        round_trip = self._lean.round_trip(self._pooled, self._queued.request.method)
        round_trip.data_received(b"".join((self._head_data, *self._body)))
        self._stopped.set_result((self._queued, round_trip))
        return round_trip

    # Callbacks of the connection

    def data_received(self, data: bytes) -> None:
        """Receive bytes of an answer; see `asyncio.Protocol`."""
        if self._stopped.done():  # it was cancelled a moment ago
            return
        if self._is_idle:  # nobody has asked for it
            self.lost(None)
            return
        try:
            self._receive(data)
        except BaseException as error:  # noqa: BLE001 - raised where the request comes from
            if not self._stopped.done():
                self._stopped.set_exception(error)

    def _receive(self, data: bytes) -> None:
        if self._missing < 0:
            data = self._head_data + data if self._head_data else data
            end = data.find(b"\r\n\r\n") + 4
            if end < 4 and len(data) < LONGEST_HEAD and data.startswith(GOOD_STATUS[: len(data)]):
                self._head_data = data
                return
            self._head_data = data[:end]
            rest = memoryview(data)[end:]
            head = parse_head(self._head_data)
            if (
                head is None
                or head.status != 200
                or head.length is None
                or not head.keep
                or not self._queued.expects(head)
            ):
                self._body = [rest]
                self._hand_over()
                return
            self._head, self._missing = head, head.length
            moved = ENOUGH
        else:
            rest = memoryview(data)
            moved = len(rest)
        self._body.append(rest)
        self._missing -= len(rest)
        if self._missing > 0:
            self._stopwatch.progress(moved)
            return
        unsent = self._queued.request.body and self._pooled.transport.get_write_buffer_size()
        if self._missing or unsent or not self._queued.take(self._head, self._body):
            self._hand_over()
        else:
            now = time.monotonic()
            self._count(now - self._stopwatch.began)
            self._next(now)

    def _count(self, seconds: float) -> None:
        request = self._queued.request
        sent, received = size_of(request.body), self._head.length or 0
        self._counters[request.operation].add(seconds, sent, received)
        if self._context is not None:
            self._context.run(self._observer.single_attempt, request, self._head, seconds)

    def lost(self, exc: Exception | None) -> None:
        """Learn that the connection has ended."""
        if self._stopped.done():
            return
        if self._is_idle:
            self._close(None)
        else:
            self._hand_over().lost(exc)

    def pause_writing(self) -> None:
        """Do nothing: what is sent is short, and waits in memory."""

    def resume_writing(self) -> None:
        """Do nothing, for the same reason."""
