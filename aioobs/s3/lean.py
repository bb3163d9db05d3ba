"""A transport in lean HTTP, with aiohttp's session for all that is beyond that."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aioobs.errors import ConnectionFailed
from aioobs.s3 import body as bodies
from aioobs.s3.connection_pool import ConnectionPool
from aioobs.s3.direct_connections import DirectConnections
from aioobs.s3.request import head_of
from aioobs.s3.wire import Wire

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from aioobs.config import Config
    from aioobs.s3.body import Body, Sink
    from aioobs.s3.connection_pool import PooledConnection
    from aioobs.s3.transport import Reply, Transport

__all__ = ["LeanTransport"]


class LeanTransport:
    """Sends requests over the connections of a `Transport`, and those it cannot do over that."""

    def __init__(self, session: Transport, config: Config) -> None:
        self._session = session
        self.pool: ConnectionPool = ConnectionPool(session, config)
        self.direct: DirectConnections = DirectConnections(self.wire, config.connections)

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
        lent = await self.pool.borrow(origin)
        if lent is None:
            return await self._session.send(method, url, headers, body, progress)
        wire = self.wire(lent, method)
        wire.progress = progress
        try:
            await wire.send(head_of(method, target, headers), body)
        except BaseException:
            wire.close()
            raise
        return await self.answer(wire, method, url, headers, body, progress)

    def wire(self, lent: PooledConnection, method: str) -> Wire:
        """Return what a request with *method* and its answer are on a connection."""
        return Wire(self.pool, lent, method=method)

    async def answer(
        self,
        wire: Wire,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: Body,
        progress: Callable[[], None],
    ) -> Reply:
        """Return the answer to a request that has been sent."""
        wire.progress = progress
        try:
            known = await wire.head()
        except BaseException:
            wire.close()
            raise
        progress()
        if known:
            return LeanReply(wire)
        wire.close()
        origin = url[: url.index("/", 8)]
        self.pool.distrust(origin)  # it would be the same the next time
        if method in ("GET", "HEAD"):
            return await self._session.send(method, url, headers, body, progress)
        raise ConnectionFailed(f"{origin} gave an answer of a kind that is not known here")

    def park(self, origin: str) -> None:
        """Let threads have one connection more, if there is one that nobody uses.

        TLS is spoken by the event loop alone.
        """
        if origin.startswith("http:") and self.direct.has_room():
            lent = self.pool.take_idle(origin)
            if lent is not None:
                try:
                    self.direct.add(lent)
                except OSError:
                    self.pool.give_back(lent)

    def close(self) -> None:
        """Give the connections that nobody uses back."""
        self.direct.close()
        self.pool.close()


class LeanReply:
    """What a `Reply` is, on a `Wire`."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self.status: int = wire.answer.status
        self.reason: str = wire.answer.reason
        self.headers: Mapping[str, str] = wire.answer.headers
        self.length: int | None = wire.answer.length
        self.received: int = 0

    async def read(self, limit: int | None = None) -> bytes:
        """Return the body."""
        data = await self._wire.more()
        self.received = len(data)
        if not self._wire.remaining:
            return data
        parts = [data]
        while chunk := await self._wire.more():
            parts.append(chunk)
            self.received += len(chunk)
            if limit is not None and self.received > limit:
                break
        return b"".join(parts)

    async def pour(self, sink: Sink) -> None:
        """Write the body into *sink*."""
        before = sink.received
        try:
            if isinstance(sink, bodies.DirectSink) and await self._wire.pump_into(sink):
                return
            while chunk := await self._wire.more():
                await sink.write(chunk)
        finally:
            self.received = sink.received - before

    def close(self) -> None:
        """Give up the rest."""
        self._wire.close()
