"""Short requests of blocking calls, sent and answered on the thread of the caller.

For that the event loop parks connections, one for each thread that asks at the same time: it does
not listen on them until they are idle for a while, or needed for an answer that is not short and
plain.
"""

from __future__ import annotations

import asyncio
import os
import select
import socket
import time
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from aioobs.errors import ObsError, ReadError
from aioobs.s3.body import FilePart, size_of
from aioobs.s3.connection_errors import stalled, unanswered
from aioobs.s3.idle_timeout import ENOUGH, Stopwatch
from aioobs.s3.request import JOINED, head_of
from aioobs.s3.response_head import may_become_head, parse_head

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from aioobs.s3.body import Sink
    from aioobs.s3.connection_pool import PooledConnection
    from aioobs.s3.request import Request, Sign
    from aioobs.s3.response_head import Head
    from aioobs.s3.round_trip import RoundTrip

__all__ = ["DirectConnections", "PollTimeout", "Unfinished", "WholeReply"]

IDLE = 1.0  # seconds without a request, after which a connection goes back to the event loop
FIRST = 72 * 1024  # bytes that are asked of the socket at first
LONGEST_WAIT = 1e6  # seconds: poll takes milliseconds in 31 bits
LONGEST = 256 * 1024  # bytes of a body


class WholeReply:
    """A `Reply` that has come as a whole."""

    def __init__(self, head: Head, body: list[bytes]) -> None:
        self.status: int = head.status
        self.reason: str = head.reason
        self.headers: Mapping[str, str] = head.headers
        self.length: int | None = head.length
        self.received: int = 0
        self._body = body

    async def read(self, limit: int | None = None) -> bytes:
        """Return the body, which is shorter than any limit."""
        data = b"".join(self._body)
        self.received = len(data)
        return data

    async def pour(self, sink: Sink) -> None:
        """Write the body into *sink*."""
        for chunk in self._body:
            await sink.write(chunk)
            self.received += len(chunk)

    def close(self) -> None:
        """Nothing is open."""


class Unfinished(NamedTuple):
    """A request whose answer is not short and plain, and what has come of that."""

    pool: DirectConnections
    line: DirectConnection
    data: bytes

    def go_on(self, method: str) -> RoundTrip:
        """Return what the request and its answer are on the event loop."""
        return self.pool.go_on(self.line, self.data, method)

    def give_up(self) -> None:
        """End it, from any thread."""
        self.pool.drop(self.line)


class PollTimeout(Stopwatch):
    """Ends the waits of a thread, of which all together take *limit* seconds at most."""

    __slots__ = ("_limit",)

    def __init__(self, seconds: float, limit: float | None) -> None:
        super().__init__(min(seconds, LONGEST_WAIT))
        self._limit = limit

    def wait(self, poll: select.poll) -> None:
        """Wait until something can move.

        Raises:
            ConnectionFailed: too little did for too long.
        """
        left = self.left()
        if self._limit is not None:
            left = min(left, self._limit - self.elapsed())
        if not poll.poll(max(left, 0.0) * 1000):
            raise stalled(self.seconds)


class DirectConnection:
    """A connection that a thread speaks on."""

    __slots__ = ("_poll", "_socket", "idle_since", "pooled")

    def __init__(self, pooled: PooledConnection) -> None:
        self.pooled: PooledConnection = pooled
        self.idle_since: float = time.monotonic()
        # A descriptor of its own: the event loop may close the other one at any time.
        number = pooled.transport.get_extra_info("socket").fileno()
        self._socket = socket.socket(fileno=os.dup(number))
        self._socket.setblocking(False)
        self._poll = select.poll()
        self._poll.register(self._socket, select.POLLIN)

    def close(self) -> None:
        """Close the descriptor, which does not end the connection."""
        self._socket.close()

    def is_good(self) -> bool:
        """Tell whether nothing has come, nor the end."""
        return not (self.pooled.transport.is_closing() or self._poll.poll(0))

    def ask(
        self, request: bytes, timeout: PollTimeout, *, body_expected: bool
    ) -> WholeReply | bytes:
        """Send a request, and return the answer, or what has come of it if there is more to it.

        Raises:
            ConnectionFailed: nothing has moved for a while, or the connection broke.
            ReadError: it broke within the body.
        """
        origin = self.pooled.origin
        try:
            self._send(request, timeout)
            data = self._receive(FIRST, timeout)
            while (end := data.find(b"\r\n\r\n") + 4) < 4:
                if not may_become_head(data):
                    return data
                data += self._receive(FIRST, timeout)
        except ConnectionError as exc:
            raise unanswered(origin, f": {exc}") from exc
        head = parse_head(data[:end])
        if head is None or head.length is None or not head.keep:
            return data
        missing = head.length + end - len(data) if body_expected else end - len(data)
        if not 0 <= missing <= LONGEST:
            return data
        body = [data[end:]] if end < len(data) else []
        try:
            while missing:
                timeout.progress(ENOUGH if not body else len(body[-1]))
                body.append(self._receive(missing, timeout))
                missing -= len(body[-1])
        except ConnectionError as exc:
            raise ReadError(
                f"the answer of {origin} broke off, {missing} bytes short: {exc}"
            ) from exc
        return WholeReply(head, body)

    def _send(self, request: bytes, timeout: PollTimeout) -> None:
        sent = self._socket.send(request)
        while sent < len(request):
            writable = select.poll()
            writable.register(self._socket, select.POLLOUT)
            timeout.wait(writable)
            with suppress(BlockingIOError):
                count = self._socket.send(memoryview(request)[sent:])
                timeout.progress(count)
                sent += count

    def _receive(self, size: int, timeout: PollTimeout) -> bytes:
        timeout.wait(self._poll)
        data = self._socket.recv(size)
        if not data:
            raise ConnectionResetError("it was closed")
        return data


class DirectConnections:
    """The connections of an event loop that threads may take.

    What other threads call is said to be for any thread; everything else is for the loop's.
    """

    def __init__(self, round_trip: Callable[[PooledConnection, str], RoundTrip], most: int) -> None:
        self._loop = asyncio.get_running_loop()
        self._round_trip = round_trip
        self._most = most
        self._free: dict[str, list[DirectConnection]] = {}
        self._count = 0  # those in use as well
        self._look: asyncio.TimerHandle | None = None
        self._closed = False

    def add(self, pooled: PooledConnection) -> None:
        """Let threads have a connection on which all is said and done.

        Raises:
            OSError: there are no descriptors left; it is as it was.
        """
        line = DirectConnection(pooled)
        pooled.transport.pause_reading()
        self._count += 1
        self._free.setdefault(pooled.origin, []).append(line)
        if self._look is None:
            self._look = self._loop.call_later(IDLE, self._return_idle)

    def has_room(self) -> bool:
        """Tell whether there may be one more."""
        return self._count < self._most and not self._closed

    def _take(self, origin: str) -> DirectConnection | None:
        free = self._free.get(origin)
        while free:
            try:
                line = free.pop()
            except IndexError:  # another thread was faster
                return None
            if line.is_good():
                return line
            self.drop(line)
        return None

    def _put(self, line: DirectConnection) -> None:
        line.idle_since = time.monotonic()
        free = self._free[line.pooled.origin]
        free.append(line)
        if self._closed:
            with suppress(ValueError):
                free.remove(line)
                self.drop(line)

    def ask(
        self, request: Request, sign: Sign, timeout: PollTimeout
    ) -> WholeReply | Unfinished | ObsError | None:
        """Send a request and return what came of it, from any thread.

        `None`: it has not been sent, and has to be from the event loop.
        """
        if isinstance(request.body, FilePart) or size_of(request.body) > JOINED:
            return None
        try:
            origin, target, headers = sign(request)
        except ObsError:  # it is found again there, and told
            return None
        line = self._take(origin)
        if line is None:
            return None
        head = head_of(request.method, target, headers)
        data = head + request.body if request.body else head
        try:
            answer = line.ask(data, timeout, body_expected=request.method != "HEAD")
        except ObsError as error:
            self.drop(line)
            return error
        except BaseException:
            self.drop(line)
            raise
        if isinstance(answer, bytes):
            return Unfinished(self, line, answer)
        self._put(line)
        return answer

    def drop(self, line: DirectConnection) -> None:
        """Close a connection, from any thread."""
        line.close()
        with suppress(RuntimeError):  # the loop is closed, and has closed it
            self._loop.call_soon_threadsafe(self._end, line)

    def go_on(self, line: DirectConnection, data: bytes, method: str) -> RoundTrip:
        """Return what a request and its answer, of which *data* have come, are on the loop."""
        self._take_off(line)
        round_trip = self._round_trip(line.pooled, method)
        round_trip.data_received(data)
        if line.pooled.transport.is_closing():  # which nobody was told then
            round_trip.lost(None)
        return round_trip

    def _take_off(self, line: DirectConnection) -> None:
        self._count -= 1
        line.close()
        line.pooled.transport.resume_reading()

    def _end(self, line: DirectConnection) -> None:
        self._count -= 1
        line.pooled.close()

    def _return_idle(self) -> None:
        before = time.monotonic() - IDLE
        self._return([line for free in self._free.values() for line in free], before)
        self._look = self._loop.call_later(IDLE, self._return_idle) if self._count else None

    def _return(self, lines: list[DirectConnection], before: float) -> None:
        for line in lines:
            if line.idle_since <= before:
                with suppress(ValueError):  # a thread has taken it meanwhile
                    self._free[line.pooled.origin].remove(line)
                    self._take_off(line)
                    line.pooled.release()

    def close(self) -> None:
        """Give all that nobody uses back."""
        self._closed = True
        if self._look is not None:
            self._look.cancel()
        self._return([line for free in self._free.values() for line in free], time.monotonic())
