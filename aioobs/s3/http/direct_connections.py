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
from typing import TYPE_CHECKING, NamedTuple, TypeGuard

from aioobs.errors import ObsError, ReadError
from aioobs.s3.body import BufferSink, FilePart, size_of
from aioobs.s3.http.connection_errors import stalled, unanswered
from aioobs.s3.http.idle_timeout import ENOUGH, Stopwatch
from aioobs.s3.http.response_head import may_become_head, parse_head
from aioobs.s3.request import JOINED

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from aioobs.s3.body import Body, Sink
    from aioobs.s3.http.connection_pool import PooledConnection
    from aioobs.s3.http.response_head import Head
    from aioobs.s3.http.round_trip import RoundTrip
    from aioobs.s3.request import Request, Sign

__all__ = ["BufferedReply", "DirectConnections", "PartialReply", "PollTimeout", "is_short"]

DIRECT_IDLE = 1.0  # seconds without a request, after which a connection goes back to the event loop
FIRST_READ = 72 * 1024  # bytes that are asked of the socket at first
LONGEST_WAIT = 1e6  # seconds: poll takes milliseconds in 31 bits
LONGEST_BODY = 256 * 1024  # bytes of a body
LOOKING = 0.0001  # seconds for which a thread looks for an answer before it falls asleep
NEAR = 0.0002  # seconds to an answer, sleep included, after which that is worth while


def is_short(body: Body) -> TypeGuard[bytes | bytearray | memoryview]:
    """Tell whether a thread sends a request with such a body, once it has a connection."""
    return not isinstance(body, FilePart) and size_of(body) <= JOINED


class BufferedReply:
    """A `Reply` that has come as a whole."""

    def __init__(self, head: Head, body: list[bytes | memoryview]) -> None:
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

    async def read_into(self, sink: Sink) -> None:
        """Write the body into *sink*."""
        for chunk in self._body:
            if isinstance(sink, BufferSink):
                await sink.write(chunk)
            else:
                await sink.write(bytes(chunk))
            self.received += len(chunk)

    def close(self) -> None:
        """Do nothing: the connection has been given back."""


class PartialReply(NamedTuple):
    """The beginning of an answer that is not short and plain, to be read on by the event loop."""

    pool: DirectConnections
    connection: DirectConnection
    received: bytes

    def move_to_loop(self, method: str) -> RoundTrip:
        """Return the round trip on the event loop that goes on from here."""
        return self.pool.move_to_loop(self.connection, self.received, method)

    def abort(self) -> None:
        """Close the connection, from any thread."""
        self.pool.drop(self.connection)


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
    """A parked connection, on which a thread sends a request and reads the answer."""

    __slots__ = ("_is_near", "_is_open", "_poll", "_pool", "_socket", "idle_since", "pooled")

    def __init__(
        self, pooled: PooledConnection, own: socket.socket, pool: DirectConnections
    ) -> None:
        self.pooled: PooledConnection = pooled
        self.idle_since: float = time.monotonic()
        self._socket = own
        self._socket.setblocking(False)
        self._pool = pool
        self._poll = select.poll()
        self._poll.register(self._socket, select.POLLIN)
        self._is_open = True
        self._is_near = False

    def __del__(self) -> None:
        """Close the connection of a thread that was interrupted between two steps."""
        if self._is_open:  # the collector may have closed the socket already
            self._pool.drop(self)

    def close(self) -> None:
        """Close the descriptor, which does not end the connection."""
        self._is_open = False
        self._socket.close()

    def is_good(self) -> bool:
        """Tell whether it is open, and nothing has come that nobody asked for."""
        return not (self.pooled.transport.is_closing() or self._poll.poll(0))

    def ask(
        self, request: bytes, timeout: PollTimeout, *, body_expected: bool
    ) -> BufferedReply | bytes:
        """Send a request, and return the answer, or what has come of it if there is more to it.

        Raises:
            ConnectionFailed: nothing has moved for a while, or the connection broke.
            ReadError: it broke within the body.
        """
        origin = self.pooled.origin
        try:
            self._send(request, timeout)
            data = self._receive(FIRST_READ, timeout)
            while (end := data.find(b"\r\n\r\n") + 4) < 4:
                if not may_become_head(data):
                    return data
                data += self._receive(FIRST_READ, timeout)
        except ObsError:
            raise
        except OSError as exc:
            raise unanswered(origin, f": {exc}") from exc
        head = parse_head(data[:end])
        if head is None or not head.keep:
            return data
        length = head.body_length if body_expected else 0
        if length is None or not 0 <= (missing := length + end - len(data)) <= LONGEST_BODY:
            return data
        body: list[bytes | memoryview] = [memoryview(data)[end:]] if end < len(data) else []
        try:
            while missing:
                timeout.progress(ENOUGH if not body else len(body[-1]))
                body.append(self._receive(missing, timeout))
                missing -= len(body[-1])
        except ObsError:
            raise
        except OSError as exc:
            raise ReadError(
                f"the answer of {origin} broke off, {missing} bytes short: {exc}"
            ) from exc
        return BufferedReply(head, body)

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

    def _wait(self, timeout: PollTimeout) -> None:
        """Wait until something has come.

        An answer that is known to come at once is looked for again and again: to fall asleep and be
        woken takes longer, and as much of the CPU.
        """
        began = time.perf_counter()
        if not (self._is_near and self._pool.has_one_user()):
            timeout.wait(self._poll)
            self._is_near = time.perf_counter() < began + NEAR
            return
        while self._is_near and not self._poll.poll(0):
            self._is_near = time.perf_counter() < began + LOOKING
        if not self._is_near:
            timeout.wait(self._poll)

    def _receive(self, size: int, timeout: PollTimeout) -> bytes:
        self._wait(timeout)
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
        self._idle: dict[str, list[DirectConnection]] = {}
        self._count = 0  # of the parked ones, those in use as well
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False

    def add(self, pooled: PooledConnection) -> None:
        """Park a connection on which no answer is outstanding, for threads to take.

        Raises:
            OSError: there are no descriptors left; the connection is as it was.
        """
        # A descriptor of its own: the event loop may close the other one at any time.
        number = os.dup(pooled.transport.get_extra_info("socket").fileno())
        connection = DirectConnection(pooled, socket.socket(fileno=number), self)
        pooled.transport.pause_reading()
        self._count += 1
        self._idle.setdefault(pooled.origin, []).append(connection)
        if self._timer is None:
            self._timer = self._loop.call_later(DIRECT_IDLE, self._return_idle)

    def has_room(self) -> bool:
        """Tell whether there may be one more."""
        return self._count < self._most and not self._closed

    def has_one_user(self) -> bool:
        """Tell a thread that has a connection whether no other one has, as far as can be told."""
        return self._count - sum(map(len, list(self._idle.values()))) == 1

    def _acquire(self, origin: str) -> DirectConnection | None:
        idle = self._idle.get(origin)
        while idle:
            try:
                connection = idle.pop()
            except IndexError:  # another thread was faster
                return None
            try:
                if connection.is_good():
                    return connection
            except BaseException:
                self.drop(connection)
                raise
            self.drop(connection)
        return None

    def _remove(self, connection: DirectConnection) -> None:
        with suppress(ValueError):  # a thread has taken it, and comes here afterwards
            self._idle[connection.pooled.origin].remove(connection)
            self.drop(connection)

    def ask(
        self, request: Request, sign: Sign, timeout: PollTimeout
    ) -> BufferedReply | PartialReply | ObsError | None:
        """Send a request and return what came of it, from any thread.

        `None`: it has not been sent, and has to be from the event loop.
        """
        body = request.body
        if not is_short(body):
            return None
        try:
            signed = sign(request)
        except ObsError:  # it is found again there, and told
            return None
        head = signed.head
        data = head + body if body else head
        # From here on until it is let go, Ctrl-C finds each call in a `try`, and the connection
        # is dropped: the destructor may come late, for a traceback keeps alive what it shows.
        connection = self._acquire(signed.origin)
        if connection is None:
            return None
        try:
            answer = connection.ask(data, timeout, body_expected=request.method != "HEAD")
            if isinstance(answer, bytes):
                return PartialReply(self, connection, answer)
            connection.idle_since = time.monotonic()
        except ObsError as error:
            self.drop(connection)
            return error
        except BaseException:
            self.drop(connection)
            raise
        self._idle[signed.origin].append(connection)
        if self._closed:
            self._remove(connection)
        return answer

    def drop(self, connection: DirectConnection) -> None:
        """Close a connection, from any thread."""
        connection.close()
        with suppress(RuntimeError):  # the loop is closed, and has closed it
            self._loop.call_soon_threadsafe(self._drop_on_loop, connection)

    def move_to_loop(self, connection: DirectConnection, received: bytes, method: str) -> RoundTrip:
        """Return the round trip on the event loop of which so much has been *received*."""
        self._unpark(connection)
        round_trip = self._round_trip(connection.pooled, method)
        round_trip.data_received(received)
        if connection.pooled.transport.is_closing():  # which nobody was told then
            round_trip.lost(None)
        return round_trip

    def _unpark(self, connection: DirectConnection) -> None:
        self._count -= 1
        connection.close()
        connection.pooled.transport.resume_reading()

    def _drop_on_loop(self, connection: DirectConnection) -> None:
        self._count -= 1
        connection.pooled.close()

    def _return_idle(self) -> None:
        self._return(time.monotonic() - DIRECT_IDLE)
        self._timer = self._loop.call_later(DIRECT_IDLE, self._return_idle) if self._count else None

    def _return(self, before: float) -> None:
        """Give back to aiohttp what has been idle since *before*, or longer."""
        for idle in self._idle.values():
            for connection in list(idle):
                if connection.idle_since <= before:
                    with suppress(ValueError):  # a thread has taken it meanwhile
                        idle.remove(connection)
                        self._unpark(connection)
                        connection.pooled.release()

    def close(self) -> None:
        """Give all idle connections back to aiohttp."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        self._return(time.monotonic())
