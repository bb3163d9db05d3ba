"""A lean HTTP/1.1 on aiohttp's connections.

Connections, with their names, TLS, limits and keep-alive, are aiohttp's; only what is said on
them is ours.  One shape of answer is accepted: a status line, headers, and a body of announced
length or in chunks.  An answer of any other shape ends its connection, and for some minutes
requests to that place go to aiohttp's own session, which knows them all.  A connection is used
again only if every byte on it is accounted for.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, NamedTuple

from aioobs.errors import ConnectionFailed, ReadError
from aioobs.s3 import body as bodies
from aioobs.s3.http.chunked_body import ChunkedBody
from aioobs.s3.http.connection_errors import tls_hint, unanswered
from aioobs.s3.http.pump import NoThread, can_pump, receive_into, send_body
from aioobs.s3.http.response_head import (
    LONGEST_HEAD,
    is_foreign,
    may_become_head,
    parse_head,
)
from aioobs.s3.http.tls import SharedTLS
from aioobs.s3.request import JOINED

if TYPE_CHECKING:
    from aioobs.s3.body import Body
    from aioobs.s3.http.connection_pool import ConnectionPool, PooledConnection
    from aioobs.s3.http.idle_timeout import Progress
    from aioobs.s3.http.response_head import Head

__all__ = ["RoundTrip"]

BUFFERED = 512 * 1024  # bytes of a body that wait for their reader
LOOK_OUT = 0.5  # seconds between two looks whether the other side is still there
PUMPED = 256 * 1024  # from this size on a worker thread moves the body


def nothing(count: int) -> None:
    """Take the report of a progress that nobody watches."""


class Place(NamedTuple):
    """Where a worker thread moves a body."""

    descriptor: int
    tls: SharedTLS | None


class RoundTrip:
    """One request and its answer on a connection."""

    __slots__ = (
        "_body_expected",
        "_buffer",
        "_chunked",
        "_chunks",
        "_error",
        "_keep",
        "_loop",
        "_origin",
        "_pool",
        "_pooled",
        "_sent",
        "_strange",
        "_unsure",
        "_waiter",
        "_writable",
        "answer",
        "progress",
        "remaining",
        "transport",
    )

    answer: Head

    def __init__(self, pool: ConnectionPool, pooled: PooledConnection, *, method: str) -> None:
        self._loop = asyncio.get_running_loop()
        self._pool = pool
        self._pooled: PooledConnection | None = pooled
        self.transport: asyncio.Transport = pooled.transport
        self._origin = pooled.origin
        self.progress: Progress = nothing
        self._body_expected = method != "HEAD"
        self._buffer = b""
        self._chunks: deque[bytes] = deque()
        self._waiter: asyncio.Future[None] | None = None
        self._writable: asyncio.Future[None] | None = None
        self._error: Exception | None = None
        self._sent = True
        self._unsure = False
        self._keep = True
        self._strange = False
        self._chunked: ChunkedBody | None = None
        # Bytes of the body that have not arrived, 1 if it is in chunks; -1: nor has the head.
        self.remaining: int = -1
        pooled.user = self

    def _place(self) -> Place | None:
        """Return where a worker thread can move a body, if it can."""
        if self.transport.is_closing() or not can_pump():
            return None
        tls = self.transport.get_extra_info("ssl_object")
        found = self.transport.get_extra_info("socket")
        if found is None or not (tls is None or isinstance(tls, SharedTLS)):
            return None
        return Place(int(found.fileno()), tls)

    async def send(self, head: bytes, body: Body) -> None:
        """Send the request; an answer that comes before its end stops it."""
        size = bodies.size_of(body)
        if size <= JOINED and not isinstance(body, bodies.FilePart):
            assert self._pooled is not None
            self._pool.send_soon(self._pooled, *((head, body) if size else (head,)))
            return
        place = self._place() if size >= PUMPED else None
        if place is not None and place.tls is not None:
            # The last words of the handshake, which uvloop sends when nothing else is left to do.
            await asyncio.sleep(0)
            place = self._place()
        if place is not None:
            self._sent = await self._pump(place, head, body)
        else:
            self._sent = await self._write(head, body)

    async def _pump(self, place: Place, head: bytes, body: Body) -> bool:
        descriptor, tls = place
        try:
            return await send_body(descriptor, head, body, self.progress, self._is_over, tls)
        except NoThread:
            return await self._write(head, body)
        except ConnectionFailed:
            # Some servers refuse a long request and close at once: the answer may still be read.
            while not self._is_over():
                await self._event()
            return False  # `head` raises if there is none

    async def _write(self, head: bytes, body: Body) -> bool:
        self._unsure = True
        async for chunk in bodies.chunks(body):
            if self._is_over():
                return False
            self.transport.write(head + chunk if head else chunk)
            head = b""
            while self._writable is not None:
                await self._look_out(self._writable)
            self.progress(len(chunk))
        if head:  # nothing follows it
            self.transport.write(head)
        return True

    def _is_over(self) -> bool:
        """Tell whether nobody needs the rest of the request: there is an answer, or never will."""
        return self.remaining >= 0 or self._error is not None

    async def head(self) -> bool:
        """Wait for the head; return whether the answer is of the shape accepted here."""
        while self.remaining < 0:
            self._check()
            await self._event()
        self._sent = self._sent and not self.transport.get_write_buffer_size()
        if not (self._sent or self._strange) and self.answer.status < 300:
            raise ConnectionFailed(f"{self._origin} reported success before it had the whole body")
        self._release_if_done()
        return not self._strange

    async def more(self) -> bytes:
        """Return the next bytes of the body; b"" after its end."""
        while not self._chunks:
            if not self.remaining:
                self._release_if_done()
                return b""
            self._check()
            self.transport.resume_reading()
            await self._event()
        if len(self._chunks) == 1:
            data = self._chunks.popleft()
        else:
            data = b"".join(self._chunks)
            self._chunks.clear()
        self.progress(len(data))
        self._release_if_done()
        return data

    async def pump_into(self, sink: bodies.DirectSink) -> bool:
        """Have a worker thread move the rest of the body; `False`: it is not for that."""
        if self.remaining < PUMPED or self._place() is None:
            return False
        while self._chunks:
            await sink.write(self._chunks.popleft())
        place = self._place()
        if place is None:  # it has been closed meanwhile
            return False
        descriptor, tls = place
        before = sink.received
        if tls is not None:
            # The event loop leaves in the socket what is more than the limit.
            self.transport.set_read_buffer_limits(0)  # type: ignore[attr-defined]
        try:
            clean = await receive_into(descriptor, self.remaining, sink, self.progress, tls)
        except NoThread:
            return False
        finally:
            self.remaining -= sink.received - before
            if tls is not None and not self.transport.is_closing():
                self.transport.set_read_buffer_limits()  # type: ignore[attr-defined]
        self._keep = self._keep and clean
        self._release_if_done()
        return True

    def _check(self) -> None:
        if self._error is not None:
            raise self._error

    async def _look_out(self, waiter: asyncio.Future[None]) -> None:
        # uvloop goes on waiting to send over TLS when the other side has long gone.
        unsent = self.transport.get_write_buffer_size()
        while not waiter.done():
            await asyncio.wait([waiter], timeout=LOOK_OUT)
            before, unsent = unsent, self.transport.get_write_buffer_size()
            self.progress(before - unsent)
            if not waiter.done() and self._pooled is not None and self._pooled.is_hung_up():
                self.lost(None)

    async def _event(self) -> None:
        self._waiter = self._loop.create_future()
        try:
            if self._unsure:
                await self._look_out(self._waiter)
            else:
                await self._waiter
        finally:
            self._waiter = None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _release_if_done(self) -> None:
        if self.remaining or self._pooled is None or self._strange:
            return
        if not self._sent or not self._keep or self.transport.is_closing():
            self.close()
        else:
            pooled, self._pooled = self._pooled, None
            self._pool.give_back(pooled)

    def close(self) -> None:
        """Close the connection, unless it has been given back."""
        if self._pooled is not None:
            pooled, self._pooled = self._pooled, None
            pooled.close()

    # What the connection tells

    def data_received(self, data: bytes) -> None:
        """Take what arrives."""
        if self._error is not None:  # nobody knows any more what this belongs to
            return
        begun = self.remaining < 0
        if begun:
            self._buffer = self._buffer + data if self._buffer else data
            end = self._buffer.find(b"\r\n\r\n")
            if is_foreign(self._buffer):
                self._error = foreign(self._origin, self._buffer)
                self._wake()
                return
            if end < 0 and may_become_head(self._buffer):
                return
            data, head = self._buffer[end + 4 :], self._buffer[: end + 4]
            self._buffer = b""
            self._strange = not (0 <= end <= LONGEST_HEAD and self._take_head(head, len(data)))
            self.resume_writing()  # what is still to be sent is not needed any more
            if self._strange:
                self.remaining = 0
                self._wake()
                return
        if self._chunked is not None and self.remaining:
            self._take_chunked(self._chunked, data)
        elif len(data) > self.remaining:
            self._keep = False
            if self.remaining:
                self._error = ReadError(f"the answer of {self._origin} is longer than it says")
        elif data:
            self._chunks.append(data)
            self.remaining -= len(data)
        wait = self.remaining >= PUMPED if begun else sum(map(len, self._chunks)) >= BUFFERED
        if self.remaining and wait:
            self.transport.pause_reading()  # until somebody asks for more
        self._wake()

    def _take_chunked(self, body: ChunkedBody, data: bytes) -> None:
        try:
            if found := body.take(data):
                self._chunks.append(found)
        except ValueError as exc:
            self._error = ReadError(f"the answer of {self._origin} has bad chunks: {exc}")
            self._keep = False
            self._pool.distrust(self._origin)  # they may be good ones, with trailers
        if body.is_complete:
            self.remaining = 0

    def _take_head(self, data: bytes, following: int) -> bool:
        """Take the head; return whether the answer is of the shape accepted here.

        *following* is the number of bytes that came together with it.
        """
        answer = parse_head(data)
        if answer is None:
            return False
        self.answer = answer
        self._keep = self._keep and answer.keep
        length = answer.body_length if self._body_expected else 0
        if length is not None:
            self.remaining = length
        elif answer.chunked:
            self._chunked, self.remaining = ChunkedBody(), 1
        else:
            return False
        return self._chunked is not None or following <= self.remaining

    def lost(self, exc: Exception | None) -> None:
        """Take the end of the connection."""
        self._keep = False
        if self._error is None and self.remaining:
            why = f": {exc}" if exc else ""
            if self.remaining < 0:
                self._error = unanswered(self._origin, why)
            else:
                short = (
                    "before its last chunk" if self._chunked else f"{self.remaining} bytes short"
                )
                self._error = ReadError(f"the answer of {self._origin} broke off, {short}{why}")
            self._error.__cause__ = exc
        self._wake()
        self.resume_writing()

    def pause_writing(self) -> None:
        """Wait with sending."""
        self._writable = self._loop.create_future()

    def resume_writing(self) -> None:
        """Go on sending."""
        if self._writable is not None:
            waiter, self._writable = self._writable, None
            if not waiter.done():
                waiter.set_result(None)


def foreign(origin: str, data: bytes) -> ConnectionFailed:
    """Return the error for an answer in another protocol."""
    host = origin.split("/")[2]
    message = f"{host} does not answer in HTTP: {data[:40]!r}{tls_hint(origin)}"
    return ConnectionFailed(message, kind="not http")
