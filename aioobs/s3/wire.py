"""A lean HTTP/1.1 on aiohttp's connections, for the requests that come by the thousand.

Connections, with their names, TLS, limits and keep-alive, are aiohttp's; only what is said on
them is ours.  One shape of answer is accepted: a status line, headers, and a body of announced
length; a refusal may also come in chunks.  An answer of any other shape ends its connection, and
from then on requests to that place go to aiohttp's own session, which knows them all.  A
connection is used again only if every byte on it is accounted for.
"""

from __future__ import annotations

import asyncio
import re
from collections import deque
from typing import TYPE_CHECKING

import aiohttp

from aioobs.errors import ConnectionFailed, ReadError
from aioobs.s3 import body as bodies
from aioobs.s3.pump import can_pump, receive_into_file, send_body
from aioobs.s3.transport import translated, unanswered

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from aiohttp.connector import Connection

    from aioobs.config import Config
    from aioobs.s3.body import Body, Sink
    from aioobs.s3.transport import Reply, Transport

__all__ = ["LeanTransport"]

LONGEST_HEAD = 64 * 1024
BUFFERED = 512 * 1024  # bytes of a body that wait for their reader
JOINED = 64 * 1024  # up to this size a body is sent together with its head
PUMPED = 256 * 1024  # from this size on a worker thread moves the body

STATUS_LINE = re.compile(rb"HTTP/1\.1 ([2-5][0-9]{2})(?: ([\x20-\x7e\x80-\xff]*))?\r\n")
HEADER = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+):[ \t]*([^\r\n\0]*?)[ \t]*\r\n")
CHUNK_SIZE = re.compile(rb"([0-9A-Fa-f]{1,8})(?:;[\x20-\x7e]*)?")
DIGITS = re.compile(r"[0-9]{1,18}")


class LeanTransport:
    """Sends requests over the connections of a `Transport`, and those it cannot do over that."""

    def __init__(self, session: Transport, config: Config) -> None:
        self._session = session
        self._timeout = aiohttp.ClientTimeout(total=None, connect=config.connect_timeout)
        self._origins: dict[str, aiohttp.ClientRequest] = {}
        self._distrusted: set[str] = set()

    async def send(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: Body,
        progress: Callable[[], None],
    ) -> Reply:
        """Do as `Transport.send` does."""
        start = url.index("/", 8)
        origin, target = url[:start], url[start:]
        if origin in self._distrusted:
            return await self._session.send(method, url, headers, body, progress)
        connection = await self._connect(origin)
        wire = Wire(connection, origin, progress, method=method)
        try:
            await wire.send(head_of(method, target, headers), body)
            known = await wire.head()
        except BaseException:
            wire.close()
            raise
        progress()
        if known:
            return LeanReply(wire)
        wire.close()
        self._distrusted.add(origin)  # it would be the same the next time
        if method in ("GET", "HEAD"):
            return await self._session.send(method, url, headers, body, progress)
        raise ConnectionFailed(f"{origin} gave an answer of a kind that is not known here")

    async def _connect(self, origin: str) -> Connection:
        request = self._origins.get(origin)
        if request is None:
            request = self._origins[origin] = self._session.connection_request(origin)
        with translated(origin + "/"):
            try:
                return await self._session.connector.connect(request, [], self._timeout)
            except TimeoutError as exc:
                raise ConnectionFailed(
                    f"no connection to {origin} in time", kind="unreachable"
                ) from exc


def head_of(method: str, target: str, headers: Mapping[str, str]) -> bytes:
    lines = [f"{method} {target} HTTP/1.1\r\n"]
    lines += [f"{name}: {value}\r\n" for name, value in headers.items()]
    lines.append("\r\n")
    return "".join(lines).encode("utf-8", "surrogateescape")


class Wire(asyncio.Protocol):
    """One request and its answer on a connection."""

    __slots__ = (
        "_body_expected",
        "_buffer",
        "_chunked",
        "_chunks",
        "_connection",
        "_data_expected",
        "_error",
        "_handler",
        "_keep",
        "_loop",
        "_origin",
        "_progress",
        "_strange",
        "_waiter",
        "_writable",
        "headers",
        "length",
        "reason",
        "remaining",
        "status",
        "transport",
    )

    def __init__(
        self,
        connection: Connection,
        origin: str,
        progress: Callable[[], None],
        *,
        method: str,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._connection: Connection | None = connection
        self._handler = connection.protocol
        transport = connection.transport
        if transport is None or self._handler is None:
            connection.close()
            raise ConnectionFailed(f"the connection to {origin} broke before it was used")
        self.transport: asyncio.Transport = transport
        self._origin = origin
        self._progress = progress
        self._body_expected = method != "HEAD"
        self._data_expected = method == "GET"
        self._buffer = b""
        self._chunks: deque[bytes] = deque()
        self._waiter: asyncio.Future[None] | None = None
        self._writable: asyncio.Future[None] | None = None
        self._error: Exception | None = None
        self._keep = True
        self._strange = False
        self._chunked = False
        self.status = 0
        self.reason = ""
        self.headers: dict[str, str] = {}
        self.length = 0
        self.remaining = -1  # bytes of the body that have not arrived; -1: nor has the head
        transport.set_protocol(self)

    @property
    def plain_socket(self) -> int | None:
        """The descriptor of the connection, unless it is encrypted or closed."""
        encrypted = self.transport.get_extra_info("ssl_object") is not None
        if encrypted or self.transport.is_closing() or not can_pump():
            return None
        found = self.transport.get_extra_info("socket")
        return None if found is None else int(found.fileno())

    async def send(self, head: bytes, body: Body) -> None:
        """Send the request; an answer that comes before its end stops it."""
        size = bodies.size_of(body)
        if size <= JOINED and not isinstance(body, bodies.FilePart):
            self.transport.write(head + body if size else head)
            return
        self.transport.write(head)
        descriptor = self.plain_socket
        if size >= PUMPED and descriptor is not None:
            while self.transport.get_write_buffer_size():
                self._check()
                await asyncio.sleep(0)
            sent = await self._pump(descriptor, body)
        else:
            sent = await self._write(body)
        if sent < size:
            self._keep = False  # an answer came before the end of the request

    async def _pump(self, descriptor: int, body: Body) -> int:
        try:
            return await send_body(descriptor, body, self._progress, lambda: self.remaining >= 0)
        except ConnectionFailed:
            # Some servers refuse a long request and close at once: the answer may still be read.
            while self.remaining < 0 and self._error is None:
                await self._event()
            if self.remaining < 0:
                raise
            return 0

    async def _write(self, body: Body) -> int:
        sent = 0
        async for chunk in bodies.chunks(body):
            if self.remaining >= 0:
                break
            self.transport.write(chunk)
            sent += len(chunk)
            while self._writable is not None:
                self._check()
                await self._writable
            self._progress()
        return sent

    async def head(self) -> bool:
        """Wait for the head; return whether the answer is of the shape accepted here."""
        while self.remaining < 0:
            self._check()
            await self._event()
        self._release_if_done()
        return not self._strange

    async def more(self) -> bytes:
        """Return the next bytes of the body; b"" after its end."""
        while not self._chunks:
            if not self.remaining:
                return b""
            self._check()
            self.transport.resume_reading()
            await self._event()
        self._progress()
        if len(self._chunks) == 1:
            data = self._chunks.popleft()
        else:
            data = b"".join(self._chunks)
            self._chunks.clear()
        self._release_if_done()
        return data

    async def into_file(self, sink: bodies.FileSink) -> bool:
        """Have a worker thread move the rest of the body; `False`: it is not for that."""
        descriptor = self.plain_socket
        if self.remaining < PUMPED or descriptor is None:
            return False
        while self._chunks:
            await sink.write(self._chunks.popleft())
        self._check()
        before = sink.received
        try:
            await receive_into_file(descriptor, self.remaining, sink, self._progress)
        finally:
            self.remaining -= sink.received - before
        self._release_if_done()
        return True

    def _check(self) -> None:
        if self._error is not None:
            raise self._error

    async def _event(self) -> None:
        self._waiter = self._loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _release_if_done(self) -> None:
        if self.remaining or self._connection is None or self._strange:
            return
        if not self._keep or self.transport.is_closing():
            self.close()
            return
        connection, self._connection = self._connection, None
        if self._handler is not None:
            self.transport.set_protocol(self._handler)
        self.transport.resume_reading()
        connection.release()

    def close(self) -> None:
        """Close the connection, unless it has been given back."""
        if self._connection is not None:
            connection, self._connection = self._connection, None
            if self._handler is not None:
                self.transport.set_protocol(self._handler)
            self.transport.abort()
            connection.close()

    # What the event loop calls

    def data_received(self, data: bytes) -> None:
        """Take what arrives."""
        begun = self.remaining < 0
        if begun:
            self._buffer = self._buffer + data if self._buffer else data
            end = self._buffer.find(b"\r\n\r\n")
            if end < 0 and len(self._buffer) <= LONGEST_HEAD:
                return
            data, head = self._buffer[end + 4 :], self._buffer[: end + 4]
            self._buffer = b""
            self._strange = not 0 <= end <= LONGEST_HEAD or not self._parse(head)
            if self._strange:
                self.remaining = 0
                self._keep = False
                self._wake()
                return
            self.remaining = self.length
        if self._chunked and self.remaining:
            self._take_chunked(data)
            return
        if len(data) > self.remaining:
            self._keep = False
            data = data[: self.remaining]
        if data:
            self._chunks.append(data)
            self.remaining -= len(data)
        if self.remaining and (begun or sum(map(len, self._chunks)) >= BUFFERED):
            self.transport.pause_reading()  # until somebody asks for more
        self._wake()

    def _take_chunked(self, data: bytes) -> None:
        self._buffer += data
        try:
            found = dechunked(self._buffer)
        except ValueError as exc:
            self._error = ReadError(f"the answer of {self._origin} has bad chunks: {exc}")
            self._keep = False
        else:
            if found is None:
                return
            body, rest = found
            self._keep = self._keep and not rest
            self._chunks.append(body)
            self.remaining = 0
        self._buffer = b""
        self._wake()

    def _parse(self, head: bytes) -> bool:
        """Take the head; return whether it is of the shape accepted here."""
        line = STATUS_LINE.match(head)
        if line is None:
            return False
        self.status = int(line[1])
        self.reason = (line[2] or b"").decode("latin-1")
        position, headers = line.end(), self.headers
        while found := HEADER.match(head, position):
            name = found[1].decode("ascii").lower()
            value = found[2].decode("utf-8", "surrogateescape")
            if name in headers:
                if name in ("content-length", "content-range", "etag", "transfer-encoding"):
                    return False
                value = f"{headers[name]}, {value}"
            headers[name] = value
            position = found.end()
        if head[position:] != b"\r\n":
            return False
        if "close" in headers.get("connection", "").lower():
            self._keep = False
        if not self._body_expected or self.status in (204, 304):
            self.length = 0
            return True
        length = headers.get("content-length", "")
        if "transfer-encoding" in headers:
            # Refusals come so, and little else that is asked for here.
            self._chunked, self.length = True, 1
            good = self.status >= 300 or not self._data_expected
            return good and not length and headers["transfer-encoding"].lower() == "chunked"
        if not DIGITS.fullmatch(length):
            return False
        self.length = int(length)
        return True

    def eof_received(self) -> bool:
        """Take the end of the connection."""
        self._lost(None)
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """Take the end of the connection."""
        self._lost(exc)
        if self._handler is not None:
            self._handler.connection_lost(exc)

    def _lost(self, exc: Exception | None) -> None:
        self._keep = False
        if self._error is None and self.remaining:
            why = f": {exc}" if exc else ""
            if self.remaining < 0:
                self._error = unanswered(self._origin, why)
            else:
                self._error = ReadError(
                    f"the answer of {self._origin} broke off, {self.remaining} bytes short{why}"
                )
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


def dechunked(data: bytes) -> tuple[bytes, bytes] | None:
    """Return a short body that came in chunks, and what came after it; `None`: more is to come.

    Raises:
        ValueError: these are no chunks, or ones with trailers, or too many.
    """
    if len(data) > LONGEST_HEAD * 4:
        raise ValueError("more than a refusal has")
    position = 0
    parts: list[bytes] = []
    while (end := data.find(b"\r\n", position)) >= 0:
        found = CHUNK_SIZE.fullmatch(data, position, end)
        if found is None:
            raise ValueError("no length of a chunk")
        size, start = int(found[1], 16), end + 2
        position = start + size + 2
        if len(data) < position:
            return None
        if data[start + size : position] != b"\r\n":
            raise ValueError("a chunk without an end")
        if not size:
            return b"".join(parts), data[position:]
        parts.append(data[start : start + size])
    return None


class LeanReply:
    """What a `Reply` is, on a `Wire`."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self.status = wire.status
        self.reason = wire.reason
        self.headers: Mapping[str, str] = wire.headers
        length = wire.headers.get("content-length", "")
        self.length = int(length) if DIGITS.fullmatch(length) else None

    async def read(self, limit: int | None = None) -> bytes:
        """Return the body."""
        data = await self._wire.more()
        if not self._wire.remaining:
            return data
        parts, size = [data], len(data)
        while chunk := await self._wire.more():
            parts.append(chunk)
            size += len(chunk)
            if limit is not None and size > limit:
                break
        return b"".join(parts)

    async def pour(self, sink: Sink) -> None:
        """Write the body into *sink*."""
        if isinstance(sink, bodies.FileSink) and await self._wire.into_file(sink):
            return
        while chunk := await self._wire.more():
            await sink.write(chunk)

    def close(self) -> None:
        """Give up the rest."""
        self._wire.close()
